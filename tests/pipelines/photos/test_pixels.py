"""Pillow's images and NumPy's arrays are the same pixels, however the images were made."""

from collections.abc import Callable

import numpy as np
import pyarrow
import pytest
from PIL import Image, ImageCms

from pipelines.photos.pixels import eight_bit_values, image_of, pixels_of, to_srgb, turned, turned_pixels

MAKERS: dict[str, Callable[[np.ndarray], Image.Image]] = {
    "image_of": image_of,
    "fromarray": lambda pixels: Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[..., 0]),
    "copied": lambda pixels: image_of(pixels).copy(),
    "pasted": lambda pixels: pasted(image_of(pixels)),
}


def pasted(image: Image.Image) -> Image.Image:
    canvas = Image.new(image.mode, image.size)
    canvas.paste(image)
    return canvas


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("shape", [(5, 7, 3), (5, 7, 1), (2500, 2400, 3), (1, 40, 3)])
def test_pixels_come_back(maker: str, shape: tuple[int, int, int]) -> None:
    pixels = (np.arange(np.prod(shape), dtype=np.uint32) % 251).astype(np.uint8).reshape(shape)
    image = MAKERS[maker](pixels.copy())
    assert (image.mode, image.size) == ("RGB" if shape[2] == 3 else "L", (shape[1], shape[0]))
    found = pixels_of(image)
    del image
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.slow
def test_an_image_in_several_blocks_of_memory_is_read_too() -> None:
    Image.core.set_use_block_allocator(0)  # as it is before pipelines.photos is imported
    try:
        image = Image.new("RGB", (3000, 3000), (1, 2, 3))  # 36 MB, in blocks of 16
    finally:
        Image.core.set_use_block_allocator(1)
    with pytest.raises(ValueError, match="multiple array blocks"):
        pyarrow.array(image)
    assert np.unique(pixels_of(image).reshape(-1, 3), axis=0).tolist() == [[1, 2, 3]]


@pytest.mark.parametrize("orientation", range(10))
def test_pixels_turn_as_images_do(orientation: int) -> None:
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    expected = np.asarray(turned(Image.fromarray(pixels), orientation))
    found = turned_pixels(pixels, orientation)
    np.testing.assert_array_equal(found, expected)
    assert found.flags.c_contiguous


def test_sixteen_bits_to_eight_is_the_upper_byte() -> None:
    assert eight_bit_values(np.array([0, 255, 256, 65535], np.uint16)).tolist() == [0, 0, 1, 255]
    eight = np.array([3], np.uint8)
    assert eight_bit_values(eight) is eight


def test_a_picture_with_a_profile_gets_the_colours_of_srgb(red_is_green: bytes) -> None:
    picture = Image.new("RGB", (3, 2), (200, 100, 50))
    assert np.abs(np.asarray(to_srgb(picture, red_is_green), int) - (100, 200, 50)).max() <= 1


def test_a_picture_of_srgb_or_of_a_profile_without_use_stays_as_it_is(red_is_green: bytes) -> None:
    picture, grey = Image.new("RGB", (3, 2), (200, 100, 50)), Image.new("L", (3, 2), 7)
    for profile in (b"", ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), b"no profile"):
        assert to_srgb(picture, profile) is picture
    assert to_srgb(grey, red_is_green) is grey  # a profile of three channels
