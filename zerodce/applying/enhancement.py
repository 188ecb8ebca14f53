"""Applies a model to photos: estimates curves on a small copy or on every pixel, and applies them at full size."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from zerodce.applying import looks
from zerodce.applying.denoising import amplification, smooth
from zerodce.applying.looks import Light, Look
from zerodce.applying.noise import estimate_noise
from zerodce.curves.brightening import brighten, surroundings
from zerodce.curves.exposure import find_factor
from zerodce.curves.tones import KNOTS, apply_curves, tables
from zerodce.images import metrics
from zerodce.images.pixels import on_pixels, small_copy
from zerodce.inference.model import CurveModel, shipped

if TYPE_CHECKING:
    from zerodce.training.model import ZeroDCE

CurveSize = int | Literal["auto", "full"]
"""Long side, in pixels, of the small copy that the curves are estimated on; "full": the network sees every pixel."""

Exposure = float | Literal["auto"]
"""The mean brightness to aim at, in [0, 1]; `zerodce.curves.exposure` says what "auto" does, and the bounds."""

Denoise = float | Literal["auto", "off"]
"""How much of the noise that the curves add is removed: a number is a factor on "auto"."""

AUTO_CURVE_SIZE = 128
"""Long side of the small copy in pixels; docs/curve-size.md has the measurement behind it."""

MAX_STRENGTH = 2.0
"""The largest factor on the light that a photo gets."""

MAX_OF_BRIGHT = 1.25
"""The natural look uses at most this multiple of the output of a network that does not see the whole photo."""

STEPS = 256
"""Strengths of a tone network are rounded to 1/256, so the order in which threads add floats changes no photo."""

HALO = 7
"""Radius in pixels that the network sees around a pixel: seven 3x3 convolutions."""

TILE = 512
"""Side in pixels of the tiles in which the network sees every pixel of a photo."""


@dataclasses.dataclass(frozen=True)
class Curves:
    """What was estimated for one photo.

    Attributes:
        grid: Float (rows, columns, 16, 1 or 3): strengths by place and brightness, as `zerodce.curves.tones` has them.
        strength: Factor that `grid` already includes: of the model, of `curves.exposure`, and of the caller.
        exposure: Mean brightness of the enhanced small copy, in [0, 1].
        held: Degree, in [0, 1], to which tones below the photo's noise stay black.
        noise_gain: Noise that the curves add to the photo's, as `zerodce.applying.denoising.amplification` returns it.
        steepest: Largest slope of the tones, as `zerodce.curves.tones.tables` takes it.
        colour_floor: Lower bound of the noise of the colours, as `zerodce.curves.brightening.brighten` takes it.
        around: `surroundings` of the photo; None if the network gives each place its own strengths.
    """

    grid: np.ndarray
    strength: float
    exposure: float
    held: float
    noise_gain: np.ndarray
    steepest: float = math.inf
    colour_floor: float = 0.0
    around: np.ndarray | None = None

    @classmethod
    def of_nothing(cls, small: np.ndarray) -> "Curves":
        """Curves that leave a photo as it is.

        Args:
            small: Its small copy, uint8 (height, width, 3).
        """
        return cls(np.zeros((1, 1, KNOTS, 1)), 0.0, metrics.mean(small), 0.0, np.zeros((1, 1), np.float32))


class Enhancer:
    """Applies a model to photos of any size.

    Args:
        model: A `zerodce.inference.model.CurveModel`, or a `ZeroDCE`, whose weights are copied; the shipped one if
            None.
        curve_size: Long side, in pixels, of the small copy that the curves are estimated on; "auto"; or "full": the
            network sees every pixel.
        exposure: Mean brightness to aim at, in [0, 1], or "auto"; `zerodce.curves.exposure` has the bounds.
        denoise: "auto" removes the noise that the curves add, "off" nothing; a number is a factor on "auto".
        strength: Factor on the light that a photo gets: 0 is the original, 2 the most. Below 1 no pixel gets brighter
            than at 1.
        look: "natural", what an owner would keep, or "bright", everything lit: `zerodce.applying.looks`.

    Raises:
        ValueError: An argument has another value.
    """

    def __init__(
        self,
        model: "CurveModel | ZeroDCE | None" = None,
        curve_size: CurveSize = "auto",
        exposure: Exposure = "auto",
        denoise: Denoise = "auto",
        strength: float = 1.0,
        look: Look = "natural",
    ) -> None:
        if not (curve_size in ("auto", "full") or (isinstance(curve_size, int) and curve_size >= 1)):
            raise ValueError(f'a curve size is "auto", "full" or a number of pixels from 1, not {curve_size!r}')
        if not (exposure == "auto" or (not isinstance(exposure, str) and 0 <= exposure <= 1)):
            raise ValueError(f'an exposure is "auto" or a mean from 0 to 1, not {exposure!r}')
        if not (denoise in ("auto", "off") or (not isinstance(denoise, str) and 0 <= denoise < math.inf)):
            raise ValueError(f'denoise is "auto", "off" or a number from 0, not {denoise!r}')
        if isinstance(strength, str) or not 0 <= strength <= MAX_STRENGTH:
            raise ValueError(f"a strength is a number from 0 to {MAX_STRENGTH:g}, not {strength!r}")
        if look not in get_args(Look):
            raise ValueError(f'a look is "natural" or "bright", not {look!r}')
        self.model = shipped() if model is None else CurveModel.of(model)
        self.sees_whole = self.model.sees_whole
        self.full = curve_size == "full" and not self.sees_whole  # strengths at knots are read at every pixel anyway
        self.curve_size = AUTO_CURVE_SIZE if isinstance(curve_size, str) else curve_size
        self.exposure = exposure
        self.strength = float(strength)
        self.look: Look = look
        self.denoise = {"auto": 1.0, "off": 0.0}[denoise] if isinstance(denoise, str) else float(denoise)

    def __call__(self, photo: np.ndarray) -> np.ndarray:
        """Enhances a photo: `estimate` on its small copy, then `apply`."""
        (curves,) = self.estimate([small_copy(photo, self.curve_size)])
        return self.apply(photo, curves)

    def estimate(self, small_copies: Sequence[np.ndarray]) -> list[Curves]:
        """Estimates the curves of photos, one by one: in a batch, sums would round differently.

        Args:
            small_copies: uint8 (height, width, 3), RGB, each of any size.
        """
        return [self._estimate(small) for small in small_copies]

    def apply(self, photo: np.ndarray, curves: Curves) -> np.ndarray:
        """Applies curves to a photo at full size, and removes the noise that they add.

        Args:
            photo: uint8 or uint16 (height, width, 3 or 1), RGB or grey, the full range of its type.
            curves: Result of `estimate` for its small copy.

        Returns:
            The enhanced photo, shaped and typed as `photo`.
        """
        if not curves.grid.any():
            return photo.copy()
        filtered = self.filters_noise(curves)
        noise = estimate_noise(photo) if filtered or curves.held else None
        if self.full:
            enhanced = self._brighten_tiles(photo, curves)
        else:
            grid = curves.grid if photo.shape[2] == 3 else curves.grid.mean(axis=3, keepdims=True)
            floor = noise.floor() / 255 if noise else 0.0
            applied = tables(grid, curves.held * floor, curves.steepest)
            enhanced = brighten(photo, applied, curves.around, max(floor, curves.colour_floor))
        if noise is None or not filtered:
            return enhanced
        noise_gain = curves.noise_gain
        if curves.held and not self.full:  # tones above the held-back ones rise more steeply
            grey = np.rint(noise.luminance).astype(np.uint8)[..., np.newaxis]
            noise_gain = amplification(np.repeat(grey, 3, axis=2), applied, curves.around)
        return smooth(enhanced, noise.with_coding(), noise_gain, self.denoise)

    def filters_noise(self, curves: Curves) -> bool:
        """Whether `apply` filters noise out of a photo with these curves."""
        return bool(self.denoise) and bool(curves.noise_gain.any())

    def _brighten_tiles(self, photo: np.ndarray, curves: Curves) -> np.ndarray:
        """Applies curves that the network estimates from every pixel of a photo, tile by tile."""
        enhanced = np.empty_like(photo)
        levels = np.iinfo(photo.dtype).max
        height, width, channels = photo.shape
        for top in range(0, height, TILE):
            for left in range(0, width, TILE):
                above, before = min(HALO, top), min(HALO, left)
                tile = photo[top - above : top + TILE + HALO, left - before : left + TILE + HALO]
                seen = np.broadcast_to(tile, (*tile.shape[:2], 3)).astype(np.float32) / levels
                maps = np.clip(self.model.forward(seen) * curves.strength, -1, 1)
                inner = np.s_[above : above + TILE, before : before + TILE]
                maps, pixels = maps[inner], seen[inner]
                made = apply_curves(pixels, maps) * levels + 0.5
                made = made if channels == 3 else made.mean(axis=2, keepdims=True)
                enhanced[top : top + TILE, left : left + TILE] = made
        return enhanced

    def _estimate(self, small: np.ndarray) -> Curves:
        """The curves of a small copy: the model's, scaled to what the photo wants and the caller asked for."""
        light = looks.light(small, self.look)
        amount = self._amount(small, light)
        grid = self._grid(small, light, amount)
        strength = 1.0 if self.sees_whole else amount
        if not self.strength or not grid.any():
            return Curves.of_nothing(small)
        around = surroundings(small) if self.sees_whole else None
        pull = self.look == "bright" and not self.sees_whole
        factor = self.strength * find_factor(
            small, grid, self.exposure, most=light.most, steepest=light.steepest, pull=pull, around=around
        )
        applied = tables(grid * factor, steepest=light.steepest)
        exposure = metrics.mean(brighten(small, applied, around, light.colour_floor))
        noise_gain = amplification(small, applied, around)
        return Curves(
            grid=grid * factor,
            strength=strength * factor,
            exposure=exposure,
            held=light.held,
            noise_gain=noise_gain,
            steepest=light.steepest,
            colour_floor=light.colour_floor,
            around=around,
        )

    def _amount(self, small: np.ndarray, light: Light) -> float:
        """The photo's light, for a network that sees the whole photo; otherwise a factor on the network's output."""
        if self.sees_whole:
            return light.amount
        factor = self.model.strength(metrics.mean(small))
        if self.look == "natural":
            everything = looks.light(small, "bright").amount
            factor *= min(MAX_OF_BRIGHT, light.amount / everything) if everything else 0.0
        return factor

    def _grid(self, small: np.ndarray, light: Light, amount: float) -> np.ndarray:
        """The strengths of a small copy, times the shares of the look."""
        if self.sees_whole and light.nothing:
            return np.zeros((1, 1, KNOTS, 1))
        grid = self.model.grid(small.astype(np.float32) / 255, amount)
        grid = grid * light.shares[:, np.newaxis]
        return np.rint((grid + light.added[:, np.newaxis]) * STEPS) / STEPS if self.sees_whole else grid


def enhance(
    image: np.ndarray,
    *,
    model: "CurveModel | ZeroDCE | None" = None,
    curve_size: CurveSize = "auto",
    exposure: Exposure = "auto",
    denoise: Denoise = "auto",
    strength: float = 1.0,
    look: Look = "natural",
) -> np.ndarray:
    """Brightens one image.

    Args:
        image: (height, width, 3) RGB or (height, width) grey; uint8, uint16, or float in [0, 1]. Not changed.
        model: As in `Enhancer`.
        curve_size: As in `Enhancer`.
        exposure: As in `Enhancer`.
        denoise: As in `Enhancer`.
        strength: As in `Enhancer`.
        look: As in `Enhancer`.

    Returns:
        The enhanced image, shaped, typed and ranged as `image`.

    Raises:
        TypeError: The image is of another type.
        ValueError: The image is of another shape, or empty; or `Enhancer` does not take an option.
    """
    return on_pixels(Enhancer(model, curve_size, exposure, denoise, strength, look), image)
