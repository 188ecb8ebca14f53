"""The measures beside numbers by hand, scikit-image, TensorFlow and colorsys."""

import colorsys
import math

import numpy as np
import pytest
import tensorflow as tf
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from zerodce.images import metrics


def pair(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A smooth image and a noisy copy."""
    random = np.random.default_rng(height)
    y, x = np.mgrid[0:height, 0:width]
    first = np.stack([(x * 3) % 256, (y * 2) % 256, (x + y) % 256], axis=-1).astype(np.uint8)
    return first, np.clip(first + random.normal(0, 20, first.shape), 0, 255).astype(np.uint8)


def test_psnr_of_one_step_everywhere() -> None:
    image = np.full((4, 5, 3), 100, np.uint8)
    assert metrics.psnr(image, image + 1) == pytest.approx(20 * math.log10(255))  # 48.13 dB


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
def test_ssim_as_scikit_image_and_tensorflow(height: int, width: int) -> None:
    first, second = pair(height, width)
    _, places = structural_similarity(
        first / 255, second / 255, channel_axis=2, data_range=1.0, full=True,
        gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    )  # fmt: skip
    assert metrics.ssim(first, second) == pytest.approx(places[5:-5, 5:-5].mean(), abs=1e-12)
    expected = tf.image.ssim(*(image.astype(np.float32) / 255 for image in (first, second)), max_val=1.0)
    assert metrics.ssim(first, second) == pytest.approx(float(expected), abs=2e-3)  # it adds up in float32


def test_an_image_smaller_than_the_window_has_no_ssim() -> None:
    first, second = pair(10, 40)
    assert math.isnan(metrics.ssim(first, second))


def test_mean_is_over_channels_and_in_0_to_1() -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    image[0, 0] = (255, 51, 0)
    assert metrics.mean(image) == pytest.approx((255 + 51) / (12 * 255))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((246, 0, 0), (251, 0, 0), 1),
        ((247, 0, 0), (255, 0, 0), 0),  # as good as clipped already
        ((246, 0, 0), (250, 0, 0), 0),
        ((10, 20, 30), (40, 60, 255), 1),
        ((0, 0, 250), (255, 0, 250), 0),  # its blue was clipped
    ],
)
def test_what_is_newly_clipped(before: tuple[int, ...], after: tuple[int, ...], expected: int) -> None:
    images = np.array([[before]], np.uint8), np.array([[after]], np.uint8)
    assert metrics.newly_clipped(*images) == expected


def test_clipped_pixels_are_a_share_of_all() -> None:
    before = np.full((4, 5, 3), 100, np.uint8)
    after = before.copy()
    after[0, :3, 1] = 255
    assert metrics.newly_clipped(before, after) == pytest.approx(3 / 20)
    assert metrics.newly_clipped(before, before) == 0


@pytest.mark.parametrize(
    ("before", "after", "degrees"),
    [
        ((200, 50, 50), (250, 100, 100), 0),  # paler, the same hue
        ((200, 0, 0), (200, 200, 0), 60),  # red to yellow
        ((200, 0, 10), (200, 10, 0), 6),  # across 0: 357 and 3
        ((0, 0, 128), (128, 128, 0), 180),  # blue to yellow
    ],
)
def test_hue_rotation_by_hand(before: tuple[int, ...], after: tuple[int, ...], degrees: float) -> None:
    images = np.array([[before]], np.uint8), np.array([[after]], np.uint8)
    assert metrics.hue_rotation(*images) == pytest.approx(degrees, abs=1e-3)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((127, 0, 0), (200, 90, 0)),  # too dark
        ((200, 101, 101), (200, 150, 101)),  # too pale
        ((247, 0, 0), (255, 90, 0)),  # clipped
        ((200, 0, 0), (255, 255, 255)),  # no hue is left
    ],
)
def test_pixels_whose_hue_does_not_count(before: tuple[int, ...], after: tuple[int, ...]) -> None:
    images = np.array([[before]], np.uint8), np.array([[after]], np.uint8)
    assert math.isnan(metrics.hue_rotation(*images))


def test_hue_rotation_as_colorsys() -> None:
    random = np.random.default_rng(0)
    before = random.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    after = random.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    turned = []
    for first, second in zip(before.reshape(-1, 3) / 255, after.reshape(-1, 3) / 255, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*first)
        if value >= 0.5 and value < 247 / 255 and saturation >= 0.5:
            turn = abs(hue - colorsys.rgb_to_hsv(*second)[0])
            turned.append(360 * min(turn, 1 - turn))
    assert len(turned) > 100
    assert metrics.hue_rotation(before, after) == pytest.approx(np.mean(turned), abs=1e-3)


def noisy(sigma: float, size: tuple[int, int] = (128, 160), level: float = 25) -> np.ndarray:
    """A flat image with Gaussian noise of one standard deviation in each channel, in steps of 1/255."""
    random = np.random.default_rng(1)
    return np.rint(np.clip(level + random.normal(0, sigma, (*size, 3)), 0, 255)).astype(np.uint8)


@pytest.mark.parametrize("sigma", [1, 2, 4, 6])
def test_dark_noise_is_its_standard_deviation(sigma: float) -> None:
    """Rounding to 8 bits adds a variance of 1/12."""
    assert metrics.dark_noise(noisy(sigma), noisy(sigma)) == pytest.approx(math.sqrt(sigma**2 + 1 / 12), rel=0.03)


def test_dark_noise_is_that_of_the_output() -> None:
    image = noisy(2)
    assert metrics.dark_noise(image, image * 3) == pytest.approx(3 * metrics.dark_noise(image, image), rel=1e-4)
    assert metrics.dark_noise(image, np.full_like(image, 90)) == 0


def test_noise_of_luminance_and_of_colour_is_one_number() -> None:
    """The same noise in all channels, and in one alone: the root mean square over channels is 3 and 3 / sqrt(3)."""
    grey = np.repeat(noisy(3)[..., :1], 3, axis=2)
    red = np.full_like(grey, 25)
    red[..., 0] = grey[..., 0]
    assert metrics.dark_noise(grey, grey) == pytest.approx(3, rel=0.03)
    assert metrics.dark_noise(red, red) == pytest.approx(math.sqrt(3), rel=0.03)


def test_noise_is_looked_for_where_it_is_dark_and_flat() -> None:
    """A quarter is flat and dark; a quarter bright, a quarter black and a quarter textured are noisier."""
    before = noisy(2, (128, 128))
    before[:64, 64:] = 200
    before[64:, :64] = 0
    before[64:, 64:] += (np.arange(64) // 8 % 2 * 12).astype(np.uint8)[:, np.newaxis]
    after = before.copy()
    for part in (np.s_[:64, 64:], np.s_[64:, :64], np.s_[64:, 64:]):
        after[part] = noisy(20, (64, 64), 100)
    assert metrics.dark_noise(before, after) == pytest.approx(metrics.dark_noise(noisy(2), noisy(2)), rel=0.05)


def test_a_slope_is_no_noise() -> None:
    """Columns 20 to 29: within a cell at most two values, in the flattest blocks one."""
    ramp = np.repeat((20 + np.arange(640) // 64).astype(np.uint8)[np.newaxis, :, np.newaxis], 32, axis=0)
    image = np.repeat(ramp, 3, axis=2)
    assert metrics.dark_noise(image, image) == 0


@pytest.mark.parametrize(
    ("size", "level"), [((15, 200), 25), ((64, 64), 0), ((64, 64), 60)], ids=["small", "black", "bright"]
)
def test_no_dark_place_no_noise(size: tuple[int, int], level: int) -> None:
    image = np.full((*size, 3), level, np.uint8)
    assert math.isnan(metrics.dark_noise(image, image))
