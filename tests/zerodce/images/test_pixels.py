"""Floats to 8 bits; small copies."""

import cv2
import numpy as np
import pytest
from PIL import Image

from zerodce.images import pixels
from zerodce.kernels.blocks import average_blocks


def test_floats_are_clipped_and_rounded() -> None:
    values = np.array([-0.1, 0.0, 0.4 / 255, 0.6 / 255, 0.5, 254.6 / 255, 1.0, 7.0])
    assert pixels.to_uint8(values).tolist() == [0, 0, 0, 1, 128, 255, 255, 255]


@pytest.mark.parametrize(
    ("size", "wanted"),
    [((2000, 1000), (800, 400)), ((533, 800), (533, 800)), ((1000, 3), (800, 2)), ((1, 9000), (1, 800))],
)
def test_a_preview_has_at_most_800_pixels_a_side(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    photo = np.full((*size, 3), 7, np.uint8)
    small = pixels.preview(photo)
    assert small.shape == (*wanted, 3)
    assert np.unique(small).tolist() == [7]


def test_a_preview_is_the_mean_of_blocks() -> None:
    """Blocks of 2 x 2 of 1600 x 400 pixels, of which every other is 3 brighter; 16 bits are rounded once."""
    wanted = np.random.default_rng(0).integers(0, 250, (200, 800, 1)).astype(np.uint8)
    photo = np.kron(wanted, np.ones((2, 2, 1), np.uint8))
    np.testing.assert_array_equal(pixels.preview(photo), wanted)
    photo[::2, ::2] += 3  # three quarters in the mean
    np.testing.assert_array_equal(pixels.preview(photo), wanted + 1)
    np.testing.assert_array_equal(pixels.preview(photo.astype(np.uint16) * 257), wanted + 1)


@pytest.mark.parametrize(("block", "top", "left"), [(3, 0, 0), (5, 4, 2), (7, 0, 3), (256, 1, 0)])
def test_means_of_blocks_are_those_of_opencv(block: int, top: int, left: int) -> None:
    photo = np.random.default_rng(block).integers(0, 256, (4 * block + 5, 6 * block + 4, 3)).astype(np.uint8)
    photo[: 2 * block] |= 254  # sums near their largest
    found = np.empty((4, 18), np.uint8)
    average_blocks(photo.reshape(len(photo), -1), top, left, block, found)
    part = photo[top : top + 4 * block, left : left + 6 * block]
    wanted = cv2.resize(part, (6, 4), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(found.reshape(wanted.shape), wanted)


@pytest.mark.parametrize("size", [(1333, 2011), (3480, 2401)])
def test_a_preview_shows_what_pillows_box_filter_does(size: tuple[int, int]) -> None:
    """Within the shift of less than a pixel that leaving out parts of blocks brings: steps of a smooth picture."""
    gradient = np.asarray(Image.radial_gradient("L").resize(size[::-1], Image.Resampling.BICUBIC))
    small = pixels.preview(np.dstack([gradient, 255 - gradient, gradient]))
    wanted = np.asarray(Image.fromarray(gradient).resize(small.shape[1::-1], Image.Resampling.BOX), np.int16)
    for channel, shown in ((0, wanted), (1, 255 - wanted)):
        difference = np.abs(small[..., channel] - shown)
        assert difference.max() <= 2
        assert difference.mean() < 0.3


def test_a_small_copy_is_that_of_the_preview() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (1501, 2003, 3)).astype(np.uint8)
    for long_side in (64, 128, 799, 800):
        small = pixels.small_copy(photo, long_side)
        assert max(small.shape) == long_side
        np.testing.assert_array_equal(small, pixels.small_copy(pixels.preview(photo), long_side))
    assert pixels.small_copy(photo, 1000).shape == (749, 1000, 3)


def test_a_small_copy_of_grey_is_rgb_of_one_value() -> None:
    grey = np.random.default_rng(0).integers(0, 65536, (300, 200, 1)).astype(np.uint16)
    small = pixels.small_copy(grey, 100)
    assert small.shape == (100, 67, 3)
    assert small.dtype == np.uint8
    assert np.ptp(small, axis=2).max() == 0
    np.testing.assert_array_equal(pixels.small_copy(grey, 300)[..., 0], np.rint(grey[..., 0] / 257))


@pytest.mark.parametrize("value", [255.0, -0.1, np.nan])
def test_floats_that_are_no_image_are_refused(value: float) -> None:
    """8 bits as floats are the commonest mistake."""
    image = np.full((4, 5, 3), 0.5)
    image[0, 0, 0] = value
    with pytest.raises(ValueError, match="divide 8 bits by 255"):
        pixels.on_pixels(lambda photo: photo, image)
    image[0, 0, 0] = 1.0005  # what resampling leaves
    assert pixels.on_pixels(lambda photo: photo, image)[0, 0, 0] == 1
