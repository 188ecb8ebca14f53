"""What a network has to beat: the best constant, the best tone curve for all photos, and methods without a network."""

import cv2
import numpy as np

from zerodce.curves import tensors
from zerodce.curves.brightening import brighten
from zerodce.curves.tones import KNOTS, knot_weights, tables, tone
from zerodce.images.fusion import fuse
from zerodce.inference.networks import CONTEXT
from zerodce.training import teacher

TONE_CURVE = np.array([0.71, 0.73, 0.90, 1.07, 1.20, 1.23, 1.20, 1.16, 1.12, 1.07, 1.03, 1.03, 1.09, 1.22, 1.39, 1.47])
"""Strengths at the knots in multiples of the even strength: the best single set for all photos.

The mean of `own_multiples` over the training photos; `python -m benchmarks.tone_curve` prints it.
"""


def constant(image: np.ndarray) -> np.ndarray:
    """One strength for all pixels, the even strength of `zerodce.training.teacher`: the best constant.

    Args:
        image: uint8 (height, width, 3), RGB. The other methods here take the same.

    Returns:
        An image like the input. The other methods here return the same.
    """
    return _by_multiples(image, np.ones(KNOTS))


def tone_curve(image: np.ndarray) -> np.ndarray:
    """One tone curve for all photos, `TONE_CURVE`, scaled by the even strength of the photo."""
    return _by_multiples(image, TONE_CURVE)


def own_curve(image: np.ndarray) -> np.ndarray:
    """The photo's own tone curve, read from its own fusion at 128x128 pixels: no training, no network."""
    return _by_multiples(image, own_multiples(_context(image)))


def own_fusion(image: np.ndarray) -> np.ndarray:
    """The photo's own brightened versions, fused at full size: the target of `training.teacher`, with hue kept."""
    strength = _even_strength(_context(image))
    versions = [brighten(image, np.full((1, 1, 256, 1), min(1.0, factor * strength))) for factor in teacher.VERSIONS]
    return np.rint(fuse(versions, 0, 0, 1) * 255).astype(np.uint8)


def own_multiples(context: np.ndarray, share: float = 1.0) -> np.ndarray:
    """The tone curve that comes nearest to the teacher's target, by Gauss-Newton.

    Args:
        context: Float (height, width, 3) in [0, 1]: a small copy of a photo.
        share: Share of the fusion, as in `zerodce.training.teacher.target`.

    Returns:
        Float (KNOTS,): strengths at the knots, in multiples of the photo's even strength; all 1 where that is 0.
    """
    even = _even_strength(context)
    if not even:
        return np.ones(KNOTS)
    target = np.asarray(
        teacher.target(context[np.newaxis], np.full((1, 1, 1, 1), even, np.float32), share), np.float64
    )[0].reshape(-1, 3)
    weights = knot_weights(context.max(axis=2)).astype(np.float64).reshape(-1, KNOTS)
    pixels = context.reshape(-1, 3).astype(np.float64)
    steps = np.diff(np.eye(KNOTS), axis=0)
    smoothness = 1e-3 * len(pixels) * steps.T @ steps + 1e-6 * np.eye(KNOTS)
    strengths = np.full(KNOTS, even)
    for _ in range(5):
        here = (weights @ strengths)[:, np.newaxis]
        slope = (tone(pixels, here + 1e-3) - tone(pixels, here - 1e-3)) / 2e-3
        wanted = (slope * (target - tone(pixels, here))).sum(axis=1)
        normal = weights.T @ (weights * (slope**2).sum(axis=1, keepdims=True)) + smoothness
        strengths = strengths + np.linalg.solve(normal, weights.T @ wanted - smoothness @ strengths)
        strengths = np.clip(strengths, 0, 1)
    return strengths / even


def _by_multiples(image: np.ndarray, multiples: np.ndarray) -> np.ndarray:
    strengths = np.clip(multiples * _even_strength(_context(image)), 0, 1)
    return brighten(image, tables(strengths[np.newaxis, np.newaxis, :, np.newaxis]))


def _context(image: np.ndarray) -> np.ndarray:
    small = cv2.resize(image, (CONTEXT, CONTEXT), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / 255


def _even_strength(context: np.ndarray) -> float:
    return float(np.ravel(tensors.even_strength(context[np.newaxis]))[0])
