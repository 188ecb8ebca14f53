"""The curves as backend-neutral ops on tensors, for networks and training."""

from keras import KerasTensor, ops

from zerodce.curves.brightening import EDGE, SURROUNDINGS
from zerodce.curves.exposure import APPROACH, LEVEL, MAX_EVEN, NIGHT, WELL_EXPOSED
from zerodce.curves.tones import KNOTS, POWER, SPAN, tone

BLACK = (1 / 255, 2 / 255)
"""A pixel counts as black up to the first brightness, and as lit from the second on. The mean of a night photo says
nothing about how bright its lit parts are, so black pixels do not count in it."""

_HALVINGS = 10


def knot_weights(brightness: KerasTensor) -> KerasTensor:
    """Weight of each knot for a brightness: linear between the two nearest, in the root of the brightness.

    Args:
        brightness: Float (...) in [0, 1].

    Returns:
        Float (..., KNOTS) that add up to 1.
    """
    position = ops.sqrt(brightness) * (KNOTS - 1)
    distance = ops.abs(ops.expand_dims(position, -1) - ops.arange(KNOTS, dtype=position.dtype))
    return ops.relu(1 - distance)


def read(images: KerasTensor, strengths: KerasTensor) -> KerasTensor:
    """The strength of each pixel, from the knots of its image.

    Args:
        images: Float (batch, height, width, 3) in [0, 1].
        strengths: Float (batch, KNOTS) in [0, 1].

    Returns:
        Float (batch, height, width, 1) in [0, 1].
    """
    weights = knot_weights(ops.max(images, axis=3))
    return ops.sum(weights * strengths[:, None, None, :], axis=3, keepdims=True)


def apply_strengths(images: KerasTensor, strengths: KerasTensor) -> tuple[KerasTensor, KerasTensor]:
    """Applies strengths at the knots like `brighten` with `surroundings`, except hue: training sees the applied curves.

    Args:
        images: Float (batch, height, width, 3) in [0, 1]; height and width are known.
        strengths: Float (batch, `zerodce.curves.tones.KNOTS`) in [0, 1].

    Returns:
        Strengths by the brightness around each pixel, float (batch, height, width, 1); and the enhanced images, like
        the input.
    """
    brightness = ops.max(images, axis=3, keepdims=True)
    root = ops.sqrt(brightness + 1e-9)
    side = max(images.shape[1:3]) // SURROUNDINGS | 1

    def average(values: KerasTensor) -> KerasTensor:
        """The mean over a square window, one axis after the other: 2 * `side` values a pixel, not `side**2`."""
        along_rows = ops.average_pool(values, (1, side), 1, "same", data_format="channels_last")
        return ops.average_pool(along_rows, (side, 1), 1, "same", data_format="channels_last")

    mean = average(root)
    variance = ops.relu(average(root * root) - mean * mean)
    slope = variance**2 / (variance**2 + EDGE**2)
    around = ops.clip(average(slope) * root + average(mean * (1 - slope)), 0, 1) ** 2
    own, other = read(brightness, strengths), read(around, strengths)
    made = tone(brightness, own)
    lifted = ops.minimum(tone(brightness, other), ops.maximum(made, _highest(brightness)))
    return other, tone(images, own) * lifted / (made + 1e-6)


def _highest(brightness: KerasTensor) -> KerasTensor:
    """`zerodce.curves.tones.highest` of a tensor, with a finite gradient at white."""
    return ops.maximum(1 - SPAN * (1 - brightness + 1e-9) ** POWER, brightness)


def even_strength(images: KerasTensor) -> KerasTensor:
    """The one strength that brings the lit parts of each image to the mean of a well-exposed photo, by bisection.

    The aim is a mean of `LEVEL`. It is less for a night scene (`curves.exposure.NIGHT`) and for a photo that is nearly
    bright enough: from a mean of `WELL_EXPOSED` on the photo stays as it is. Black pixels (`BLACK`) do not count in the
    mean that is reached. So lights in a black night become as bright as the same lights in a room, not brighter.

    Args:
        images: Float (batch, height, width, 3) in [0, 1].

    Returns:
        Float (batch, 1, 1, 1) in [0, `MAX_EVEN`]; 0 for an image that is bright enough.
    """
    sample = images[:, ::2, ::2]
    mean = ops.mean(sample, axis=(1, 2, 3), keepdims=True)
    nearly = mean + APPROACH * (WELL_EXPOSED - mean)
    aim = ops.minimum(ops.minimum(LEVEL, NIGHT[0] + NIGHT[1] * mean), nearly)
    lit = ops.clip((ops.max(sample, axis=3, keepdims=True) - BLACK[0]) / (BLACK[1] - BLACK[0]), 0, 1)
    area = ops.mean(lit, axis=(1, 2, 3), keepdims=True) + 1e-6
    low = ops.zeros_like(aim)
    high = low + MAX_EVEN
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        reached = ops.mean(tone(sample, middle) * lit, axis=(1, 2, 3), keepdims=True) > aim * area
        low, high = ops.where(reached, low, middle), ops.where(reached, middle, high)
    return low
