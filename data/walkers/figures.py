"""More kinds of people: children, stout and bent ones, hairstyles, common outfits.

`vary_person` replaces some of what `person` has drawn, with a separate key.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from data.walkers import cloth
from data.walkers.draws import between, choose, pytree, sometimes, stream
from data.walkers.garments import sample_outfit
from data.walkers.variety import Variety
from data.walkers.wardrobe import weave_outfit

_HAIRS = np.array(
    [(0.78, 0.66, 0.42), (0.84, 0.83, 0.80), (0.50, 0.20, 0.08), (0.05, 0.04, 0.04),
     (0.24, 0.15, 0.09), (0.62, 0.20, 0.34), (0.20, 0.32, 0.55)],
    np.float32,
)  # fmt: skip
_SHOES = np.array(
    [(0.90, 0.90, 0.88), (0.62, 0.10, 0.10), (0.12, 0.22, 0.50), (0.58, 0.44, 0.28),
     (0.85, 0.75, 0.20), (0.06, 0.06, 0.06)],
    np.float32,
)  # fmt: skip
NUM_COMMON = 16
"""Number of outfits whose colours many people wear."""


@pytree
class Extras:
    """What a body has besides the 27 parts of `body.pose`."""

    cloths: Float[Array, "3 20"]
    """Packed cloths: none, upper garment, trousers or skirt."""
    ends: Float[Array, "3"]
    """Colour of the ends of long hair."""
    beard: Array
    """Size of the beard, 0 or factor 0.7 to 1.1."""
    knot: Float[Array, "2"]
    """Bun or tail: radius, 0 or 0.014 to 0.034 of the height; metres it hangs down."""
    brim: Float[Array, "2"]
    """Brim: radius over the head's, 0 or 1.3 to 2.0; 1 where it is a peak in front."""
    straps: Array
    """1 if a backpack's straps are seen in front, else 0."""


def vary_person(person, key, common_key, day, dark, variety: Variety):
    """The person with more varied build, hair and clothes (`Variety`).

    All persons with the same `common_key` share the 16 common outfits.
    """
    build_key, hair_key, outfit_key = jax.random.split(key, 3)
    outfit_key = jax.random.fold_in(outfit_key, day)
    build, gait = _build(build_key, person.build, person.gait, variety)
    face, hair = _hair(hair_key, person.face, person.outfit, variety)
    outfit, upper, lower, worn = _outfit(
        outfit_key, common_key, person.outfit, face.skin, dark, variety
    )
    packed = jnp.stack(
        [cloth.pack(garment) for garment in (cloth.plain(), upper, lower)]
    )
    extras = Extras(cloths=packed, **hair, **worn)
    return dataclasses.replace(
        person, build=build, face=face, outfit=outfit, gait=gait, extras=extras
    )


def _build(key, build, gait, variety: Variety):
    """Build and gait, redrawn for children and for stout, slim and bent people."""
    n = stream(key, 16)
    is_other, build_type = n() < variety.builds, choose(n(), (25, 40, 20, 15))
    child, stout, slim, bent = (is_other & (build_type == i) for i in range(4))

    def redrawn(name, *choices):
        value = getattr(build, name)
        for is_case, low, high in choices:
            value = jnp.where(is_case, between(n(), low, high), value)
        return value

    build = dataclasses.replace(
        build,
        height=redrawn("height", (child, 1.10, 1.45)),
        girth=redrawn("girth", (stout, 1.30, 1.75), (slim, 0.68, 0.84)),
        shoulders=redrawn("shoulders", (stout, 1.0, 1.2), (slim, 0.84, 0.94)),
        limbs=redrawn("limbs", (stout, 1.15, 1.50), (slim, 0.70, 0.85)),
        head=redrawn("head", (child, 1.15, 1.35)),
    )
    lean = jnp.where(bent, between(n(), 0.15, 0.40), gait.lean)
    return build, dataclasses.replace(gait, lean=lean)


def _hair(key, face, outfit, variety: Variety):
    """The face with another hairstyle, and the fields of `Extras` for hair."""
    n = stream(key, 24)
    is_other, hairstyle = n() < variety.hair, choose(n(), (20, 25, 15, 15, 10, 15))
    knot, beard, volume, tones, veil, long = (
        is_other & (hairstyle == i) for i in range(6)
    )
    dyed = jnp.asarray(_HAIRS)[choose(n(), (5, 3, 3, 4, 4, 0.7, 0.5))]
    hair = jnp.where(is_other & (n() < 0.6), dyed, face.hair)
    hair = jnp.where(veil, outfit.bag, hair)
    length = jnp.where(knot | volume | beard, 0.0, face.hair_length)
    length = jnp.where(tones | long, between(n(), 0.20, 0.45), length)
    length = jnp.where(veil, between(n(), 0.12, 0.28), length)
    size = jnp.where(volume, between(n(), 1.28, 1.60), face.hair_size)
    size = jnp.where(veil, 1.25, jnp.where(tones | long | knot, 1.08, size))
    hangs = sometimes(0.6, n(), n(), 0.10, 0.28)
    radius = jnp.where(hangs > 0, between(n(), 0.014, 0.022), between(n(), 0.02, 0.034))
    face = dataclasses.replace(face, hair=hair, hair_size=size, hair_length=length)
    light = jnp.asarray(_HAIRS)[0] * between(n(), 0.6, 1.1)
    return face, {
        "ends": jnp.where(tones, light, hair),
        "beard": jnp.where(beard, between(n(), 0.7, 1.1), 0.0),
        "knot": jnp.stack([radius, hangs]) * knot,
    }


def _outfit(key, common_key, outfit, skin, dark, variety: Variety):
    """The outfit, cloth of top and of trousers, and the other fields of `Extras`."""
    n = stream(key, 32)
    number = (n() * NUM_COMMON).astype(jnp.int32)
    common = sample_outfit(jax.random.fold_in(common_key, number), skin, dark)
    is_common = n() < variety.alike
    upper = jnp.where(is_common, common.upper, outfit.upper)
    lower = jnp.where(is_common, common.lower, outfit.lower)
    boots, cropped = n() < 0.6 * variety.extras, n() < 0.6 * variety.extras
    in_trousers = outfit.leg_cover > 0.9
    shoes = jnp.asarray(_SHOES)[choose(n(), (5, 2, 2, 3, 1, 4))]
    shoes = jnp.where(n() < variety.extras, shoes, outfit.shoes)
    cover = jnp.where(cropped, between(n(), 0.82, 0.93), outfit.leg_cover)
    cover = jnp.where(boots, between(n(), 0.58, 0.80), cover)
    socks = jnp.where(n() < 0.5, skin, between(n(), 0.05, 0.85))
    below = jnp.where(boots, shoes, jnp.where(cropped, socks, outfit.stockings))
    is_long = (outfit.skirt > 0) & (n() < variety.extras)
    has_brim = (outfit.hat > 0) & (n() < 2 * variety.extras)
    outfit = dataclasses.replace(
        outfit,
        upper=upper,
        lower=lower,
        shoes=shoes,
        leg_cover=jnp.where(in_trousers, cover, outfit.leg_cover),
        stockings=jnp.where(in_trousers, below, outfit.stockings),
        skirt=jnp.where(is_long, between(n(), 0.80, 0.98), outfit.skirt),
    )
    outfit, top, bottom = weave_outfit(jax.random.fold_in(key, 1), outfit, variety)
    worn = {
        "brim": jnp.stack([between(n(), 1.3, 2.0), 1.0 * (n() < 0.6)]) * has_brim,
        "straps": jnp.where((outfit.backpack > 0) & (n() < 3 * variety.extras), 1.0, 0),
    }
    return outfit, top, bottom, worn
