"""What is written has the original's format, size, quality and depth."""

import dataclasses
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, JpegImagePlugin

from pipelines import photos
from pipelines.photos import encode


def picture(size: tuple[int, int] = (96, 64)) -> Image.Image:
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    waves = 127 + 90 * np.sin(x / 3) * np.cos(y / 5)
    return Image.fromarray(np.dstack([waves, waves[:, ::-1], 255 - waves]).astype(np.uint8))


def encoded(image: Image.Image, name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def written(content: bytes, path: str, quality: int | None = None, output_format: str | None = None) -> Image.Image:
    photo = photos.load(content, path, output_format=output_format)
    return Image.open(io.BytesIO(encode(photo, photo.pixels, quality=quality).content))


@pytest.mark.parametrize("quality", [35, 75, 93])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_jpeg_keeps_its_tables_and_subsampling(quality: int, subsampling: int) -> None:
    original = encoded(picture(), "JPEG", quality=quality, subsampling=subsampling)
    tables = Image.open(io.BytesIO(original)).quantization  # type: ignore[attr-defined]
    again = written(original, "a.jpg")
    assert isinstance(again, JpegImagePlugin.JpegImageFile)
    assert again.quantization == tables
    assert JpegImagePlugin.get_sampling(again) == subsampling
    chosen = written(original, "a.jpg", quality=50)
    assert isinstance(chosen, JpegImagePlugin.JpegImageFile)
    assert chosen.quantization[0][0] == 16  # of quality 50, ITU-T T.81, table K.1
    assert JpegImagePlugin.get_sampling(chosen) == subsampling


def test_jpegs_of_other_components_are_written_as_luma_and_chroma() -> None:
    for image, options in ((picture().convert("CMYK"), {}), (picture(), {"keep_rgb": True})):
        original = encoded(image, "JPEG", quality=60, **options)
        again = written(original, "a.jpg")
        assert isinstance(again, JpegImagePlugin.JpegImageFile)
        assert [layer[0] for layer in again.layer] == [1, 2, 3]
        assert np.abs(np.asarray(again, int) - np.asarray(image.convert("RGB"), int)).mean() < 8
    grey = written(encoded(picture().convert("L"), "JPEG", quality=60), "a.jpg")
    assert grey.mode == "L"


@pytest.mark.parametrize("quality", [10, 50, 80, 95, 100])
def test_the_quality_goes_along_into_another_format(quality: int) -> None:
    content = encoded(picture(), "JPEG", quality=quality)
    for output_format in ("WebP", "AVIF"):
        photo = photos.load(content, "a.jpg", output_format=output_format)
        assert encode(photo, photo.pixels).content == encode(photo, photo.pixels, quality=quality).content


@pytest.mark.parametrize("name", ["PNG", "TIFF", "BMP", "WEBP", "JPEG2000"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_lossless_stays_lossless(name: str, mode: str) -> None:
    image = picture((77, 33)).convert(mode)
    options = {"lossless": True} if name == "WEBP" else {}
    again = written(encoded(image, name, **options), f"a.{name.lower()}", output_format=name)
    np.testing.assert_array_equal(np.asarray(again.convert("RGB")), np.asarray(image.convert("RGB")))
    if name != "WEBP":  # which knows no grey
        assert again.mode == mode


@pytest.mark.parametrize("lossless", [True, False])
def test_webp_stays_lossy_or_lossless_unless_a_quality_is_asked_for(lossless: bool) -> None:
    photo = photos.load(encoded(picture(), "WEBP", lossless=lossless), "a.webp")
    assert encode(photo, photo.pixels).content[12:16] == (b"VP8L" if lossless else b"VP8 ")
    assert encode(photo, photo.pixels, quality=80).content[12:16] == b"VP8 "


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("frames", [1, 2])
def test_the_kind_of_a_webp_is_found_behind_a_profile_and_in_an_animation(lossless: bool, frames: int) -> None:
    """Its chunk stands behind that of the profile, which is 500 bytes long, and inside that of a frame."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    others = [picture().rotate(90 * i) for i in range(1, frames)]
    content = encoded(
        picture(), "WEBP", lossless=lossless, icc_profile=profile, save_all=frames > 1, append_images=others
    )
    assert content.index(b"VP8L" if lossless else b"VP8 ") > 64
    assert photos.load(content, "a.webp").lossless == lossless


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 300), (700, 3)])
@pytest.mark.parametrize("output_format", ["JPEG", "PNG", "WebP", "TIFF", "BMP", "JPEG2000", "AVIF"])
def test_small_and_narrow_photos(size: tuple[int, int], output_format: str) -> None:
    again = written(encoded(Image.new("RGB", size, (50, 60, 70)), "PNG"), "a.png", output_format=output_format)
    again.load()
    assert again.size == size
    assert np.abs(np.asarray(again, int) - (50, 60, 70)).max() <= 4


def test_tiff_of_many_strips_is_read_by_others() -> None:
    import cv2
    import tifffile

    pixels = np.random.default_rng(0).integers(0, 65536, (500, 900, 3), np.uint16)
    for values in (pixels, (pixels >> 8).astype(np.uint8)):
        photo = photos.load(cv2.imencode(".png", values[..., ::-1])[1].tobytes(), "a.png", output_format="TIFF")
        content = encode(photo, values).content
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            page = file.pages.first
            assert len(page.dataoffsets) > 1
            assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
            assert page.predictor == tifffile.PREDICTOR.HORIZONTAL
        read = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(read[..., ::-1], values)


def test_an_eight_bit_baseline_of_a_sixteen_bit_photo() -> None:
    pixels_16 = encoded(Image.fromarray(np.full((4, 6), 0x1234, np.uint16)), "PNG")
    for output_format in ("PNG", "TIFF"):
        photo = photos.load(pixels_16, "a.png", output_format=output_format)
        again = Image.open(io.BytesIO(encode(photo, photo.eight_bits).content))
        assert again.mode == "L"
        assert np.unique(np.asarray(again)).tolist() == [0x12]


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_a_png_is_hardly_larger_than_pillows_fastest(mode: str) -> None:
    """Grain as brightening leaves it; the pixels are the same, and so is the mode."""
    grain = np.random.default_rng(1).normal(0, 6, (64, 96, 4))
    pixels = np.clip(np.asarray(picture().convert("RGBA")) + grain, 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels).convert(mode)
    plain = encoded(image, "PNG", compress_level=1)
    photo = photos.load(plain, "a.png")
    content = encode(photo, photo.pixels).content
    again = Image.open(io.BytesIO(content))
    assert again.mode == mode
    np.testing.assert_array_equal(np.asarray(again), np.asarray(image))
    assert len(content) <= 1.1 * len(plain)


def test_a_failing_encoder_is_an_error_of_that_photo() -> None:
    content = encoded(Image.new("L", (70_000, 1)), "PNG")
    photo = photos.load(content, "a.png", output_format="JPEG")  # which ends at 65,535 pixels
    with pytest.raises(photos.PhotoError) as caught:
        encode(photo, photo.pixels)
    assert caught.value.stage == "encode"


@pytest.mark.parametrize(
    ("factors", "orientation", "expected"),
    [((2, 2), 1, 2), ((2, 2), 6, 2), ((2, 1), 3, 1), ((2, 1), 6, 1), ((1, 2), 8, 1), ((1, 2), 1, 0), ((4, 1), 1, 1)],
)
def test_chroma_subsampling_is_kept_or_the_next_finer(
    factors: tuple[int, int], orientation: int, expected: int
) -> None:
    import cv2

    constant = {
        (2, 2): cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
        (2, 1): cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
        (1, 2): cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
        (4, 1): cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
    }[factors]
    content = cv2.imencode(".jpg", np.asarray(picture()), [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, constant])[1].tobytes()
    exif = Image.Exif()
    exif[0x0112] = orientation
    block = exif.tobytes()
    content = content[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + content[2:]
    again = written(content, "a.jpg")
    assert again.size == ((64, 96) if orientation >= 5 else (96, 64))
    assert JpegImagePlugin.get_sampling(again) == expected


@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF"])
def test_metadata_that_the_encoder_cannot_take_costs_a_note_and_not_the_photo(name: str) -> None:
    photo = photos.load(encoded(picture(), name, dpi=(300, 300)), f"a.{name.lower()}")
    photo.metadata = dataclasses.replace(photo.metadata, icc_profile=object())
    content, (note,) = encode(photo, photo.pixels)
    assert content == encode(photo, photo.pixels, strip_metadata=True).content
    assert note.startswith("metadata could not be written and was dropped (")
