"""Photos of every kind are read as what they show; what cannot be is a PhotoError of the right stage."""

import io
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pillow_heif
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps, TiffImagePlugin

from pipelines import photos
from pipelines.photos import encode

pytestmark = pytest.mark.filterwarnings(r"ignore::UserWarning:PIL\..*")  # as pipelines.photos does

RAMP = np.arange(256, dtype=np.uint8).reshape(8, 32)
DEEP = np.arange(0, 65536, 257, dtype=np.uint16).reshape(8, 32) ^ 0x0055


def encoded(image: Image.Image, name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def a_dng(mosaic: np.ndarray, orientation: int) -> bytes:
    """A camera RAW file: a small preview, and a Bayer mosaic (RGGB, 16 bits) behind it."""
    identity = [1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1]
    camera = [
        (50706, "B", 4, bytes([1, 4, 0, 0]), True),  # DNGVersion
        (50708, "s", 0, "Test Camera", True),
        (272, "s", 0, "Camera", True),
        (50721, "2i", 9, identity, True),  # ColorMatrix1
        (50728, "2I", 3, [1] * 6, True),  # AsShotNeutral
        (50778, "H", 1, 21, True),  # D65
        (274, "H", 1, orientation, True),
    ]
    sensor = [
        (33421, "H", 2, (2, 2), True),
        (33422, "B", 4, bytes([0, 1, 1, 2]), True),
        (50714, "H", 1, 0, True),  # BlackLevel
        (50717, "H", 1, 65535, True),  # WhiteLevel
    ]
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        preview = np.zeros((4, 6, 3), np.uint8)
        writer.write(preview, photometric="rgb", subfiletype=1, subifds=1, extratags=camera, metadata=None)
        writer.write(mosaic, photometric=32803, subfiletype=0, extratags=sensor, metadata=None)
    return buffer.getvalue()


# ---- modes and depths


def test_grey_stays_grey_and_rgb_is_as_pillow_reads_it() -> None:
    grey = photos.load(encoded(Image.fromarray(RAMP), "PNG"), "a.png")
    assert grey.image.mode == "L"
    np.testing.assert_array_equal(grey.pixels, RAMP[..., None])
    content = encoded(Image.fromarray(np.dstack([RAMP, RAMP.T.reshape(8, 32), 255 - RAMP])), "JPEG")
    colour = photos.load(content, "a.jpg")
    np.testing.assert_array_equal(colour.pixels, np.asarray(Image.open(io.BytesIO(content))))
    np.testing.assert_array_equal(colour.pixels, np.asarray(colour.image))
    assert grey.notes == colour.notes == []


@pytest.mark.parametrize(
    ("image", "name", "pixel", "note"),
    [
        (Image.new("1", (2, 1), 1), "PNG", (255, 255, 255), "1 bit converted to RGB"),
        (Image.new("RGB", (2, 1), (9, 8, 7)).quantize(2), "PNG", (9, 8, 7), "palette converted to RGB"),
        (Image.new("CMYK", (2, 1), (0, 255, 255, 0)), "TIFF", (255, 0, 0), "CMYK converted to RGB"),
        (Image.new("LAB", (2, 1), (255, 128, 128)), "TIFF", (254, 255, 254), "LAB converted to RGB"),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "",
)
def test_other_modes_become_rgb_and_say_so(image: Image.Image, name: str, pixel: tuple[int, ...], note: str) -> None:
    photo = photos.load(encoded(image, name), f"a.{name.lower()}")
    assert tuple(photo.pixels[0, 0]) == pixel
    assert photo.pixels.shape == (1, 2, 3)
    assert photo.notes == [note]


def test_cmyk_loses_its_profile() -> None:
    photo = photos.load(encoded(Image.new("CMYK", (2, 1)), "JPEG", icc_profile=b"cmyk profile"), "a.jpg")
    assert photo.notes == ["CMYK converted to RGB"]
    assert b"cmyk profile" not in encode(photo, photo.pixels).content


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("extension", ["png", "webp", "tif", "avif", "jp2"])
def test_alpha_is_kept_where_the_format_holds_it(mode: str, extension: str) -> None:
    image = Image.fromarray(RAMP).convert(mode)
    image.putalpha(Image.fromarray(RAMP[::-1].copy()))
    photo = photos.load(encoded(image, "PNG"), "a.png", output_format=extension.upper())
    assert photo.alpha is not None
    np.testing.assert_array_equal(photo.alpha, RAMP[::-1])
    again = photos.load(encode(photo, photo.pixels).content, f"b.{extension}")
    assert again.alpha is not None
    assert np.abs(again.alpha.astype(int) - photo.alpha).max() <= (8 if extension == "avif" else 0)


@pytest.mark.parametrize("output_format", ["JPEG", "BMP"])
def test_alpha_is_dropped_with_a_note_where_it_is_not_held(output_format: str) -> None:
    photo = photos.load(encoded(Image.new("RGBA", (2, 1)), "PNG"), "a.png", output_format=output_format)
    assert photo.alpha is None
    assert f"alpha dropped ({output_format} holds none)" in photo.notes


def test_a_transparent_colour_is_alpha() -> None:
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    photo = photos.load(encoded(palette, "GIF", transparency=1), "a.gif")
    assert photo.alpha is not None
    assert photo.alpha.tolist() == [[255, 0]]
    grey = photos.load(encoded(Image.fromarray(np.array([[7, 300]], np.uint16)), "PNG", transparency=300), "a.png")
    assert grey.alpha is not None
    assert grey.alpha.tolist() == [[65535, 0]]


def deep_files() -> dict[str, bytes]:
    colour = np.dstack([DEEP, DEEP.T.reshape(8, 32), DEEP[::-1]])
    with_alpha = np.dstack([colour, DEEP[:, ::-1]])

    def by_opencv(extension: str, array: np.ndarray) -> bytes:
        return cv2.imencode(extension, array)[1].tobytes()

    def by_tifffile(array: np.ndarray, **options: Any) -> bytes:
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, array, metadata=None, **options)
        return buffer.getvalue()

    return {
        "grey.png": by_opencv(".png", DEEP),
        "grey.tif": by_tifffile(DEEP),
        "big-endian.tif": by_tifffile(DEEP, byteorder=">"),
        "grey.pgm": b"P5 32 8 65535\n" + DEEP.astype(">u2").tobytes(),
        "colour.png": by_opencv(".png", colour[..., ::-1]),
        "colour.tif": by_tifffile(colour, photometric="rgb"),
        "deflate.tif": by_tifffile(colour, photometric="rgb", compression="zlib"),
        "colour.ppm": b"P6 32 8 65535\n" + colour.astype(">u2").tobytes(),
        "alpha.png": by_opencv(".png", with_alpha[..., [2, 1, 0, 3]]),
        "alpha.tif": by_tifffile(with_alpha, photometric="rgb", extrasamples=["unassalpha"]),
    }


DEEP_FILES = deep_files()


@pytest.mark.parametrize("name", DEEP_FILES)
@pytest.mark.parametrize("output_format", ["PNG", "TIFF", "JPEG"])
def test_sixteen_bits_are_kept_where_the_format_holds_them(name: str, output_format: str) -> None:
    photo = photos.load(DEEP_FILES[name], name, output_format=output_format)
    planes = [DEEP, DEEP.T.reshape(8, 32), DEEP[::-1]] if photo.pixels.shape[2] == 3 else [DEEP]
    kept = output_format != "JPEG"
    expected = np.dstack(planes) if kept else (np.dstack(planes) >> 8).astype(np.uint8)
    assert photo.pixels.dtype == expected.dtype
    np.testing.assert_array_equal(photo.pixels, expected)
    np.testing.assert_array_equal(np.asarray(photo.image).reshape(8, 32, -1), np.dstack(planes) >> 8)
    assert ("16 bit written as 8 bit" in photo.notes) == (not kept)
    assert (photo.alpha is not None) == (name.startswith("alpha") and kept)
    if kept:
        again = photos.load(encode(photo, photo.pixels).content, f"b.{output_format.lower()}")
        np.testing.assert_array_equal(again.pixels, expected)
        if photo.alpha is not None:
            np.testing.assert_array_equal(photo.alpha, DEEP[:, ::-1])
            assert again.alpha is not None
            np.testing.assert_array_equal(again.alpha, photo.alpha)


@pytest.mark.parametrize(
    ("values", "expected", "note"),
    [
        (np.array([[0, 4095]], np.int16), [0, 8190], "16 bit signed written as 16 bit"),
        (np.array([[-5, 32767]], np.int16), [0, 65535], "16 bit signed written as 16 bit"),
        (np.array([[1 << 16, 0xFFFF0000]], np.uint32), [1, 65535], "32 bit written as 16 bit"),
        (np.array([[-1, 2**31 - 1]], np.int32), [0, 65535], "32 bit signed written as 16 bit"),
        (np.array([[0.25, 1.5]], np.float32), [16384, 65535], "32 bit float values 0 to 1 written as 16 bit"),
        (np.array([[np.nan, -np.inf]], np.float32), [0, 0], "32 bit float values 0 to 1 written as 16 bit"),
    ],
)
def test_depth_comes_from_the_file_not_from_the_brightest_pixel(
    values: np.ndarray, expected: list[int], note: str
) -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, photometric="minisblack", metadata=None)
    photo = photos.load(buffer.getvalue(), "a.tif")
    assert photo.pixels[0, :, 0].tolist() == expected
    assert photo.notes == [note]


def test_where_zero_is_white() -> None:
    for values, expected in ((np.uint8([[0, 250]]), [255, 5]), (np.uint16([[0, 65000]]), [65535, 535])):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, values, photometric="miniswhite", metadata=None)
        photo = photos.load(buffer.getvalue(), "a.tif")
        assert photo.pixels[0, :, 0].tolist() == expected
        again = photos.load(encode(photo, photo.pixels).content, "a.tif")
        assert again.pixels[0, :, 0].tolist() == expected


def test_a_dark_photo_of_16_bits_stays_dark() -> None:
    photo = photos.load(encoded(Image.fromarray(np.full((4, 4), 200, np.uint16)), "PNG"), "a.png")
    assert np.unique(photo.pixels).tolist() == [200]
    assert np.unique(np.asarray(photo.image)).tolist() == [0]


def test_more_than_eight_bits_that_are_not_kept_are_a_note() -> None:
    colour = np.tile(np.dstack([DEEP, DEEP[::-1], DEEP]), (8, 2, 1))
    jp2 = cv2.imencode(".jp2", colour)[1].tobytes()
    assert photos.load(jp2, "a.jp2").notes == ["16 bit written as 8 bit"]
    heic = io.BytesIO()
    pillow_heif.encode("RGB;16", (64, 64), colour.tobytes(), heic)
    assert photos.load(heic.getvalue(), "a.heic").notes == ["10 bit written as 8 bit", "HEIF written as JPEG"]
    sgi = encoded(Image.fromarray(RAMP), "SGI", bpc=2)
    assert photos.load(sgi, "a.sgi").notes == ["16 bit written as 8 bit", "SGI written as PNG"]


def test_a_file_that_pillow_would_misread_is_unsupported() -> None:
    buffer = io.BytesIO()
    planes = np.stack([DEEP] * 3)
    tifffile.imwrite(buffer, planes, photometric="rgb", planarconfig="separate", metadata=None)
    with pytest.raises(photos.PhotoError, match="unsupported: uncompressed TIFF of 16 bits"):
        photos.load(buffer.getvalue(), "a.tif")


# ---- orientation, frames, notes


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_orientation_is_applied_once(orientation: int, name: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image = Image.new("RGB", (48, 32), "black")
    image.paste("red", (0, 0, 16, 16))
    options = {"quality": 95, "subsampling": 0} if name == "JPEG" else {"lossless": True} if name == "WEBP" else {}
    content = encoded(image, name, exif=exif.tobytes(), **options)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    photo = photos.load(content, f"a.{name.lower()}")
    np.testing.assert_array_equal(photo.pixels, expected)
    again = photos.load(encode(photo, photo.pixels).content, f"a.{name.lower()}")
    assert np.abs(again.pixels.astype(int) - expected).max() <= 3
    small = photos.thumbnail(content, "a", 24)
    assert small.shape == ((24, 16, 3) if orientation > 4 else (16, 24, 3))
    corner = small[:4, :4].mean() if orientation == 1 else None
    assert corner is None or corner > 60
    bright = np.argwhere(small[..., 0] > 128).mean(axis=0) / small.shape[:2]
    wanted = np.argwhere(expected[..., 0] > 128).mean(axis=0) / expected.shape[:2]
    assert np.abs(bright - wanted).max() < 0.05
    decoded, _ = photos.decode(content, "a", (8, 8))
    assert (
        np.abs(np.argwhere(np.asarray(decoded)[..., 0] > 128).mean(axis=0) / decoded.size[::-1] - wanted).max() < 0.05
    )


def test_sixteen_bit_colour_is_turned_too() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    chunk = exif.tobytes()[6:]
    png = DEEP_FILES["colour.png"]
    donor = encoded(Image.new("L", (1, 1)), "PNG", exif=exif)
    start = donor.index(b"eXIf") - 4
    content = png[:33] + donor[start : start + 12 + len(chunk)] + png[33:]
    photo = photos.load(content, "a.png")
    np.testing.assert_array_equal(photo.pixels[..., 0], np.rot90(DEEP, -1))


def test_further_pictures_are_noted() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    for name, extension in (("GIF", "gif"), ("TIFF", "tif"), ("WEBP", "webp"), ("PNG", "png")):
        photo = photos.load(encoded(frames[0], name, save_all=True, append_images=frames[1:]), f"a.{extension}")
        assert photo.notes[0] == "first frame of 3"
        assert photo.pixels[0, 0].argmax() == 0
    mpo = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:2])
    assert photos.load(mpo, "a.jpg").notes == ["second MPO image dropped"]
    ultra = encoded(frames[0], "JPEG", xmp=b'<rdf hdrgm:Version="1.0"/>')
    assert photos.load(ultra, "a.jpg").notes == ["gain map dropped"]


@pytest.mark.parametrize("in_a_circle", [False, True])
def test_pages_are_counted_by_their_links_alone(in_a_circle: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 30,000 pages, of which Pillow would read each, and look it up among all before it."""
    content = bytearray(encoded(Image.new("RGB", (4, 4), "red"), "TIFF"))
    (first,) = struct.unpack_from("<L", content, 4)
    (entries,) = struct.unpack_from("<H", content, first)
    start = len(content) + len(content) % 2
    content += bytes(start - len(content))
    struct.pack_into("<L", content, first + 2 + 12 * entries, start)
    for page in range(1, 30_000):
        following = start + 6 * page if page < 29_999 else first if in_a_circle else 0
        content += struct.pack("<HL", 0, following)  # a directory without entries, and where the next one is
    read: list[int] = []
    load = TiffImagePlugin.ImageFileDirectory_v2.load

    def noting(self: TiffImagePlugin.ImageFileDirectory_v2, file: io.BytesIO) -> None:
        read.append(file.tell())
        load(self, file)

    monkeypatch.setattr(TiffImagePlugin.ImageFileDirectory_v2, "load", noting)
    photo = photos.load(bytes(content), "a.tif")
    assert photo.notes == ["first frame of 30000"]
    assert photo.pixels[0, 0].tolist() == [255, 0, 0]
    assert set(read) == {first}
    assert len(read) <= 3


def test_a_page_that_leads_out_of_the_file_costs_a_note() -> None:
    content = bytearray(encoded(Image.new("RGB", (4, 4), "red"), "TIFF"))
    (first,) = struct.unpack_from("<L", content, 4)
    (entries,) = struct.unpack_from("<H", content, first)
    struct.pack_into("<L", content, first + 2 + 12 * entries, 10**9)
    photo = photos.load(bytes(content), "a.tif")
    (note,) = photo.notes
    assert note.startswith("further frames unreadable (")
    assert photo.pixels[0, 0].tolist() == [255, 0, 0]


def test_a_png_called_jpg_is_read_by_content_and_written_by_name() -> None:
    photo = photos.load(encoded(Image.new("RGB", (3, 2), "red"), "PNG"), "a.jpg")
    assert photo.notes == ["PNG written as JPEG"]
    assert Image.open(io.BytesIO(encode(photo, photo.pixels).content)).format == "JPEG"


# ---- small copies


@pytest.mark.parametrize(
    ("size", "expected"), [((640, 480), (96, 128)), ((30, 7), (7, 30)), ((1, 1), (1, 1)), ((1, 900), (128, 1))]
)
@pytest.mark.parametrize("name", ["JPEG", "PNG"])
def test_small_copies_keep_the_shape_and_never_grow(
    size: tuple[int, int], expected: tuple[int, int], name: str
) -> None:
    small = photos.thumbnail(encoded(Image.new("L", size, 100), name), "a", 128)
    assert small.shape == (*expected, 3)
    assert small.dtype == np.uint8
    assert np.abs(small.astype(int) - 100).max() <= 1


@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF"])
def test_a_small_copy_shows_the_same_as_a_box_average(name: str) -> None:
    y, x = np.mgrid[0:256, 0:384]
    image = Image.fromarray(np.dstack([x * 2 // 3, y, (x + y) // 3]).astype(np.uint8))
    small = photos.thumbnail(encoded(image, name), "a", 48).astype(float)
    mean = np.asarray(image, float).reshape(32, 8, 48, 8, 3).mean(axis=(1, 3))
    assert np.abs(small - mean).mean() < 1.5


def test_small_copies_of_palettes_and_16_bits_are_of_their_colours() -> None:
    palette = Image.new("RGB", (64, 64), (10, 200, 30)).quantize(4)
    assert np.unique(photos.thumbnail(encoded(palette, "PNG"), "a.png", 8).reshape(-1, 3), axis=0).tolist() == [
        [10, 200, 30]
    ]
    deep = encoded(Image.fromarray(np.full((64, 64), 0x4000, np.uint16)), "PNG")
    assert np.unique(photos.thumbnail(deep, "a.png", 8)).tolist() == [0x40]


# ---- what cannot be read


@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "JPEG2000", "AVIF"])
def test_truncated_files_are_decode_errors(name: str) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    content = encoded(Image.fromarray(noise), name)
    for read in (photos.load, lambda c, p: photos.thumbnail(c, p, 32)):
        with pytest.raises(photos.PhotoError) as caught:
            read(content[: len(content) * 2 // 3], "a")
        assert caught.value.stage == "decode"


@pytest.mark.parametrize("content", [b"", b"no image at all", bytes(1000), b"<html></html>"])
def test_no_image_is_a_decode_error(content: bytes) -> None:
    for path in ("a.jpg", "a", "a.tif"):
        with pytest.raises(photos.PhotoError) as caught:
            photos.load(content, path)
        assert caught.value.stage == "decode"


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    bomb = bytearray(encoded(Image.new("1", (8, 8)), "BMP"))
    bomb[18:26] = (100_000).to_bytes(4, "little") * 2  # ten gigapixels in a header of 62 bytes
    for read in (photos.load, lambda c, p: photos.thumbnail(c, p, 32)):
        with pytest.raises(photos.PhotoError) as caught:
            read(bytes(bomb), "a.bmp")
        assert (caught.value.stage, caught.value.message) == (
            "too_large",
            "100000x100000 is more than --max-pixels 500000000",
        )
    with pytest.raises(photos.PhotoError, match="too_large: 8x8 is more than --max-pixels 63"):
        photos.load(encoded(Image.new("L", (8, 8)), "PNG"), "a.png", max_pixels=63)


def test_pillows_own_limit_is_off_for_good() -> None:
    """It is one for the process: what is lifted for one photo and set again meanwhile would refuse another's."""
    assert Image.MAX_IMAGE_PIXELS is None
    content = encoded(Image.new("L", (8, 8), 50), "PNG")
    assert photos.load(content, "a.png").pixels.shape == (8, 8, 1)
    assert Image.MAX_IMAGE_PIXELS is None


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n"),
        ("a.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n"),
        ("a.pdf", b"%PDF-1.7\n"),
        ("a.exr", b"\x76\x2f\x31\x01"),
        ("a.mpg", b"\x00\x00\x01\xb3\x01\x00\x10"),
        ("a.h5", b"\x89HDF\r\n\x1a\n" + bytes(64)),
    ],
)
def test_what_is_no_photo_to_pillow_is_unsupported(path: str, content: bytes) -> None:
    with pytest.raises(photos.PhotoError) as caught:
        photos.load(content, path)
    assert caught.value.stage == "unsupported"


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    with pytest.raises(photos.PhotoError, match=r"unsupported: camera RAW needs rawpy: pip install 'zerodce\[raw\]'"):
        photos.load(b"FUJIFILMCCD-RAW", "a.raf")
    monkeypatch.delitem(Image.OPEN, "HEIF")
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "HEIF"])
    for path in ("a.jpg", "a.heic"):
        with pytest.raises(photos.PhotoError, match=r"unsupported: HEIC needs .* 'zerodce\[heif\]'"):
            photos.load(b"\x00\x00\x00\x18ftypheic" + bytes(64), path)


# ---- HEIC and camera RAW


def test_heic_is_read_upright_with_its_metadata_and_written_as_jpeg() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "someone"
    exif[ExifTags.Base.Orientation] = 6
    image = Image.new("RGB", (64, 32), (200, 30, 30))
    photo = photos.load(encoded(image, "HEIF", exif=exif.tobytes(), quality=95), "a.heic")
    assert photo.pixels.shape == (64, 32, 3)
    assert np.abs(photo.pixels.astype(int) - (200, 30, 30)).max() <= 4
    assert photo.notes == ["HEIF written as JPEG"]
    written = Image.open(io.BytesIO(encode(photo, photo.pixels).content))
    assert (written.format, written.getexif()[ExifTags.Base.Artist]) == ("JPEG", "someone")


@pytest.mark.parametrize("path", ["a.dng", "a.tif"])
def test_camera_raw_is_developed_not_its_preview(path: str) -> None:
    mosaic = np.full((64, 96), 8000, np.uint16)
    mosaic[:32] = 30000  # of 65535: 0.4578, in the BT.709 curve 173; and 0.1221: 82
    photo = photos.load(a_dng(mosaic, orientation=6), path, output_format="JPEG")
    assert photo.pixels.shape == (96, 64, 3)
    assert np.abs(photo.pixels[8:-8, 40:56].astype(int) - 173).max() <= 2
    assert np.abs(photo.pixels[8:-8, 8:24].astype(int) - 82).max() <= 2
    assert photo.notes == ["RAW written as JPEG"]
    written = Image.open(io.BytesIO(encode(photo, photo.pixels).content))
    assert written.getexif()[ExifTags.Base.Model] == "Camera"
    assert written.getexif().get(ExifTags.Base.Orientation, 1) == 1
    small = photos.thumbnail(a_dng(mosaic, orientation=6), path, 24)
    assert small.shape == (24, 16, 3)
    assert np.abs(small[4:-4, 10:14].astype(int) - 173).max() <= 2


def test_damaged_and_large_raw_files_are_errors() -> None:
    content = a_dng(np.zeros((64, 96), np.uint16), 1)
    for damaged in (b"", bytes(5000), content[:300]):
        with pytest.raises(photos.PhotoError) as caught:
            photos.load(damaged, "a.nef")
        assert caught.value.stage in ("decode", "unsupported")
    with pytest.raises(photos.PhotoError, match="too_large: 96x64"):
        photos.load(content, "a.dng", max_pixels=100)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_has_the_pixels_that_pillow_finds(subsampling: str, progressive: bool) -> None:
    pixels = np.random.default_rng(5).integers(0, 256, (37, 53, 3), np.uint8)
    content = encoded(Image.fromarray(pixels), "JPEG", subsampling=subsampling, progressive=progressive, quality=80)
    np.testing.assert_array_equal(photos.load(content, "a.jpg").pixels, np.asarray(Image.open(io.BytesIO(content))))
    with pytest.raises(photos.PhotoError, match="truncated"):
        photos.load(content[: len(content) // 2], "a.jpg")


# ---- autocontrast


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("span", [(0, 255), (3, 90), (40, 41), (7, 7)])
def test_autocontrast_is_pillows(mode: str, span: tuple[int, int]) -> None:
    rng = np.random.default_rng(span)
    pixels = rng.integers(span[0], span[1] + 1, (20, 30, 3), np.uint8)
    pixels[..., 1] //= 2
    image = Image.fromarray(pixels).convert(mode)
    photo = photos.load(encoded(image, "PNG"), "a.png")
    expected = np.asarray(ImageOps.autocontrast(image))
    _check_autocontrast(photo.pixels, expected.reshape(photo.pixels.shape))


def _check_autocontrast(pixels: np.ndarray, expected: np.ndarray) -> None:
    table = photos.autocontrast_table(pixels)
    if table is None:
        np.testing.assert_array_equal(pixels, expected)
    else:
        np.testing.assert_array_equal(photos.look_up(pixels, table), expected)
        assert (pixels != expected).any()


@pytest.mark.parametrize("low", [0, 1, 2])
def test_autocontrast_changes_nothing_exactly_where_pillow_does_not(low: int) -> None:
    """All spans of values that are present at their ends alone: rounding leaves some of them as they are."""
    for high in range(low, 256):
        pixels = np.array([[[low], [high]]], np.uint8)
        _check_autocontrast(pixels, np.asarray(ImageOps.autocontrast(Image.fromarray(pixels[..., 0])))[..., np.newaxis])


@pytest.mark.parametrize("rows", [(0, 0), (0, 199), (63, 64), (199, 199)])
def test_autocontrast_sees_extremes_wherever_they_are(rows: tuple[int, int]) -> None:
    """Pillow's own, of a photo whose channels have their lowest and highest values in few rows."""
    pixels = np.full((200, 9, 3), 100, np.uint8)
    pixels[0, 0] = (0, 255, 50)
    pixels[0, 1] = (255, 0, 60)
    pixels[rows[0], 2, 2], pixels[rows[1], 3, 2] = 0, 255
    for photo in (pixels, np.maximum(pixels, 1), np.minimum(pixels, 254)):
        expected = np.asarray(ImageOps.autocontrast(Image.fromarray(photo)))
        _check_autocontrast(photo, expected)


# ---- many at once, and rubbish


def test_threads_read_and_write_the_same_as_one_alone() -> None:
    rng = np.random.default_rng(3)
    files = [encoded(Image.fromarray(rng.integers(0, 255, (40 + i, 50, 3), np.uint8)), "JPEG") for i in range(12)]

    def work(content: bytes) -> tuple[bytes, bytes]:
        photo = photos.load(content, "a.jpg")
        return encode(photo, photo.pixels).content, photos.thumbnail(content, "a.jpg", 16).tobytes()

    alone = [work(content) for content in files]
    before = threading.active_count()  # threads of other tests in this process may still end
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, files * 4)) == alone * 4
    assert threading.active_count() <= before


SEEDS = [
    (
        "a.jpg",
        encoded(Image.fromarray(np.dstack([RAMP] * 3)), "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x00"),
    ),
    ("a.png", encoded(Image.fromarray(RAMP).convert("LA"), "PNG")),
    ("a.gif", encoded(Image.fromarray(RAMP), "GIF", save_all=True, append_images=[Image.fromarray(RAMP.T)])),
    ("a.tif", encoded(Image.fromarray(RAMP), "TIFF", compression="tiff_adobe_deflate")),
    ("b.tif", DEEP_FILES["colour.tif"]),
    ("b.png", DEEP_FILES["alpha.png"]),
    ("a.bmp", encoded(Image.fromarray(RAMP), "BMP")),
    ("a.webp", encoded(Image.fromarray(RAMP), "WEBP")),
    ("a.jp2", encoded(Image.fromarray(RAMP), "JPEG2000")),
    ("a.avif", encoded(Image.fromarray(RAMP), "AVIF")),
    ("a.heic", encoded(Image.fromarray(RAMP).convert("RGB"), "HEIF")),
    ("a.ico", encoded(Image.fromarray(RAMP), "ICO")),
    ("a.tga", encoded(Image.fromarray(RAMP), "TGA")),
    ("a.ppm", encoded(Image.fromarray(RAMP), "PPM")),
    ("a.dng", a_dng(DEEP, 1)),
]


@given(
    seed=st.sampled_from(SEEDS),
    cut=st.one_of(st.none(), st.floats(0, 1)),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), max_size=6),
)
@settings(max_examples=300)
def test_damage_ends_as_a_photo_or_a_photo_error(
    seed: tuple[str, bytes], cut: float | None, flips: list[tuple[float, int]]
) -> None:
    path, content = seed
    damaged = bytearray(content)
    for where, bit in flips:
        damaged[int(where * len(damaged))] ^= 1 << bit
    damaged = damaged[: len(damaged) if cut is None else int(cut * len(damaged))]
    limit = 100_000  # a flipped size should not cost the test gigabytes
    for output_format in (None, "JPEG"):
        try:
            photo = photos.load(bytes(damaged), path, output_format=output_format, max_pixels=limit)
            written = encode(photo, photo.pixels).content
            small = photos.thumbnail(bytes(damaged), path, 16, max_pixels=limit)
        except photos.PhotoError as error:
            failure = error
        else:
            failure = None
        if failure is not None:
            assert failure.stage in ("decode", "unsupported", "too_large")
            assert failure.message
            assert "\n" not in failure.message
            continue
        again = Image.open(io.BytesIO(written))
        again.load()
        assert again.size == (photo.pixels.shape[1], photo.pixels.shape[0])
        assert max(small.shape[:2]) == min(16, max(photo.pixels.shape[:2]))


def test_nothing_is_written_to_standard_error_by_damaged_files() -> None:
    program = """
import io
from PIL import Image
from pipelines.photos import PhotoError, load
for name in ("TIFF", "JPEG", "PNG"):
    buffer = io.BytesIO()
    options = {"compression": "tiff_adobe_deflate"} if name == "TIFF" else {}
    Image.effect_noise((40, 40), 50).save(buffer, name, exif=b"Exif\\0\\0II*\\0\\x08\\0\\0\\0\\x09\\0", **options)
    content = buffer.getvalue()
    for end in range(1, len(content), len(content) // 25):
        for damaged in (content[:end], content[:end] + bytes(20) + content[end + 20 :]):
            try:
                load(damaged, "a")
            except PhotoError:
                pass
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""
