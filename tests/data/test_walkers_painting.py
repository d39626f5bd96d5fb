import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.walkers import camera, painting, stamps
from data.walkers.sizes import SIZES

_NUM = 12


def _random_stamps(rng: np.random.Generator) -> stamps.Stamps:
    """Limbs, flat ellipsoids and blurred shadows, inside and partly outside."""
    each = []
    for i in range(_NUM):
        start = rng.uniform(-40, 40, 2)
        end = start + (i % 3 > 0) * rng.uniform(-40, 40, 2)
        each.append(
            stamps.stamp(
                jnp.asarray(start), jnp.asarray(end), rng.uniform(0.5, 20, 2),
                rng.uniform(0.5, 6, 2), rng.uniform(0, 1, 3),
                second=rng.uniform(0, 1, 3), stripes=float(i % 4), depth=float(i),
                opacity=1.0, soft=rng.choice([1.0, 25.0]),
            )
        )  # fmt: skip
    return stamps.concatenate(*each)


@pytest.mark.parametrize("aspect", [1.0, 1.7])
def test_tiles_give_what_the_whole_image_gives(monkeypatch, aspect):
    sizes = SIZES["tiny"]
    seen_by = camera.sample_camera(jax.random.key(0), 0, sizes.style)
    rng = np.random.default_rng(0)
    image = jnp.asarray(rng.uniform(0, 1, (3, 70, 50)), jnp.float32)
    group = _random_stamps(rng)
    in_tiles = painting.paint(image, group, seen_by, aspect)
    monkeypatch.setattr(painting, "_TILE", 70)
    whole = painting.paint(image, group, seen_by, aspect)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    elsewhere = painting.paint(image, group, seen_by, aspect)
    assert abs(whole - image).max() > 0.3
    # Coverage is rounded to 1/255, here and there to the other side.
    for other in (in_tiles, elsewhere):
        difference = abs(other - whole)
        assert difference.max() < 2 / 255
        assert (difference > 1e-4).mean() < 1e-3
