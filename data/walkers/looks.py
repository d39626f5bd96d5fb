"""Looks: how light, colours, fog and noise make people hard to recognise.

A look is drawn for each camera and, close to that, for each of its tracklets. Only
worlds with a `Variety` have looks.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from data.walkers.draws import between, normal, pytree, stream
from data.walkers.variety import Variety

_PER_TRACKLET = 0.5
"""Standard deviation of a tracklet's draw around its camera's, over the camera's."""


@pytree
class Look:
    """Changes to a tracklet's frames on top of those of its camera."""

    draws: Float[Array, "16"]
    """Standard normal numbers; those of a tracklet are near its camera's."""
    chances: Float[Array, "12"]
    """Uniform numbers; a tracklet has those of its camera."""
    gain: Float[Array, "3"]
    """Exposure (stops σ 0.6, clipped at 2.6 σ) times white balance (σ 3 to 27 %)."""
    tint: Float[Array, "3"]
    """Factor on the finished picture, 0.7 to 1: tints whites, too."""
    veil: Float[Array, "3"]
    """Light that fog or flare adds, 0 to 0.45, in the colour of the cast."""
    bend: Array
    """Added to the camera's `bend`, σ 0.22: -0.57 to 0.57."""
    contrast: Array
    """Factor on the camera's contrast, σ 17 %: 0.64 to 1.56."""
    saturation: Array
    """Factor on the camera's saturation, σ 24 %: 0.5 to 1.8; low light × 0.4 to 0.9."""
    black: Array
    """Lowest output value, 0 to 0.16."""
    white: Array
    """Highest output value, 0.72 to 1."""
    noise: Array
    """Added to the camera's noise, 0, or 0.004 to 0.018 in low light."""
    defocus: Array
    """Added to the camera's blur, 0 or 0.4 to 1.6 sensor pixels."""
    blocks: Array
    """Step of the compression's quantisation, 0 (no blocks) or 0.02 to 0.12."""
    scene: Float[Array, "3"]
    """Factor on the backdrop, σ 0.22 in log, and σ 0.08 for each channel."""


def sample_look(key, variety: Variety) -> Look:
    """The look of a camera."""
    draws = jax.vmap(normal)(jax.random.uniform(key, (16,)))
    chances = jax.random.uniform(jax.random.fold_in(key, 1), (12,))
    return _look(draws, chances, variety)


def vary_look(key, camera: Look, variety: Variety) -> Look:
    """The look of a tracklet under a camera with the look `camera`.

    Whether there is fog, low light, blur and compression is up to the camera alone.
    """
    tracklet_draws = jax.vmap(normal)(jax.random.uniform(key, (16,)))
    draws = (camera.draws + _PER_TRACKLET * tracklet_draws) / jnp.sqrt(
        1 + _PER_TRACKLET**2
    )
    look = _look(draws, camera.chances, variety)
    n = stream(jax.random.fold_in(key, 1), 4)
    varied = {
        name: getattr(look, name) * between(n(), 0.5, 1.2)
        for name in ("veil", "noise", "defocus", "blocks")
    }
    return dataclasses.replace(look, **varied)


def _look(draws, chances, variety: Variety) -> Look:
    """The look of normal `draws` [16] and uniform `chances` [12]."""
    n = functools.partial(next, iter(chances))
    strength = variety.cast * between(n() ** 2, 0.2, 1.6)
    # Green and violet casts are as frequent as those of daylight and lamps.
    cast = draws[:3] - draws[:3].mean() + 0.5 * draws[3] * jnp.array([1, -2, 1])
    balance = jnp.exp(0.13 * strength * jnp.clip(cast, -2.4, 2.4))
    shift = jnp.exp(0.07 * strength * jnp.clip(cast + 0.5 * draws[4:7], -2.4, 2.4))
    foggy, dim = n() < variety.fog, n() < variety.low_light
    stops = 0.6 * variety.exposure * draws[7] - 0.2 * dim
    veil = jnp.where(foggy, between(n() ** 1.5, 0.06, 0.45), 0.0)
    flare = jnp.clip(0.75 * balance**2, 0.3, 1.2)
    pale = jnp.where(dim, between(n(), 0.4, 0.9), 1.0)
    bright = 0.22 * draws[11] + 0.08 * draws[12:15]
    return Look(
        draws=draws,
        chances=chances,
        gain=2.0**stops * balance,
        tint=jnp.maximum(shift / shift.max(), 0.7),
        veil=veil * flare,
        bend=variety.tone * 0.22 * draws[8],
        contrast=jnp.exp(variety.tone * 0.17 * draws[9]),
        saturation=pale * jnp.exp(variety.tone * (0.24 * draws[10] - 0.05)),
        black=variety.tone * 0.16 * n() ** 3,
        white=1 - variety.tone * 0.28 * n() ** 3,
        noise=jnp.where(dim, between(n(), 0.004, 0.018), 0.0),
        defocus=jnp.where(n() < variety.blur, between(n(), 0.4, 1.6), 0.0),
        blocks=jnp.where(
            n() < variety.compression, between(n() ** 1.5, 0.02, 0.12), 0.0
        ),
        scene=jnp.exp(variety.places * bright),
    )


def through(camera, look: Look | None):
    """The camera with a look applied; unchanged without one."""
    if look is None:
        return camera
    return dataclasses.replace(
        camera,
        gain=camera.gain * look.gain,
        bend=jnp.clip(camera.bend + look.bend, -0.7, 0.75),
        contrast=camera.contrast * look.contrast,
        saturation=camera.saturation * look.saturation,
        noise=camera.noise + look.noise,
        blur=jnp.hypot(camera.blur, look.defocus),
        look=look,
    )
