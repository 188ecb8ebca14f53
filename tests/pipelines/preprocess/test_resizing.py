"""Resizing against Pillow's own, and against geometry worked out by hand."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from pipelines.photos import PhotoError
from pipelines.preprocess.resizing import load_resized, target


def encoded(image: Image.Image, kind: str = "png", **options) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize(
    ("resize", "output", "box"),
    [
        ("stretch", (256, 256), (0, 0, 600, 400)),
        ("fit", (256, 171), (0, 0, 600, 400)),
        ("crop", (256, 256), (100, 0, 500, 400)),
    ],
)
def test_a_600_by_400_image_comes_to_256(resize: str, output: tuple, box: tuple) -> None:
    assert target((600, 400), (256, 256), resize) == (output, pytest.approx(box))


@pytest.mark.parametrize("source", [(600, 400), (400, 600), (7, 1000), (1, 1)])
@pytest.mark.parametrize("size", [(256, 256), (320, 240), (30, 200)])
def test_crop_and_fit_are_those_of_pillow(source: tuple[int, int], size: tuple[int, int]) -> None:
    image = noise(*source)
    result, _ = load_resized(encoded(image), "a.png", size, "crop")
    expected = ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    assert np.abs(np.asarray(result, int) - np.asarray(expected, int)).max() <= 1
    fitted, _ = load_resized(encoded(image), "a.png", size, "fit")
    assert fitted.size[0] == size[0] or fitted.size[1] == size[1]
    assert fitted.size[0] <= size[0]
    assert fitted.size[1] <= size[1]


def test_stretch_is_pillows_anti_aliased_bilinear() -> None:
    image = noise(600, 400)
    result, notes = load_resized(encoded(image), "a.png", (256, 256), "stretch")
    np.testing.assert_array_equal(result, image.resize((256, 256), Image.Resampling.BILINEAR))
    assert notes == []


def test_a_checkerboard_of_single_pixels_becomes_grey() -> None:
    board = (np.indices((512, 512)).sum(0) % 2 * 255).astype(np.uint8)
    result, _ = load_resized(encoded(Image.fromarray(board)), "a.png", (128, 128), "stretch")
    assert np.abs(np.asarray(result, int) - 127.5).max() < 4  # without anti-aliasing: 0 or 255


def test_a_large_jpeg_scaled_in_the_dct_looks_as_the_whole_one_resized(data: Path) -> None:
    path = next((data / "photos").glob("*Nokia*"))
    result, _ = load_resized(path.read_bytes(), path.name, (256, 256), "stretch")
    whole = ImageOps.exif_transpose(Image.open(path)).convert("RGB").resize((256, 256), Image.Resampling.BILINEAR)
    error = np.mean((np.asarray(result, float) - np.asarray(whole, float)) ** 2)
    assert 10 * np.log10(255**2 / error) > 40


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_applied(orientation: int) -> None:
    upright = noise(60, 40)
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transposes that orientation 2 to 8 undoes
    turned = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    result, _ = load_resized(encoded(turned, exif=exif), "a.png", (60, 40), "stretch")
    np.testing.assert_array_equal(result, upright)


def test_orientation_of_the_examples(data: Path) -> None:
    images = {
        path.name: np.asarray(load_resized(path.read_bytes(), path.name, (60, 40), "stretch")[0], float)
        for path in (data / "orientation").glob("Landscape_[1-8].jpg")
    }
    assert len(images) == 8
    for image in images.values():  # the same scene but for the number in the middle
        assert np.abs(image - images["Landscape_1.jpg"])[:12].mean() < 6


def test_16_bit_keeps_its_high_byte_and_says_so() -> None:
    values = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    result, notes = load_resized(encoded(Image.fromarray(values)), "a.png", (8, 8), "stretch")
    np.testing.assert_array_equal(np.asarray(result)[..., 0], values >> 8)
    assert notes == ["16 bit written as 8 bit"]


def test_alpha_is_dropped_and_said() -> None:
    image = noise(8, 8)
    transparent = image.copy()
    transparent.putalpha(Image.linear_gradient("L").resize((8, 8)))
    result, notes = load_resized(encoded(transparent), "a.png", (8, 8), "stretch")
    np.testing.assert_array_equal(result, image)
    assert notes == ["alpha dropped"]


def test_nothing_of_the_file_but_pixels_goes_on() -> None:
    content = encoded(noise(8, 8), icc_profile=b"profile", dpi=(72, 72))
    result, _ = load_resized(content, "a.png", (4, 4), "stretch")
    assert not {"icc_profile", "dpi"} & result.info.keys()


def test_what_is_no_image_is_said() -> None:
    with pytest.raises(PhotoError) as error:
        load_resized(b"no image", "a.png", (4, 4), "stretch")
    assert error.value.stage == "decode"
