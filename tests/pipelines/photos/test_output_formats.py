"""What is written in other formats and sizes than the photo has."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from pipelines import cli, photos
from pipelines.photos import formats, jpeg_xl
from pipelines.photos.pixels import scaled, scaled_size
from tests.pipelines.jobs import enhance

jpeg_xl.register()
GREY = np.arange(60 * 90, dtype=np.uint16).reshape(60, 90, 1) * 12


def saved(image: Image.Image, name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def coloured(width: int, height: int) -> Image.Image:
    rows, columns = np.mgrid[:height, :width]
    values = np.dstack([rows * 255 // height, columns * 255 // width, (rows + columns) % 256])
    return Image.fromarray(values.astype(np.uint8))


class TestJpegXl:
    @pytest.mark.parametrize(
        "size", [(90, 60), (64, 64), (160, 90), (1601, 1067), (1, 1), (256, 8), (300, 250), (20, 513)]
    )
    @pytest.mark.parametrize("container", [False, True])
    def test_the_size_is_known_before_it_is_decoded(self, size: tuple[int, int], container: bool) -> None:
        content = saved(Image.new("L", size, 7), "JXL", use_container=container)
        assert jpeg_xl.size_of(content) == size == opened(content).size

    def test_other_files_have_no_size(self) -> None:
        assert jpeg_xl.size_of(saved(Image.new("L", (9, 9)), "PNG")) is None
        assert jpeg_xl.size_of(b"") is None
        assert jpeg_xl.size_of(b"\x00\x00\x00\x0cJXL \r\n\x87\n\x00\x00") is None

    def test_a_photo_too_large_is_refused_before_it_is_decoded(self) -> None:
        content = saved(Image.new("L", (300, 200)), "JXL")
        with pytest.raises(photos.PhotoError, match="300x200 is more than --max-pixels 50000"):
            photos.load(content[:40], "a.jxl", max_pixels=50_000)

    def test_what_is_written_is_near_the_pixels_and_keeps_the_metadata(self) -> None:
        image = coloured(90, 60)
        exif = Image.Exif()
        exif[0x010F] = "Maker"
        photo = photos.load(saved(image, "JPEG", quality=95, exif=exif.tobytes()), "a.jpg", output_format="jpegxl")
        content, notes = photos.encode(photo, photo.pixels)
        assert notes == []
        found = opened(content)
        assert (found.format, found.size) == ("JXL", (90, 60))
        assert found.getexif()[0x010F] == "Maker"
        error = np.asarray(found).astype(float) - photo.pixels
        assert np.abs(error).mean() < 4
        assert content == photos.encode(photo, photo.pixels).content

    def test_a_lossless_photo_stays_lossless_with_its_opacity(self) -> None:
        image = coloured(90, 60)
        image.putalpha(Image.linear_gradient("L").resize((90, 60)))
        photo = photos.load(saved(image, "PNG"), "a.png", output_format="JPEGXL")
        found = opened(photos.encode(photo, photo.pixels).content)
        assert np.array_equal(np.asarray(found), np.asarray(image))

    def test_a_profile_is_applied_because_it_cannot_be_written(self) -> None:
        image = coloured(90, 60)
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        photo = photos.load(saved(image, "PNG", icc_profile=profile), "a.png", output_format="JPEGXL")
        assert np.array_equal(np.asarray(opened(photos.encode(photo, photo.pixels).content)), np.asarray(image))

    def test_without_the_library_a_line_names_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None)
        result = CliRunner().invoke(cli.main, ["enhance", "photos", "out", "--format", "jpegxl"])
        assert result.exit_code == 2
        assert "JPEGXL needs another library: pip install 'zerodce[jxl]'" in result.output
        text = CliRunner().invoke(cli.main, ["enhance", "--help"]).output
        assert "[JPEG|PNG|WebP|TIFF|BMP|JPEG2000|AVIF]" in text
        result = CliRunner().invoke(cli.main, ["enhance", "photos", "out", "--format", "gif"])
        assert "unknown format 'gif'; choose one of JPEG, PNG, WebP, TIFF, BMP, JPEG2000, AVIF" in result.output
        monkeypatch.delitem(Image.OPEN, "JXL")
        monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != "JXL"])
        with pytest.raises(photos.PhotoError, match=r"JPEG XL needs a library: pip install 'zerodce\[jxl\]'"):
            photos.load(b"\xff\x0a" + bytes(30), "a.jxl")


class TestScaling:
    @given(st.integers(1, 9000), st.integers(1, 9000), st.integers(1, 9000))
    def test_the_longer_side_gets_the_length(self, width: int, height: int, side: int) -> None:
        size = scaled_size(width, height, side)
        assert max(size) == side
        assert min(size) >= 1
        assert size[0] / side == pytest.approx(width / max(width, height), abs=1 / side)

    @settings(deadline=None)
    @given(st.sampled_from([1, 2, 3, 4]), st.sampled_from([np.uint8, np.uint16]), st.integers(0, 255))
    def test_a_flat_image_stays_flat(self, channels: int, kind: type, value: int) -> None:
        pixels = np.full((30, 50, channels), value, kind)
        if channels in (2, 4):
            pixels[..., -1] = np.iinfo(kind).max
        small = scaled(pixels, (20, 12))
        assert (small.shape, small.dtype) == ((12, 20, channels), kind)
        assert (small == pixels[:12, :20]).all()

    def test_sixteen_bits_are_as_eight_bits_but_finer(self) -> None:
        eight = scaled((GREY // 256).astype(np.uint8), (30, 20)).astype(float)
        sixteen = scaled(GREY, (30, 20)).astype(float)
        assert np.abs(sixteen / 256 - eight).max() < 1.6
        assert len(np.unique(sixteen)) > 2 * len(np.unique(eight))

    def test_hidden_colours_do_not_bleed(self) -> None:
        pixels = np.zeros((40, 40, 4), np.uint8)
        pixels[:, :20] = 255, 0, 0, 255
        pixels[:, 20:] = 0, 255, 0, 0
        small = scaled(pixels, (10, 10))
        assert small[..., 1][small[..., 3] > 0].max() == 0


def test_small_copies_end_to_end(tmp_path: Path) -> None:
    (source := tmp_path / "photos").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side
    exif.get_ifd(0x8769)[0x9214] = (30, 40, 8, 4)  # a face at 30, 40 in the stored picture, 8 wide and 4 high
    coloured(120, 80).point(lambda value: value // 5).save(source / "turned.jpg", exif=exif.tobytes())
    coloured(40, 30).point(lambda value: value // 5).save(source / "small.png")
    Image.new("L", (90, 60), 255).save(source / "white.png")
    out = tmp_path / "out"
    full = tmp_path / "full"
    assert enhance(source, out, "--max-side", "60") == 0
    assert enhance(source, full) == 0
    with Image.open(out / "enhanced" / "turned.jpg") as image:
        assert image.size == (40, 60)
        directory = image.getexif().get_ifd(0x8769)
        # upright and full: 80 wide, 120 high, the face at (79 - 40, 30), 4 wide and 8 high; then half of it
        assert directory[0x9214] == (19, 15, 2, 4)
    with Image.open(out / "autocontrast" / "turned.jpg") as image:
        assert image.size == (40, 60)
    with Image.open(out / "enhanced" / "turned.jpg") as small, Image.open(full / "enhanced" / "turned.jpg") as large:
        expected = np.asarray(ImageOps.exif_transpose(large).resize((40, 60), Image.Resampling.LANCZOS)).astype(float)
        assert np.abs(np.asarray(small).astype(float) - expected).mean() < 3
    for name in ("small.png",):
        assert (out / "enhanced" / name).read_bytes() == (full / "enhanced" / name).read_bytes()
    with Image.open(out / "enhanced" / "white.png") as image:
        assert (image.size, image.getextrema()) == ((60, 40), (255, 255))
    scaled_rows, rows = (list(csv.DictReader((path / "metrics.csv").open())) for path in (out, full))
    assert [row | {"notes": ""} for row in scaled_rows] == [row | {"notes": ""} for row in rows]


def test_another_size_makes_the_photos_again(tmp_path: Path) -> None:
    (source := tmp_path / "photos").mkdir()
    coloured(120, 80).save(source / "a.png")
    out = tmp_path / "out"
    for side in ("60", "30", "30"):
        assert enhance(source, out, "--max-side", side, "--format", "webp", "--no-autocontrast") == 0
        with Image.open(out / "enhanced" / "a.png.webp") as image:
            assert image.size == (int(side), int(side) * 2 // 3)
    assert '"skipped": 1' in (out / "run.json").read_text()
