"""What bodies are made of: patterned, tapered capsules in 3-D."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from data.walkers.draws import pytree
from data.walkers.garments import NOWHERE


@pytree
class Primitives:
    """K tapered capsules with elliptic cross-sections and caps, patterned."""

    start: Float[Array, "K 3"]
    end: Float[Array, "K 3"]
    start_size: Float[Array, "K 2"]
    """Half-widths at the start: across the body (x) and along it (y)."""
    end_size: Float[Array, "K 2"]
    cap: Float[Array, "K 2"]
    """How far the caps reach beyond start and end; both points equal: an ellipsoid."""
    colors: Float[Array, "K 3 3"]
    """Base, second and front colour."""
    stripes: Float[Array, "K"]
    columns: Float[Array, "K"]
    band: Float[Array, "K 2"]
    """From start 0 to end 1, caps included: this part has the second colour."""
    front: Float[Array, "K"]
    """Half-width of the front panel over the primitive's, 0 for none."""
    patch: Float[Array, "K 3"]
    """A print in the front colour: half-width over the primitive's, side, height."""
    sheen: Float[Array, "K"]
    bias: Float[Array, "K"]
    """Metres added to the depth that sorts the primitives, for those that touch."""
    opacity: Float[Array, "K"]
    cloth: Float[Array, "K 20"] | None = None
    """The packed `Cloth` each is cut from, in worlds with a `Variety`."""


def part(
    start, end, start_size, end_size, cap, color, *, second=None, front_color=None,
    stripes=0.0, columns=0.0, band=NOWHERE, front=0.0, patch=(0.0, 1.0, 0.5),
    sheen=0.0, bias=0.0, opacity=1.0,
) -> Primitives:  # fmt: skip
    """One primitive, without the leading K; sizes may be one number for both."""
    colors = [color if c is None else c for c in (color, second, front_color)]
    sizes = [
        jnp.broadcast_to(jnp.asarray(x, jnp.float32), (2,))
        for x in (start_size, end_size, cap)
    ]
    rest = (stripes, columns, band, front, patch, sheen, bias, opacity)
    rest = [jnp.asarray(x, jnp.float32) for x in rest]
    return Primitives(start, end, *sizes, jnp.stack(colors), *rest)


def stack(parts: list[Primitives]) -> Primitives:
    """The primitives with their leading K."""
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *parts)
