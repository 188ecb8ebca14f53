"""Previews of one photo with several settings: the whole photo at a small size, and its noisiest part at full size."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from pipelines import photos
from pipelines.photos.pixels import eight_bit_values, image_of
from pipelines.settings import Application
from pipelines.threads import ordered_map
from zerodce.applying.enhancement import Denoise, Enhancer
from zerodce.applying.looks import Look
from zerodce.images import metrics, pixels
from zerodce.inference.model import shipped

STRENGTHS = (0.5, 1.0, 1.5)
NOISE: tuple[Denoise, ...] = ("auto", "off")
LOOKS: tuple[Look, ...] = ("natural", "bright")

CHOICES = tuple(
    Application(look=look, denoise=denoise, strength=strength)
    for look in LOOKS
    for denoise in NOISE
    for strength in STRENGTHS
)
"""The settings that are tried, row by row of the page."""

PART = (480, 320)
"""Width and height, in pixels of the photo, of the part that is shown at full size."""

_WHOLE_QUALITY, _PART_QUALITY = 80, 98  # of the JPEG files; below 98, the coding changes the noise by more than 5 %


class Picture(NamedTuple):
    """One version of a photo.

    Attributes:
        whole: JPEG of the whole photo, at most `zerodce.images.pixels.PREVIEW` pixels long, in sRGB.
        part: JPEG of the part at full size, in sRGB.
        mean: Mean brightness of the whole photo, in [0, 1].
        changed: Whether any pixel differs from the original.
    """

    whole: bytes
    part: bytes
    mean: float
    changed: bool


class Previews(NamedTuple):
    """The original and the enhanced versions of a photo.

    Attributes:
        width: Width of the upright photo, in pixels.
        height: Height of the upright photo, in pixels.
        original: The original.
        enhanced: The enhanced versions, in the order of the settings.
    """

    width: int
    height: int
    original: Picture
    enhanced: list[Picture]


def previews(content: bytes, path: str, choices: Sequence[Application] = CHOICES) -> Previews:
    """Enhances a photo with each of several settings.

    Every version is made at full size, as `zerodce enhance` makes it. Then it is shrunk, and a part is cut out of it.

    Args:
        content: The file.
        path: Name of the file.
        choices: The settings.

    Raises:
        PhotoError: The photo cannot be read or enhanced.
    """
    photo = photos.load(content, path)
    original = photo.pixels
    with photos.failing_as("model"):
        part = noisy_part(original)

        def pictured(choice: Application | None) -> Picture:
            made = original if choice is None else _enhancer(choice)(original)
            return _picture(made, part, photo.metadata.icc_profile, changed=not np.array_equal(made, original))

        before, *after = ordered_map(pictured, [None, *choices], os.cpu_count() or 1, ahead=1)
    return Previews(original.shape[1], original.shape[0], before, after)


def noisy_part(original: np.ndarray) -> tuple[slice, slice]:
    """The part of a photo from which the noise filter removes the most: there the noise of the darkness shows.

    Args:
        original: Pixels of the photo, uint8 or uint16 (height, width, 3 or 1).

    Returns:
        Rows and columns, at most `PART` pixels wide and high.
    """
    height, width = original.shape[:2]
    size = min(PART[0], width), min(PART[1], height)
    for look in LOOKS:
        filtered, kept = (
            eight_bit_values(_enhancer(choice)(original))
            for choice in (Application(look=look, denoise="auto"), Application(look=look, denoise="off"))
        )
        removed = cv2.absdiff(filtered, kept).reshape(original.shape).mean(axis=2, dtype=np.float32)
        if removed.any():
            break
    sums = cv2.boxFilter(removed, cv2.CV_32F, size, anchor=(0, 0), borderType=cv2.BORDER_REPLICATE)
    inside = sums[: height - size[1] + 1, : width - size[0] + 1]
    top, left = map(int, np.unravel_index(np.argmax(inside), inside.shape))
    return slice(top, top + size[1]), slice(left, left + size[0])


def _enhancer(choice: Application) -> Enhancer:
    return Enhancer(shipped(), look=choice.look, denoise=choice.denoise, strength=choice.strength)


def _picture(made: np.ndarray, part: tuple[slice, slice], icc_profile: bytes, changed: bool) -> Picture:
    small, cut = pixels.preview(made), np.ascontiguousarray(eight_bit_values(made[part]))
    return Picture(
        photos.encode_small(photos.to_srgb(image_of(small), icc_profile), _WHOLE_QUALITY),
        photos.encode_small(photos.to_srgb(image_of(cut), icc_profile), _PART_QUALITY, full_colour=True),
        metrics.mean(small),
        changed,
    )
