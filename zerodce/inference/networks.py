"""What the networks of `zerodce.networks` compute, from their weights: the forward pass alone."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from zerodce.curves import tones
from zerodce.images.pixels import brightest
from zerodce.inference.layers import conv1d, conv2d, enlarge, halve, relu, resize, sigmoid

CONTEXT, SEEN = 128, 64
"""Sides in pixels: of the square to which the tone network scales a photo, and of its finest features."""

MAX_MULTIPLE = 3.0
"""The largest strength of a brightness, in multiples of the light: the teacher's brightest version."""

Weights = Sequence[np.ndarray]
"""Kernel and bias of each layer that has weights, in the order of the layers."""


def dce_net(weights: Weights, image: np.ndarray) -> np.ndarray:
    """The maps that `zerodce.networks.dce_net` gives an image.

    Args:
        weights: Float32 kernel and bias of seven convolutions.
        image: Float32 (height, width, 3) in [0, 1].

    Returns:
        Float32 (height, width, 24) in [-1, 1].
    """
    layers = list(zip(weights[::2], weights[1::2], strict=True))
    x1 = relu(conv2d(image, *layers[0]))
    x2 = relu(conv2d(x1, *layers[1]))
    x3 = relu(conv2d(x2, *layers[2]))
    x4 = relu(conv2d(x3, *layers[3]))
    x5 = relu(conv2d(np.concatenate([x3, x4], axis=2), *layers[4]))
    x6 = relu(conv2d(np.concatenate([x2, x5], axis=2), *layers[5]))
    return np.tanh(conv2d(np.concatenate([x1, x6], axis=2), *layers[6]))


def tone_net(weights: Weights, image: np.ndarray, light: float) -> np.ndarray:
    """The strengths that `zerodce.networks.tone_net` gives an image.

    Args:
        weights: Float32 kernel and bias of five convolutions, of a dense layer, and of three convolutions along
            brightness.
        image: Float32 (height, width, 3) in [0, 1].
        light: The light of the photo, in [0, 1].

    Returns:
        Float32 (`zerodce.curves.tones.KNOTS`,) in [0, 1]: strengths at the knots.
    """
    layers = list(zip(weights[::2], weights[1::2], strict=True))
    context = resize(image, CONTEXT)
    even = tones.tone(context, np.float32(light))
    x = 2 * even - 1
    features = [halve(even)]
    for number, layer in enumerate(layers[:5]):
        x = relu(conv2d(x, *layer, stride=2))
        features.append(enlarge(x, 2**number) if number else x)
    seen = np.concatenate(features, axis=2)
    kernel, bias = layers[5]
    whole = relu(np.append(seen.mean(axis=(0, 1)), np.float32(light)) @ kernel + bias)
    x = np.concatenate(
        [
            _by_brightness(halve(context), seen),
            np.tile(whole, (tones.KNOTS, 1)),
            np.eye(tones.KNOTS, dtype=np.float32),
        ],
        axis=1,
    )
    x = relu(conv1d(x, *layers[6]))
    x = relu(conv1d(x, *layers[7]))
    logits = conv1d(x, *layers[8])[:, 0]
    return np.minimum(MAX_MULTIPLE * sigmoid(logits) * np.float32(light), tones.KNOT_BOUND.astype(np.float32))


def _by_brightness(image: np.ndarray, features: np.ndarray) -> np.ndarray:
    """`zerodce.networks.tone_net.ByBrightness` of one image."""
    weights = tones.knot_weights(brightest(image)).reshape(-1, tones.KNOTS).astype(np.float32)
    mass = weights.mean(axis=0)[:, np.newaxis]
    sums = weights.T @ features.reshape(-1, features.shape[2]) / (SEEN * SEEN)
    return np.concatenate([sums / (mass + np.float32(1e-3)), np.sqrt(mass + np.float32(1e-12))], axis=1)


@dataclasses.dataclass(frozen=True)
class Forward:
    """The forward pass of one kind of network.

    Attributes:
        run: The function, from weights and inputs to the output.
        sees_whole: As `zerodce.networks.architecture.Architecture` has it: whether `run` takes the light, too.
        shapes: Shapes of the weights.
    """

    run: Callable[..., np.ndarray]
    sees_whole: bool
    shapes: tuple[tuple[int, ...], ...]


def _shapes(*kernels: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    return tuple(shape for kernel in kernels for shape in (kernel, kernel[-1:]))


_CONVS = ((3, 16), (16, 24), (24, 32), (32, 32), (32, 32))
_FEATURES = 3 + 16 + 24 + 32 + 32 + 32

FORWARD = {
    "dce_net": Forward(
        dce_net, False, _shapes((3, 3, 3, 32), *3 * [(3, 3, 32, 32)], *2 * [(3, 3, 64, 32)], (3, 3, 64, 24))
    ),
    "tone_net": Forward(
        tone_net,
        True,
        _shapes(
            *((3, 3, *channels) for channels in _CONVS),
            (_FEATURES + 1, 32),
            (3, _FEATURES + 1 + 32 + tones.KNOTS, 64),
            (3, 64, 64),
            (3, 64, 1),
        ),
    ),
}
"""The networks by name, as `zerodce.networks.ARCHITECTURES` has them for Keras."""
