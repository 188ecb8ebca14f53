"""The tone network: from an image and its light to a curve strength for each brightness."""

from typing import Any

import keras
from keras import KerasTensor, ops

from zerodce.curves import tensors, tones
from zerodce.inference.networks import CONTEXT, MAX_MULTIPLE, SEEN
from zerodce.networks.layout import CHANNELS, LAYOUT, initializer


@keras.saving.register_keras_serializable("zerodce")
class ByBrightness(keras.layers.Layer):
    """Gathers features of an image by the brightness of their pixels: the splat of a bilateral grid of one cell.

    From float images (batch, height, width, 3) in [0, 1] and features (batch, height, width, n) to float
    (batch, `tones.KNOTS`, n + 1): means of the features at each knot, and the root of the share of pixels at it.
    """

    def call(self, images: KerasTensor, features: KerasTensor) -> KerasTensor:
        weights = tensors.knot_weights(ops.max(images, axis=3))
        weights = ops.reshape(weights, (-1, SEEN * SEEN, tones.KNOTS))
        features = ops.reshape(features, (-1, SEEN * SEEN, features.shape[3]))
        mass = ops.mean(weights, axis=1)[:, :, None]
        sums = ops.matmul(ops.transpose(weights, (0, 2, 1)), features) / (SEEN * SEEN)
        return ops.concatenate([sums / (mass + 1e-3), ops.sqrt(mass + 1e-12)], axis=2)


@keras.saving.register_keras_serializable("zerodce")
class Strengths(keras.layers.Layer):
    """Strengths at the knots, (batch, `tones.KNOTS`) in [0, 1], from logits and the light of the photo.

    They are multiples of the light of the photo (one strength for all of it), within the highlight bound.
    """

    def call(self, logits: KerasTensor, light: KerasTensor) -> KerasTensor:
        strengths = MAX_MULTIPLE * ops.sigmoid(logits) * light[:, :, 0, 0]
        return ops.minimum(strengths, ops.convert_to_tensor(tones.KNOT_BOUND, "float32"))


def tone_net(initial_stddev: float | None = None, dtype: Any = None) -> keras.Model:
    """Builds the tone network: it sees the whole photo, and gives each brightness its own curve strength.

    The light of the photo is an input: one strength for all of it. The network sees the photo at 128x128 pixels,
    brightened by that strength, so the shots of a series look alike to it. Convolutions of stride 2 see larger and
    larger surroundings. Their features are gathered by the brightness of the pixels. Convolutions along brightness turn
    them into one strength for each of 16 knots (`curves.tones`): a bilateral grid of one cell (Gharbi et al., "Deep
    bilateral learning", SIGGRAPH 2017). More cells add next to nothing (docs/training-log.md).

    Args:
        initial_stddev: Standard deviation of all kernels, as in `dce_net`.
        dtype: Policy of the convolutions over the image; the other layers are float32.

    Returns:
        A model from images, float (batch, height, width, 3) in [0, 1], and their light, float (batch, 1, 1, 1) in
        [0, 1], to strengths at the knots, float (batch, 16) in [0, 1].
    """
    kernel = initializer(initial_stddev)

    def conv(filters: int, name: str) -> keras.layers.Conv2D:
        return keras.layers.Conv2D(
            filters,
            3,
            2,
            padding="same",
            activation="relu",
            kernel_initializer=kernel,
            data_format=LAYOUT,
            name=name,
            dtype=dtype,
        )

    def along(filters: int, activation: str | None, name: str) -> keras.layers.Conv1D:
        return keras.layers.Conv1D(
            filters,
            3,
            padding="same",
            activation=activation,
            kernel_initializer=kernel,
            data_format=LAYOUT,
            name=name,
            dtype="float32",
        )

    image = keras.Input((None, None, CHANNELS), name="image")
    shrink = keras.layers.Resizing(
        CONTEXT, CONTEXT, antialias=True, data_format=LAYOUT, dtype="float32", name="context"
    )
    context = shrink(image)
    light = keras.Input((1, 1, 1), name="light")
    even = tones.tone(context, light)
    x = 2 * even - 1
    found = []
    for number, filters in enumerate((16, 24, 32, 32, 32), start=1):
        x = conv(filters, f"conv{number}")(x)
        scale = 2 ** (number - 1)
        enlarge = keras.layers.UpSampling2D(
            scale, interpolation="bilinear", data_format=LAYOUT, dtype="float32", name=f"enlarge{number}"
        )
        found.append(enlarge(x) if scale > 1 else ops.cast(x, "float32"))
    halved = keras.layers.AveragePooling2D(2, data_format=LAYOUT, dtype="float32", name="halved")
    features = keras.layers.Concatenate(dtype="float32", name="features")([halved(even), *found])
    x = ByBrightness(dtype="float32", name="by_brightness")(halved(context), features)
    whole = ops.concatenate([ops.mean(features, axis=(1, 2)), ops.squeeze(light, (2, 3))], axis=1)
    whole = keras.layers.Dense(32, "relu", kernel_initializer=kernel, dtype="float32", name="whole")(whole)
    place = ops.broadcast_to(ops.eye(tones.KNOTS)[None], (1, tones.KNOTS, tones.KNOTS))
    shared = [ops.repeat(whole[:, None], tones.KNOTS, axis=1), ops.zeros_like(x[:, :, :1]) + place]
    x = keras.layers.Concatenate(dtype="float32", name="gathered")([x, *shared])
    x = along(64, "relu", "along1")(x)
    x = along(64, "relu", "along2")(x)
    x = along(1, None, "logits")(x)[:, :, 0]
    strengths = Strengths(dtype="float32", name="strengths")(x, light)
    return keras.Model([image, light], strengths, name="tone_net")


class ToneNet:
    """The tone network as a `zerodce.networks.architecture.Architecture`: trained at every light, applied at one."""

    sees_whole = True
    build = staticmethod(tone_net)

    def train(
        self, network: keras.Model, images: KerasTensor, strength: KerasTensor, training: bool | None
    ) -> dict[str, KerasTensor]:
        """As `Architecture.train`, and `light`, float (batch, 1, 1, 1), for `training.teacher.target`.

        In training, the images of a batch get from a part of their even strength to all of it, in even steps, so the
        network learns at every light. Outside training each image gets all of it.
        """
        light = tensors.even_strength(images)
        if training:
            count = ops.shape(images)[0]
            parts = (ops.cast(ops.arange(count), "float32") + 1) / ops.cast(count, "float32")
            light = light * parts[:, None, None, None]
        around, enhanced = tensors.apply_strengths(images, network([images, light], training=training))
        return {"maps": ops.repeat(-around, CHANNELS * tones.ITERATIONS, axis=3), "enhanced": enhanced, "light": light}
