"""reid_jax/input/decoding.py: the memory of batches, and the end of a program.

Where the system gives huge pages to all, the tests of memory cannot tell.
"""

import sys

import numpy as np
import pytest

from reid_jax.input import decoding
from tests import hand_made, processes

_SPLIT = """
import io, pathlib, resource, sys, time
import numpy as np
from PIL import Image
from reid_jax.input import decoding, frame_cache

def examples():
    file = io.BytesIO()
    Image.new("RGB", (128, 256)).save(file, "JPEG")
    frames = [file.getvalue()] * 64 + [file.getvalue()[:150]]
    yield {"frames": frames, "pid": 0, "camid": 0, "tracklet": "black"}

split = frame_cache.open_split(pathlib.Path(sys.argv[1]), "train", examples)
largest = np.array([512, 512])
request = decoding.Request(np.arange(64), np.array([256, 128]))
"""

_COUNT_PAGES = """
batches = decoding.decode(split, iter([request] * 60), largest)
pages = []
for _, batch in batches:
    pages.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print((pages[49] - pages[19]) / 30 / (batch.nbytes / resource.getpagesize()))
"""

_COUNT_PAGES_OF_OTHERS = """
next(decoding.decode(split, iter([request]), largest))
pages = []
for _ in range(20):
    np.ones(1_000_000, np.uint8)  # freed at once; NumPy has huge pages for larger ones
    pages.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print((pages[-1] - pages[9]) / 10 / (1_000_000 / resource.getpagesize()))
"""

_SLOWLY = """
import threading

def requests(*first):
    yield from first
    while True:
        time.sleep(1)
        yield request

"""

_ENDS = {
    "as it reads": (
        """batches = decoding.decode(split, requests(request), largest)
next(batches)""",
        0,
    ),
    "with several": (
        """decode = decoding.decode
several = [decode(split, requests(request), largest) for _ in range(4)]
threading.Thread(target=lambda: list(several[0]), daemon=True).start()
list(map(next, several[1:]))""",
        0,
    ),
    "at a damaged frame": (
        """damaged = request._replace(frame_ids=np.array([64]))
list(decoding.decode(split, requests(damaged), largest))""",
        1,
    ),
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts Linux's page faults")
@pytest.mark.parametrize(
    "count",
    [
        pytest.param(_COUNT_PAGES, id="TensorFlow's"),
        pytest.param(_COUNT_PAGES_OF_OTHERS, id="others'"),
    ],
)
def test_memory_that_was_freed_is_used_again(tmp_path, monkeypatch, count):
    monkeypatch.delenv("TF_CPU_ALLOCATOR_USE_BFC", raising=False)
    setting = {"GLIBC_TUNABLES": "", "TF_ENABLE_ONEDNN_OPTS": "0"}
    child = processes.run("-c", _SPLIT + count, tmp_path, **setting)
    assert not child.returncode, child.stderr
    # Of the pages of a batch: without that memory all are new.
    assert float(child.stdout.split()[-1]) < 0.2


@pytest.mark.parametrize(
    "how",
    [
        pytest.param("as it reads", marks=pytest.mark.slow),
        pytest.param("with several", marks=pytest.mark.slow),
        "at a damaged frame",
    ],
)
def test_a_program_ends_while_a_request_is_being_read(tmp_path, how):
    program, code = _ENDS[how]
    child = processes.run("-c", _SPLIT + _SLOWLY + program, tmp_path)
    assert child.returncode == code, child.stderr
    assert child.stderr.count("Traceback") == code, child.stderr
    assert "Exception ignored" not in child.stderr


@pytest.mark.slow
def test_an_error_of_ours_is_raised_without_notices_of_tensorflow(tmp_path):
    program = """
from reid_jax.errors import UserError

def requests():
    yield request
    raise UserError("too few persons")

try:
    list(decoding.decode(split, requests(), largest))
except UserError as error:
    print(error)
"""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0"}
    child = processes.run("-c", _SPLIT + program, tmp_path, **quiet)
    assert (child.returncode, child.stdout) == (0, "too few persons\n")
    assert child.stderr == ""


def test_requests_may_be_a_list(tmp_path):
    split = hand_made.split(tmp_path, [(0, 0, [hand_made.encode(1)])])
    request = decoding.Request(np.zeros(1, int), split.sizes[0])
    decoded = decoding.decode(split, [request, request], split.sizes[0])
    assert [len(pixels) for _, pixels in decoded] == [1, 1]


def test_a_request_without_frames_is_an_error(tmp_path):
    split = hand_made.split(tmp_path, [(0, 0, [hand_made.encode(1)])])
    request = decoding.Request(np.zeros(0, int), split.sizes[0])
    with pytest.raises(ValueError, match="no frames"):
        list(decoding.decode(split, iter([request]), split.sizes[0]))


@pytest.mark.parametrize("neighbour", [(16, 16), (8, 8)])
def test_a_large_frame_does_not_depend_on_those_beside_it(tmp_path, neighbour):
    frames = [hand_made.encode(255, size=size) for size in ((16, 16), neighbour)]
    split = hand_made.split(tmp_path, [(0, 0, frames)])
    # A request's size is rounded up, here from 14 to 16.
    request = decoding.Request(np.arange(2), np.array([16, 16]))
    [(_, pixels)] = decoding.decode(split, iter([request]), np.array([14, 14]))
    expected = np.zeros((16, 16, 3), np.uint8)
    expected[:14, :14] = 255
    np.testing.assert_array_equal(pixels[0], expected)
