"""Which files are photos by their name, and what is written for each."""

import pickle

import pytest
from PIL import Image

from pipelines.photos import PhotoError, formats


@pytest.mark.parametrize(
    "path",
    [
        "a.jpg",
        "a.JPEG",
        "b/ü ö.Png",
        "x.cr2",
        "x.DNG",
        "x.heic",
        "x.HIF",
        "x.avif",
        "doc.pdf",
        "x.JXL",
        "x.exr",
        "x.eps",
        ".hidden.jpg",
        "a.b/c.tif",
    ],
)
def test_photos_by_name(path: str) -> None:
    assert formats.is_photo(path)


@pytest.mark.parametrize(
    "path",
    [
        "a.txt",
        "jpg",
        "a.jpg.part",
        "",
        "._a.jpg",
        "x/._a.jpg",
        "Thumbs.db",
        "x/@eaDir/a.jpg",
        "#recycle/a.jpg",
        "x/#snapshot/y/a.jpg",
        "$RECYCLE.BIN/a.jpg",
        "System Volume Information/a.jpg",
        "lost+found/a.jpg",
        ".git/a.jpg",
        "x/.trash/y/a.jpg",
    ],
)
def test_not_photos_by_name(path: str) -> None:
    assert not formats.is_photo(path)


def test_all_of_pillows_extensions_are_photos() -> None:
    films = {".mpg", ".mpeg"}
    photos = {extension for extension in Image.registered_extensions() if formats.is_photo("a" + extension)}
    assert photos == set(Image.registered_extensions()) - films


@pytest.mark.parametrize(
    ("path", "output_format", "expected"),
    [
        ("a.jpg", None, "a.jpg"),
        ("a.JFIF", None, "a.JFIF"),
        ("s/a.tiff", None, "s/a.tiff"),
        ("a.jp2", None, "a.jp2"),
        ("a.CR2", None, "a.CR2.jpg"),
        ("b.heic", None, "b.heic.jpg"),
        ("b.mpo", None, "b.mpo.jpg"),
        ("x.pcx", None, "x.pcx.png"),
        ("x.gif", None, "x.gif.png"),
        ("a.jpg", "png", "a.jpg.png"),
        ("a.jpg", "JPG", "a.jpg"),
        ("a.png", "WebP", "a.png.webp"),
        ("a.tif", "tiff", "a.tif"),
        ("a.jpg", "JPEG 2000", "a.jpg.jp2"),
        ("a.jpg", "avif", "a.jpg.avif"),
    ],
)
def test_output_path(path: str, output_format: str | None, expected: str) -> None:
    assert formats.output_path(path, output_format) == expected


def test_an_unknown_format_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match="unknown format 'gif'; choose one of JPEG, PNG, WebP, TIFF"):
        formats.output_path("a.jpg", "gif")


def test_errors_survive_pickling_on_one_line() -> None:
    error = pickle.loads(pickle.dumps(PhotoError("decode", "broken\n  data")))
    assert (error.stage, error.message, str(error)) == ("decode", "broken data", "decode: broken data")
