"""What travels with a photo besides its pixels: EXIF and XMP, brought in line with the new pixels."""

import dataclasses
import io
import re
import struct

from PIL import Image

_PREFIX = b"Exif\x00\x00"
_ORIENTATION, _WIDTH, _HEIGHT = 0x0112, 0x0100, 0x0101
_EXIF_DIRECTORY, _EXIF_WIDTH, _EXIF_HEIGHT = 0x8769, 0xA002, 0xA003
_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH = 0x0201, 0x0202
_THUMBNAIL_SIDE = 160  # pixels, as the EXIF standard has it
_INTEGER_CODES = {3: "H", 4: "L"}  # EXIF's SHORT and LONG


@dataclasses.dataclass(frozen=True)
class Exif:
    """An EXIF block and where in it the few values stand that depend on the pixels.

    The block is patched, not written anew: maker notes hold offsets into it, and break when it moves.

    Attributes:
        data: The block, from its byte-order mark on.
        order: `<` or `>`.
        fields: (tag, struct code, position) of the integers that describe the whole image.
        thumbnail: (position, length, fields) of the JPEG thumbnail, None where there is none.
        thumbnail_link: Position of the pointer to the thumbnail's directory.
    """

    data: bytes
    order: str
    fields: tuple[tuple[int, str, int], ...]
    thumbnail: tuple[int, int, tuple[tuple[int, str, int], ...]] | None
    thumbnail_link: int

    @classmethod
    def parse(cls, block: bytes) -> "Exif":
        """Reads the layout of an EXIF block, with or without its `Exif` prefix.

        Raises:
            ValueError: It is damaged.
        """
        data = block.removeprefix(_PREFIX)
        order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(data[:4])
        if order is None:
            raise ValueError("no TIFF header")
        try:
            (start,) = struct.unpack_from(order + "L", data, 4)
            fields, link = _directory(data, order, start)
            pointers = {tag: struct.unpack_from(order + code, data, position)[0] for tag, code, position in fields}
            if _EXIF_DIRECTORY in pointers:
                fields += _directory(data, order, pointers[_EXIF_DIRECTORY])[0]
            return cls(data, order, tuple(fields), _thumbnail(data, order, link), link)
        except struct.error as error:
            raise ValueError(str(error)) from None

    def updated(self, image: Image.Image, limit: int) -> bytes:
        """The block for new pixels: upright, of their size, with their thumbnail.

        Args:
            image: The photo as it is written, RGB or L.
            limit: How many bytes the block may have; a thumbnail that does not fit is left out.

        Returns:
            The block with its `Exif` prefix.
        """
        data = bytearray(self.data)
        values = {
            _ORIENTATION: 1,
            _WIDTH: image.width,
            _HEIGHT: image.height,
            _EXIF_WIDTH: image.width,
            _EXIF_HEIGHT: image.height,
        }
        self._patch(data, self.fields, values)
        if self.thumbnail is not None:
            self._replace_thumbnail(data, image, limit - len(_PREFIX))
        return _PREFIX + bytes(data)

    def _patch(self, data: bytearray, fields: tuple[tuple[int, str, int], ...], values: dict[int, int]) -> None:
        for tag, code, position in fields:
            if tag in values and (code == "L" or values[tag] < 2**16):
                struct.pack_into(self.order + code, data, position, values[tag])

    def _replace_thumbnail(self, data: bytearray, image: Image.Image, limit: int) -> None:
        assert self.thumbnail is not None
        start, length, fields = self.thumbnail
        buffer = io.BytesIO()
        small = image.resize(_fitted(image.size, _THUMBNAIL_SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
        small.save(buffer, "JPEG", quality=80)
        new = buffer.getvalue()
        is_last = start + length >= len(data)
        data[start : start + length] = bytes(length)
        if not is_last and len(new) > length:
            start = len(data) + len(data) % 2
            is_last = True
        if is_last:
            del data[start:]
            data.extend(bytes(start - len(data)))
        if is_last and start + len(new) > limit:
            struct.pack_into(self.order + "L", data, self.thumbnail_link, 0)
            return
        data[start : start + len(new)] = new
        values = {
            _ORIENTATION: 1,
            _WIDTH: small.width,
            _HEIGHT: small.height,
            _THUMBNAIL_OFFSET: start,
            _THUMBNAIL_LENGTH: len(new),
        }
        self._patch(data, fields, values)


def _directory(data: bytes, order: str, start: int) -> tuple[list[tuple[int, str, int]], int]:
    """The single integers of a directory, and the position of the pointer to the next one."""
    (count,) = struct.unpack_from(order + "H", data, start)
    fields = []
    for position in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from(order + "HHL", data, position)
        if kind in _INTEGER_CODES and number == 1:
            fields.append((tag, _INTEGER_CODES[kind], position + 8))
    return fields, start + 2 + 12 * count


def _thumbnail(data: bytes, order: str, link: int) -> tuple[int, int, tuple[tuple[int, str, int], ...]] | None:
    if link + 4 > len(data):  # some writers leave the last pointer out
        return None
    (start,) = struct.unpack_from(order + "L", data, link)
    if not start:
        return None
    try:
        fields, _ = _directory(data, order, start)
        values = {tag: struct.unpack_from(order + code, data, position)[0] for tag, code, position in fields}
        offset, length = values[_THUMBNAIL_OFFSET], values[_THUMBNAIL_LENGTH]
    except (struct.error, KeyError):
        return None
    return (offset, length, tuple(fields)) if 0 < length <= len(data) - offset else None


def _fitted(size: tuple[int, int], side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def upright_xmp(xmp: bytes) -> bytes:
    """An XMP packet that says the image is upright."""
    return re.sub(rb"(tiff:Orientation(?:=[\"']|>))[2-8]", rb"\g<1>1", xmp)
