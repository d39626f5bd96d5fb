"""Writes TensorFlow's SavedModel by `jax2tf`."""

import pathlib
import warnings
from collections.abc import Callable, Sequence

import jax


def save(
    embed: Callable[[jax.Array], jax.Array],
    clips: jax.ShapeDtypeStruct,
    folder: pathlib.Path,
    platforms: Sequence[str],
) -> None:
    """Writes a SavedModel with the signature `serving_default`: clips → embedding.

    TensorFlow runs the program by XLA.

    Args:
        embed: the function clips → embedding.
        clips: the shape [B, T, H, W, 3], with symbolic sizes.
        folder: the folder to write.
        platforms: the platforms that can run the program.
    """
    import tensorflow as tf

    with warnings.catch_warnings(action="ignore"):  # deprecations in jax2tf
        from jax.experimental import jax2tf

        function = jax2tf.convert(
            embed,
            polymorphic_shapes=[", ".join(map(str, clips.shape))],
            with_gradient=False,
            native_serialization_platforms=platforms,
        )
        shape = [size if isinstance(size, int) else None for size in clips.shape]
        module = tf.Module()
        module.embed = tf.function(
            lambda clips: {"embedding": function(clips)},
            input_signature=[tf.TensorSpec(shape, tf.uint8, name="clips")],
            autograph=False,
        )
        signature = {"serving_default": module.embed}
        tf.saved_model.save(module, str(folder), signatures=signature)
