"""Paints stamps over a picture, the farthest first.

The coverage of a pixel comes from its signed distance to the stamp, and the shading
from a pseudo normal.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from data.walkers import cloth
from data.walkers.camera import Camera
from data.walkers.stamps import Stamps

_TILE = 16
"""Rows and columns of a tile, which fits a processor's fastest cache."""


def paint(
    image: Float[Array, "3 H W"], stamps: Stamps, camera: Camera, aspect
) -> Float[Array, "3 H W"]:
    """`image` with the stamps painted over it.

    Skips stamps that are transparent or outside the image. Frames may be stretched
    boxes: `aspect` is how many pixels the image has across for each pixel of a stamp.
    On a CPU, only the tiles of the image that a stamp may cover are computed.
    """
    height, width = image.shape[1:]
    in_tiles = jax.default_backend() == "cpu"
    if in_tiles:
        image = jnp.pad(image, [(0, 0), (0, -height % _TILE), (0, -width % _TILE)])
    x = ((jnp.arange(image.shape[2]) + 0.5 - width / 2) / aspect)[None]
    y = (height / 2 - jnp.arange(image.shape[1]) - 0.5)[:, None]
    reach = jnp.maximum(stamps.radius.max(1), stamps.cap.max(1))
    low = jnp.minimum(stamps.start, stamps.end) - reach[:, None]
    high = jnp.maximum(stamps.start, stamps.end) + reach[:, None]
    half = jnp.stack([width / 2 / aspect, height / 2.0])
    is_seen = (stamps.opacity > 0) & ((low < half) & (high > -half)).all(1)
    order = jnp.argsort(jnp.where(is_seen, stamps.depth, jnp.inf))

    def paint_stamp(i, image):
        stamp = jax.tree.map(lambda array: array[order[i]], stamps)
        if not in_tiles:
            return _paint_stamp(image, stamp, x, y, camera)
        (left, right), (bottom, top) = _extent(stamp)
        first_row, num_rows = _tiles(height / 2 - top, height / 2 - bottom, height)
        first_column, num_columns = _tiles(
            width / 2 + left * aspect, width / 2 + right * aspect, width
        )

        def paint_tile(i, image):
            row = (first_row + i // num_columns) * _TILE
            column = (first_column + i % num_columns) * _TILE
            tile = jax.lax.dynamic_slice(image, (0, row, column), (3, _TILE, _TILE))
            tile_x = jax.lax.dynamic_slice(x, (0, column), (1, _TILE))
            tile_y = jax.lax.dynamic_slice(y, (row, 0), (_TILE, 1))
            tile = _paint_stamp(tile, stamp, tile_x, tile_y, camera)
            return jax.lax.dynamic_update_slice(image, tile, (0, row, column))

        return jax.lax.fori_loop(0, num_rows * num_columns, paint_tile, image)

    image = jax.lax.fori_loop(0, is_seen.sum(), paint_stamp, image)
    return image[:, :height, :width]


def _extent(stamp: Stamps):
    """Returns the ranges of x and y in which a stamp may cover pixels: [2, 2].

    Coverage ends where q² - 1 = soft · |grad q²| / 2 (`_paint_stamp`). This is at most
    soft · q / m, with m the smallest radius or cap; q is at most the larger root.
    """
    ratio = 0.5 * stamp.soft / jnp.minimum(stamp.radius.min(), stamp.cap.min())
    q = ratio + jnp.sqrt(1 + ratio**2)
    direction = jnp.abs(_direction(stamp)[0])
    spread = direction * stamp.cap.max() + direction[::-1] * stamp.radius.max()
    low = jnp.minimum(stamp.start, stamp.end) - q * spread
    return jnp.stack([low, jnp.maximum(stamp.start, stamp.end) + q * spread], 1)


def _tiles(begin, end, size: int):
    """Returns the first tile at pixel `begin`, and the number of tiles up to `end`."""
    first = jnp.floor(jnp.clip(begin, 0, size) / _TILE).astype(jnp.int32)
    last = jnp.ceil(jnp.clip(end, 0, size) / _TILE).astype(jnp.int32)
    return first, last - first


def _direction(stamp: Stamps):
    """Returns a stamp's unit vector from start to end, and its length in pixels.

    An ellipsoid (length zero) stands upright.
    """
    axis = stamp.end - stamp.start
    length = jnp.sqrt(jnp.sum(axis**2) + 1e-6)
    is_long = length > 1e-2
    return jnp.where(is_long, axis / length, jnp.array([0.0, 1.0])), length


def _paint_stamp(image, stamp: Stamps, x, y, camera: Camera):
    """`image` with a stamp painted over it; x [1, W], y [H, 1] are pixel positions."""
    (dx, dy), length = _direction(stamp)
    rel_x, rel_y = x - stamp.start[0], y - stamp.start[1]
    along = rel_x * dx + rel_y * dy
    across = rel_x * dy - rel_y * dx
    inside = jnp.clip(along, 0.0, length)
    slope = (stamp.radius[1] - stamp.radius[0]) / length
    narrow = 1.0 / (stamp.radius[0] + inside * slope)
    side = across * narrow
    inv_cap = jnp.where(along < 0, 1.0 / stamp.cap[0], 1.0 / stamp.cap[1])
    beyond = (along - inside) * inv_cap
    # Implicit surface f = q^2 - 1; f / |grad f| is the distance near it.
    q2 = side * side + beyond * beyond
    gradient = jnp.square(side * narrow) + jnp.square(beyond * inv_cap)
    distance = 0.5 * (q2 - 1.0) * jax.lax.rsqrt(gradient + 1e-7)
    alpha = jnp.clip(0.5 - distance / stamp.soft, 0.0, 1.0) * stamp.opacity
    # Position of the point on the body, for the pattern: left to right, front or back.
    flat = jnp.clip(side, -1.0, 1.0)
    rim = jnp.sqrt(1.0 - flat * flat)
    lateral = rim * stamp.facing[1] - flat * stamp.facing[0]
    ahead = rim * stamp.facing[0] + flat * stamp.facing[1]
    total = length + stamp.cap[0] + stamp.cap[1]
    level = (along + stamp.cap[0]) / total
    wave = _triangle(stamp.columns * 0.5 * lateral + stamp.stripes * level)
    edge = jnp.minimum(level - stamp.band[0], stamp.band[1] - level)
    second = jnp.maximum(6.0 * wave - 2.5, edge * total + 0.5)
    second = jnp.clip(second, 0.0, 1.0)
    opening = jnp.where(ahead > 0, (stamp.front - jnp.abs(lateral)) / narrow + 0.5, 0.0)
    opening = jnp.where(stamp.front > 0, opening, 0.0)
    print_size = jnp.maximum(jnp.abs(lateral), 2.5 * jnp.abs(level - stamp.patch[2]))
    print_edge = (stamp.patch[0] - print_size) / narrow + 0.5
    on_print = (stamp.patch[0] > 0) & (ahead * stamp.patch[1] > 0)
    if stamp.cloth is not None:
        worn = cloth.unpack(stamp.cloth)
        radius = 0.5 * (stamp.radius[0] + stamp.radius[1])
        word = cloth.weave(
            worn, stamp.facing, stamp.patch, flat, lateral, ahead, level, total, radius
        )
        print_edge = print_edge * ((word >> 24) & 1)
    opening = jnp.clip(jnp.maximum(opening, jnp.where(on_print, print_edge, 0.0)), 0, 1)
    # Shading from the pseudo normal, a parabola for the part towards the camera.
    light = camera.light
    normal_x, normal_y = side * dy + beyond * dx, beyond * dy - side * dx
    facing = jax.nn.relu(1.0 - q2)
    brightness = normal_x * light[0] + normal_y * light[1] + facing * light[2]
    folds = _triangle(along * (0.45 * narrow) + 0.6 * flat + 0.23 * stamp.start[0])
    gloss = stamp.sheen * jax.nn.relu(3.0 * brightness - 2.0 + folds)
    shade = camera.ambient + (1.12 - camera.ambient) * jnp.clip(brightness, 0, 1)
    shade = shade * (0.94 + 0.12 * folds)
    if stamp.cloth is not None:
        shade = shade * (((word >> 16) & 255).astype(jnp.float32) * (1 / 128))
        ink = (1.0 - opening) * (1.0 - second) * _share(word)
        ink = ink + opening * _share(word >> 8)
    # Packed into two words, so that XLA computes them once, not once per channel.
    packed = _byte(alpha) | _byte(second) << 8 | _byte(opening) << 16
    lights = _byte(shade / 1.3) | _byte(gloss) << 8
    if stamp.cloth is not None:
        lights = lights | _byte(ink) << 16
    packed, lights = jax.lax.optimization_barrier((packed, lights))
    alpha, second, opening = _share(packed), _share(packed >> 8), _share(packed >> 16)
    base, other, under = (color[:, None, None] for color in stamp.colors)
    color = base + second * (other - base)
    color = color + opening * (under - color)
    if stamp.cloth is not None:
        color = color + _share(lights >> 16) * (worn.ink[:, None, None] - color)
    color = color * (1.3 * _share(lights)) + _share(lights >> 8)
    return image + alpha * (color - image)


def _byte(x):
    """Numbers in 0..1 as integers in 0..255."""
    return (jnp.clip(x, 0.0, 1.0) * 255.0 + 0.5).astype(jnp.int32)


def _share(x):
    """The lowest byte of integers as numbers in 0..1."""
    return (x & 255).astype(jnp.float32) * (1.0 / 255.0)


def _triangle(x):
    """A triangle wave of period 1: 0 at whole numbers, 1 at halves."""
    return 1.0 - 2.0 * jnp.abs(x - jnp.floor(x) - 0.5)
