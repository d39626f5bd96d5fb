"""Converts to ONNX by `jax2onnx`, with two operations that it lacks."""

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator

import jax
import jax.extend
import numpy as np

from reid_jax.errors import UserError

OPSET = 18
"""Version of ONNX's operations. Most readers know that of ONNX 1.13 (2022)."""


def check(config) -> None:
    """Raises a UserError if ONNX cannot hold the network, or jax2onnx is missing."""
    if config.model.dtype != "float32":
        raise UserError(
            f"--format=onnx: readers of ONNX have no convolution in "
            f"{config.model.dtype}; --dtype=float32 computes in float32."
        )
    try:
        import jax2onnx  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"--format=onnx needs jax2onnx ({error}): "
            "pip install --no-deps -r requirements-onnx.txt"
        ) from None


def convert(
    embed: Callable[[jax.Array], jax.Array], clips: jax.ShapeDtypeStruct
) -> bytes:
    """Returns the content of an ONNX file with input `clips` and output `embedding`.

    `clips` has symbolic sizes.

    Raises:
        UserError: the network has an operation that jax2onnx cannot convert.
    """
    import jax2onnx

    # Traced now, because jax2onnx replaces functions of JAX while it converts.
    traced = jax.make_jaxpr(embed)(clips)
    try:
        with _without_warnings(), _more_operations():
            model = jax2onnx.to_onnx(
                jax.extend.core.jaxpr_as_fun(traced),
                [clips],
                model_name="reid_jax",
                opset=OPSET,
                input_names=["clips"],
                output_names=["embedding"],
            )
    except NotImplementedError as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"--format=onnx cannot hold this network ({reason}); "
            "--format=stablehlo can."
        ) from None
    return model.SerializeToString()


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Suppresses warnings about plugins for libraries that are not installed."""
    loggers = [logging.getLogger(name) for name in ("jax2onnx", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _more_operations() -> Iterator[None]:
    """Lets jax2onnx convert convolutions and pooling over two and three axes.

    jax2onnx 0.17.1 has no convolution over three axes. Its pooling is over four axes,
    which ONNX Runtime does not support.
    """
    from jax2onnx.plugins import plugin_system

    plugin_system.import_all_plugins()
    registry = plugin_system.PLUGIN_REGISTRY
    original_plugins = {
        name: registry[name] for name in ("conv_general_dilated", "reduce_window_max")
    }
    registry |= {"conv_general_dilated": _Conv(), "reduce_window_max": _MaxPool()}
    try:
        yield
    finally:
        registry |= original_plugins


class _Conv:
    """`lax.conv_general_dilated`, channels last, without dilation or groups."""

    def lower(self, ctx, eqn) -> None:
        kernel = ctx.get_value_for_var(eqn.invars[1])
        *window, C, D = eqn.invars[1].aval.shape
        rank = len(window)
        kernel = ctx.builder.Transpose(kernel, perm=[rank + 1, rank, *range(rank)])
        kernel = _typed(kernel, "float32", (D, C, *window))
        strides, padding = eqn.params["window_strides"], eqn.params["padding"]

        def convolve(x, **options):
            return ctx.builder.Conv(x, kernel, **options)

        _windowed(ctx, eqn, convolve, strides, padding)


class _MaxPool:
    """`lax.reduce_window_max` over the axes between batch and channels."""

    def lower(self, ctx, eqn) -> None:
        window, strides, padding = (
            eqn.params[name][1:-1]
            for name in ("window_dimensions", "window_strides", "padding")
        )
        pool = functools.partial(ctx.builder.MaxPool, kernel_shape=list(window))
        _windowed(ctx, eqn, pool, strides, padding)


def _windowed(ctx, eqn, operation: Callable, strides, padding) -> None:
    """Adds an operation between transpositions: ONNX puts channels first."""
    x, y = eqn.invars[0].aval, eqn.outvars[0].aval
    rank = len(y.shape)
    to_channels_first, to_channels_last = (
        [0, rank - 1, *range(1, rank - 1)],
        [0, *range(2, rank), 1],
    )
    value = ctx.builder.Transpose(
        ctx.get_value_for_var(eqn.invars[0]), perm=to_channels_first
    )
    value = _typed(value, x.dtype, [x.shape[axis] for axis in to_channels_first])
    before, after = zip(*padding, strict=True)
    value = operation(value, strides=list(strides), pads=[*before, *after])
    value = _typed(value, y.dtype, [y.shape[axis] for axis in to_channels_first])
    value = ctx.builder.Transpose(value, perm=to_channels_last)
    ctx.bind_value_for_var(eqn.outvars[0], _typed(value, y.dtype, y.shape))


def _typed(value, dtype, shape):
    """Sets dtype and shape of a value of onnx_ir; sizes may be symbolic."""
    import onnx_ir

    value.type = onnx_ir.TensorType(onnx_ir.DataType.from_numpy(np.dtype(dtype)))
    sizes = [size if isinstance(size, int) else str(size) for size in shape]
    value.shape = onnx_ir.Shape(sizes)
    return value
