"""Primitives that bodies are made of: patterned, tapered capsules in 3-D."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from data.walkers.draws import pytree
from data.walkers.garments import NOWHERE


@pytree
class Primitives:
    """K tapered capsules with elliptic cross-sections and caps, with patterns."""

    start: Float[Array, "K 3"]
    end: Float[Array, "K 3"]
    start_size: Float[Array, "K 2"]
    """Half-widths at the start: across the body (x) and along it (y)."""
    end_size: Float[Array, "K 2"]
    cap: Float[Array, "K 2"]
    """How far caps reach beyond start and end; an ellipsoid if these are equal."""
    colors: Float[Array, "K 3 3"]
    """Base, second and front colour."""
    stripes: Float[Array, "K"]
    columns: Float[Array, "K"]
    band: Float[Array, "K 2"]
    """Part in the second colour, from 0 (start) to 1 (end), caps included."""
    front: Float[Array, "K"]
    """Half-width of the front panel over the primitive's; 0: none."""
    patch: Float[Array, "K 3"]
    """A print in the front colour: half-width over the primitive's, side, height."""
    sheen: Float[Array, "K"]
    bias: Float[Array, "K"]
    """Metres added to the depth that sorts primitives, for those that touch."""
    opacity: Float[Array, "K"]
    cloth: Float[Array, "K 20"] | None = None
    """The packed `Cloth` of each, in worlds with a `Variety`; else None."""


def part(
    start, end, start_size, end_size, cap, color, *, second=None, front_color=None,
    stripes=0.0, columns=0.0, band=NOWHERE, front=0.0, patch=(0.0, 1.0, 0.5),
    sheen=0.0, bias=0.0, opacity=1.0,
) -> Primitives:  # fmt: skip
    """One primitive, without the axis K; a size may be one number for both entries."""
    colors = [color if c is None else c for c in (color, second, front_color)]
    sizes = [
        jnp.broadcast_to(jnp.asarray(x, jnp.float32), (2,))
        for x in (start_size, end_size, cap)
    ]
    rest = (stripes, columns, band, front, patch, sheen, bias, opacity)
    rest = [jnp.asarray(x, jnp.float32) for x in rest]
    return Primitives(start, end, *sizes, jnp.stack(colors), *rest)


def stack(parts: list[Primitives]) -> Primitives:
    """The primitives along a leading axis K."""
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *parts)
