"""What is drawn on the host for the colours of training clips.

The pixels themselves are made on the device (`colors`).
"""

import dataclasses
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from reid_jax.arrays import Array

SMALLEST_SIGMA = 0.1
"""Of a blur's standard deviations, in pixels; the largest is `augment.blur_sigma`."""

_DRAWN = ("jitter", "brightness", "contrast", "saturation", "hue", "gamma")
_DRAWN += ("red", "green", "blue", "autocontrast", "grayscale", "blur", "sigma")
"""Uniform numbers of a clip or frame: one for each probability and each amount."""


class Colors(NamedTuple):
    """What is changed in each frame, in this order; None where no frame is changed."""

    brightness: Float[Array, "B T"] | None
    contrast: Float[Array, "B T"] | None
    saturation: Float[Array, "B T"] | None
    hue: Float[Array, "B T"] | None  # turns
    gain: Float[Array, "B T 3"] | None  # of R, G, B
    gamma: Float[Array, "B T"] | None
    autocontrast: Bool[Array, "B T"] | None
    grayscale: Bool[Array, "B T"] | None
    blur: Float[Array, "B T taps"] | None  # a kernel for both axes


@dataclasses.dataclass(frozen=True)
class Jitter:
    """How the colours of training clips are changed: fields of `config.augment`.

    `jitter`, `autocontrast`, `grayscale` and `blur` are probabilities. A jittered clip
    has all of brightness, contrast, saturation, hue, white balance and gamma changed.
    The first three are factors, uniform in 1 ± range, from 0 on. The hue turns by up to
    ± range. Logarithms of gains and gamma are uniform, between those of 1 / (1 + range)
    and 1 + range. With `per_frame` every frame is drawn anew, else once for the whole
    clip.
    """

    jitter: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    white_balance: float = 0.0
    gamma: float = 0.0
    autocontrast: float = 0.0
    grayscale: float = 0.0
    blur: float = 0.0
    blur_sigma: float = 1.0
    per_frame: bool = False

    @property
    def is_on(self) -> bool:
        """Whether any clip can be changed."""
        return any((self.jitter, self.autocontrast, self.grayscale, self.blur))

    def draw(
        self, rng: np.random.Generator, num_clips: int, clip_length: int
    ) -> Colors | None:
        """What is changed in a batch of training clips; None where nothing ever is.

        The same numbers are drawn whatever is on: one change more leaves the others.
        """
        if not self.is_on:
            return None
        draws = clip_length if self.per_frame else 1
        uniform = rng.random((len(_DRAWN), num_clips, draws))
        u = dict(zip(_DRAWN, uniform, strict=True))
        is_jittered = u["jitter"] < self.jitter

        def jittered(values, reach: float, usual: float):
            if not (self.jitter and reach):
                return None
            return np.where(is_jittered, values, usual).astype(np.float32)

        def factor(name: str, reach: float):
            low, high = max(0.0, 1 - reach), 1 + reach
            return jittered(low + (high - low) * u[name], reach, 1.0)

        def power(name: str, reach: float):
            return jittered((1 + reach) ** (2 * u[name] - 1), reach, 1.0)

        def chosen(name: str, probability: float):
            return u[name] < probability if probability else None

        kernels = self._kernels(u["blur"] < self.blur, u["sigma"])
        gains = [power(name, self.white_balance) for name in ("red", "green", "blue")]
        drawn = Colors(
            brightness=factor("brightness", self.brightness),
            contrast=factor("contrast", self.contrast),
            saturation=factor("saturation", self.saturation),
            hue=jittered(self.hue * (2 * u["hue"] - 1), self.hue, 0.0),
            gain=None if gains[0] is None else np.stack(gains, axis=-1),
            gamma=power("gamma", self.gamma),
            autocontrast=chosen("autocontrast", self.autocontrast),
            grayscale=chosen("grayscale", self.grayscale),
            blur=kernels if self.blur else None,
        )
        repeats = clip_length // draws
        return jax.tree.map(lambda values: values.repeat(repeats, axis=1), drawn)

    def _kernels(self, is_blurred, uniform) -> Float[np.ndarray, "B n taps"]:
        """Gaussian kernels out to three of the largest deviations, or a one alone."""
        radius = max(1, round(3 * self.blur_sigma))
        sigma = SMALLEST_SIGMA + (self.blur_sigma - SMALLEST_SIGMA) * uniform[..., None]
        places = np.arange(-radius, radius + 1)
        kernels = np.exp(-0.5 * (places / sigma) ** 2)
        kernels = np.where(is_blurred[..., None], kernels, places == 0)
        return (kernels / kernels.sum(axis=-1, keepdims=True)).astype(np.float32)


def build_jitter(config) -> Jitter:
    """The `Jitter` that a whole config describes."""
    fields = (field.name for field in dataclasses.fields(Jitter))
    return Jitter(**{name: config.augment[name] for name in fields})
