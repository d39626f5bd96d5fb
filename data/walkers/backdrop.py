"""Backdrops: what a camera sees without people, several boxes wide and two high."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from data.walkers import places
from data.walkers.camera import Camera
from data.walkers.draws import between, choose, stream

PX_PER_BOX = 160
HEIGHT, WIDTH = 2 * PX_PER_BOX, 8 * PX_PER_BOX

_GREY = 0.56
_GROUNDS = np.array(
    [(0.47, 0.47, 0.49), (0.56, 0.54, 0.50), (0.38, 0.38, 0.40), (0.62, 0.60, 0.57)],
    np.float32,
)
_GRASS = np.array([0.22, 0.29, 0.13], np.float32)
_WALLS = np.array(
    [(0.55, 0.52, 0.47), (0.45, 0.30, 0.24), (0.22, 0.28, 0.14), (0.66, 0.66, 0.66)],
    np.float32,
)


@jax.jit
def paint_backdrop(
    key, camera: Camera, clutter, places_share=None
) -> UInt8[Array, "3 Hb Wb"]:
    """A street, uint8 [3, Hb, Wb]: ground with verges, kerbs and markings; walls; cars.

    Ground fills a view from high above; a level view has up to two thirds of wall.

    Args:
        key: Random key.
        camera: The camera that sees it.
        clutter: Contrast against an even grey, 0 to 1.
        places_share: How far it is another place than a street, 0 to 1
            (`Variety.places`); None: no code for that is compiled.
    """
    keys = jax.random.split(key, 6)
    n = stream(keys[0], 24)
    rows = (jnp.arange(HEIGHT) + 0.5)[:, None] / PX_PER_BOX
    columns = (jnp.arange(WIDTH) + 0.5)[None] / PX_PER_BOX
    # The steeper the view, the farther up the wall begins.
    horizon = jnp.clip(between(n(), 0.4, 1.5) - 2.0 * camera.elevation, 0.0, 1.25)
    flatness = jnp.clip(jnp.sin(camera.elevation), 0.12, 1.0)
    ground = jnp.asarray(_GROUNDS)[choose(n(), (4, 3, 2, 3))]
    verge = jnp.where(
        n() < 0.35,
        jnp.asarray(_GRASS),
        jnp.asarray(_GROUNDS)[choose(n(), (1, 1, 1, 1))],
    )
    tilt, kerb = between(n(), -0.5, 0.5) * flatness, between(n(), 0.3, 2.2)
    level = rows - kerb + tilt * (columns - 4)
    image = _over(jnp.broadcast_to(ground[:, None, None], (3, HEIGHT, WIDTH)),
                  verge, _edge(-level))  # fmt: skip
    image = _over(image, ground * 1.35, 0.8 * _edge(0.03 - jnp.abs(level)))
    markings = functools.partial(
        _marking, rows=rows, columns=columns, flatness=flatness, key=keys[1]
    )
    image = jax.lax.fori_loop(0, 3, markings, image)

    wall = jnp.asarray(_WALLS)[choose(n(), (3, 2, 3, 2))] * between(n(), 0.7, 1.2)
    house = jnp.broadcast_to(wall[:, None, None], (3, HEIGHT, WIDTH))
    across, up = between(n(), 0.5, 1.2), between(n(), 0.4, 0.8)
    frame_x = jnp.abs(columns / across % 1 - 0.5) * across
    frame_y = jnp.abs(rows / up % 1 - 0.5) * up
    pane = _edge(0.22 * across - frame_x) * _edge(0.26 * up - frame_y)
    glass = jnp.where(n() < 0.7, 0.14, 0.75) * jnp.array([0.9, 1.0, 1.1])
    has_windows = n() < 0.6
    house = _over(house, glass, pane * has_windows)
    is_wall = _edge(horizon - rows)
    image = image + is_wall * (house - image)
    things = functools.partial(
        _thing, rows=rows, columns=columns, horizon=horizon, key=keys[4]
    )
    image = jax.lax.fori_loop(0, 22, things, image)
    # The camera corrects exposure and white balance, but not completely.
    image = image * (_GREY / image.mean((1, 2), keepdims=True)) ** 0.85
    if places_share is not None:
        image = places.furnish(
            image, jax.random.fold_in(key, 1), is_wall, rows, columns, places_share
        )
    image = _GREY + clutter * (image - _GREY)
    rough = _texture(keys[2], (0.10, 0.14, 0.16, 0.22))
    rough_wall = _texture(keys[3], (0.15, 0.3, 0.5, 0.4))
    rough_wall = jnp.where(has_windows, 0.3, 1.0) * rough_wall
    image = jnp.clip(image * (1 + rough + is_wall * (rough_wall - rough)), 0, 1)
    return jnp.round(image * 255).astype(jnp.uint8)


def _edge(distance):
    """Coverage, 0 to 1: 1 where `distance` (boxes) is positive, soft over a pixel."""
    return jnp.clip(distance * PX_PER_BOX * 0.7 + 0.5, 0.0, 1.0)


def _over(image, color, coverage):
    """`image` with `color` painted over it where `coverage` is above 0."""
    return image + coverage * (jnp.asarray(color)[:, None, None] - image)


def _texture(key, amplitudes) -> Float[Array, "1 Hb Wb"]:
    """Noise with patches of four sizes; `amplitudes` are for the largest size first."""
    total = 0.0
    for octave, (cell, amplitude) in enumerate(
        zip((160, 40, 10, 2), amplitudes, strict=True)
    ):
        grid = (HEIGHT // cell, WIDTH // cell // 2)
        grid = jax.random.uniform(jax.random.fold_in(key, octave), grid) - 0.5
        total = total + amplitude * jax.image.resize(grid, (HEIGHT, WIDTH), "linear")
    return total


def _marking(i, image, rows, columns, flatness, key):
    """Paints marking `i` on the ground: white, yellow or dark; half are double."""
    n = stream(jax.random.fold_in(key, i), 8)
    slope = between(n(), -0.9, 0.9) * flatness
    distance = jnp.abs(rows - between(n(), 0.3, 2.0) - slope * (columns - 8 * n()))
    distance = jnp.where(n() < 0.5, jnp.abs(distance - 0.05), distance)
    colors = jnp.array([[0.85, 0.85, 0.83], [0.72, 0.60, 0.25], [0.2, 0.2, 0.2]])
    line = _edge(between(n(), 0.006, 0.02) - distance)
    return _over(image, colors[choose(n(), (3, 2, 2))], 0.6 * line)


def _thing(i, image, rows, columns, horizon, key):
    """Paints thing `i`: a post, door, bin or sign; the first six are parked cars."""
    n = stream(jax.random.fold_in(key, i), 16)
    is_car, is_post = i < 6, i % 3 == 0
    x = 8 * n()
    half_width = jnp.where(is_post, 0.025, between(n(), 0.05, 0.22))
    half_width = jnp.where(is_car, between(n(), 0.35, 0.75), half_width)
    half_height = jnp.where(is_post, between(n(), 0.3, 0.7), between(n(), 0.05, 0.2))
    half_height = jnp.where(is_car, 0.17, half_height)
    foot = horizon + jnp.where(is_car, 0.12, between(n() ** 2, -0.4, 1.2))
    is_there = ~is_car | (n() < 0.45)
    grey = between(n(), 0.05, 0.85)
    color = grey * (1 + 0.9 * n() ** 2 * (jnp.stack([n(), n(), n()]) - 0.5) * 2)
    dx, dy = jnp.abs(columns - x), rows - (foot - half_height)
    inside = _edge(half_width - dx) * _edge(half_height - jnp.abs(dy)) * is_there
    image = _over(image, color, inside * 0.95)
    cabin = _edge(0.7 * half_width - dx - 0.3 * (foot - rows)) * is_car * is_there
    cabin = cabin * _edge(0.12 - jnp.abs(rows - foot + 2 * half_height + 0.1))
    image = _over(image, jnp.array([0.10, 0.11, 0.13]), cabin * 0.95)
    tyre = jnp.hypot(dx - 0.62 * half_width, rows - foot)
    return _over(image, jnp.full((3,), 0.05), _edge(0.055 - tyre) * is_car * is_there)
