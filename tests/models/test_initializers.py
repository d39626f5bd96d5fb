"""reid_jax/models/initializers.py: the distributions' own numbers, few compilations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from reid_jax.models import initializers

_NAMED = {
    "he_normal": (initializers.he_normal(), nnx.initializers.he_normal()),
    "he_normal_fan_out": (
        initializers.he_normal_fan_out(),
        nnx.initializers.variance_scaling(2.0, "fan_out", "normal"),
    ),
    "normal": (initializers.normal(0.001), nnx.initializers.normal(0.001)),
    "torch_uniform": (
        initializers.torch_uniform(9),
        lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -1 / 3, 1 / 3),
    ),
}


@pytest.mark.parametrize("shape", [(3, 3, 5, 7), (90, 70), (1, 1)])
@pytest.mark.parametrize("name", _NAMED)
def test_the_numbers_are_those_of_flax_and_jax_random(name, shape):
    ours, known = _NAMED[name]
    key = jax.random.key(3)
    drawn = ours(key, shape, jnp.float32)
    np.testing.assert_array_equal(drawn, known(key, shape, jnp.float32))
    traced = jax.jit(lambda key: ours(key, shape, jnp.float32))(key)
    np.testing.assert_allclose(drawn, traced, rtol=1e-6)


def test_double_precision():
    with jax.enable_x64(True):
        ours, known = _NAMED["he_normal_fan_out"]
        key, shape = jax.random.key(0), (3, 5)
        drawn = ours(key, shape, jnp.float64)
        assert drawn.dtype == "float64"
        np.testing.assert_allclose(drawn, known(key, shape, jnp.float64), rtol=1e-15)


def test_shapes_are_not_compiled_each(monkeypatch):
    drawn = set()
    draw = jax.random.normal
    monkeypatch.setattr(
        jax.random, "normal", lambda k, shape, d: drawn.add(shape) or draw(k, shape, d)
    )
    init = initializers.he_normal_fan_out()
    for channels in range(1, 60):
        init(jax.random.key(0), (3, 3, channels, channels), jnp.float32)
    assert drawn == {(4096,), (16384,), (65536,)}
