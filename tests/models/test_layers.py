"""reid_jax/models/layers.py and batch_norm.py: initial distributions, BatchNorm."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from reid_jax.models import build_model, layers
from reid_jax.models.batch_norm import BatchNorm

_INITIALIZERS = {
    "he_normal": (layers.he_normal, nnx.initializers.he_normal()),
    "he_normal_fan_out": (
        layers.he_normal_fan_out,
        nnx.initializers.variance_scaling(2.0, "fan_out", "normal"),
    ),
    "normal": (layers.normal(0.001), nnx.initializers.normal(0.001)),
    "torch_uniform": (
        layers.torch_uniform(9),
        lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -1 / 3, 1 / 3),
    ),
}


@pytest.mark.parametrize("shape", [(3, 3, 5, 7), (90, 70)])
@pytest.mark.parametrize("name", _INITIALIZERS)
def test_initial_numbers_are_those_of_flax_and_jax_random(name, shape):
    ours, reference = _INITIALIZERS[name]
    key = jax.random.key(3)
    drawn = ours(key, shape, jnp.float32)
    np.testing.assert_array_equal(drawn, reference(key, shape, jnp.float32))
    traced = jax.jit(lambda key: ours(key, shape, jnp.float32))(key)
    np.testing.assert_allclose(drawn, traced, rtol=1e-6)


def test_initial_numbers_in_double_precision():
    with jax.enable_x64(True):
        ours, reference = _INITIALIZERS["he_normal_fan_out"]
        key, shape = jax.random.key(0), (3, 5)
        drawn = ours(key, shape, jnp.float64)
        assert drawn.dtype == "float64"
        np.testing.assert_allclose(
            drawn, reference(key, shape, jnp.float64), rtol=1e-15
        )


def _norm(x, weight, bias, mean, var, train):
    norm = BatchNorm(x.shape[-1], dtype=x.dtype)
    norm.weight[...], norm.bias[...] = weight, bias
    norm.running_mean[...], norm.running_var[...] = mean, var
    return norm(x, train=train)


def _slow_norm(x, weight, bias, mean, var, train):
    """The equation, left to automatic differentiation."""
    if train:
        axes = tuple(range(x.ndim - 1))
        mean, var = x.mean(axes), x.var(axes)
    return (x - mean) / jnp.sqrt(var + 1e-5) * weight + bias


@pytest.mark.parametrize("train", [True, False])
def test_batch_norm_and_its_gradient(train):
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        x, dy = 3 + rng.normal(size=(2, 6, 4, 3, 5))
        weight, bias, mean, var = rng.uniform(0.5, 2, size=(4, 5))

        def with_gradients(norm):
            def run(*inputs):
                return norm(*inputs, mean, var, train)

            @jax.jit
            def gradients(*inputs):
                y, pullback = jax.vjp(run, *inputs)
                return y, *pullback(dy)

            return gradients(x, weight, bias)

        actual, expected = map(with_gradients, (_norm, _slow_norm))
        for a, b in zip(actual, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_batch_norm_keeps_its_input_alone(dtype, train):
    x = jnp.ones((4, 6, 5, 3), dtype)
    _, residuals = jax.vjp(lambda x: _norm(x, 1.0, 0.0, 0.0, 1.0, train), x)
    large = [leaf for leaf in jax.tree.leaves(residuals) if leaf.size >= x.size]
    assert [leaf.dtype for leaf in large] == [x.dtype]


def test_batch_norm_keeps_unbiased_variance():
    norm = BatchNorm(2, dtype=jnp.dtype("float32"))
    x = jnp.array([[1.0, 0.0], [3.0, 0.0]])
    y = norm(x, train=True)
    np.testing.assert_allclose(y[:, 0], [-1, 1], rtol=1e-4)
    np.testing.assert_allclose(norm.running_mean[...], [0.2, 0.0], rtol=1e-6)
    # Variance of 1, 3: biased 1 (used above), unbiased 2.
    np.testing.assert_allclose(norm.running_var[...], [0.9 + 0.2, 0.9], rtol=1e-6)
    before = np.asarray(norm.running_mean[...])
    norm(x, train=False)
    np.testing.assert_array_equal(norm.running_mean[...], before)


def test_bfloat16_nearly_halves_what_is_kept(tiny_config, convolutions):
    config = tiny_config.model
    config.temporal = "avg"

    def network():
        return build_model(config, 5, rngs=nnx.Rngs(0))

    def residuals(params, rest, clips):
        def forward(params):
            return nnx.merge(graphdef, params, rest, copy=True)(clips, train=True)

        return jax.vjp(lambda params: forward(params).logits, params)[1]

    num_bytes = []
    for config.dtype in ("float32", "bfloat16"):
        graphdef, params, rest = nnx.split(nnx.eval_shape(network), nnx.Param, ...)
        clips = jax.ShapeDtypeStruct((32, 3, 32, 16, 3), config.dtype)
        leaves = jax.tree.leaves(jax.eval_shape(residuals, params, rest, clips))
        num_bytes.append(sum(leaf.size * leaf.dtype.itemsize for leaf in leaves))
    # The parameters stay, and ReLU keeps a byte for each value.
    assert num_bytes[1] < 0.65 * num_bytes[0]
