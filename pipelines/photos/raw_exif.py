"""Reads EXIF from the RAW containers of each camera maker, because LibRaw passes on little of it."""

import io
import struct
from collections.abc import Iterator
from typing import Any

from PIL import ExifTags, Image

from pipelines.photos.boxes import boxes
from pipelines.photos.metadata import exif_of_tags

_TIFF = {b"II": b"*\x00", b"MM": b"\x00*"}
_OTHER_MAGIC = (b"IIRO", b"IIRS", b"MMOR", b"IIU\x00")  # Olympus and Panasonic: TIFF with another magic number
_PANASONIC = b"IIU\x00"
_OF_SENSOR = range(0x100)  # in Panasonic's first directory, these tags describe the sensor
_FUJIFILM, _MINOLTA, _CANON = b"FUJIFILMCCD-RAW", b"\x00MRM", b"ftypcrx "
_BOXES = (b"moov", b"uuid")  # these contain other boxes
_XMP_TAG = 700
_HEAD = 10_000  # bytes at the start of a CR3, in which its directories begin
_UUID = 16  # bytes of the name of a uuid box


def exif_of_raw(content: bytes) -> bytes | None:
    """The EXIF block of a RAW file, without the orientation, because LibRaw turns the photo.

    Args:
        content: The file: based on TIFF (most makers), or of Olympus, Panasonic, Fujifilm, Minolta or Canon (CR3).

    Returns:
        The block; empty if the file has none; `b"damaged"` if it cannot be read; None for files in which this module
        cannot find it (Canon CRW, Sigma X3F).
    """
    try:
        tags = _tags(content)
        if tags is None:
            return None
        if ExifTags.Base.Orientation in tags:
            del tags[ExifTags.Base.Orientation]
        return exif_of_tags(tags)
    except Exception:  # damaged metadata must not make the photo fail
        return b"damaged"


def others_of_raw(content: bytes) -> dict[str, Any]:
    """The metadata of a RAW file besides EXIF, as entries for the `info` of an image.

    Args:
        content: The file.

    Returns:
        The entries that exist: `xmp`; `original_orientation`, which LibRaw applies; `maker_notes`, which is True.
    """
    try:
        tags = _tags(content)
        if tags is None:
            return {}
        maker_notes = ExifTags.IFD.MakerNote in tags.get_ifd(ExifTags.IFD.Exif) or b"CMT3" in content[:_HEAD]
        found = {"xmp": tags.get(_XMP_TAG), "original_orientation": tags.get(ExifTags.Base.Orientation)}
        return {name: value for name, value in found.items() if value} | ({"maker_notes": True} if maker_notes else {})
    except Exception:  # `exif_of_raw` reports it
        return {}


def _tags(content: bytes) -> Image.Exif | None:
    start = content[:4]
    if start[2:] == _TIFF.get(start[:2]):
        return _of_tiff(content)
    if start in _OTHER_MAGIC:
        tags = _of_tiff(start[:2] + _TIFF[start[:2]] + content[4:])
        for tag in [tag for tag in tags if start == _PANASONIC and tag in _OF_SENSOR]:
            del tags[tag]
        return tags
    if content.startswith(_FUJIFILM):
        offset, length = struct.unpack_from(">LL", content, 84)
        with Image.open(io.BytesIO(content[offset : offset + length])) as preview:
            return preview.getexif()
    if start == _MINOLTA:
        return _of_tiff(next(body for name, body in _minolta_blocks(content) if name == b"\x00TTW"))
    if content[4:12] == _CANON:
        return _of_canon(dict(_nested_boxes(content)))
    return None


def _of_tiff(content: bytes) -> Image.Exif:
    tags = Image.Exif()
    tags.load_from_fp(io.BytesIO(content))
    return tags


def _minolta_blocks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each block of an MRW file."""
    position, end = 8, 8 + struct.unpack_from(">L", content, 4)[0]
    while position < end:
        name, length = struct.unpack_from(">4sL", content, position)
        yield name, content[position + 8 : position + 8 + length]
        position += 8 + length


def _nested_boxes(content: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each box in a part of a CR3, including nested boxes."""
    for name, body, stop in boxes(content, start, end):
        yield name, content[body:stop]
        if name in _BOXES:
            yield from _nested_boxes(content, body + (_UUID if name == b"uuid" else 0), stop)


def _of_canon(found: dict[bytes, bytes]) -> Image.Exif:
    """The tags of a CR3. It has one TIFF each for the main, the EXIF and the GPS directory."""
    tags = _of_tiff(found[b"CMT1"])
    for name, group in ((b"CMT2", ExifTags.IFD.Exif), (b"CMT4", ExifTags.IFD.GPSInfo)):
        if name in found:
            tags.get_ifd(group).update(dict(_of_tiff(found[name])))
            tags[group] = tags.get_ifd(group)
    return tags
