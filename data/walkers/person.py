"""Persons: build, face, outfit and gait, sampled from keys."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from data.walkers.draws import between, choose, pytree, sometimes, stream
from data.walkers.figures import Extras, vary_person
from data.walkers.gait import Gait, sample_gait
from data.walkers.garments import Outfit, sample_outfit
from data.walkers.variety import Variety

_SKINS = np.array(
    [(0.80, 0.62, 0.52), (0.70, 0.51, 0.39), (0.52, 0.35, 0.25), (0.30, 0.20, 0.15)],
    np.float32,
)
_HAIRS = np.array(
    [
        (0.04, 0.035, 0.035),
        (0.14, 0.09, 0.06),
        (0.32, 0.21, 0.13),
        (0.70, 0.56, 0.34),
        (0.58, 0.57, 0.56),
        (0.40, 0.16, 0.08),
    ],
    np.float32,
)


@pytree
class Build:
    """Size and proportions; factors are relative to an average adult."""

    height: Array
    """Standing height, 1.50 to 1.96 m."""
    girth: Array
    """Width and depth of the trunk, factor 0.84 to 1.30."""
    shoulders: Array
    """Shoulder width, factor 0.88 to 1.14."""
    legs: Array
    """Length of the legs, factor 0.94 to 1.06."""
    limbs: Array
    """Thickness of arms and legs, factor 0.85 to 1.25."""
    head: Array
    """Size of the head, factor 0.92 to 1.12."""


@pytree
class Face:
    """Skin, hair and glasses: what stays when the clothes change."""

    skin: Float[Array, "3"]
    hair: Float[Array, "3"]
    hair_size: Array
    """Thickness of the hair on the skull, factor 0.80 (bald, 8 %) or 0.97 to 1.22."""
    hair_length: Array
    """Length of the hair below the skull, 0 (65 %) or 0.06 to 0.32 m."""
    glasses: Array
    """1 with glasses (25 %), else 0."""


@pytree
class Person:
    """A person on one day."""

    build: Build
    face: Face
    outfit: Outfit
    gait: Gait
    extras: Extras | None = None
    """What else is worn, in worlds with a `Variety`; else None."""


def nth_person(
    key, number, day, *, twins: int, dark, variety: Variety | None = None
) -> Person:
    """Person `number`, from 1, of a world: of its files, or streamed.

    Args:
        key: Key of the world's persons.
        number: The person; every `twins` consecutive persons share one look.
        day: Day, from 0: other days have other clothes.
        twins: Size of the groups that share a look.
        dark: Probability of dark clothes.
        variety: More kinds of people; None: no code for that is compiled.
    """
    look_key, gait_key = (jax.random.fold_in(key, i) for i in range(2))
    look_key = jax.random.fold_in(look_key, (number - 1) // twins)
    gait_key = jax.random.fold_in(gait_key, number)
    person = sample_person(look_key, gait_key, day, dark)
    if variety is None:
        return person
    other_key, common_key = jax.random.fold_in(look_key, 1), jax.random.fold_in(key, 2)
    return vary_person(person, other_key, common_key, day, dark, variety)


@functools.partial(jax.jit, inline=True)
def sample_person(look_key, gait_key, day, dark) -> Person:
    """The person of two keys, dressed for a day.

    Persons with the same `look_key` (twins) share build, face, posture and clothes.
    They differ by the gait that `gait_key` gives them. `dark` is the probability of
    dark clothes.
    """
    build_key, face_key, outfit_key, posture_key = jax.random.split(look_key, 4)
    n = stream(build_key, 16)
    build = Build(
        height=between(0.5 * (n() + n()), 1.50, 1.96),
        girth=between(n(), 0.84, 1.30),
        shoulders=between(n(), 0.88, 1.14),
        legs=between(n(), 0.94, 1.06),
        limbs=between(n(), 0.85, 1.25),
        head=between(n(), 0.92, 1.12),
    )
    n = stream(face_key, 16)
    skin = jnp.asarray(_SKINS)[choose(n(), (5, 4, 2, 2))] * between(n(), 0.9, 1.08)
    hair = jnp.asarray(_HAIRS)[choose(n(), (8, 6, 4, 3, 2, 1))]
    is_bald = n() < 0.08
    length = sometimes(0.38, n(), n(), 0.06, 0.32)
    face = Face(
        skin=skin,
        hair=hair * between(n(), 0.8, 1.25),
        hair_size=jnp.where(is_bald, 0.80, between(n(), 0.97, 1.22)),
        hair_length=jnp.where(is_bald, 0.0, length),
        glasses=jnp.where(n() < 0.25, 1.0, 0.0),
    )
    outfit = sample_outfit(jax.random.fold_in(outfit_key, day), skin, dark)
    return Person(build, face, outfit, sample_gait(gait_key, posture_key))
