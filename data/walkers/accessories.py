"""Beard, bun, brim and straps of a body, and the cloth of each of its parts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from data.walkers import cloth
from data.walkers.primitives import Primitives, part, stack

_NAPE = 20
_NONE, _UPPER, _LOWER = range(3)
# In the order of `body.pose` (legs, trunk, arms, head, luggage), then `_extra_parts`.
_CLOTH_OF_PART = np.array(
    2 * [_LOWER, _LOWER, _NONE]
    + [_LOWER, _UPPER, _UPPER, _LOWER, _UPPER]
    + 2 * [_UPPER, _UPPER, _NONE]
    + [_NONE, _NONE, _NONE, _NONE, _UPPER]
    + 10 * [_NONE]
)


def dress(parts: Primitives, person, joints) -> Primitives:
    """The 27 parts of a body and five extra ones, each with its cloth."""
    extras = person.extras
    ends = jnp.array([-1.0, 0.45])
    parts = dataclasses.replace(
        parts,
        colors=parts.colors.at[_NAPE, 1].set(extras.ends),
        band=parts.band.at[_NAPE].set(ends),
    )
    parts = jax.tree.map(
        lambda *arrays: jnp.concatenate(arrays),
        parts,
        stack(_extra_parts(person, joints)),
    )
    sizes = 0.25 * (parts.start_size.sum(1) + parts.end_size.sum(1))
    length = jnp.sqrt(jnp.sum((parts.end - parts.start) ** 2, 1) + 1e-8)
    packed_cloths = cloth.cut(
        extras.cloths, _CLOTH_OF_PART, sizes, length + parts.cap.sum(1)
    )
    return dataclasses.replace(parts, cloth=packed_cloths)


def _extra_parts(person, joints):
    """Yields beard, bun or tail, brim, and two straps; unused ones are transparent."""
    build, face, outfit = person.build, person.face, person.outfit
    extras, h, up = person.extras, build.height, joints.up
    forward, right = jnp.array([0.0, 1.0, 0.0]), jnp.array([1.0, 0.0, 0.0])
    radius = 0.045 * h * build.head
    crown = joints.neck + 0.074 * h * up + 0.012 * h * forward
    chin = crown - 0.9 * radius * up + 0.35 * radius * forward
    size = radius * extras.beard
    yield part(
        chin, chin, 0.85 * size + 1e-3, 0.85 * size + 1e-3, 0.75 * size + 1e-3,
        face.hair, bias=0.035, opacity=extras.beard > 0,
    )  # fmt: skip
    thick, hangs = extras.knot
    knot = crown + 0.012 * h * up - (radius + 0.018 * h) * forward
    knot = knot + jnp.where(hangs > 0, 0.0, 0.03 * h) * up
    thick = thick * h + 1e-3
    yield part(
        knot - hangs * up, knot, thick, thick, thick, face.hair, bias=0.06,
        opacity=extras.knot[0] > 0,
    )  # fmt: skip
    wide, peak = extras.brim
    brim = crown + 0.036 * h * up + radius * (0.9 * peak - 0.3) * forward
    wide = radius * wide * (1 - 0.4 * peak) + 1e-3
    yield part(
        brim, brim, wide, wide, 0.009 * h, outfit.hat_color * 0.8, bias=0.055,
        opacity=extras.brim[0] > 0,
    )  # fmt: skip
    chest = 0.076 * h * build.girth * outfit.bulk * 0.9 * forward
    for side in (-1.0, 1.0):
        top = joints.neck - 0.045 * h * up + side * 0.062 * h * right + 0.8 * chest
        foot = joints.neck - 0.20 * h * up + side * 0.078 * h * right + chest
        yield part(
            foot, top, 0.012 * h, 0.012 * h, 0.01 * h, outfit.bag, bias=0.065,
            opacity=extras.straps,
        )  # fmt: skip
