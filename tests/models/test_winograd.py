"""reid_jax/models/winograd.py: the same convolution, with fewer multiplications."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from reid_jax.models import convolution, winograd

CHANNELS_LAST = {4: ("NHWC", "HWIO", "NHWC"), 5: ("NDHWC", "DHWIO", "NDHWC")}


def _as_xla(x, kernel, padding):
    strides = (1,) * (x.ndim - 2)
    numbers = CHANNELS_LAST[x.ndim]
    return lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=numbers
    )


def _inputs(*sizes: int, channels: int = 3):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *sizes, channels))
    return x, rng.normal(size=(*(3,) * len(sizes), channels, channels + 1))


@pytest.fixture(params=["whole", "rows", "two rows"])
def strips(request, monkeypatch):
    """Runs a test for the whole image, and for strips of one and two rows of tiles."""

    def two_rows(x, kernel, sizes):
        return -(-sizes[0] // 4), 4

    if request.param == "rows":
        monkeypatch.setattr(winograd, "_MOST_BYTES", 1)
    elif request.param == "two rows":
        monkeypatch.setattr(winograd, "_strips", two_rows)
    jax.clear_caches()  # neither is an argument
    yield
    jax.clear_caches()


@pytest.mark.usefixtures("strips")
@pytest.mark.parametrize(
    ("sizes", "padding"),
    [
        ((6, 8), ((1, 1), (1, 1))),
        ((7, 5), ((1, 1), (1, 1))),  # odd: half of the last tiles is not used
        ((9, 6), ((0, 2), (3, 0))),
        ((4, 6, 8), ((1, 1),) * 3),
        ((5, 4, 7), ((1, 1),) * 3),
        ((6, 5, 4), ((0, 0), (2, 1), (1, 0))),
        ((3, 3, 3), ((0, 0),) * 3),  # one output
    ],
)
def test_it_is_the_convolution_of_xla_with_its_gradients(sizes, padding):
    with jax.enable_x64(True):
        x, kernel = _inputs(*sizes)
        found = []
        for convolve in (winograd.convolve, _as_xla):

            @jax.jit
            def run(x, kernel, convolve=convolve):
                y, gradients = jax.vjp(lambda x, k: convolve(x, k, padding), x, kernel)
                return y, *gradients(jnp.arange(y.size).reshape(y.shape) / y.size)

            found.append(run(x, kernel))
        for ours, theirs in zip(*found, strict=True):
            assert ours.dtype == jnp.float64
            np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_strips_cover_the_image_and_keep_the_limit(monkeypatch):
    kernel = np.zeros((3, 3, 2, 3), "float32")
    row_of_tiles = 4**2 * 5 * (2 + 3) * 4
    monkeypatch.setattr(winograd, "_MOST_BYTES", 7 * row_of_tiles)
    for size in range(1, 130):
        x = np.zeros((1, size + 2, 12, 2), "float32")
        strips, height = winograd._strips(x, kernel, (size, 10))
        assert height % 2 == 0 and height <= 14
        assert size <= strips * height < size + 2 * strips + 1


def test_in_float32_it_is_as_exact_as_the_sum():
    x, kernel = _inputs(4, 8, 8, channels=64)
    padding = ((1, 1),) * 3
    x, kernel = x.astype("float32"), kernel.astype("float32")
    with jax.enable_x64(True):
        wide = x.astype("float64"), kernel.astype("float64")
        exact = np.asarray(_as_xla(*wide, padding))
    error, error_of_sum = (
        np.abs(np.asarray(f(x, kernel, padding), "float64") - exact).max()
        for f in (winograd.convolve, _as_xla)
    )
    assert error < 2 * error_of_sum  # it was smaller; the sum's order may change


def _is_faster(batch: int, sizes, kernel, channels, strides=1, padding=1) -> bool:
    x = jax.ShapeDtypeStruct((batch, *sizes, channels[0]), "float32")
    kernel = jax.ShapeDtypeStruct((*kernel, *channels), "float32")
    axes = len(sizes)
    pads = ((padding, padding),) * axes
    return winograd.is_faster(x, kernel, (strides,) * axes, pads)


def test_it_is_for_many_channels_and_tiles():
    assert _is_faster(8, (14, 7), (3, 3), (256, 256))  # ResNet's
    assert _is_faster(2, (16, 56, 56), (3, 3, 3), (64, 128))  # C3D's
    assert not _is_faster(2, (16, 112, 112), (3, 3, 3), (3, 64))
    assert not _is_faster(8, (14, 7), (3, 3), (256, 256), strides=2)
    assert not _is_faster(8, (14, 7), (1, 1), (256, 256), padding=0)
    assert not _is_faster(8, (14, 7), (1, 3), (256, 256))
    assert not _is_faster(1, (14, 7), (3, 3), (256, 256))  # 28 tiles
    assert not _is_faster(64, (2, 7, 7), (3, 3, 3), (512, 512))  # a third is padding
    assert not _is_faster(0, (14, 7), (3, 3), (256, 256))
    assert not _is_faster(8, (2, 1), (3, 3), (256, 256), padding=0)  # no output
    assert not _is_faster(8, (14, 7), (3, 3), (256, 256), padding=-1)


# Shares of a sum's: 16 / 36 and 64 / 216. In 3-D, 0.44 would be tiles of each frame.
@pytest.mark.parametrize(("sizes", "share"), [((16, 16), 0.55), ((8, 8, 8), 0.4)])
def test_convolutions_take_fewer_multiplications(sizes, share):
    x, kernel = _inputs(*sizes, channels=64)
    pads = ((1, 1),) * len(sizes)
    x, kernel = x.astype("bfloat16"), kernel.astype("bfloat16")

    def run(x, kernel):
        return convolution.conv(x, kernel, (1,) * len(sizes), pads)

    program = jax.jit(run).lower(x, kernel).compile()
    multiplications = program.cost_analysis()["flops"] / 2
    assert multiplications < share * math.prod(x.shape) * 65 * 3 ** len(sizes)
    wide = _as_xla(x.astype("float32"), kernel.astype("float32"), pads)
    assert run(x, kernel).dtype == jnp.bfloat16
    # Half of the last of 8 bits.
    np.testing.assert_allclose(
        run(x, kernel).astype("float32"), wide, rtol=2**-8, atol=1e-3
    )


@pytest.mark.usefixtures("strips")
def test_the_gradient_keeps_only_input_and_kernel():
    x, kernel = (a.astype("bfloat16") for a in _inputs(8, 8, channels=64))
    _, gradient = jax.vjp(
        lambda x, k: winograd.convolve(x, k, ((1, 1), (1, 1))), x, kernel
    )
    kept = {(a.shape, a.dtype) for a in jax.tree.leaves(gradient)}
    matrix = (16, 9), jnp.dtype("float32")  # G, for both axes
    assert kept == {(x.shape, x.dtype), (kernel.shape, kernel.dtype), matrix}


def test_strips_bound_the_memory(monkeypatch):
    x, kernel = (a.astype("float32") for a in _inputs(16, 16, 16, channels=64))
    run = jax.jit(lambda x, k: winograd.convolve(x, k, ((1, 1),) * 3))
    sizes = []
    for limit in (2**30, 2**23):
        monkeypatch.setattr(winograd, "_MOST_BYTES", limit)
        jax.clear_caches()
        memory = run.lower(x, kernel).compile().memory_analysis()
        sizes.append(memory.temp_size_in_bytes)
    jax.clear_caches()
    assert sizes[1] < sizes[0] / 2


@pytest.mark.usefixtures("strips")
def test_devices_need_not_exchange_tiles():
    mesh = Mesh(jax.devices()[:2], "data")
    batch = NamedSharding(mesh, PartitionSpec("data"))
    x, kernel = _inputs(8, 8, 4, channels=64)
    x = jax.device_put(x.astype("float32"), batch)
    kernel = jax.device_put(
        kernel.astype("float32"), NamedSharding(mesh, PartitionSpec())
    )

    @jax.jit
    def run(x, kernel):
        return jax.vjp(lambda x, k: winograd.convolve(x, k, ((1, 1),) * 3), x, kernel)

    _, gradient = run(x, kernel)
    y = jax.ShapeDtypeStruct((2, 8, 8, 4, 65), "float32", sharding=batch)
    programs = run.lower(x, kernel), jax.jit(lambda g, dy: g(dy)).lower(gradient, y)
    exchanges = "all-gather", "collective-permute", "all-to-all"
    for program in programs:
        text = program.compile().as_text()
        assert not [name for name in exchanges if name in text]
