"""reid_jax/decoding.py: the memory of batches stays with TensorFlow.

Where the system gives huge pages to all, this cannot tell.
"""

import sys

import pytest

from tests import processes

_COUNT_PAGES = """
import io, pathlib, resource, sys
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
batches = decoding.decode(split, iter([request] * 60))
pages = []
for batch in batches:
    pages.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print((pages[49] - pages[19]) / 30 / (batch.nbytes / resource.getpagesize()))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts Linux's page faults")
def test_a_batch_gets_its_memory_from_the_batches_before(tmp_path, monkeypatch):
    monkeypatch.delenv("TF_CPU_ALLOCATOR_USE_BFC", raising=False)
    setting = {"GLIBC_TUNABLES": "", "TF_ENABLE_ONEDNN_OPTS": "0"}
    child = processes.run("-c", _COUNT_PAGES, tmp_path, **setting)
    assert not child.returncode, child.stderr
    # Of the pages of a batch: without that memory all are new.
    assert float(child.stdout.split()[-1]) < 0.2
