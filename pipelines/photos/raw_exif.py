"""The EXIF of camera RAW files, from the container of each maker: LibRaw develops the pixels and keeps little of it."""

import io
import struct
from collections.abc import Iterator
from typing import Any

from PIL import ExifTags, Image

from pipelines.photos.metadata import exif_of_tags

_TIFF = {b"II": b"*\x00", b"MM": b"\x00*"}
_OTHER_MAGIC = (b"IIRO", b"IIRS", b"MMOR", b"IIU\x00")  # Olympus and Panasonic: TIFF by another number
_PANASONIC = b"IIU\x00"
_OF_SENSOR = range(0x100)  # Panasonic's first directory tells of the sensor under these tags
_FUJIFILM, _MINOLTA, _CANON = b"FUJIFILMCCD-RAW", b"\x00MRM", b"ftypcrx "
_BOXES = (b"moov", b"uuid")  # that hold boxes of their own
_XMP_TAG = 700
_HEAD = 10_000  # bytes, in which the directories of a CR3 begin
_UUID = 16  # bytes of the name of a uuid box


def exif_of_raw(content: bytes) -> bytes | None:
    """The EXIF block of a RAW file, without orientation, which LibRaw applies.

    Args:
        content: The file: a TIFF at heart (most makers), or of Olympus, Panasonic, Fujifilm, Minolta or Canon (CR3).

    Returns:
        The block; empty where the file holds none; `b"damaged"` where it cannot be read; None where its place in this
        kind of file (Canon CRW, Sigma X3F) is not known here.
    """
    try:
        tags = _tags(content)
        if tags is None:
            return None
        if ExifTags.Base.Orientation in tags:
            del tags[ExifTags.Base.Orientation]
        return exif_of_tags(tags)
    except Exception:  # damaged metadata does not cost the photo
        return b"damaged"


def others_of_raw(content: bytes) -> dict[str, Any]:
    """What the tags of a RAW file hold besides EXIF, as it goes into the `info` of an image.

    Args:
        content: The file.

    Returns:
        `xmp`; `original_orientation`, which LibRaw applies; and `maker_notes`, if there are some.
    """
    try:
        tags = _tags(content)
        if tags is None:
            return {}
        maker_notes = ExifTags.IFD.MakerNote in tags.get_ifd(ExifTags.IFD.Exif) or b"CMT3" in content[:_HEAD]
        found = {"xmp": tags.get(_XMP_TAG), "original_orientation": tags.get(ExifTags.Base.Orientation)}
        return {name: value for name, value in found.items() if value} | ({"maker_notes": True} if maker_notes else {})
    except Exception:  # which `exif_of_raw` tells
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
        return _of_canon(dict(_boxes(content)))
    return None


def _of_tiff(content: bytes) -> Image.Exif:
    tags = Image.Exif()
    tags.load_from_fp(io.BytesIO(content))
    return tags


def _minolta_blocks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The name and the content of each block of an MRW file."""
    position, end = 8, 8 + struct.unpack_from(">L", content, 4)[0]
    while position < end:
        name, length = struct.unpack_from(">4sL", content, position)
        yield name, content[position + 8 : position + 8 + length]
        position += 8 + length


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The name and the content of each box of an ISO base media file (ISO 14496-12), those inside others as well."""
    position = 0
    while position + 8 <= len(content):
        size, name = struct.unpack_from(">L4s", content, position)
        start = position + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", content, start)
            start += 8
        end = position + size if size else len(content)
        if end <= position:
            return
        yield name, content[start:end]
        if name in _BOXES:
            yield from _boxes(content[start + (_UUID if name == b"uuid" else 0) : end])
        position = end


def _of_canon(boxes: dict[bytes, bytes]) -> Image.Exif:
    """The tags of a CR3: a TIFF for each of the main, the EXIF and the GPS directory."""
    tags = _of_tiff(boxes[b"CMT1"])
    for name, group in ((b"CMT2", ExifTags.IFD.Exif), (b"CMT4", ExifTags.IFD.GPSInfo)):
        if name in boxes:
            tags.get_ifd(group).update(dict(_of_tiff(boxes[name])))
            tags[group] = tags.get_ifd(group)
    return tags
