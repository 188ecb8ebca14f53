"""Real and broken files: each ends as one output that can be read again, or as one PhotoError."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, JpegImagePlugin

from pipelines import photos
from pipelines.photos import encode

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings(r"ignore::UserWarning:PIL\..*")]
MAKER_NOTE = 0x927C
FOLLOWS_THE_PIXELS = {0x0112, 0x8769, 0x8825, 0xA002, 0xA003, 0xA005, 0x0100, 0x0101, 0x9214}
NOTES = {
    "HDR_brackets_mingyang__IMG_3869.jpeg": ["maker's data dropped (segment APP10, AROT)"],
    "metadata_extractor__Panasonic_Lumix_DMC-LX7.jpg": ["second MPO image dropped"],
    "unpaired_misc__low_light_factoryside.jpeg": ["maker's data dropped (segment APP10, AROT)"],
    "unpaired_misc__low_light_road_side.jpg": ["maker's data dropped (segment APP4)"],
}
"""What the camera photos lose."""


def read(content: bytes, name: str) -> photos.Photo | photos.PhotoError:
    try:
        return photos.load(content, name)
    except photos.PhotoError as error:
        return error


def test_odd_and_broken_files_are_all_accounted_for(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    outcomes = {row["file"]: row for row in csv.DictReader((data / "odd" / "outcome.csv").open())}
    assert len(outcomes) == 270
    for name, outcome in outcomes.items():
        content = (data / "odd" / name).read_bytes()
        photo = read(content, name)
        if isinstance(photo, photos.PhotoError):
            assert outcome["pillow_12_3_outcome"] == "fail", (name, photo)
            with pytest.raises(photos.PhotoError):
                photos.thumbnail(content, name, 64)
            continue
        # one of them is HEIC, for which the outcome was noted without pillow-heif
        assert outcome["pillow_12_3_outcome"] == "ok" or name == "avif__hopper.heif"
        again = Image.open(io.BytesIO(encode(photo, photo.pixels).content))
        again.load()
        assert again.size == photo.image.size, name
        small = photos.thumbnail(content, name, 64)
        assert max(small.shape[:2]) == min(64, *sorted(photo.image.size)[1:]), name
        if outcome["width"] and outcome["orientation"] in ("", "1"):
            assert photo.image.size == (int(outcome["width"]), int(outcome["height"])), name
        if outcome["frames"] not in ("", "1") and outcome["format"] not in ("PSD", "ICO", "MPO"):
            assert f"first frame of {outcome['frames']}" in photo.notes, name
    assert capfd.readouterr().err == ""


def test_camera_photos_keep_size_quality_and_metadata(data: Path) -> None:
    manifest = list(csv.DictReader((data / "photos" / "manifest.csv").open()))
    for row in manifest:
        content = (data / "photos" / row["file"]).read_bytes()
        photo = photos.load(content, row["file"])
        stored = int(row["w"]), int(row["h"])
        assert photo.image.size == (stored[::-1] if row["orientation"] in ("6", "8") else stored)
        assert photo.notes == NOTES.get(row["file"], [])
        written = encode(photo, photo.pixels).content
        before, after = Image.open(io.BytesIO(content)), Image.open(io.BytesIO(written))
        assert isinstance(before, JpegImagePlugin.JpegImageFile)
        assert isinstance(after, JpegImagePlugin.JpegImageFile)
        assert tables_of(after) == tables_of(before)
        rows_only = row["file"] == "metadata_extractor__Canon_EOS_20D_2.jpg"  # once upright: 4:4:0 turns into 4:2:2
        assert JpegImagePlugin.get_sampling(after) == (1 if rows_only else JpegImagePlugin.get_sampling(before))
        assert after.info.get("icc_profile") == before.info.get("icc_profile")
        _assert_same_exif(before.getexif(), after.getexif())
        sub = after.getexif().get_ifd(ExifTags.IFD.Exif)
        assert sub.get(0xA002, after.width) == after.width
        assert sub.get(0xA003, after.height) == after.height
        if note := sub.get(MAKER_NOTE):
            at = before.info["exif"].index(note[:64])
            assert after.info["exif"][at : at + 64] == note[:64]
        thumbnail = after.getexif().get_ifd(ExifTags.IFD.IFD1)
        assert bool(thumbnail) == bool(before.getexif().get_ifd(ExifTags.IFD.IFD1))
        if thumbnail:
            start = 6 + thumbnail[0x0201]
            with Image.open(io.BytesIO(after.info["exif"][start : start + thumbnail[0x0202]])) as image:
                assert max(image.size) == 160
                small = photo.image.resize(image.size, Image.Resampling.BOX)
                assert np.abs(np.asarray(image, int) - np.asarray(small, int)).mean() < 12


def tables_of(image: JpegImagePlugin.JpegImageFile) -> list[list[int]]:
    """The quantization table of each component, some files having one of their own for each."""
    return [image.quantization[layer[3]] for layer in image.layer]


def _assert_same_exif(before: Image.Exif, after: Image.Exif) -> None:
    assert after.get(0x0112, 1) == 1
    for first, second in [
        (dict(before), dict(after)),
        *((before.get_ifd(group), after.get_ifd(group)) for group in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)),
    ]:
        assert first.keys() - {0x9214} == second.keys() - {0x9214}
        for tag in first.keys() - FOLLOWS_THE_PIXELS:
            assert repr(second[tag]) == repr(first[tag])


@pytest.mark.parametrize("shape", ["Landscape", "Portrait"])
def test_the_eight_orientations_show_one_picture(data: Path, shape: str) -> None:
    folder = data / "orientation"
    upright = np.asarray(Image.open(folder / f"{shape}_1.jpg").convert("RGB"), int)
    for orientation in range(9):
        content = (folder / f"{shape}_{orientation}.jpg").read_bytes()
        photo = photos.load(content, "a.jpg")
        again = photos.load(encode(photo, photo.pixels).content, "a.jpg")
        for pixels in (photo.pixels, again.pixels):
            assert pixels.shape == upright.shape
            # each example has its own number printed on it
            assert np.abs(pixels - upright).mean() < 12
        assert np.abs(photos.thumbnail(content, "a.jpg", 150) - _halved(upright, 12)).mean() < 12


def _halved(pixels: np.ndarray, factor: int) -> np.ndarray:
    height, width = pixels.shape[0] // factor, pixels.shape[1] // factor
    return pixels.reshape(height, factor, width, factor, 3).mean(axis=(1, 3))


def test_heic_photos_become_jpeg_with_their_metadata(data: Path) -> None:
    sizes = {"IMG_2927.HEIC": (3024, 4032), "exif-at-eof.heic": (3024, 4032), "cheers_1440x960.heic": (1440, 960)}
    for name, size in sizes.items():
        content = (data / "heic" / name).read_bytes()
        photo = photos.load(content, name)
        assert photo.image.size == size
        assert photo.notes[-1] == "HEIF written as JPEG"
        source = Image.open(io.BytesIO(content))
        written = Image.open(io.BytesIO(encode(photo, photo.pixels).content))
        assert (written.format, written.size) == ("JPEG", size)
        assert written.info.get("icc_profile") == source.info.get("icc_profile")
        if source.info["exif"]:
            _assert_same_exif(source.getexif(), written.getexif())
        small = photos.thumbnail(content, name, 96)
        box = np.asarray(photo.image.resize(small.shape[1::-1], Image.Resampling.BOX), int)
        assert np.abs(small - box).mean() < 6


def test_the_subject_of_a_heic_that_is_turned_against_its_exif_goes_with_a_note(data: Path) -> None:
    """Its EXIF tells of 4032x3024 pixels, and of a subject in them; the picture is 3024x4032."""
    photo = read((data / "heic" / "IMG_2927.HEIC").read_bytes(), "IMG_2927.HEIC")
    assert isinstance(photo, photos.Photo)
    assert photo.notes == ["subject area dropped: it was not turned with the photo", "HEIF written as JPEG"]
