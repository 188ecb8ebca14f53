"""The network and the curves as one TensorFlow graph, for images of any size.

The graph computes what `zerodce.curves.brightening.brighten` writes for the strengths that the tone network gives a
photo and a light: with the surroundings of the photo, the highlight bound and the hue, without noise.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from zerodce.applying.enhancement import AUTO_CURVE_SIZE, STEPS
from zerodce.curves import tones
from zerodce.curves.brightening import EDGE, HUE, HUE_KEPT, SATURATION, SURROUNDINGS
from zerodce.inference.networks import CONTEXT, MAX_MULTIPLE, SEEN

_HALVINGS = 20
"""Steps of the bisection that finds a strength for a tone: to a millionth."""

_BRIGHTNESS = np.linspace(0, 1, tones.LEVELS).astype(np.float32)


class Graph(tf.Module):
    """The graph of a tone network.

    Args:
        weights: Its weights, as `zerodce.inference.networks.tone_net` takes them.
    """

    def __init__(self, weights: Sequence[np.ndarray]) -> None:
        super().__init__("zerodce")
        self._layers = list(zip(weights[::2], weights[1::2], strict=True))

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, 3], tf.uint8, "image"),
            tf.TensorSpec([], tf.float32, "light"),
        ]
    )
    def enhance(self, image: tf.Tensor, light: tf.Tensor) -> dict[str, tf.Tensor]:
        """Enhances one image.

        Args:
            image: uint8 (height, width, 3), RGB, of any size.
            light: Float32 scalar in [0, 1]: how much light the image gets. At 0 it stays as it is.

        Returns:
            `enhanced`, shaped and typed as `image`.
        """
        pixels = tf.cast(image, tf.float32) / 255
        small = _small_copy(pixels)
        own = _table(self._strengths(small, light))
        return {"enhanced": _brightened(pixels, own, _surroundings(small))}

    def _strengths(self, small: tf.Tensor, light: tf.Tensor) -> tf.Tensor:
        """The strengths at the knots, (KNOTS,): `zerodce.inference.networks.tone_net`."""
        context = tf.image.resize(small, (CONTEXT, CONTEXT))
        even = tones.tone(context, light)
        x = (2 * even - 1)[tf.newaxis]
        halved = tf.nn.avg_pool2d(tf.stack([even, context]), 2, 2, "VALID")
        features = [halved[:1]]
        for kernel, bias in self._layers[:5]:
            x = tf.nn.relu(tf.nn.conv2d(x, kernel, 2, "SAME") + bias)
            features.append(tf.image.resize(x, (SEEN, SEEN)) if x.shape[1] != SEEN else x)
        seen = tf.reshape(tf.concat(features, axis=3), (SEEN * SEEN, -1))
        kernel, bias = self._layers[5]
        whole = tf.concat([tf.reduce_mean(seen, axis=0), tf.reshape(light, [1])], axis=0)
        whole = tf.nn.relu(tf.linalg.matvec(kernel, whole, transpose_a=True) + bias)
        weights = _knot_weights(tf.reshape(tf.reduce_max(halved[1], axis=2), [-1]))
        mass = tf.reduce_mean(weights, axis=0)[:, tf.newaxis]
        sums = tf.matmul(weights, seen, transpose_a=True) / (SEEN * SEEN)
        x = tf.concat(
            [
                sums / (mass + 1e-3),
                tf.sqrt(mass + 1e-12),
                tf.tile(whole[tf.newaxis], (tones.KNOTS, 1)),
                tf.eye(tones.KNOTS),
            ],
            axis=1,
        )[tf.newaxis]
        for number, (kernel, bias) in enumerate(self._layers[6:]):
            x = tf.nn.conv1d(x, kernel, 1, "SAME") + bias
            x = x if number == 2 else tf.nn.relu(x)
        strengths = MAX_MULTIPLE * tf.sigmoid(tf.reshape(x, [tones.KNOTS])) * light
        bounded = tf.minimum(strengths, tones.KNOT_BOUND.astype(np.float32))
        return tf.round(bounded * STEPS) / STEPS


def _small_copy(pixels: tf.Tensor) -> tf.Tensor:
    """The copy on which strengths are estimated: means of areas, rounded to 8 bits."""
    height, width = tf.shape(pixels)[0], tf.shape(pixels)[1]
    longer = tf.cast(tf.maximum(height, width), tf.float32)
    scale = tf.minimum(1.0, AUTO_CURVE_SIZE / longer)
    rows, columns = (
        tf.maximum(1, tf.cast(tf.round(tf.cast(side, tf.float32) * scale), tf.int32)) for side in (height, width)
    )
    down = tf.tensordot(_areas(rows, height), pixels, 1)  # (rows, width, 3)
    small = tf.tensordot(_areas(columns, width), tf.transpose(down, (1, 0, 2)), 1)
    return tf.round(tf.transpose(small, (1, 0, 2)) * 255) / 255


def _areas(made: tf.Tensor, side: tf.Tensor) -> tf.Tensor:
    """The share of each pixel in each of fewer pixels, (made, side)."""
    step = tf.cast(side, tf.float32) / tf.cast(made, tf.float32)
    start = tf.range(made)[:, tf.newaxis]
    first = tf.cast(start, tf.float32) * step
    pixel = tf.cast(tf.range(side)[tf.newaxis], tf.float32)
    return tf.nn.relu(tf.minimum(first + step, pixel + 1) - tf.maximum(first, pixel)) / step


def _knot_weights(brightness: tf.Tensor) -> tf.Tensor:
    """`zerodce.curves.tones.knot_weights`."""
    position = tf.sqrt(brightness)[..., tf.newaxis] * (tones.KNOTS - 1)
    return tf.nn.relu(1 - tf.abs(position - np.arange(tones.KNOTS, dtype=np.float32)))


def _table(strengths: tf.Tensor) -> tf.Tensor:
    """Strengths at every brightness, (LEVELS,): `zerodce.curves.tones.tables` of one cell, without noise."""
    read = tf.linalg.matvec(tf.constant(tones.LEVEL_WEIGHTS, tf.float32), strengths)
    made = tones.tone(tf.constant(_BRIGHTNESS), read)
    bounded = tf.minimum(made, tones.highest(_BRIGHTNESS).astype(np.float32))
    below = tf.constant(np.tri(tones.LEVELS, dtype=np.float32))
    allowed = tf.reduce_max(below * bounded[tf.newaxis], axis=1)  # the largest so far
    low, high = tf.zeros_like(allowed) - 1, tf.ones_like(allowed)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        reached = tones.tone(tf.constant(_BRIGHTNESS), middle) > allowed
        low, high = tf.where(reached, low, middle), tf.where(reached, middle, high)
    return tf.where(tf.equal(made, allowed), read, low)


def _surroundings(small: tf.Tensor) -> tf.Tensor:
    """Slope and offset of the brightness around each pixel: `zerodce.curves.brightening.surroundings`."""
    root = tf.sqrt(tf.reduce_max(small, axis=2))
    rows, columns = tf.shape(root)[0], tf.shape(root)[1]
    window = tf.maximum(rows, columns) // SURROUNDINGS
    radius = (window + 1 - window % 2) // 2  # the window is odd
    across, down = _means(columns, radius), _means(rows, radius)

    def average(values: tf.Tensor) -> tf.Tensor:
        return tf.matmul(down, tf.matmul(values, across, transpose_b=True))

    mean = average(root)
    variance = tf.nn.relu(average(root * root) - mean * mean)
    slope = variance**2 / (variance**2 + EDGE**2)
    return tf.stack([average(slope), average(mean * (1 - slope))], axis=2)


def _means(side: tf.Tensor, radius: tf.Tensor) -> tf.Tensor:
    """The matrix (side, side) that averages over a window. Beyond the border, the value at the border counts."""
    place = tf.range(side)
    here, other = place[:, tf.newaxis], place[tf.newaxis]
    inside = tf.cast(tf.abs(here - other) <= radius, tf.float32)
    before = tf.cast(tf.maximum(radius - here, 0), tf.float32) * tf.cast(tf.equal(other, 0), tf.float32)
    after = tf.cast(tf.maximum(here + radius - side + 1, 0), tf.float32)
    after = after * tf.cast(tf.equal(other, side - 1), tf.float32)
    return (inside + before + after) / tf.cast(2 * radius + 1, tf.float32)


def _brightened(pixels: tf.Tensor, own: tf.Tensor, around: tf.Tensor) -> tf.Tensor:
    """The enhanced image, uint8: `zerodce.curves.brightening.brighten`."""
    levels = tones.LEVELS - 1
    tops = tones.tone(tf.constant(_BRIGHTNESS), own)  # the tone of each brightness
    caps = tf.maximum(tones.highest(_BRIGHTNESS).astype(np.float32), tops)
    places = (_BRIGHTNESS**2) * levels  # brightness around a pixel, at even steps of its root
    first = np.minimum(places.astype(np.int32), levels - 1)
    share = places - first
    others = tf.gather(own, first) * (1 - share) + tf.gather(own, first + 1) * share

    most = tf.reduce_max(pixels, axis=2, keepdims=True)
    least = tf.reduce_min(pixels, axis=2, keepdims=True)
    number = tf.cast(tf.round(most * levels), tf.int32)
    strength, top = tf.gather(own, number), tf.gather(tops, number)
    spread = tf.image.resize(around, tf.shape(pixels)[:2])
    root = spread[..., :1] * tf.sqrt(most) + spread[..., 1:]
    other = tf.gather(others, tf.cast(tf.clip_by_value(tf.floor(root * levels + 0.5), 0, levels), tf.int32))
    lift = tf.minimum(tones.tone(most, other), tf.gather(caps, number)) / tf.maximum(top, 1e-6)

    saturation = 1 - least / tf.maximum(most, 1e-6)
    kept = HUE_KEPT * _smoothstep(most, *HUE[:2]) * _smoothstep(saturation, *HUE[2:])
    bottom = tones.tone(least, strength)
    bottom += SATURATION * (top * least / tf.maximum(most, 1 / 255) - bottom)
    rise = (top - bottom) / tf.maximum(most - least, 1 / 255)
    toned = (1 - kept) * tones.tone(pixels, strength) + kept * (bottom + rise * (pixels - least))
    return tf.cast(tf.clip_by_value(tf.floor(toned * lift * 255 + 0.5), 0, 255), tf.uint8)


def _smoothstep(value: tf.Tensor, start: float, end: float) -> tf.Tensor:
    share = tf.clip_by_value((value - start) / (end - start), 0, 1)
    return share * share * (3 - 2 * share)
