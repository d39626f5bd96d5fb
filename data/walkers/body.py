"""The body that a person poses: patterned capsules in 3-D, in JAX.

Lengths are metres, angles radians. In the body's frame x points to the person's right,
y forward, z up, and the ground is z = 0.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from data.walkers.person import Person, pytree


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
    bias: Float[Array, "K"]
    """Metres added to the depth that sorts the primitives, for those that touch."""
    opacity: Float[Array, "K"]


def pose(person: Person, phase, effort) -> Primitives:
    """The body at a phase of its gait.

    `phase` in radians, one stride is 2*pi; `effort` scales every swing: 0 stands,
    1 walks. The lower foot is on the ground.
    """
    build, outfit, gait = person.build, person.outfit, person.gait
    h = build.height
    thigh_length = 0.245 * h * build.legs
    shin_length = 0.235 * h * build.legs
    ankle = 0.045 * h
    width = 0.122 * h * build.shoulders * build.girth**0.4
    depth = 0.076 * h * build.girth
    waist = 0.096 * h * build.girth
    thick = h * build.limbs

    def leg(side, theta):
        stride = gait.stride * effort * (1 + side * gait.asymmetry)
        hip = stride * jnp.sin(theta) + 0.05
        knee = 0.08 + gait.knee * effort * jnp.clip(jnp.cos(theta), 0.0) ** 1.5
        thigh = thigh_length * _forward(hip)
        shin = shin_length * _forward(hip - knee)
        return thigh, shin, hip - knee

    sides = (-1.0, 1.0)
    thetas = (phase, phase + jnp.pi)
    legs = [leg(side, theta) for side, theta in zip(sides, thetas, strict=True)]
    hip_z = jnp.maximum(*(-(t + s)[2] for t, s, _ in legs)) + ankle
    trunk = 0.33 * h
    up = jnp.stack([jnp.zeros(()), jnp.sin(gait.lean), jnp.cos(gait.lean)])
    right = jnp.array([1.0, 0.0, 0.0])
    forward = jnp.array([0.0, 1.0, 0.0])
    hips = hip_z * jnp.array([0.0, 0.0, 1.0])
    neck = hips + trunk * up
    parts = []

    def add(
        start, end, start_size, end_size, cap, color, *, second=None, front_color=None,
        stripes=0.0, columns=0.0, band=None, front=0.0, bias=0.0, opacity=1.0,
    ):  # fmt: skip
        pair = functools.partial(jnp.broadcast_to, shape=(2,))
        second = color if second is None else second
        front_color = color if front_color is None else front_color
        nowhere = jnp.array([3.0, 3.0])
        parts.append(
            Primitives(
                start,
                end,
                pair(start_size),
                pair(end_size),
                pair(cap),
                jnp.stack([color, second, front_color]),
                jnp.asarray(stripes),
                jnp.asarray(columns),
                nowhere if band is None else band,
                jnp.asarray(front),
                jnp.asarray(bias),
                jnp.asarray(opacity, jnp.float32),
            )
        )

    def two(a, b):
        return jnp.stack([a, b])

    # Legs: bare or stockings below the hem of shorts and skirts.
    thigh_forward = jnp.zeros(())
    for side, (thigh, shin, shin_angle) in zip(sides, legs, strict=True):
        hip = hips + side * 0.048 * h * build.girth * right
        foot_x = side * (gait.stance - 1) * 0.02 * h * right
        knee, foot = hip + thigh + 0.5 * foot_x, hip + thigh + shin + foot_x
        thigh_forward = jnp.maximum(thigh_forward, jnp.abs(thigh[1]))
        r_hip = 0.058 * thick * build.girth**0.5
        r_knee, r_ankle = 0.039 * thick, 0.028 * thick
        cloth = jnp.where(outfit.leg_cover > 0.9, 1.15, 1.0)
        bare_thigh = two(2 * outfit.leg_cover, 3.0)
        add(
            hip, knee, r_hip, r_knee * cloth, r_knee, outfit.lower,
            second=outfit.stockings, band=bare_thigh,
        )  # fmt: skip
        bare_shin = two(2 * outfit.leg_cover - 1, 3.0)
        add(
            knee, foot, r_knee * cloth, r_ankle * cloth**2, r_ankle, outfit.lower,
            second=outfit.stockings, band=bare_shin,
        )  # fmt: skip
        pitch = 0.5 * shin_angle
        toe = jnp.stack([side * 0.15, jnp.cos(pitch), jnp.sin(pitch)])
        heel = foot - 0.018 * h * forward - 0.022 * h * up
        add(heel, heel + 0.10 * h * toe, 0.024 * h, 0.018 * h, 0.02 * h, outfit.shoes)
    # Hips, trunk, and what hangs below the trunk.
    add(
        hips, hips + 0.03 * h * up, two(waist * 1.05, depth), two(waist, depth),
        0.05 * h, outfit.lower, bias=-0.02,
    )  # fmt: skip
    upper, second, under = outfit.upper
    clothed = {"second": second, "front_color": under, "front": outfit.open_front}
    add(
        hips + 0.02 * h * up, neck - 0.05 * h * up, two(waist, depth),
        two(width, depth * 1.05), two(0.02 * h, 0.055 * h), upper, **clothed,
        stripes=outfit.stripes, columns=outfit.columns, band=outfit.band, bias=0.05,
    )  # fmt: skip
    leg_length = thigh_length + shin_length
    swing = jnp.maximum(thigh_forward * 0.5, 0.0)
    skirt_hem = hips - outfit.skirt * leg_length * up
    skirt_width = waist * (1.05 + 0.35 * outfit.skirt)
    add(
        skirt_hem, hips, two(skirt_width, depth + 0.9 * swing), two(waist, depth),
        0.015 * h, outfit.lower, bias=thigh_forward + 0.02,
        opacity=outfit.skirt > 0,
    )  # fmt: skip
    coat_hem = hips - outfit.coat * leg_length * up
    coat_width = waist * (1.06 + 0.3 * outfit.coat)
    long_coat = outfit.coat > 0.2
    add(
        coat_hem, hips + 0.05 * h * up,
        two(coat_width, depth * 1.05 + swing * outfit.coat),
        two(waist * 1.02, depth * 1.03), 0.012 * h, upper, **clothed,
        columns=outfit.columns, stripes=jnp.where(long_coat, outfit.stripes, 0.0),
        band=jnp.where(outfit.band[0] < 0, jnp.array([-1.0, 3.0]), 3.0),
        bias=jnp.where(long_coat, thigh_forward + 0.03, 0.06),
    )  # fmt: skip
    # Arms, in opposite phase to the legs.
    sleeve = jnp.where(outfit.sleeve_second > 0, second, upper)
    hands = []
    for side, theta in zip(sides, thetas, strict=True):
        angle = -gait.arm_swing * effort * jnp.sin(theta) + gait.lean
        holds = (outfit.carried > 0) & (side == outfit.bag_side)
        flexion = gait.elbow + 0.3 * gait.arm_swing * effort * jnp.cos(theta)
        flexion = jnp.where(holds, 0.7 * flexion, flexion)
        shoulder = neck - 0.055 * h * up + side * (width - 0.012 * h) * right
        out = side * jnp.array([0.12, 0.0, 0.0]) * jnp.sqrt(build.girth)
        elbow = shoulder + 0.17 * h * (_forward(angle) + out)
        hand = elbow + 0.145 * h * (_forward(angle + jnp.abs(flexion)) + 0.3 * out)
        r_shoulder, r_elbow, r_wrist = 0.038 * thick, 0.030 * thick, 0.022 * thick
        cut = two(2 * outfit.sleeve, 3.0)
        add(
            shoulder, elbow, r_shoulder, r_elbow, r_elbow, sleeve,
            second=outfit.skin, band=cut, bias=0.06,
        )  # fmt: skip
        cut = two(2 * outfit.sleeve - 1, 3.0)
        add(
            elbow, hand, r_elbow, r_wrist, r_wrist, sleeve,
            second=outfit.skin, band=cut, bias=0.07,
        )  # fmt: skip
        palm = hand + 0.03 * h * _forward(angle + flexion)
        add(palm, palm, 0.020 * h, 0.020 * h, 0.028 * h, outfit.skin, bias=0.065)
        hands.append(palm)
    # Head. Hair is a larger ellipsoid behind the face.
    r_head = 0.046 * h * build.head
    crown = neck + 0.077 * h * up + 0.01 * h * forward
    add(
        neck - 0.05 * h * up, crown, 0.033 * h, 0.028 * h, 0.01 * h, outfit.skin,
        bias=0.02,
    )  # fmt: skip
    add(
        crown, crown, two(r_head, r_head * 1.12), two(r_head, r_head * 1.12),
        r_head * 1.42, outfit.skin, bias=0.04,
    )  # fmt: skip
    skull = crown + 0.018 * h * up - 0.017 * h * forward
    r_hair = r_head * outfit.hair_size
    add(
        skull, skull, two(r_hair * 1.03, r_hair * 1.1), two(r_hair, r_hair * 1.1),
        r_hair * 1.22, outfit.hair, bias=0.05,
    )  # fmt: skip
    nape = skull - 0.01 * h * forward
    add(
        nape - (outfit.hair_length + 0.02) * up, nape, r_hair * 0.95, r_hair,
        0.02 * h, outfit.hair, bias=0.01, opacity=outfit.hair_length > 0,
    )  # fmt: skip
    collar = neck - 0.012 * h * up - 0.025 * h * forward
    add(
        collar, collar, 0.062 * h, 0.062 * h, 0.035 * h, upper, front_color=under,
        front=outfit.open_front, bias=0.055, opacity=outfit.hood,
    )  # fmt: skip
    # Bags and what a hand holds.
    pack = outfit.backpack
    back = hips + 0.12 * h * up - (depth + 0.045 * h) * forward
    add(
        back, back + 0.12 * h * up, 0.078 * h * pack + 1e-3, 0.065 * h * pack + 1e-3,
        0.03 * h, outfit.bag, bias=0.05, opacity=pack > 0,
    )  # fmt: skip
    side = outfit.bag_side
    bag = outfit.shoulder_bag
    pouch = hips + side * (waist + 0.02 * h) * right
    add(
        pouch - 0.06 * h * up, pouch + 0.02 * h * up,
        two(0.032, 0.080) * h * bag + 1e-3, two(0.028, 0.070) * h * bag + 1e-3,
        0.015 * h, outfit.bag, bias=0.08, opacity=bag > 0,
    )  # fmt: skip
    for face in (-1.0, 1.0):  # a strap over the back, another over the chest
        far = neck - 0.03 * h * up - side * 0.6 * width * right
        reach = face * (depth * 0.9) * forward
        add(
            pouch + 0.4 * reach, far + reach, 0.010 * h, 0.010 * h, 0.01 * h,
            outfit.bag, bias=0.08, opacity=bag > 0,
        )  # fmt: skip
    hand = jnp.where(side > 0, hands[1], hands[0])
    size = outfit.carried * h
    add(
        hand - 0.085 * size * up, hand - 0.01 * h * up,
        two(0.014, 0.062) * size + 1e-3, two(0.014, 0.055) * size + 1e-3,
        0.012 * h, outfit.carried_color, bias=0.075, opacity=size > 0,
    )  # fmt: skip
    return jax.tree.map(lambda *x: jnp.stack([jnp.asarray(v) for v in x]), *parts)


def _forward(angle):
    """Unit vector hanging down at angle 0, swung forward by a positive angle."""
    return jnp.stack([jnp.zeros(()), jnp.sin(angle), -jnp.cos(angle)])
