"""Ways to brighten an image, measured against a reference: a well-exposed photo of the scene."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from zerodce.evaluating import baselines
from zerodce.images import metrics, pixels

Method = Callable[[np.ndarray], np.ndarray]
"""Function from an image, uint8 (height, width, 3), RGB, to a brightened image like it."""

GAMMA = 0.4


def gamma(image: np.ndarray) -> np.ndarray:
    """Each channel to the power of `GAMMA`."""
    return pixels.to_uint8((np.arange(256) / 255) ** GAMMA)[image]


BASELINES: dict[str, Method] = {
    "input": lambda image: image,
    "autocontrast": pixels.autocontrast,
    "gamma": gamma,
    "constant": baselines.constant,
    "tone_curve": baselines.tone_curve,
    "own_curve": baselines.own_curve,
    "own_fusion": baselines.own_fusion,
}
"""Methods that a model is compared with. Another method is another entry."""

METHODS = (*BASELINES, "model")

MEASURES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], float]] = {
    "psnr_{}_db": lambda output, image, reference: metrics.psnr(output, reference),
    "ssim_{}": lambda output, image, reference: metrics.ssim(output, reference),
    "nearer_{}": lambda output, image, reference: float(
        metrics.psnr(output, reference) > metrics.psnr(image, reference)
    ),
    "clipped_{}": lambda output, image, reference: metrics.newly_clipped(image, output),
    "hue_{}_degrees": lambda output, image, reference: metrics.hue_rotation(image, output),
    "noise_{}": lambda output, image, reference: metrics.dark_noise(image, output),
}
"""Measures of a method's output, by their name in a table. Each takes output, input and reference."""

SCORES = tuple(measure.format(method) for measure in MEASURES for method in METHODS)

Row = dict[str, float]


def brightened(image: np.ndarray, model: Method) -> dict[str, np.ndarray]:
    """The output of each of `METHODS`, an image like the input."""
    return {name: method(image) for name, method in {**BASELINES, "model": model}.items()}


def score(images: Mapping[str, np.ndarray], reference: np.ndarray) -> Row:
    """Measures images as they are, without scaling or matching brightness.

    Args:
        images: uint8 (height, width, 3) by method, `input` among them.
        reference: Like the images.

    Returns:
        The values of `SCORES`, as `zerodce.images.metrics` defines them; NaN where there is nothing to measure.
    """
    return {
        name.format(method): measure(images[method], images["input"], reference)
        for name, measure in MEASURES.items()
        for method in METHODS
    }


def mean(rows: Sequence[Mapping[str, Any]]) -> Row:
    """The mean over images of each of `SCORES`, without NaNs. Images of any size count alike."""
    means = {}
    for name in SCORES:
        values = [row[name] for row in rows if not math.isnan(row[name])]
        means[name] = float(np.mean(values)) if values else math.nan
    return means
