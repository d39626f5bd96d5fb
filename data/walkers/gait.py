"""How people walk: a gait sampled from a key, and the joints at a phase of the stride.

Lengths are in metres, angles in radians. In the body's frame x points to the person's
right, y forward, z up; the ground is z = 0.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from data.walkers.draws import between, pytree, stream

SIDES = (-1.0, 1.0)
"""Left and right: the order of every pair of joints."""


@pytree
class Gait:
    """How a person moves and holds the trunk."""

    cadence: Array
    """Phase per frame at normal speed, 0.38 to 0.80 rad; a stride is 2 pi."""
    stride: Array
    """Amplitude of the hip's angle, 0.26 to 0.55 rad."""
    knee: Array
    """Flexion of the swinging knee, 0.45 to 1.15 rad."""
    arm_swing: Array
    """Amplitude of the shoulder's angle, 0.05 to 0.65 rad."""
    elbow_swing: Array
    """Amplitude of the elbow's flexion over that of the arm, 0 to 0.8."""
    twist: Array
    """Rotation of the shoulders against the hips, 0 to 0.22 rad."""
    sway: Array
    """Sideways movement of the trunk over the standing leg, 0 to 0.03 m."""
    bob: Array
    """Nodding of the trunk, twice a stride, 0 to 0.05 rad."""
    asymmetry: Array
    """How much longer right strides, and shorter left ones, are: -0.22 to 0.22."""
    elbow: Array
    """Mean flexion of the elbow, 0.05 to 0.8 rad."""
    lean: Array
    """Forward lean of the trunk, -0.04 to 0.15 rad."""
    stance: Array
    """Distance of the feet from the middle line, factor 0.6 to 1.5."""


def sample_gait(key, posture_key) -> Gait:
    """A gait; `posture_key` draws the part of it that a single picture shows."""
    n, m = stream(key, 16), stream(posture_key, 8)
    return Gait(
        cadence=between(n(), 0.38, 0.80),
        stride=between(n(), 0.26, 0.55),
        knee=between(n(), 0.45, 1.15),
        arm_swing=between(n(), 0.05, 0.65),
        elbow_swing=between(n(), 0.0, 0.8),
        twist=between(n(), 0.0, 0.22),
        sway=between(n(), 0.0, 0.03),
        bob=between(n(), 0.0, 0.05),
        asymmetry=between(n(), -0.22, 0.22),
        elbow=between(m(), 0.05, 0.80),
        lean=between(m(), -0.04, 0.15),
        stance=between(m(), 0.6, 1.5),
    )


@pytree
class Joints:
    """Positions of the joints; pairs are ordered left, right."""

    hips: Float[Array, "3"]
    """Midpoint of the two hip joints."""
    neck: Float[Array, "3"]
    hip: Float[Array, "2 3"]
    knee: Float[Array, "2 3"]
    ankle: Float[Array, "2 3"]
    toe: Float[Array, "2 3"]
    """Direction of the toes, not a position."""
    shoulder: Float[Array, "2 3"]
    elbow: Float[Array, "2 3"]
    wrist: Float[Array, "2 3"]
    palm: Float[Array, "2 3"]
    up: Float[Array, "3"]
    """Direction of the trunk."""
    reach: Array
    """Distance of the foremost or hindmost knee from the hips."""


def joints(build, gait: Gait, phase, effort, holding: Float[Array, "2"]) -> Joints:
    """The joints at a phase of the stride; the lower foot is on the ground.

    Args:
        build: Proportions of the body (`person.Build`).
        gait: The gait.
        phase: Phase of the stride in rad.
        effort: Factor on all swings: 0 stands, 1 walks.
        holding: 1 for a hand (left, right) that holds something: its arm is bent more
            and swings less.
    """
    h = build.height
    thigh_length, shin_length = 0.245 * h * build.legs, 0.235 * h * build.legs
    side = jnp.asarray(SIDES)
    theta = phase + jnp.pi * jnp.arange(2)
    stride = gait.stride * effort * (1 + side * gait.asymmetry)
    swing = stride * jnp.sin(theta) + 0.04
    bend = 0.08 + gait.knee * effort * jnp.clip(jnp.cos(theta), 0.0) ** 1.5
    thigh = thigh_length * _hanging(swing)
    shin = shin_length * _hanging(swing - bend)
    hip_height = jnp.max(-(thigh + shin)[:, 2]) + 0.045 * h
    lean = gait.lean + gait.bob * effort * jnp.cos(2 * phase)
    up = jnp.stack([jnp.zeros(()), jnp.sin(lean), jnp.cos(lean)])
    sway = gait.sway * effort * jnp.cos(phase)
    hips = jnp.stack([sway, jnp.zeros(()), hip_height])
    right = jnp.array([1.0, 0.0, 0.0])
    hip = hips + (0.048 * h * build.girth * side)[:, None] * right
    apart = (side * (gait.stance - 1) * 0.02 * h)[:, None] * right
    knee = hip + thigh + 0.5 * apart
    ankle = hip + thigh + shin + apart
    pitch = 0.5 * (swing - bend)
    toe = jnp.stack([0.15 * side, jnp.cos(pitch), jnp.sin(pitch)], -1)

    neck = hips + 0.33 * h * up
    turn = -gait.twist * effort * jnp.sin(phase)
    width = 0.105 * h * build.shoulders * build.girth**0.4
    across = jnp.stack([jnp.cos(turn), jnp.sin(turn), jnp.zeros(())])
    shoulder = neck - 0.05 * h * up + (side * width)[:, None] * across
    swings = gait.arm_swing * effort * (1 - 0.6 * holding)
    arm = -swings * jnp.sin(theta) + 0.5 * gait.lean
    flexion = gait.elbow + gait.elbow_swing * swings * (0.5 - 0.5 * jnp.sin(theta))
    flexion = jnp.maximum(flexion, 1.2 * holding)
    out = (side * 0.14 * jnp.sqrt(build.girth))[:, None] * right
    elbow = shoulder + 0.17 * h * (_hanging(arm) + out)
    wrist = elbow + 0.14 * h * (_hanging(arm + flexion) + 0.2 * out)
    palm = wrist + 0.03 * h * _hanging(arm + flexion)
    reach = jnp.max(jnp.abs(thigh[:, 1]))
    return Joints(
        hips, neck, hip, knee, ankle, toe, shoulder, elbow, wrist, palm, up, reach
    )


def _hanging(angle):
    """Unit vectors that hang down at angle 0 and swing forward at positive angles."""
    return jnp.stack([jnp.zeros_like(angle), jnp.sin(angle), -jnp.cos(angle)], -1)
