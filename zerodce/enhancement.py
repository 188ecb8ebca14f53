"""A model applied to photos: curves estimated on a small copy, or on every pixel, and applied at full size."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import cv2
import keras
import numpy as np

from zerodce.curves import apply_curves, brighten, merge_channels
from zerodce.denoising import amplification, smooth
from zerodce.exposure import find_factor
from zerodce.noise import estimate_noise
from zerodce.pixels import on_pixels

CurveSize = int | Literal["auto", "full"]
"""Where the curves are estimated: "full", the network sees every pixel; or the long side of a small copy in pixels."""

Exposure = float | Literal["auto"]
"""The mean brightness to aim at, in [0, 1]; `zerodce.exposure` says what "auto" does, and the bounds."""

Denoise = float | Literal["auto", "off"]
"""How much of the noise that the curves add is taken out: a number multiplies what "auto" does."""

AUTO_CURVE_SIZE = 128
"""Long side of the small copy in pixels; docs/curve-size.md has the measurement behind it."""

HALO = 7
"""How many pixels around a pixel the network sees: seven 3x3 convolutions."""

TILE = 512
"""Side of the tiles in which the network sees every pixel of a photo."""


@dataclasses.dataclass(frozen=True)
class Curves:
    """What was estimated for one photo.

    Attributes:
        maps: Float32 (height, width, 24) in [-1, 1], of the small copy, scaled by `strength`.
        strength: The factor of the network's parameters: the model's own times that of `zerodce.exposure`.
        exposure: Mean brightness of the enhanced small copy, in [0, 1].
        amplified: How much noise they add to the photo's, as `zerodce.denoising.amplification` returns it.
    """

    maps: np.ndarray
    strength: float
    exposure: float
    amplified: np.ndarray


def small_size(height: int, width: int, long_side: int) -> tuple[int, int]:
    """Height and width with the longer side at most `long_side`: never enlarged, aspect kept, at least 1."""
    scale = min(1.0, long_side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


class Enhancer:
    """Applies a model to photos of any size.

    Args:
        model: A `ZeroDCE`.
        curve_size: Where the curves are estimated: "auto", "full" (the network sees every pixel), or the long
            side of a small copy in pixels.
        exposure: "auto", or the mean brightness to aim at, in [0, 1]; `zerodce.exposure` says how, and its bounds.
        denoise: "auto" takes out the noise that the curves add, "off" nothing; a number multiplies what `auto` does.
    """

    def __init__(
        self,
        model: keras.Model,
        curve_size: CurveSize = "auto",
        exposure: Exposure = "auto",
        denoise: Denoise = "auto",
    ) -> None:
        self.model = model
        self.network = model.network
        self.network.jit_compile = False  # oneDNN is faster than XLA on a CPU, and compiles nothing per shape
        self.full = curve_size == "full"
        self.curve_size = AUTO_CURVE_SIZE if isinstance(curve_size, str) else curve_size
        self.exposure = exposure
        self.denoise = {"auto": 1.0, "off": 0.0}[denoise] if isinstance(denoise, str) else float(denoise)

    def __call__(self, photo: np.ndarray) -> np.ndarray:
        """Enhances a photo: `estimate` on a small copy made here, then `apply`."""
        small = photo if photo.dtype == np.uint8 else (photo // 257).astype(np.uint8)
        height, width = small_size(small.shape[0], small.shape[1], self.curve_size)
        small = cv2.resize(small, (width, height), interpolation=cv2.INTER_AREA)
        if photo.shape[2] == 1:
            small = cv2.cvtColor(small, cv2.COLOR_GRAY2RGB)
        return self.apply(photo, self.estimate([small])[0])

    def estimate(self, small_copies: Sequence[np.ndarray]) -> list[Curves]:
        """Estimates the curves of photos; small copies of one shape go through the network together.

        Args:
            small_copies: uint8 (height, width, 3), RGB, each of any size.
        """
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for index, small in enumerate(small_copies):
            by_shape.setdefault(small.shape, []).append(index)
        maps: dict[int, np.ndarray] = {}
        for indices in by_shape.values():
            batch = np.stack([small_copies[index] for index in indices])
            maps |= dict(zip(indices, self._maps(batch), strict=True))
        return [self._expose(small, maps[index]) for index, small in enumerate(small_copies)]

    def apply(self, photo: np.ndarray, curves: Curves) -> np.ndarray:
        """Applies curves to a photo at full size, and takes out the noise that they add.

        Args:
            photo: uint8 or uint16 (height, width, 3 or 1), RGB or grey, the full range of its type.
            curves: What `estimate` made of its small copy.

        Returns:
            The enhanced photo, shaped and typed as `photo`.
        """
        if self.full:
            enhanced = self._brighten_tiles(photo, curves)
        else:
            enhanced = brighten(photo, _fit_channels(curves.maps, photo))
        if not self.denoise or not curves.amplified.any():
            return enhanced
        return smooth(enhanced, estimate_noise(photo).with_coding(), curves.amplified, self.denoise)

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
                maps, pixels = _fit_channels(maps[inner], photo), seen[inner][..., :channels]
                enhanced[top : top + TILE, left : left + TILE] = apply_curves(pixels, maps) * levels + 0.5
        return enhanced

    def _maps(self, images: np.ndarray) -> np.ndarray:
        """The network's maps for a batch of uint8 images, or of float images in [0, 1]."""
        if images.dtype == np.uint8:
            images = images.astype(np.float32) / 255
        return np.asarray(self.network.predict_on_batch(images), np.float32)

    def _expose(self, small: np.ndarray, maps: np.ndarray) -> Curves:
        """Scales the network's maps as the model does, and then to the exposure aimed at."""
        image = small.astype(np.float32) / 255
        strength = float(self.model.strength(image[np.newaxis])[0])
        strength *= find_factor(small, maps * strength, self.exposure)
        maps = np.clip(maps * strength, -1, 1)
        exposure = float(apply_curves(image, maps).mean())
        return Curves(maps, strength, exposure, amplification(small, maps))


def _fit_channels(maps: np.ndarray, photo: np.ndarray) -> np.ndarray:
    return maps if photo.shape[2] == 3 else merge_channels(maps)


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
        ValueError: The image is of another shape, or empty.
    """
    if model is None:
        from zerodce.pretrained import load_pretrained

        model = load_pretrained()
    return on_pixels(Enhancer(model, curve_size, exposure, denoise), image)
