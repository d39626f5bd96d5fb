"""reid_jax/decoding.py: the memory of batches, and the end of a program.

Where the system gives huge pages to all, the first cannot tell.
"""

import sys

import pytest

from tests import processes

_SPLIT = """
import io, pathlib, resource, sys, time
import numpy as np
from PIL import Image
from reid_jax import decoding, frame_cache

def examples():
    file = io.BytesIO()
    Image.new("RGB", (128, 256)).save(file, "JPEG")
    frames = [file.getvalue()] * 64
    yield {"frames": frames, "pid": 0, "camid": 0, "tracklet": "black"}

split = frame_cache.open_split(pathlib.Path(sys.argv[1]), "train", examples)
request = np.arange(64), np.array([256, 128])
"""

_COUNT_PAGES = """
batches = decoding.decode(split, iter([request] * 60))
pages = []
for batch in batches:
    pages.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print((pages[49] - pages[19]) / 30 / (batch.nbytes / resource.getpagesize()))
"""

_STOP_IN_THE_MIDST = """
def requests():
    yield request
    while True:
        time.sleep(1)
        yield request

batches = decoding.decode(split, requests())
next(batches)
print("stops")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts Linux's page faults")
def test_a_batch_gets_its_memory_from_the_batches_before(tmp_path, monkeypatch):
    monkeypatch.delenv("TF_CPU_ALLOCATOR_USE_BFC", raising=False)
    setting = {"GLIBC_TUNABLES": "", "TF_ENABLE_ONEDNN_OPTS": "0"}
    child = processes.run("-c", _SPLIT + _COUNT_PAGES, tmp_path, **setting)
    assert not child.returncode, child.stderr
    # Of the pages of a batch: without that memory all are new.
    assert float(child.stdout.split()[-1]) < 0.2


def test_a_program_ends_while_a_request_is_being_read(tmp_path):
    child = processes.run("-c", _SPLIT + _STOP_IN_THE_MIDST, tmp_path)
    assert child.stdout.split()[-1] == "stops" and not child.returncode, child.stderr
