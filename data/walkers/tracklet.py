"""The course of a person past a camera, and all that disturbs the picture."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from data.walkers import looks
from data.walkers.camera import Camera
from data.walkers.draws import between, normal, pytree, sign, stream
from data.walkers.figures import vary_person
from data.walkers.looks import Look
from data.walkers.occluders import Obstacle, sample_obstacle
from data.walkers.person import Person, sample_person
from data.walkers.style import Style


@pytree
class Tracklet:
    """One walk; positions and lengths in the image are in box heights."""

    num_frames: Array
    heading: Array
    """Direction: the camera's path, either way, plus a normal angle of 0.35 rad."""
    wander: Float[Array, "3"]
    """Turning: amplitude normal with 0.3 rad, step 0.02-0.08 rad per frame, phase."""
    phase: Array
    """Phase of the gait in frame 0, 0 to 2 pi."""
    pace: Array
    """Factor on the cadence: 1 plus or minus up to the style's `pace`."""
    effort: Array
    """Factor on all swings: 0.85 to 1.1, or 0.04 for a person who stands."""
    speed: Array
    """Walking speed, 0.08 to 0.16 m per frame; 0 for a person who stands."""
    figure_px: Array
    """Factor on the camera's `figure_px`, 0.75 to 1.33."""
    zoom: Float[Array, "3"]
    """Change of the figure's size: amplitude up to the style's, step, phase."""
    offset: Float[Array, "2"]
    """Constant error of the box, normal with 0.025 (x) and 0.015 (y)."""
    slip: Float[Array, "4"]
    """Slow error of the box: amplitudes (x, y) normal with 0.02, phase, step."""
    jitter: Array
    """Standard deviation of the box's error per frame, 0.002 to 0.012."""
    scale: Array
    """Height of the box over the person's, 0.97 to 1.12.

    7 % of the boxes cut the person (0.72 to 0.95), and 5 % are too large (1.15 to
    1.45).
    """
    aspect: Array
    """Stretch across, 0.85 to 1.25: detectors' boxes differ in proportions."""
    smear: Array
    """Standard deviation of the motion's blur across, 0 to 0.008."""
    drift: Float[Array, "3"]
    """Change of light: amplitude up to the style's, phase, step 0.02-0.15 rad."""
    exposure: Array
    """Light of this walk (shade, sun, weather), factor 0.85 to 1.15."""
    place: Float[Array, "2"]
    """Position in the backdrop where the walk starts, 0 to 1 in x and in y."""
    near: Array
    """Backdrop pixels per nominal pixel, 0.75 to 1.3."""
    obstacle: Obstacle
    passer: Person
    """Another person who crosses or walks along, or whom the tracker follows."""
    passing: Float[Array, "4"]
    """Frame of the meeting, metres per frame, metres nearer the camera, 1 if on."""
    passer_turn: Array
    switch: Array
    """Frame from which the tracker follows the passer-by; 1e9: never."""
    blank: Array
    """1: the person is not drawn."""
    noise_seed: Array
    look: Look | None = None
    """Look of this walk under its camera, in worlds with a `Variety`; else None."""


def sample_tracklet(key, camera: Camera, num_frames, style: Style) -> Tracklet:
    """A walk of `num_frames` frames; the fields give the ranges."""
    draw_key, passer_key, obstacle_key, seed_key = jax.random.split(key, 4)
    n = stream(draw_key, 80)
    box = style.box
    heading = camera.heading + jnp.where(n() < 0.5, 0.0, jnp.pi) + normal(n(), 0.35)
    stands = n() < style.standing
    speed = jnp.where(stands, 0.0, between(n(), 0.08, 0.16))
    is_crossing = n() < 0.7
    # A person who walks along stays 0.45 to 0.8 m to one side, nearly in step.
    side = sign(n())
    along = side * between(n(), 0.45, 0.80)
    velocity = side * between(n(), 0.08, 0.25)
    # A tracker switches persons where both are in the same place.
    switches, switch = n() < style.switch, between(n(), 0.3, 0.8) * num_frames
    is_crossing = is_crossing | switches
    meeting = jnp.where(switches, switch, n() * num_frames)
    passing = jnp.stack(
        [
            jnp.where(is_crossing, meeting, -along / 1e-3),
            jnp.where(is_crossing, velocity, 1e-3),
            jnp.where(n() < 0.5, -0.8, 0.8),
            switches | (n() < style.passing),
        ]
    )
    truncation = n()
    scale = jnp.where(
        truncation < 0.07 * box,
        between(n(), 0.72, 0.95),
        jnp.where(
            truncation > 1 - 0.05 * box,
            between(n(), 1.15, 1.45),
            between(n(), 0.97, 1.12),
        ),
    )
    passer_keys = jax.random.split(passer_key)
    passer, look = sample_person(*passer_keys, 0, style.dark), None
    if style.variety is not None:
        look_key, key = jax.random.split(jax.random.fold_in(passer_key, 1))
        look = looks.vary_look(look_key, camera.look, style.variety)
        passer = vary_person(passer, key, key, 0, style.dark, style.variety)
    return Tracklet(
        num_frames=num_frames,
        heading=heading,
        wander=jnp.stack([normal(n(), 0.3), between(n(), 0.02, 0.08), 6.28 * n()]),
        phase=2 * jnp.pi * n(),
        pace=between(n(), 1 - style.pace, 1 + style.pace),
        effort=jnp.where(stands, 0.04, between(n(), 0.85, 1.1)),
        speed=speed,
        figure_px=between(n(), 0.75, 1.33),
        zoom=jnp.stack([style.scale_change * n(), between(n(), 0.02, 0.1), 6.28 * n()]),
        offset=box * jnp.stack([normal(n(), 0.025), normal(n(), 0.015)]),
        slip=jnp.stack(
            [normal(n(), 0.02 * box), normal(n(), 0.02 * box), 6.28 * n(), 0.2 * n()]
        ),
        jitter=box * between(n(), 0.002, 0.012),
        scale=scale,
        aspect=1 + box * (between(n(), 0.85, 1.25) - 1),
        smear=between(n(), 0.0, 0.008),
        drift=jnp.stack(
            [style.light_drift * n(), 6.28 * n(), between(n(), 0.02, 0.15)]
        ),
        exposure=1 + style.color * between(n(), -0.15, 0.15),
        place=jnp.stack([n(), n()]),
        near=between(n(), 0.75, 1.3),
        obstacle=sample_obstacle(
            obstacle_key, num_frames, speed * jnp.sin(heading), style.occlusion
        ),
        passer=passer,
        passing=passing,
        passer_turn=jnp.where(is_crossing, side * jnp.pi / 2, heading),
        switch=jnp.where(switches, switch, 1e9),
        blank=jnp.asarray(style.blank, jnp.float32),
        noise_seed=jax.random.bits(seed_key, dtype=jnp.uint32),
        look=look,
    )
