"""More kinds of places behind people: tiled floors, panelled walls, light and shade."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from data.walkers.draws import between, choose, stream


def furnish(
    image: Float[Array, "3 Hb Wb"], key, is_wall, rows, columns, strength
) -> Float[Array, "3 Hb Wb"]:
    """`image` with another floor and wall.

    The mean brightness varies from dark to bright instead of staying mid-grey.

    Args:
        image: The backdrop.
        key: Random key.
        is_wall: Where the wall is, 0 to 1.
        rows: Position of the rows, in boxes.
        columns: Position of the columns, in boxes.
        strength: Share of the change, 0 (none) to 1.
    """
    n = stream(key, 48)
    image = _surface(image, n, (1 - is_wall) * strength, rows, columns)
    image = _surface(image, n, is_wall * strength, rows, columns)
    for _ in range(3):  # strips of sun, shadow or lamp light
        slope, at, width = between(n(), -1.5, 1.5), 9 * n(), between(n(), 0.15, 1.2)
        edge = between(n(), 3.0, 30.0)
        inside = jnp.clip((width - jnp.abs(columns + slope * rows - at)) * edge, 0, 1)
        image = image * (1 + strength * between(n(), -0.4, 0.5) * inside)
    level = between(n(), 0.16, 0.85)
    color = level * (1 + 0.25 * (jnp.stack([n(), n(), n()]) - 0.5))
    graded = image * (color / image.mean((1, 2)))[:, None, None]
    return image + strength * (graded - image)


def _surface(image, n, share, rows, columns):
    """Adds tiles, planks, bars or nothing where `share` is above 0."""
    kind = choose(n(), (3, 2, 1, 3))  # tiles, planks, bars, plain
    slope = between(n(), -0.6, 0.6)
    across, up = between(n() ** 2, 0.04, 0.6), between(n() ** 2, 0.03, 0.4)
    x, y = (columns + slope * rows) / across, (rows - 0.3 * slope * columns) / up
    x = jnp.where(kind == 2, x, x + 0.5 * (jnp.floor(y) % 2))
    is_even = ((jnp.floor(x) + jnp.floor(y)) % 2)[None]
    speck = jnp.sin(37.0 * jnp.floor(x) + 91.0 * jnp.floor(y))[None]
    joint = jnp.minimum(jnp.abs(x % 1 - 0.5) * across, jnp.abs(y % 1 - 0.5) * up)
    joint = jax.nn.relu(1 - joint / between(n(), 0.004, 0.02))[None]
    bars = (x % 1 < between(n(), 0.2, 0.5))[None]
    contrast = between(n() ** 2, 0.03, 0.7) * jnp.where(n() < 0.5, -1, 1)
    pattern = jnp.select(
        [kind == 0, kind == 1, kind == 2],
        [is_even * contrast, 0.35 * contrast * speck, bars * contrast],
        0.0,
    )
    line = jnp.where((kind < 2), between(n(), -0.5, 0.4), 0.0)
    tint = 1 + 0.7 * n() * (jnp.stack([n(), n(), n()]) - 0.5)[:, None, None]
    changed = image * tint * (1 + pattern) * (1 + line * joint)
    return image + share * (changed - image)
