"""PSNR and SSIM of ways to brighten an image, against a well-exposed photograph of the same scene."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from zerodce import metrics, pixels

METHODS = ("input", "autocontrast", "gamma", "model")
GAMMA = 0.4
SCORES = (*(f"psnr_{method}_db" for method in METHODS), *(f"ssim_{method}" for method in METHODS))

Row = dict[str, float]


def brightened(image: np.ndarray, enhance: Callable[[np.ndarray], np.ndarray]) -> dict[str, np.ndarray]:
    """An image as it is, and as each method brightens it.

    Args:
        image: uint8 (height, width, 3), RGB.
        enhance: The model, from such an image to its enhanced one.

    Returns:
        An image like the input for each of `METHODS`.
    """
    levels = (np.arange(256) / 255) ** GAMMA
    return {
        "input": image,
        "autocontrast": pixels.autocontrast(image),
        "gamma": pixels.to_uint8(levels)[image],
        "model": enhance(image),
    }


def score(images: Mapping[str, np.ndarray], reference: np.ndarray) -> Row:
    """PSNR in dB and SSIM of images against a reference, as they are: nothing is scaled or matched in brightness.

    Args:
        images: uint8 (height, width, 3) by method.
        reference: Like the images.

    Returns:
        The values of `SCORES`.
    """
    values = [measure(images[method], reference) for measure in (metrics.psnr, metrics.ssim) for method in METHODS]
    return dict(zip(SCORES, values, strict=True))


def mean(rows: Sequence[Mapping[str, Any]]) -> Row:
    """The mean over images of each of `SCORES`; every image counts alike, whatever its size."""
    return {name: float(np.mean([row[name] for row in rows])) for name in SCORES}
