"""JPEG files: the pixels are Pillow's, and damage is said."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines import photos
from pipelines.photos.jpeg import DAMAGED, decode_jpeg

WIDTH, HEIGHT = 320, 200


def jpeg(mode: str = "RGB", **options: Any) -> bytes:
    """Noise, so that the data of each row of blocks are many."""
    shape = (HEIGHT, WIDTH) if mode == "L" else (HEIGHT, WIDTH, len(mode))
    values = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    content = io.BytesIO()
    Image.fromarray(values, mode).save(content, "jpeg", **options)
    return content.getvalue()


def decode(content: bytes, at_least: tuple[int, int] | None = None) -> tuple[np.ndarray | None, str]:
    return decode_jpeg(Image.open(io.BytesIO(content)), content, at_least)


def by_pillow(content: bytes, at_least: tuple[int, int] | None = None) -> np.ndarray:
    image = Image.open(io.BytesIO(content))
    if at_least:
        image.draft(None, at_least)
    return np.atleast_3d(np.asarray(image))


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("at_least", [None, (500, 9), (319, 200), (160, 100), (100, 50), (1, 1)])
def test_the_pixels_are_those_of_pillow(mode: str, options: dict[str, Any], at_least: tuple[int, int] | None) -> None:
    content = jpeg(mode, **options)
    pixels, damage = decode(content, at_least)
    np.testing.assert_array_equal(pixels, by_pillow(content, at_least))
    assert damage == ""


def test_real_photos_are_those_of_pillow(data: Path) -> None:
    paths = [path for folder in ("photos", "orientation", "dark/DICM") for path in (data / folder).glob("*.jp*g")]
    for path in sorted(paths)[::4]:
        content = path.read_bytes()
        for at_least in (None, (512, 512)):
            pixels, damage = decode(content, at_least)
            np.testing.assert_array_equal(pixels, by_pillow(content, at_least))
            assert damage == ""


@pytest.mark.parametrize("content", [jpeg("CMYK"), b"BM" + bytes(60)])
def test_others_are_left_to_pillow(content: bytes) -> None:
    image = Image.open(io.BytesIO(content)) if content.startswith(b"\xff") else Image.new("RGB", (2, 2))
    assert decode_jpeg(image, content) == (None, "")


def without_interval(content: bytes) -> bytes:
    """Without what lies between the third restart marker and the fourth."""
    return content[: content.index(b"\xff\xd2")] + content[content.index(b"\xff\xd3") :]


def zeroed(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes(512) + content[middle + 512 :]


def cut_out(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + content[-2:]


def with_rubbish(content: bytes) -> bytes:
    return content[:-2] + bytes(range(1, 100)) + content[-2:]


DAMAGES = [
    (without_interval, {"restart_marker_rows": 1}),
    (zeroed, {}),
    (cut_out, {}),
    (with_rubbish, {}),
]


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(("damaging", "options"), DAMAGES)
def test_damage_is_a_note_and_the_pixels_are_those_of_pillow(damaging: Any, options: dict, mode: str) -> None:
    content = damaging(jpeg(mode, **options))
    photo = photos.load(content, "a.jpg")
    assert photo.damage.startswith('the file is damaged: the decoder reports "')
    np.testing.assert_array_equal(photo.pixels, by_pillow(content))
    image, notes = photos.decode(content, "a.jpg", (80, 50))
    assert image.size == (80, 50)
    assert notes == [DAMAGED]
    with pytest.raises(photos.PhotoError, match="decode: the file is damaged: the decoder reports"):
        photos.decode(content, "a.jpg", (80, 50), reject_damaged=True)


def test_lost_restart_intervals_of_a_real_report(data: Path) -> None:
    content = (data / "reports" / "jpeg_restart_intervals_lost.jpg").read_bytes()
    said = photos.load(content, "a.jpg").damage
    assert said == 'the file is damaged: the decoder reports "found marker 0xd5 instead of RST3"'


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_what_ends_too_early_fails_as_before(kept: float) -> None:
    content = jpeg()
    for read in (lambda part: photos.load(part, "a.jpg"), lambda part: photos.decode(part, "a.jpg", (80, 50))):
        with pytest.raises(photos.PhotoError, match="image file is truncated"):
            read(content[: int(kept * len(content))])


def test_what_follows_the_image_is_no_damage() -> None:
    assert decode(jpeg() + b"a video of a motion photo")[1] == ""


def test_a_bad_profile_is_no_damage_of_the_pixels() -> None:
    content = jpeg(icc_profile=b"profile" * 20_000)  # in three parts, of which one goes
    first = content.index(b"ICC_PROFILE\0\x01") - 4
    second = content.index(b"ICC_PROFILE\0\x02") - 4
    broken = content[:first] + content[second:]
    assert decode(broken)[1] == ""
    np.testing.assert_array_equal(photos.load(broken, "a.jpg").pixels, by_pillow(content))


def test_damage_of_cmyk_is_a_note_as_well() -> None:
    pixels = np.random.default_rng(0).integers(0, 200, (64, 96, 4), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels, "CMYK").save(buffer, "JPEG")
    content = bytearray(buffer.getvalue())
    assert photos.load(bytes(content), "a.jpg").damage == ""
    middle = len(content) // 2
    content[middle : middle + 40] = bytes(40)
    content[middle + 10 : middle + 12] = b"\xff\xd5"
    photo = photos.load(bytes(content), "a.jpg")
    assert photo.damage.startswith("the file is damaged")
