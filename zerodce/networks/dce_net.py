"""DCE-Net, the network of the paper: from an image to curve-parameter maps."""

from typing import Any

import keras
from keras import KerasTensor, ops

from zerodce.curves import tones
from zerodce.networks.layout import CHANNELS, LAYOUT, initializer

FILTERS = 32


def dce_net(initial_stddev: float | None = 0.02, dtype: Any = None) -> keras.Model:
    """Builds DCE-Net (Guo et al., CVPR 2020, section 3.2).

    Seven 3x3 convolutions of stride 1. The fifth to seventh get the outputs of the fourth to first
    through symmetrical concatenation. 79,416 parameters. An output pixel depends on 15x15 input pixels.

    Args:
        initial_stddev: Kernels start from N(0, stddev), 0.02 in the paper's released code. None is
            Keras' Glorot uniform, which this project's write-up used.
        dtype: Policy of the layers, such as "mixed_bfloat16"; None is Keras' global one. The maps are
            always float32: bfloat16 steps in them would show as steps in the image.

    Returns:
        A model from images, float (batch, height, width, 3) in [0, 1], to maps, float
        (batch, height, width, 24) in [-1, 1]: three channels (red, green, blue) for each of eight
        iterations.
    """

    def conv(filters: int, activation: str | None, name: str) -> keras.layers.Conv2D:
        return keras.layers.Conv2D(
            filters,
            3,
            padding="same",
            activation=activation,
            kernel_initializer=initializer(initial_stddev),
            data_format=LAYOUT,
            name=name,
            dtype=dtype,
        )

    def concatenate(*inputs: keras.KerasTensor) -> keras.KerasTensor:
        return keras.layers.Concatenate(dtype=dtype)(inputs)

    image = keras.Input((None, None, CHANNELS), name="image")
    x1 = conv(FILTERS, "relu", "conv1")(image)
    x2 = conv(FILTERS, "relu", "conv2")(x1)
    x3 = conv(FILTERS, "relu", "conv3")(x2)
    x4 = conv(FILTERS, "relu", "conv4")(x3)
    x5 = conv(FILTERS, "relu", "conv5")(concatenate(x3, x4))
    x6 = conv(FILTERS, "relu", "conv6")(concatenate(x2, x5))
    x7 = conv(CHANNELS * tones.ITERATIONS, None, "maps")(concatenate(x1, x6))
    maps = keras.layers.Activation("tanh", dtype="float32", name="tanh")(x7)
    return keras.Model(image, maps, name="dce_net")


class DCENet:
    """DCE-Net as a `zerodce.networks.architecture.Architecture`."""

    sees_whole = False
    build = staticmethod(dce_net)

    def train(
        self, network: keras.Model, images: KerasTensor, strength: KerasTensor, training: bool | None
    ) -> dict[str, KerasTensor]:
        maps = ops.cast(network(images, training=training), "float32") * strength[:, None, None, None]
        return {"maps": maps, "enhanced": tones.apply_curves(images, maps)}
