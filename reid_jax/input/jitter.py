"""Draws random changes of the colours of training clips, on the host.

The device applies them to the pixels (`colors`).
"""

import dataclasses
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float

from reid_jax.arrays import Array

SMALLEST_SIGMA = 0.1
"""Smallest standard deviation of a blur in pixels; the largest is `blur_sigma`."""

_DRAWN = ("jitter", "brightness", "contrast", "saturation", "hue", "gamma")
_DRAWN += ("red", "green", "blue", "autocontrast", "grayscale", "blur", "sigma")
"""Uniform numbers drawn for each clip or frame: for every probability and amount."""


class Colors(NamedTuple):
    """The changes of each frame, in the order in which they are applied.

    A field is None when it changes no frame.
    """

    brightness: Float[Array, "B T"] | None
    contrast: Float[Array, "B T"] | None
    saturation: Float[Array, "B T"] | None
    hue: Float[Array, "B T"] | None  # in full turns of the colour circle
    gain: Float[Array, "B T 3"] | None  # factors of R, G, B
    gamma: Float[Array, "B T"] | None
    autocontrast: Bool[Array, "B T"] | None
    grayscale: Bool[Array, "B T"] | None
    blur: Float[Array, "B T taps"] | None  # one kernel, for both axes


@dataclasses.dataclass(frozen=True)
class Jitter:
    """Probabilities and ranges of colour changes: fields of `config.augment`.

    - `jitter`: probability that all of the following six are changed.
    - `brightness`, `contrast`, `saturation`: range r of a factor, uniform in 1 ± r but
      at least 0.
    - `hue`: range r of a turn, uniform in ± r of a circle.
    - `white_balance`, `gamma`: range r of gains or of an exponent; their logarithm is
      uniform between those of 1 / (1 + r) and 1 + r.
    - `autocontrast`, `grayscale`, `blur`: probabilities.
    - `blur_sigma`: largest standard deviation of the blur, in pixels.
    - `per_frame`: whether every frame draws anew, or the whole clip once.
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
        """Whether any change has a probability above 0."""
        return any((self.jitter, self.autocontrast, self.grayscale, self.blur))

    def draw(
        self, rng: np.random.Generator, num_clips: int, clip_length: int
    ) -> Colors | None:
        """Draws the changes of a batch of training clips; None if `is_on` is False.

        The same random numbers are drawn whatever changes are on, so that turning one
        on does not alter the others.
        """
        if not self.is_on:
            return None
        draws = clip_length if self.per_frame else 1
        uniform = rng.random((len(_DRAWN), num_clips, draws))
        u = dict(zip(_DRAWN, uniform, strict=True))
        is_jittered = u["jitter"] < self.jitter

        def jittered(values, reach: float, neutral: float):
            if not (self.jitter and reach):
                return None
            return np.where(is_jittered, values, neutral).astype(np.float32)

        def factor(name: str, reach: float):
            low, high = max(0.0, 1 - reach), 1 + reach
            return jittered(low + (high - low) * u[name], reach, 1.0)

        def power(name: str, reach: float):
            return jittered((1 + reach) ** (2 * u[name] - 1), reach, 1.0)

        def is_drawn(name: str, probability: float):
            return u[name] < probability if probability else None

        kernels = self._kernels(u["blur"] < self.blur, u["sigma"])
        gains = [power(name, self.white_balance) for name in ("red", "green", "blue")]
        changes = Colors(
            brightness=factor("brightness", self.brightness),
            contrast=factor("contrast", self.contrast),
            saturation=factor("saturation", self.saturation),
            hue=jittered(self.hue * (2 * u["hue"] - 1), self.hue, 0.0),
            gain=None if gains[0] is None else np.stack(gains, axis=-1),
            gamma=power("gamma", self.gamma),
            autocontrast=is_drawn("autocontrast", self.autocontrast),
            grayscale=is_drawn("grayscale", self.grayscale),
            blur=kernels if self.blur else None,
        )
        repeats = clip_length // draws
        return jax.tree.map(lambda values: values.repeat(repeats, axis=1), changes)

    def _kernels(self, is_blurred, uniform) -> Float[np.ndarray, "B n taps"]:
        """Gaussian kernels; the identity kernel for frames that are not blurred.

        They reach out to three times the largest standard deviation.
        """
        radius = max(1, round(3 * self.blur_sigma))
        sigma = SMALLEST_SIGMA + (self.blur_sigma - SMALLEST_SIGMA) * uniform[..., None]
        offsets = np.arange(-radius, radius + 1)
        kernels = np.exp(-0.5 * (offsets / sigma) ** 2)
        kernels = np.where(is_blurred[..., None], kernels, offsets == 0)
        return (kernels / kernels.sum(axis=-1, keepdims=True)).astype(np.float32)


def build_jitter(config) -> Jitter:
    """Builds the `Jitter` of a run's config."""
    fields = (field.name for field in dataclasses.fields(Jitter))
    return Jitter(**{name: config.augment[name] for name in fields})
