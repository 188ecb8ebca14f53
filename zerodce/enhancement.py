"""A model applied to photos: curves estimated on a small copy, or on every pixel, and applied at full size."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Literal

import cv2
import keras
import numpy as np

from zerodce import metrics
from zerodce.curves import apply_curves, brighten, surroundings
from zerodce.denoising import amplification, smooth
from zerodce.exposure import find_factor
from zerodce.network import knots_of
from zerodce.noise import estimate_noise
from zerodce.pixels import on_pixels, small_copy
from zerodce.tones import grid_of, tables

CurveSize = int | Literal["auto", "full"]
"""Long side, in pixels, of the small copy that the curves are estimated on; "full": the network sees every pixel."""

Exposure = float | Literal["auto"]
"""The mean brightness to aim at, in [0, 1]; `zerodce.exposure` says what "auto" does, and the bounds."""

Denoise = float | Literal["auto", "off"]
"""How much of the noise that the curves add is taken out: a number multiplies what "auto" does."""

AUTO_CURVE_SIZE = 128
"""Long side of the small copy in pixels; docs/curve-size.md has the measurement behind it."""

BLACK = (0.25, 0.45)
"""Share of a photo's area, black to a step of 255, from which on it is a night before nothing, partly and wholly."""

STEPS = 256
"""Strengths of a tone network are rounded to so many steps: what threads sum in another order makes no other photo."""

HALO = 7
"""How many pixels around a pixel the network sees: seven 3x3 convolutions."""

CELLS = 8
"""Cells along each side of a photo for whose strengths the maps of a small copy are read."""

TILE = 512
"""Side of the tiles in which the network sees every pixel of a photo."""


@dataclasses.dataclass(frozen=True)
class Curves:
    """What was estimated for one photo.

    Attributes:
        grid: Float (rows, columns, 16, 1 or 3): strengths by place and brightness, as `zerodce.tones` has them.
        strength: The factor that they hold already: the model's own times that of `zerodce.exposure`.
        exposure: Mean brightness of the enhanced small copy, in [0, 1].
        black: Degree, in [0, 1], to which the photo is a night before nothing; what lies below its noise stays black.
        noise_gain: Noise that the curves add to the photo's, as `zerodce.denoising.amplification` returns it.
        around: `zerodce.curves.surroundings` of the photo; none for a network that gives each place its own strengths.
    """

    grid: np.ndarray
    strength: float
    exposure: float
    black: float
    noise_gain: np.ndarray
    around: np.ndarray | None = None


class Enhancer:
    """Applies a model to photos of any size.

    Args:
        model: A `ZeroDCE`.
        curve_size: Long side, in pixels, of the small copy that the curves are estimated on; "auto"; or "full": the
            network sees every pixel.
        exposure: Mean brightness aimed at, in [0, 1], or "auto"; `zerodce.exposure` says how, and its bounds.
        denoise: "auto" takes out the noise that the curves add, "off" nothing; a number multiplies what `auto` does.

    Raises:
        ValueError: One of them is none of these.
    """

    def __init__(
        self,
        model: keras.Model,
        curve_size: CurveSize = "auto",
        exposure: Exposure = "auto",
        denoise: Denoise = "auto",
    ) -> None:
        if not (curve_size in ("auto", "full") or (isinstance(curve_size, int) and curve_size >= 1)):
            raise ValueError(f'a curve size is "auto", "full" or a number of pixels from 1, not {curve_size!r}')
        if not (exposure == "auto" or (not isinstance(exposure, str) and 0 <= exposure <= 1)):
            raise ValueError(f'an exposure is "auto" or a mean from 0 to 1, not {exposure!r}')
        if not (denoise in ("auto", "off") or (not isinstance(denoise, str) and 0 <= denoise < math.inf)):
            raise ValueError(f'denoise is "auto", "off" or a number from 0, not {denoise!r}')
        self.model = model
        self.network = model.network
        self.network.jit_compile = False  # oneDNN is faster than XLA on a CPU, and compiles nothing per shape
        self.knots = knots_of(self.network)
        self.full = curve_size == "full" and self.knots is None  # strengths at knots are read at every pixel anyway
        self.curve_size = AUTO_CURVE_SIZE if isinstance(curve_size, str) else curve_size
        self.exposure = exposure
        self.denoise = {"auto": 1.0, "off": 0.0}[denoise] if isinstance(denoise, str) else float(denoise)

    def __call__(self, photo: np.ndarray) -> np.ndarray:
        """Enhances a photo: `estimate` on its small copy, then `apply`."""
        (curves,) = self.estimate([small_copy(photo, self.curve_size)])
        return self.apply(photo, curves)

    def estimate(self, small_copies: Sequence[np.ndarray]) -> list[Curves]:
        """Estimates the curves of photos, each by itself: sums of a batch are rounded in another order.

        Args:
            small_copies: uint8 (height, width, 3), RGB, each of any size.
        """
        return [self._expose(small, self._grid(small)) for small in small_copies]

    def apply(self, photo: np.ndarray, curves: Curves) -> np.ndarray:
        """Applies curves to a photo at full size, and takes out the noise that they add.

        Args:
            photo: uint8 or uint16 (height, width, 3 or 1), RGB or grey, the full range of its type.
            curves: Result of `estimate` for its small copy.

        Returns:
            The enhanced photo, shaped and typed as `photo`.
        """
        if not curves.grid.any():
            return photo.copy()
        filtered = bool(self.denoise) and bool(curves.noise_gain.any())
        noise = estimate_noise(photo) if filtered or curves.black else None
        if self.full:
            enhanced = self._brighten_tiles(photo, curves)
        else:
            grid = curves.grid if photo.shape[2] == 3 else curves.grid.mean(axis=3, keepdims=True)
            applied = tables(grid, curves.black * noise.floor() / 255 if noise else 0.0)
            enhanced = brighten(photo, applied, curves.around)
        if noise is None or not filtered:
            return enhanced
        noise_gain = curves.noise_gain
        if curves.black and not self.full:  # what is held back lower down rises the more steeply
            grey = np.rint(noise.luminance).astype(np.uint8)[..., np.newaxis]
            noise_gain = amplification(np.repeat(grey, 3, axis=2), applied, curves.around)
        return smooth(enhanced, noise.with_coding(), noise_gain, self.denoise)

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
                maps = np.clip(self._maps(seen[np.newaxis])[0] * curves.strength, -1, 1)
                inner = np.s_[above : above + TILE, before : before + TILE]
                maps, pixels = maps[inner], seen[inner]
                made = (apply_curves(pixels, maps) * levels + 0.5)[..., :channels]
                enhanced[top : top + TILE, left : left + TILE] = made
        return enhanced

    def _maps(self, images: np.ndarray) -> np.ndarray:
        """The network's maps for a batch of float images in [0, 1]."""
        return np.asarray(self.network.predict_on_batch(images), np.float32)

    def _grid(self, small: np.ndarray) -> np.ndarray:
        """The strengths that the model gives to a small copy."""
        image = small[np.newaxis].astype(np.float32) / 255
        if self.knots is None:
            return grid_of(image[0], self._maps(image)[0] * float(self.model.strength(image)[0]), CELLS)
        strengths = np.asarray(self.knots.predict_on_batch(image), np.float64)[0]
        return (np.rint(strengths * STEPS) / STEPS)[np.newaxis, np.newaxis, :, np.newaxis]

    def _expose(self, small: np.ndarray, grid: np.ndarray) -> Curves:
        """Scales the model's strengths to the exposure aimed at."""
        if not grid.any():
            return Curves(grid, 0.0, metrics.mean(small), 0.0, np.zeros((1, 1), np.float32))
        black = blackness(small)
        around = None if self.knots is None else surroundings(small)
        factor = find_factor(small, grid, self.exposure, self.knots is not None, around)
        applied = tables(grid * factor)
        exposure = metrics.mean(brighten(small, applied, around))
        strength = factor
        if self.knots is None:
            strength *= float(self.model.strength(small[np.newaxis].astype(np.float32) / 255)[0])
        noise_gain = amplification(small, applied, around)
        return Curves(grid * factor, strength, exposure, black, noise_gain, around)


def blackness(small: np.ndarray) -> float:
    """How far a photo is a night before nothing: lights, and black around them.

    Args:
        small: uint8 (height, width, 3), RGB: a small copy of the photo.

    Returns:
        From 0, less than a share of `BLACK` of the area is black, to 1.
    """
    red, green, blue = cv2.split(small)
    share = float(np.mean(cv2.max(cv2.max(red, green), blue) <= 1))
    return float(np.clip((share - BLACK[0]) / (BLACK[1] - BLACK[0]), 0, 1))


def enhance(
    image: np.ndarray,
    *,
    model: keras.Model | None = None,
    curve_size: CurveSize = "auto",
    exposure: Exposure = "auto",
    denoise: Denoise = "auto",
) -> np.ndarray:
    """Brightens one image.

    Args:
        image: (height, width, 3) RGB or (height, width) grey; uint8, uint16, or float in [0, 1]. Not changed.
        model: A `ZeroDCE`; the shipped one if None.
        curve_size: As in `Enhancer`.
        exposure: As in `Enhancer`.
        denoise: As in `Enhancer`.

    Returns:
        The enhanced image, shaped, typed and ranged as `image`.

    Raises:
        TypeError: The image is of another type.
        ValueError: The image is of another shape, or empty; or an option is none of those that `Enhancer` takes.
    """
    if model is None:
        model = _shipped()
    return on_pixels(Enhancer(model, curve_size, exposure, denoise), image)


@functools.cache
def _shipped() -> keras.Model:
    """The shipped model, loaded once in a process."""
    from zerodce.pretrained import load_pretrained

    return load_pretrained()
