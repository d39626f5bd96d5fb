"""Decodes frames to pixels, in the threads of tf.data."""

import atexit
import collections
import contextlib
import functools
import io
import os
import weakref
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import PIL
import tensorflow as tf
from jaxtyping import Int, UInt8
from PIL import Image

from reid_jax.errors import UserError
from reid_jax.input.frame_cache import Split

_PREFETCH = 4
"""Prefetch depth in requests, before and after decoding."""

_MAX_THREADS = 16
"""Limit of decoding threads: each holds a request, and no device needs more."""

_UNCHANGED = np.zeros(2, np.int32)
"""Stands for the size of a request whose frames are neither reduced nor padded."""

_END = np.zeros(0, object), _UNCHANGED
"""Stands for the frames and the size of a request when there are no more requests."""

# TensorFlow reuses the memory of batches; memory from the system would be cleared page
# by page. Set at import, because TensorFlow reads it when it first runs something.
os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "1")


class Request(NamedTuple):
    """Frames to decode together, at least one.

    - `frame_ids`: their numbers among all frames of the split (see `Split.frame_at`).
    - `size`: height and width that all of them are padded to.
    - `content`: anything that the caller needs with the pixels; it is returned as is.
    """

    frame_ids: Int[np.ndarray, "N"]
    size: Int[np.ndarray, "2"]
    content: Any = None


def decode(
    split: Split, requests: Iterable[Request], largest: Int[np.ndarray, "2"]
) -> Iterator[tuple[Request, UInt8[np.ndarray, "N H W 3"]]]:
    """Decodes requests; yields each with its frames, padded at the bottom and right.

    Frames higher or wider than `largest` are reduced to it, by means over areas, right
    after decoding, so that they take no more memory than others. `requests` is consumed
    in another thread, some requests ahead. When the program ends, it waits for the
    request that is being read.

    Raises:
        UserError: frames cannot be decoded; the message names them.
    """
    decoded = _decoded(split, requests, largest)
    _decoding.add(decoded)
    return decoded


_decoding = weakref.WeakSet()


# Registered after TensorFlow's exit functions, so that it runs before them.
@atexit.register
def _close_all() -> None:
    """Closes running decoders at exit, as reading after Python's end would hang."""
    for decoded in list(_decoding):
        with contextlib.suppress(ValueError):  # another thread is running it
            decoded.close()


def _decoded(split: Split, requests: Iterable[Request], largest) -> Iterator[tuple]:
    requests = iter(requests)
    sent = collections.deque()  # requests that tf.data has read and not returned yet
    failures = []  # exceptions in those threads, which tf.data would rename and print

    def encoded():
        """The frames of the next request, and the size to change them to."""
        try:
            request = next(requests, _END)
            if request is _END:
                return _END
            sent.append(request)
            ids = request.frame_ids
            if not len(ids):
                raise ValueError("a request has no frames")
            frames = [split.frame_at(frame_id) for frame_id in ids.tolist()]
            # A request may be larger than `largest`: its size is rounded up.
            is_large = (request.size > largest).any()
            is_changed = is_large or (split.sizes[ids] != request.size).any()
            size = request.size if is_changed else _UNCHANGED
            return np.array(frames, object), np.asarray(size, np.int32)
        except Exception as failure:
            failures.append(failure)
            return _END

    # Dataset.from_generator would fix glibc's M_MMAP_THRESHOLD at 128 KB. Then each
    # batch that JAX computes would take new pages from the system.
    dataset = tf.data.Dataset.counter().map(lambda _: _called(encoded))
    dataset = dataset.take_while(lambda frames, _: tf.size(frames) > 0)
    dataset = dataset.prefetch(_PREFETCH)  # so that no decoding thread waits for Python
    # One thread decodes a whole request: that copies the fewest bytes.
    decode_request = functools.partial(_decode, largest=largest.tolist())
    dataset = dataset.map(decode_request, num_parallel_calls=_num_threads())
    dataset = dataset.prefetch(_PREFETCH)
    options = tf.data.Options()
    options.autotune.enabled = False  # it would use more threads than there are cores
    dataset = dataset.with_options(options)
    failed = None
    try:
        for frames in dataset.as_numpy_iterator():
            yield sent.popleft(), frames
    except tf.errors.OpError as error:
        failed = _damaged(split, sent[0].frame_ids, error)
    if failures:
        failed = failures[0]
    # Not raised inside `except`: it would refer to tf.data's error, and whoever stores
    # it would keep tf.data's threads alive.
    if failed is not None:
        raise failed


def _num_threads() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return min(_MAX_THREADS, len(affinity(0)) if affinity else os.cpu_count() or 1)


def _called(encoded) -> tuple[tf.Tensor, tf.Tensor]:
    """Calls a Python function that returns encoded frames and a size."""
    frames, size = tf.numpy_function(encoded, [], (tf.string, tf.int32))
    return tf.ensure_shape(frames, (None,)), tf.ensure_shape(size, (2,))


def _decode(encoded, size, *, largest: list[int]):
    """Decodes frames, reduces them to `largest` and pads them to `size`.

    With the size `_UNCHANGED`, it only decodes.
    """

    def decoded(encoded):
        # This op reads PNG too. The accurate transform gives the same pixels as PIL.
        return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")

    def changed(encoded):
        image = decoded(encoded)
        shape = tf.shape(image)[:2]
        reduced = tf.minimum(shape, largest)
        is_large = tf.reduce_any(reduced < shape)
        image = tf.cond(is_large, lambda: _reduced(image, reduced), lambda: image)
        missing = size - reduced
        return tf.pad(image, [[0, missing[0]], [0, missing[1]], [0, 0]])

    frame = tf.TensorSpec((None, None, 3), tf.uint8)
    # Most frames need no change. Asking each of them would take a tenth of the time.
    return tf.cond(
        tf.reduce_any(size != _UNCHANGED),
        lambda: tf.map_fn(changed, encoded, fn_output_signature=frame),
        lambda: tf.map_fn(decoded, encoded, fn_output_signature=frame),
    )


def _reduced(image, size):
    means = tf.image.resize(image, size, method="area")
    return tf.cast(tf.round(means), tf.uint8)


def _damaged(split: Split, frame_ids: np.ndarray, error: Exception) -> UserError:
    """Returns the error that names the damaged frames among `frame_ids`."""
    damaged = []
    for frame_id in np.unique(frame_ids).tolist():
        tracklet = int(np.searchsorted(split.first_frame, frame_id, side="right")) - 1
        t = frame_id - split.first_frame[tracklet]
        try:
            Image.open(io.BytesIO(split.frame_at(frame_id))).load()
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
