"""The EXIF of camera RAW files, in a container of each kind that is made here by hand."""

import io
import struct
from collections.abc import Callable

import numpy as np
import pytest
from PIL import ExifTags, Image

from pipelines import photos
from pipelines.photos import raw
from pipelines.photos.raw_exif import exif_of_raw, others_of_raw

DATE, ISO = "2024:05:06 07:08:09", 3200


def tiff(order: str = "<", **more: int) -> bytes:
    """A TIFF with make, orientation, date, ISO and latitude, as EXIF has them."""
    tags = Image.Exif()
    tags.endian = order
    tags[ExifTags.Base.Make] = "Maker"
    tags[ExifTags.Base.Orientation] = 6
    tags.get_ifd(ExifTags.IFD.Exif).update({ExifTags.Base.DateTimeOriginal: DATE, ExifTags.Base.ISOSpeedRatings: ISO})
    tags.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (50.0, 30.0, 0.0)})
    for name, value in more.items():
        tags[int(name.removeprefix("tag"))] = value
    return tags.tobytes().removeprefix(b"Exif\x00\x00")


def with_magic(magic: bytes) -> bytes:
    content = tiff("<" if magic[:2] == b"II" else ">", tag5=7) if magic[2:3] == b"U" else tiff()
    return magic + content[4:]


def fujifilm() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", exif=b"Exif\x00\x00" + tiff())
    head = b"FUJIFILMCCD-RAW 0201FF".ljust(84, b"\x00")
    return head + struct.pack(">LL", 200, len(buffer.getvalue())) + bytes(108) + buffer.getvalue() + bytes(64)


def minolta() -> bytes:
    blocks = b"".join(struct.pack(">4sL", b"\x00" + name, len(body)) + body for name, body in [
        (b"PRD", bytes(24)), (b"TTW", tiff(">"))
    ])  # fmt: skip
    return b"\x00MRM" + struct.pack(">L", len(blocks)) + blocks + bytes(100)


def box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">L4s", 8 + len(body), name) + body


def canon() -> bytes:
    main = Image.Exif()
    main[ExifTags.Base.Make] = "Maker"
    camera, place = Image.Exif(), Image.Exif()
    camera[ExifTags.Base.DateTimeOriginal], camera[ExifTags.Base.ISOSpeedRatings] = DATE, ISO
    place[1], place[2] = "N", (50.0, 30.0, 0.0)
    parts = [
        box(name, tags.tobytes().removeprefix(b"Exif\x00\x00"))
        for name, tags in ((b"CMT1", main), (b"CMT2", camera), (b"CMT4", place))
    ]
    return box(b"ftyp", b"crx \x00\x00\x00\x01") + box(b"moov", box(b"uuid", bytes(16) + b"".join(parts))) + bytes(50)


@pytest.mark.parametrize(
    "make",
    [
        tiff,
        *(lambda magic=magic: with_magic(magic) for magic in (b"IIRO", b"IIRS", b"IIU\x00")),
        fujifilm,
        minolta,
        canon,
    ],
    ids=["TIFF", "IIRO", "IIRS", "RW2", "RAF", "MRW", "CR3"],
)
def test_date_camera_and_place_are_read_from_every_container(make: Callable[[], bytes]) -> None:
    block = exif_of_raw(make())
    assert block
    found = Image.Exif()
    found.load(block)
    assert found[ExifTags.Base.Make] == "Maker"
    assert ExifTags.Base.Orientation not in found
    assert not [tag for tag in found if tag < 0x100]
    camera = found.get_ifd(ExifTags.IFD.Exif)
    assert (camera[ExifTags.Base.DateTimeOriginal], camera[ExifTags.Base.ISOSpeedRatings]) == (DATE, ISO)
    assert [float(value) for value in found.get_ifd(ExifTags.IFD.GPSInfo)[2]] == [50, 30, 0]


@pytest.mark.parametrize("make", [tiff, fujifilm, minolta, canon])
def test_damage_anywhere_is_told_and_never_more(make: Callable[[], bytes]) -> None:
    content = make()
    for end in range(12, len(content), 7):
        assert exif_of_raw(content[:end]) is None or isinstance(exif_of_raw(content[:end]), bytes)


@pytest.mark.parametrize(
    ("content", "notes"),
    [
        (b"FOVb" + bytes(200), ["EXIF not read from this kind of RAW file"]),
        (b"II\x1a\x00\x00\x00HEAPCCDR" + bytes(200), ["EXIF not read from this kind of RAW file"]),
        (b"FUJIFILMCCD-RAW" + bytes(200), ["EXIF unreadable and dropped"]),
        (with_magic(b"IIRO"), []),
    ],
)
def test_what_cannot_be_read_is_a_note(content: bytes, notes: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Developed by a stand-in for LibRaw, which knows none of these."""

    class Developed:
        sizes = type("Sizes", (), {"width": 8, "height": 8})

        def __enter__(self) -> "Developed":
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def postprocess(self, **options: object) -> np.ndarray:
            return np.zeros((8, 8, 3), np.uint8)

    import rawpy

    monkeypatch.setattr(rawpy, "imread", lambda file: Developed())
    assert raw.open_raw(content, 10**6).size == (8, 8)
    photo = photos.load(content, "a.orf")
    assert photo.notes == [*notes, "RAW written as JPEG"]


@pytest.mark.parametrize("make", [tiff, minolta], ids=["TIFF", "MRW"])
def test_xmp_and_the_orientation_are_read_and_maker_notes_are_named(make: Callable[[], bytes]) -> None:
    assert others_of_raw(make()) == {"original_orientation": 6}
    tags = Image.Exif()
    tags[700] = b"<x:xmpmeta/>"
    tags.get_ifd(ExifTags.IFD.Exif)[ExifTags.IFD.MakerNote] = b"of the maker"
    found = others_of_raw(tags.tobytes().removeprefix(b"Exif\x00\x00"))
    assert found == {"xmp": b"<x:xmpmeta/>", "maker_notes": True}
    for damaged in (b"", b"II*\x00", make()[:60]):
        others_of_raw(damaged)
