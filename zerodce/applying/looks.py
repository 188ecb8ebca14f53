"""How much light a photo wants, and where: one strength for the photo, and a share of it for each brightness.

`bright` lights everything: lit parts reach the mean of a well-exposed photo. `natural` gives a photo the light that its
owner would keep:

- A photo without highlights is underexposed. It gets all of the light.
- A photo with highlights was exposed for them. Its shadows open if they are large enough. Lit parts keep their tone. A
  dark surface without detail (a night sky, the backdrop of a studio) stays as it is.
- A flat photo, with highlights and without blacks, gets brighter midtones, and so contrast.

The numbers below were chosen on the development pairs and the verdicts of viewers (docs/training-log.md). No reference
image enters a loss.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np

from zerodce.curves.exposure import MAX_EVEN, NIGHT, even_aim
from zerodce.curves.tones import KNOT_BRIGHTNESS, KNOTS, LEVEL_WEIGHTS, smoothstep, tone
from zerodce.images import metrics, pixels

Look = Literal["natural", "bright"]
"""`natural`: what an owner would keep; `bright`: everything is lit."""


class Ramp(NamedTuple):
    """A smoothstep: 0 up to `start`, 1 from `end` on."""

    start: float
    end: float

    def at(self, value: Any) -> Any:
        """The smoothstep at a value or at each of an array."""
        return smoothstep(value, self.start, self.end)

    def towards(self, other: "Ramp", share: float) -> "Ramp":
        """Interpolates between this ramp and another; a share of 1 is the other."""
        return Ramp(*(mine + share * (theirs - mine) for mine, theirs in zip(self, other, strict=True)))


DIM_LEVEL = 0.505
"""Mean, in [0, 1], to which a photo without highlights is brightened."""

DIM_NIGHT = 0.08
"""The same for a black photo. A night scene gets this plus `zerodce.curves.exposure.NIGHT[1]` times its mean."""

HIGHLIGHTS, HIGHLIGHTS_OF_CONTRAST = Ramp(0.35, 0.58), Ramp(0.3, 0.5)
"""Whether a photo has highlights, by the 99 % quantile of its brightness: for low and for high contrast."""

CONTRAST = Ramp(4, 8)
"""Whether a photo has contrast, by the ratio of its 99 % quantile to its median."""

NIGHT_AREA = Ramp(0.25, 0.45)
"""Whether a photo is a night scene, by the share of its area that is black."""

NIGHT_LIGHTS = Ramp(0.2, 0.4)
"""Whether a night scene has highlights, which can be small: by the 99.9 % quantile."""

BLACK = 0.02
"""Brightness below which a pixel is black."""

DARK = Ramp(0.08, 0.16)
"""Range of brightness in which a pixel stops counting as dark."""

DARK_AREA = Ramp(0.08, 0.2)
"""Shadows open by the dark share of the area, smooth surfaces not counted."""

LEAST_AREA = 0.1
"""Lower bound of the share of the area that is not smooth surface."""

WELL_EXPOSED_AREA, BACKLIT_AREA = 0.05, -0.04
"""How much more of the area has to be dark: in a well-exposed photo (`NEARLY`), in a backlit one."""

BACKLIGHT, BRIGHT = Ramp(0.35, 0.5), 0.6
"""Whether a photo is backlit, by the share of its area that is brighter than `BRIGHT`."""

SHADOWS = Ramp(0.1, 0.45)
"""Range of brightness in which a pixel stops counting as shadow."""

SHADOW_LEVEL = 0.2
"""The mean, in [0, 1], towards which shadows open."""

OPENING, NIGHT_OPENING = 0.36, 0.3
"""How far the root of the shadows' mean moves towards that of `SHADOW_LEVEL`: by day, in a night scene."""

STEEPEST, NIGHT_STEEPEST, DIM_STEEPEST = 3.0, 2.2, 30.0
"""The largest slope of the tones, which amplifies noise: by day, in a night scene, without highlights."""

COLOUR_FLOOR = 0.012
"""Noise, in [0, 1], assumed for shadow colours in a photo with highlights, so that lifted blacks gain no cast."""

DETAIL = Ramp(0.015, 0.045)
"""Whether a pixel is detail, by the standard deviation of the root of brightness in the 5x5 pixels around it."""

DETAIL_AREA = Ramp(0.25, 0.65)
"""Whether pixels of one brightness show detail, by their share of detail; if not, they are a smooth surface."""

SURFACE, NIGHT_SURFACE = Ramp(0.06, 0.16), Ramp(0.12, 0.3)
"""Range of brightness above which smooth surfaces get light as well: by day, in a night scene."""

LIT_OF_DARK, LIT_OF_BRIGHT = Ramp(0.5, 1.2), Ramp(0.2, 0.65)
"""Range of brightness above which lit parts keep their tone: in a dark photo, in a bright one (`LIT_MEAN`)."""

LIT_MEAN = Ramp(0.15, 0.35)
"""Range of the mean above which a photo with highlights counts as bright."""

MIDTONES = 0.033
"""Strength that the midtones of a flat photo get."""

FLAT = Ramp(0.1, 0.15)
"""Whether a photo with highlights is flat, by the 10 % quantile of its brightness."""

NEARLY = Ramp(0.36, 0.4)
"""Range of the mean above which a photo counts as well exposed."""


@dataclasses.dataclass(frozen=True)
class Light:
    """The light that a photo is to get.

    Attributes:
        amount: One strength for the whole photo, in [0, 1]: the input of a network that sees the whole photo.
        shares: Float64 (KNOTS,) in [0, 1]: the part of the network's strength that each brightness gets.
        added: Float64 (KNOTS,) in [0, 1]: strengths added to the network's.
        most: The largest mean that the photo may reach, in [0, 1].
        held: Degree, in [0, 1], to which tones below the photo's noise stay black.
        steepest: The largest slope of the tones, and so the largest factor on noise.
        colour_floor: Lower bound of the noise of colours, in [0, 1], as `curves.brightening` takes it.
    """

    amount: float
    shares: np.ndarray
    added: np.ndarray
    most: float
    held: float
    steepest: float = math.inf
    colour_floor: float = 0.0

    @property
    def nothing(self) -> bool:
        """Whether the photo stays as it is."""
        return self.amount < 1 / 256 and not self.added.any()


def light(small: np.ndarray, look: Look) -> Light:
    """How much light a photo wants.

    Args:
        small: uint8 (height, width, 3), RGB: a small copy of the photo.
        look: `natural` or `bright`.
    """
    of_look = _natural if look == "natural" else _bright
    return of_look(cv2.split(small), pixels.brightest(small), metrics.mean(small))


def _bright(channels: Sequence[np.ndarray], brightest: np.ndarray, mean: float) -> Light:
    night = NIGHT_AREA.at(float(np.mean(brightest <= 1)))
    amount = _strength(channels, brightest, _IS_LIT, even_aim(mean))
    return Light(amount, np.ones(KNOTS), np.zeros(KNOTS), NIGHT[0] + NIGHT[1] * mean, night)


def _natural(channels: Sequence[np.ndarray], brightest: np.ndarray, mean: float) -> Light:
    area = np.bincount(brightest.ravel(), None, 256) / brightest.size  # of each brightness
    blackest, dark, median, high, highest = np.searchsorted(np.cumsum(area), [0.01, 0.1, 0.5, 0.99, 0.999]) / 255
    night = NIGHT_AREA.at(area @ (_LEVELS < BLACK))
    contrast = CONTRAST.at(high / max(median, 1 / 255))
    highlights = max(
        HIGHLIGHTS.towards(HIGHLIGHTS_OF_CONTRAST, contrast).at(high),
        NIGHT_LIGHTS.at(highest) * night,
    )
    nearly = NEARLY.at(mean)

    aim = even_aim(mean, DIM_LEVEL, DIM_NIGHT)
    everything = _strength(channels, brightest, _IS_LIT, aim)

    surface = (1 - _detail(brightest)) * (1 - SURFACE.towards(NIGHT_SURFACE, night).at(KNOT_BRIGHTNESS))
    shows = LEVEL_WEIGHTS @ (1 - surface)

    backlight = BACKLIGHT.at(area @ (_LEVELS > BRIGHT))
    more = BACKLIT_AREA * backlight + WELL_EXPOSED_AREA * nearly * (1 - backlight)
    opening = DARK_AREA.at(area @ (_IS_DARK * shows) / max(area @ shows, LEAST_AREA) - more) * (
        OPENING + night * (NIGHT_OPENING - OPENING)
    )
    opened = _strength(channels, brightest, _IS_SHADOW * shows, SHADOW_LEVEL, opening)

    lit = LIT_OF_DARK.towards(LIT_OF_BRIGHT, LIT_MEAN.at(mean)).at(KNOT_BRIGHTNESS)
    midtones = Ramp(0.7 * blackest, blackest + 0.6).at(KNOT_BRIGHTNESS) * (1 - Ramp(0.4, 1).at(KNOT_BRIGHTNESS))
    steepest = STEEPEST + night * (NIGHT_STEEPEST - STEEPEST)
    return Light(
        amount=(1 - highlights) * everything + highlights * opened,
        shares=(1 - highlights * surface) * (1 - highlights * lit),
        added=MIDTONES * highlights * FLAT.at(dark) * (1 - nearly) * midtones,
        most=aim + highlights * (1 - aim),
        held=highlights,
        steepest=DIM_STEEPEST ** (1 - highlights) * steepest**highlights,
        colour_floor=COLOUR_FLOOR * highlights,
    )


def _detail(brightest: np.ndarray) -> np.ndarray:
    """Float64 (KNOTS,): whether pixels of a knot's brightness show detail; 1 if the photo has hardly any such pixels.

    Args:
        brightest: uint8 (height, width): the largest channel.
    """
    root = _ROOTS[brightest]
    mean = cv2.blur(root, (5, 5))
    deviation = np.sqrt(np.maximum(cv2.blur(root * root, (5, 5)) - mean * mean, 0))
    levels = brightest.ravel()
    detail = DETAIL.at(deviation.ravel())
    area, of_detail = (_neighbours(np.bincount(levels, values, 256) @ LEVEL_WEIGHTS) for values in (None, detail))
    return np.where(area < 1, 1.0, DETAIL_AREA.at(of_detail / np.maximum(area, 1)))


def _neighbours(values: np.ndarray) -> np.ndarray:
    """Smoothed over neighbouring knots."""
    return np.convolve(np.pad(values, 1, mode="edge"), (0.25, 0.5, 0.25), mode="valid")


def _strength(
    channels: Sequence[np.ndarray], brightest: np.ndarray, counts: np.ndarray, aim: float, part: float = 1.0
) -> float:
    """The one strength that brings the mean of weighted pixels to an aim, by bisection over their histogram.

    Args:
        channels: Red, green and blue, uint8 (height, width).
        brightest: The largest of them, likewise.
        counts: Float64 (256,): weight of a pixel, by its largest channel.
        aim: The mean, in [0, 1].
        part: How far the root of the mean moves towards the root of the aim, in [0, 1].
    """
    weights = counts[brightest].ravel()
    histogram = np.sum([np.bincount(channel.ravel(), weights, 256) for channel in channels], axis=0)
    total = float(histogram.sum())
    mean = float(histogram @ _LEVELS) / total if total else 1.0
    if mean >= aim or not part:
        return 0.0
    aim = (mean**0.5 + part * (aim**0.5 - mean**0.5)) ** 2
    low, high = 0.0, MAX_EVEN
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if float(histogram @ tone(_LEVELS, middle)) > aim * total else (middle, high)
    return low


_LEVELS = np.arange(256) / 255
_ROOTS = np.sqrt(_LEVELS).astype(np.float32)
_IS_LIT = np.clip(np.arange(256) - 1.0, 0, 1)  # 0 is black, and so is 1 of 255
_IS_DARK = 1 - DARK.at(_LEVELS)
_IS_SHADOW = _IS_LIT * (1 - SHADOWS.at(_LEVELS))
