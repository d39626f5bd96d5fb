"""Poses the body of a person: patterned capsules in 3-D, in JAX.

Axes and units are those of `gait`.
"""

import jax.numpy as jnp

from data.walkers import accessories, gait
from data.walkers.garments import NOWHERE
from data.walkers.person import Person
from data.walkers.primitives import Primitives, part, stack


def pose(person: Person, phase, effort) -> Primitives:
    """The body at a phase of its gait: 27 primitives, or 32 with `Extras`."""
    holding = (person.outfit.carried > 0) & (
        person.outfit.bag_side == jnp.asarray(gait.SIDES)
    )
    joints = gait.joints(
        person.build, person.gait, phase, effort, holding.astype(jnp.float32)
    )
    parts = stack(
        [
            *_legs(person, joints),
            *_trunk(person, joints),
            *_arms(person, joints),
            *_head(person, joints),
            *_luggage(person, joints),
        ]
    )
    return parts if person.extras is None else accessories.dress(parts, person, joints)


_LONG_COAT = 0.18
"""Length of coat over leg length from which the thighs are covered."""


def _two(a, b):
    """Two numbers as a float32 array [2]."""
    return jnp.stack([jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32)])


def _legs(person, joints):
    """Yields thigh, shin and shoe of both sides; bare below shorts and skirts."""
    build, outfit = person.build, person.outfit
    h, thick = build.height, build.height * build.limbs
    cloth = jnp.where(outfit.leg_cover > 0.3, outfit.leg_width, 1.0)
    covered = jnp.where(outfit.leg_cover > 0.9, cloth, 1.0)
    hip, knee, ankle = 0.060 * thick * build.girth**0.5, 0.040 * thick, 0.030 * thick
    # Puts both legs behind a skirt or coat, whichever leg is nearer to the camera.
    beside = 0.048 * h * build.girth + 0.02 * h * jnp.abs(person.gait.stance - 1) + hip
    is_covered = (outfit.skirt > 0) | (outfit.coat > _LONG_COAT)
    bias = jnp.where(is_covered, -joints.reach - beside, 0.0)
    for i, side in enumerate(gait.SIDES):
        yield part(
            joints.hip[i], joints.knee[i], hip, knee * cloth, knee, outfit.lower,
            second=outfit.stockings, band=_two(2 * outfit.leg_cover, 9.0), bias=bias,
        )  # fmt: skip
        yield part(
            joints.knee[i], joints.ankle[i], knee * covered, ankle * covered**1.5,
            ankle, outfit.lower, second=outfit.stockings,
            band=_two(2 * outfit.leg_cover - 1, 9.0), bias=bias,
        )  # fmt: skip
        toe = joints.toe[i] + jnp.array([0.15 * side, 0.0, 0.0])
        heel = joints.ankle[i] - h * jnp.array([0.0, 0.018, 0.022])
        shoe = heel + 0.10 * h * toe
        yield part(heel, shoe, 0.026 * h, 0.020 * h, 0.022 * h, outfit.shoes, bias=bias)


def _trunk(person, joints):
    """Yields hips, trunk and shoulders, and what hangs below: a skirt, a coat."""
    build, outfit = person.build, person.outfit
    h, up, hips, neck = build.height, joints.up, joints.hips, joints.neck
    bulk = outfit.bulk**0.5
    width = 0.114 * h * build.shoulders * build.girth**0.4 * bulk
    depth = 0.076 * h * build.girth * outfit.bulk
    waist = 0.098 * h * build.girth * bulk
    upper, second, under = outfit.upper
    clothed = {"second": second, "front_color": under, "front": outfit.open_front}
    yield part(
        hips, hips + 0.03 * h * up, _two(waist * 1.05, depth), _two(waist, depth),
        0.05 * h, outfit.lower, bias=-0.02,
    )  # fmt: skip
    yield part(
        hips + 0.02 * h * up, neck - 0.05 * h * up, _two(waist, depth),
        _two(width, depth * 1.05), _two(0.02 * h, 0.045 * h), upper, **clothed,
        stripes=outfit.stripes, columns=outfit.columns, band=outfit.band,
        patch=outfit.patch, sheen=outfit.sheen, bias=0.05,
    )  # fmt: skip
    has_yoke = (outfit.band[0] > 0) & (outfit.band[1] > 1) & (outfit.band[0] < 1)
    yoke = jnp.where(has_yoke, second, upper)
    left, right = joints.shoulder
    rise = 0.012 * h * up
    yield part(
        left + rise, right + rise, 0.036 * h * bulk, 0.036 * h * bulk, 0.03 * h, yoke,
        sheen=outfit.sheen, bias=0.045,
    )  # fmt: skip
    leg = 0.48 * h * build.legs
    flare = 0.5 * joints.reach
    skirt_width = waist * (1.05 + 0.35 * outfit.skirt)
    yield part(
        hips - outfit.skirt * leg * up, hips, _two(skirt_width, depth + 1.8 * flare),
        _two(waist, depth), 0.015 * h, outfit.lower, bias=0.02,
        opacity=outfit.skirt > 0,
    )  # fmt: skip
    is_long = outfit.coat > _LONG_COAT
    coat_width = waist * (1.06 + 0.25 * outfit.coat)
    # With a hem in the second colour, all that hangs below the hips has it.
    hem = jnp.where(outfit.band[0] < 0, _two(-1.0, 9.0), jnp.asarray(NOWHERE))
    yield part(
        hips - outfit.coat * leg * up, hips + 0.05 * h * up,
        _two(coat_width, depth * 1.05 + flare * outfit.coat),
        _two(waist * 1.02, depth * 1.03), 0.012 * h, upper, **clothed,
        columns=outfit.columns, stripes=jnp.where(is_long, outfit.stripes, 0.0),
        band=hem, sheen=outfit.sheen,
        bias=jnp.where(is_long, 0.03, 0.06),
    )  # fmt: skip


def _arms(person, joints):
    """Yields upper arm, forearm and hand of both sides; bare below short sleeves."""
    build, outfit = person.build, person.outfit
    h, thick = build.height, build.height * build.limbs
    upper, second, _ = outfit.upper
    sleeve = jnp.where(outfit.sleeve_second > 0, second, upper)
    cloth = jnp.where(outfit.sleeve > 0.9, 1.12 * outfit.bulk, 1.05)
    shoulder, elbow, wrist = 0.040 * thick * cloth, 0.033 * thick, 0.024 * thick
    covered = jnp.where(outfit.sleeve > 0.9, cloth, 1.0)
    clothed = {"second": person.face.skin, "sheen": outfit.sheen}
    for i in range(2):
        yield part(
            joints.shoulder[i], joints.elbow[i], shoulder, elbow * cloth,
            elbow * cloth, sleeve, band=_two(2 * outfit.sleeve, 9.0), bias=0.06,
            **clothed,
        )  # fmt: skip
        yield part(
            joints.elbow[i], joints.wrist[i], elbow * covered, wrist * covered**1.4,
            wrist, sleeve, band=_two(2 * outfit.sleeve - 1, 9.0), bias=0.07,
            **clothed,
        )  # fmt: skip
        palm = joints.palm[i]
        yield part(
            palm, palm, 0.019 * h, 0.019 * h, 0.026 * h, person.face.skin, bias=0.065
        )


def _head(person, joints):
    """Yields neck, face, hair or hat, hair in the neck, and hood.

    Hair and hats are an ellipsoid that is larger than the face and lies behind it.
    """
    face, outfit, h, up = person.face, person.outfit, person.build.height, joints.up
    forward = jnp.array([0.0, 1.0, 0.0])
    neck, radius = joints.neck, 0.045 * h * person.build.head
    crown = neck + 0.074 * h * up + 0.012 * h * forward
    collar_color = jnp.where(outfit.scarf > 0, outfit.bag, face.skin)
    wide = jnp.where(outfit.scarf > 0, 0.050, 0.032) * h
    yield part(
        neck - 0.03 * h * up, neck + 0.02 * h * up, wide, 0.9 * wide, 0.015 * h,
        collar_color, bias=0.03,
    )  # fmt: skip
    eyes = jnp.where(face.glasses > 0, _two(0.52, 0.58), jnp.asarray(NOWHERE))
    yield part(
        crown, crown, _two(radius, radius * 1.12), _two(radius, radius * 1.12),
        radius * 1.42, face.skin, second=jnp.full((3,), 0.06), band=eyes, bias=0.04,
    )  # fmt: skip
    hatted = outfit.hat > 0
    color = jnp.where(hatted, outfit.hat_color, face.hair)
    hair = radius * jnp.where(hatted, 1.12, face.hair_size)
    skull = crown + 0.018 * h * up - 0.017 * h * forward
    yield part(
        skull, skull, _two(hair * 1.03, hair * 1.1), _two(hair * 1.03, hair * 1.1),
        hair * 1.22, color, bias=0.05,
    )  # fmt: skip
    nape = skull - 0.01 * h * forward
    yield part(
        nape - (face.hair_length + 0.02) * up, nape, hair * 0.95, hair, 0.02 * h,
        face.hair, bias=0.055, opacity=face.hair_length > 0,
    )  # fmt: skip
    collar = neck - 0.012 * h * up - 0.025 * h * forward
    size = 0.06 * h * outfit.hood
    yield part(
        collar, collar, size + 1e-3, size + 1e-3, 0.6 * size + 1e-3, outfit.upper[0],
        front_color=outfit.upper[2], front=outfit.open_front, bias=0.055,
        opacity=outfit.hood > 0,
    )  # fmt: skip


def _luggage(person, joints):
    """Yields backpack, a bag at the hip with its two straps, and what a hand holds."""
    build, outfit = person.build, person.outfit
    h, up, hips, neck = build.height, joints.up, joints.hips, joints.neck
    forward, right = jnp.array([0.0, 1.0, 0.0]), jnp.array([1.0, 0.0, 0.0])
    depth = 0.076 * h * build.girth * outfit.bulk
    waist = 0.098 * h * build.girth * outfit.bulk**0.5
    pack = outfit.backpack
    back = hips + 0.12 * h * up - (depth + 0.045 * h) * forward
    yield part(
        back, back + 0.12 * h * up, 0.078 * h * pack + 1e-3, 0.065 * h * pack + 1e-3,
        0.03 * h, outfit.bag, second=outfit.bag * 0.5, band=_two(0.3, 0.36), bias=0.05,
        opacity=pack > 0,
    )  # fmt: skip
    side, bag = outfit.bag_side, outfit.shoulder_bag
    pouch = hips + side * (waist + 0.02 * h) * right
    yield part(
        pouch - 0.06 * h * up, pouch + 0.02 * h * up,
        _two(0.032 * bag, 0.080 * bag) * h + 1e-3,
        _two(0.028 * bag, 0.070 * bag) * h + 1e-3, 0.015 * h, outfit.bag, bias=0.08,
        opacity=bag > 0,
    )  # fmt: skip
    for face in (-1.0, 1.0):  # one strap over the back, the other over the chest
        far = neck - 0.03 * h * up - side * 0.06 * h * right
        reach = face * (depth * 0.9) * forward
        yield part(
            pouch + 0.4 * reach, far + reach, 0.010 * h, 0.010 * h, 0.01 * h,
            outfit.bag, bias=0.08, opacity=bag > 0,
        )  # fmt: skip
    hand = jnp.where(side > 0, joints.palm[1], joints.palm[0])
    size = outfit.carried * h
    yield part(
        hand - 0.085 * size * jnp.array([0.0, 0.0, 1.0]), hand,
        _two(0.014 * size, 0.062 * size) + 1e-3,
        _two(0.014 * size, 0.055 * size) + 1e-3,
        0.012 * h, outfit.carried_color, bias=0.075, opacity=size > 0,
    )  # fmt: skip
