"""DCE-Net beside a plain NumPy computation of the same layers; what the tone network promises of its strengths."""

from pathlib import Path

import keras
import numpy as np
import pytest

from zerodce.curves import tones
from zerodce.networks.dce_net import dce_net
from zerodce.networks.tone_net import tone_net


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """With weights large enough for every layer to matter."""
    keras.utils.set_random_seed(3)
    return dce_net(initial_stddev=0.1)


def convolve(image: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """A 3x3 convolution of (height, width, channels), black around the image: nine shifted products."""
    height, width, _ = image.shape
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
    shifted = [[padded[y : y + height, x : x + width] @ kernel[y, x] for x in range(3)] for y in range(3)]
    return np.sum(shifted, axis=(0, 1)) + bias


def test_layers_and_symmetric_concatenations(network: keras.Model) -> None:
    image = np.random.default_rng(0).uniform(size=(9, 11, 3))
    weights = [array.astype(np.float64) for array in network.get_weights()]
    kernels, biases = weights[::2], [bias + 0.01 for bias in weights[1::2]]
    network.set_weights([array for pair in zip(kernels, biases, strict=True) for array in pair])

    def layer(index: int, *inputs: np.ndarray) -> np.ndarray:
        return np.maximum(convolve(np.concatenate(inputs, axis=2), kernels[index], biases[index]), 0)

    x1 = layer(0, image)
    x2 = layer(1, x1)
    x3 = layer(2, x2)
    x4 = layer(3, x3)
    x5 = layer(4, x3, x4)
    x6 = layer(5, x2, x5)
    expected = np.tanh(convolve(np.concatenate([x1, x6], axis=2), kernels[6], biases[6]))
    maps = np.asarray(network(image[np.newaxis].astype(np.float32)))[0]
    assert maps.shape == (9, 11, 24)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(maps, expected, atol=1e-5)


def test_number_of_parameters(network: keras.Model) -> None:
    convolutions = [(3, 32), (32, 32), (32, 32), (32, 32), (64, 32), (64, 32), (64, 24)]
    assert network.count_params() == sum(9 * i * o + o for i, o in convolutions) == 79_416


def test_a_pixel_depends_on_15x15_pixels(network: keras.Model) -> None:
    image = np.full((1, 31, 31, 3), 0.3, np.float32)
    changed = image.copy()
    changed[0, 15, 15] = 0.9
    difference = np.abs(np.asarray(network(changed)) - np.asarray(network(image))).max(axis=(0, 3))
    rows, columns = np.nonzero(difference)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (8, 22, 8, 22)


@pytest.mark.parametrize(("stddev", "expected"), [(0.02, 0.02), (None, (2 / (9 * 64)) ** 0.5)])
def test_initial_weights(stddev: float | None, expected: float) -> None:
    """Glorot uniform has the variance 2 / (inputs + outputs of a position of the kernel)."""
    keras.utils.set_random_seed(0)
    network = dce_net(stddev)
    kernel, bias = network.get_layer("conv2").get_weights()
    assert kernel.std() == pytest.approx(expected, rel=0.03)
    assert not bias.any()


@pytest.mark.bfloat16
def test_mixed_precision_computes_in_bfloat16_and_gives_float32_maps() -> None:
    network = dce_net(dtype="mixed_bfloat16")
    assert {layer.compute_dtype for layer in network.layers if isinstance(layer, keras.layers.Conv2D)} == {"bfloat16"}
    assert {weight.dtype for weight in network.weights} == {"float32"}
    assert network.output.dtype == "float32"


# the tone network


@pytest.fixture(scope="module")
def tone_network() -> keras.Model:
    keras.utils.set_random_seed(3)
    return tone_net()


def dark(*size: int) -> np.ndarray:
    """Two dark images of all brightnesses up to 0.8: their strengths are not 0."""
    return np.random.default_rng(sum(size)).beta(0.5, 4, (2, *size, 3)).astype(np.float32) * np.float32(0.8)


def strengths_of(network: keras.Model, images: np.ndarray, *lights: float) -> np.ndarray:
    light = np.float32(lights or [0.2] * len(images)).reshape(-1, 1, 1, 1)
    return np.asarray(network.predict_on_batch([images, light]))


@pytest.mark.parametrize("size", [(128, 128), (64, 200), (37, 53), (300, 150)])
def test_strengths_are_one_for_each_knot(tone_network: keras.Model, size: tuple[int, int]) -> None:
    strengths = strengths_of(tone_network, dark(*size))
    assert strengths.shape == (2, tones.KNOTS)
    assert strengths.max() > 0.01
    assert np.ptp(strengths[0, :12]) > 1e-3


def test_strengths_stay_within_their_bounds() -> None:
    """Whatever the weights: 0 to three times the light, or to where a tone meets the bound of highlights."""
    network = tone_net()
    images = np.concatenate([dark(64, 64), np.ones((2, 64, 64, 3), np.float32) * np.float32(0.1)])
    lights = (0.02, 0.1, 0.3, 0.55)
    most = np.minimum(3 * np.array(lights)[:, np.newaxis], tones.KNOT_BOUND)
    free = strengths_of(network, images, *lights)
    assert np.all((free >= 0) & (free <= most + 1e-6))
    (bias,) = (weight for weight in network.get_layer("logits").weights if weight.name == "bias")
    bias.assign(np.full_like(bias, 100))
    np.testing.assert_allclose(strengths_of(network, images, *lights), most, atol=1e-6)
    bias.assign(np.full_like(bias, -100))
    np.testing.assert_allclose(strengths_of(network, images, *lights), 0, atol=1e-6)


def test_no_light_is_no_strength(tone_network: keras.Model) -> None:
    np.testing.assert_array_equal(strengths_of(tone_network, dark(64, 64), 0, 0), 0)


def test_images_of_a_batch_do_not_see_each_other(tone_network: keras.Model) -> None:
    images = dark(48, 64)
    images[1] *= 0.3
    together = strengths_of(tone_network, images)
    assert np.abs(together[0] - together[1]).max() > 0.01
    np.testing.assert_allclose(strengths_of(tone_network, images[1:]), together[1:], atol=1e-5)


def test_a_saved_tone_network_is_the_same(tone_network: keras.Model, tmp_path: Path) -> None:
    tone_network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    images = dark(60, 80)
    np.testing.assert_array_equal(strengths_of(loaded, images), strengths_of(tone_network, images))


@pytest.mark.bfloat16
def test_a_tone_network_of_mixed_precision_gives_nearly_the_same_strengths(tone_network: keras.Model) -> None:
    mixed = tone_net(dtype="mixed_bfloat16")
    mixed.set_weights(tone_network.get_weights())
    assert {layer.compute_dtype for layer in mixed.layers if isinstance(layer, keras.layers.Conv2D)} == {"bfloat16"}
    assert {weight.dtype for weight in mixed.weights} == {"float32"}
    images = dark(96, 64)
    strengths = strengths_of(mixed, images)
    assert strengths.dtype == np.float32
    np.testing.assert_allclose(strengths, strengths_of(tone_network, images), atol=0.02)
