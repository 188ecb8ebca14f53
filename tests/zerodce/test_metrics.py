"""PSNR and SSIM beside scikit-image and TensorFlow."""

import math

import numpy as np
import pytest
import tensorflow as tf
from skimage.metrics import peak_signal_noise_ratio

from zerodce import metrics


def pair(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A smooth image and a noisy copy."""
    random = np.random.default_rng(height)
    y, x = np.mgrid[0:height, 0:width]
    first = np.stack([(x * 3) % 256, (y * 2) % 256, (x + y) % 256], axis=-1).astype(np.uint8)
    return first, np.clip(first + random.normal(0, 20, first.shape), 0, 255).astype(np.uint8)


def test_psnr_of_one_step_everywhere() -> None:
    image = np.full((4, 5, 3), 100, np.uint8)
    assert metrics.psnr(image, image + 1) == pytest.approx(20 * math.log10(255))  # 48.13 dB
    assert metrics.psnr_from_error(60, 60) == pytest.approx(20 * math.log10(255))


def test_psnr_does_not_wrap_around() -> None:
    black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    assert metrics.psnr(black, white) == metrics.psnr(white, black) == 0


def test_psnr_as_scikit_image() -> None:
    first, second = pair(50, 70)
    assert metrics.psnr(first, second) == pytest.approx(peak_signal_noise_ratio(first, second), abs=1e-9)


def test_equal_images_have_infinite_psnr_and_ssim_1() -> None:
    first, _ = pair(40, 30)
    assert metrics.psnr(first, first) == math.inf
    assert metrics.ssim(first, first) == pytest.approx(1)


@pytest.mark.parametrize(
    ("height", "width"),
    [(11, 11), (40, 61), (266, 20), (267, 20), (600, 33)],
    ids=["one window", "one band", "a full band", "one row more", "three bands"],
)
def test_ssim_as_tensorflow(height: int, width: int) -> None:
    first, second = pair(height, width)
    expected = tf.image.ssim(*(image.astype(np.float32) / 255 for image in (first, second)), max_val=1.0)
    assert metrics.ssim(first, second) == pytest.approx(float(expected), abs=1e-5)


def test_an_image_smaller_than_the_window_has_no_ssim() -> None:
    first, second = pair(10, 40)
    assert math.isnan(metrics.ssim(first, second))


def test_mean_is_over_channels_and_in_0_to_1() -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    image[0, 0] = (255, 51, 0)
    assert metrics.mean(image) == pytest.approx((255 + 51) / (12 * 255))
