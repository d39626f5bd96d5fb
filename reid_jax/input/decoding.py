"""Encoded frames to pixels by tf.data's threads."""

import atexit
import collections
import contextlib
import io
import os
import weakref
from collections.abc import Iterator

import numpy as np
import PIL
import tensorflow as tf
from jaxtyping import Int, UInt8
from PIL import Image

from reid_jax.errors import UserError
from reid_jax.input.frame_cache import Split

_AHEAD = 4
"""Requests that wait decoded, and read, beside one for each thread."""

_MOST_THREADS = 16
"""Each holds a request: more would fill the memory and no device asks for so much."""

# TensorFlow keeps the memory of batches: from the system each page of it would be
# cleared anew. At import, since it looks here only when it first runs something.
os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "1")

Request = tuple[Int[np.ndarray, "N"], Int[np.ndarray, "2"]]
"""Places of frames (see `Split.frame_at`), and a size that none of them exceeds."""


def decode(
    split: Split, requests: Iterator[Request]
) -> Iterator[UInt8[np.ndarray, "N H W 3"]]:
    """The frames of each request, padded at the bottom and right to its size.

    Requests are read ahead, in another thread; the program's end waits for the one that
    is being read.
    Raises UserError with the names of frames that cannot be decoded.
    """
    decoded = _decoded(split, requests)
    _decoding.add(decoded)
    return decoded


_decoding = weakref.WeakSet()


# At import, which is after TensorFlow's own, so that it runs before them.
@atexit.register
def _close_all() -> None:
    """While Python still runs: a request that is read later would never end."""
    for decoded in list(_decoding):
        with contextlib.suppress(ValueError):  # a thread of the user's is in it
            decoded.close()


def _decoded(split: Split, requests: Iterator[Request]) -> Iterator[np.ndarray]:
    sent = collections.deque()  # requests on their way through tf.data's threads
    failures = []  # of ours in those threads, which tf.data would rename

    def encoded():
        try:
            for places, size in requests:
                sent.append(places)
                frames = [split.frame_at(place) for place in places.tolist()]
                yield frames, size, (split.sizes[places] != size).any()
        except Exception as failure:
            failures.append(failure)
            raise

    signature = (
        tf.TensorSpec((None,), tf.string),
        tf.TensorSpec((2,), tf.int32),
        tf.TensorSpec((), tf.bool),
    )
    dataset = tf.data.Dataset.from_generator(encoded, output_signature=signature)
    dataset = dataset.prefetch(_AHEAD)  # no decoding thread waits for Python
    # A request is decoded by one thread: that moves the fewest bytes.
    dataset = dataset.map(_decode, num_parallel_calls=_num_threads())
    dataset = dataset.prefetch(_AHEAD)
    options = tf.data.Options()
    options.autotune.enabled = False  # it takes more threads than there are cores
    dataset = dataset.with_options(options)
    failed = None
    try:
        for frames in dataset.as_numpy_iterator():
            sent.popleft()
            yield frames
    except tf.errors.OpError as error:
        failed = failures[0] if failures else _damaged(split, sent[0], error)
    # Not in `except`: who keeps it would keep that error, and so tf.data's threads.
    if failed is not None:
        raise failed


def _num_threads() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return min(_MOST_THREADS, len(affinity(0)) if affinity else os.cpu_count() or 1)


def _decode(encoded, size, pads):
    def frame(encoded):
        # This op reads PNG too; the accurate transform is PIL's.
        return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")

    def padded(encoded):
        image = frame(encoded)
        missing = size - tf.shape(image)[:2]
        return tf.pad(image, [[0, missing[0]], [0, missing[1]], [0, 0]])

    shape = tf.TensorSpec((None, None, 3), tf.uint8)
    return tf.cond(
        pads,
        lambda: tf.map_fn(padded, encoded, fn_output_signature=shape),
        lambda: tf.map_fn(frame, encoded, fn_output_signature=shape),
    )


def _damaged(split: Split, places: np.ndarray, error: Exception) -> UserError:
    """It says which of the frames that failed to decode are damaged."""
    damaged = []
    for place in np.unique(places).tolist():
        tracklet = int(np.searchsorted(split.first_frame, place, side="right")) - 1
        t = place - split.first_frame[tracklet]
        try:
            Image.open(io.BytesIO(split.frame_at(place))).load()
        except PIL.UnidentifiedImageError:
            damaged.append(f"tracklet {split.names[tracklet]} frame {t}: not an image")
        except (OSError, SyntaxError, ValueError) as reason:
            damaged.append(f"tracklet {split.names[tracklet]} frame {t}: {reason}")
    if not damaged:
        return UserError(f"An image of {split.path} cannot be decoded: {error}")
    return UserError(
        f"{split.path} holds damaged images: {'; '.join(damaged)}. Replace them and "
        "prepare again."
    )
