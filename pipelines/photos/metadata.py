"""The metadata of a photo (EXIF, ICC profile, XMP and so on), updated to match the new pixels."""

import dataclasses
import io
import math
import struct
import sys
from collections.abc import Callable
from typing import Any

from PIL import ExifTags, Image, PngImagePlugin

from pipelines.photos import colour, packets, xmp
from pipelines.photos.formats import Format
from pipelines.photos.pixels import to_srgb, turned_point

_PREFIX = b"Exif\x00\x00"
_THUMBNAIL_SIDE = 160  # pixels, as in the EXIF standard
_INTEGER_CODES = {3: "H", 4: "L"}  # EXIF's SHORT and LONG
# Photoshop's thumbnails; and its resolution, profile, EXIF and XMP, which are copied separately
_OF_OLD_PIXELS = frozenset({1005, 1033, 1036, 1039, 1058, 1060})
_LONGEST_RESOURCES = 65000  # bytes that fit into one JPEG segment
# PNG texts with EXIF, XMP or a profile, which are copied separately; ImageMagick's text with IPTC is kept
_NO_TEXTS = ("XML:", *(f"Raw profile type {name}" for name in ("exif", "xmp", "icc", "icm", "APP1")))
_XMP_HEADER = len(b"http://ns.adobe.com/xap/1.0/\x00")
# tags of a TIFF directory that describe how its own pixels are stored
_STORAGE_TAGS = frozenset({254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281})
_STORAGE_TAGS |= {284, 288, 289, 290, 291, 292, 293, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 330, 332, 336}
_STORAGE_TAGS |= {338, 339, 340, 341, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532}
_STORAGE_TAGS |= {
    700,
    33421,
    33422,
    34377,
    34675,
    37724,
}  # XMP, ICC and Photoshop's resources are copied separately; Photoshop's layers hold the old pixels
_AREA_TAGS = (0x9214, 0xA214)  # SubjectArea and SubjectLocation
_WITH_OFFSETS = frozenset({ExifTags.IFD.MakerNote, ExifTags.IFD.Interop})
_FIRST_RAW_TAG = 50_000  # from here on, DNG and camera makers describe how sensor data is stored

Field = tuple[int, str, int]  # tag, struct code, position of its value


@dataclasses.dataclass(frozen=True)
class Exif:
    """An EXIF block, and the positions of the few values in it that depend on the pixels.

    The block is patched in place. If it were written anew, the offsets in maker notes would be wrong.

    Attributes:
        data: The block, from its byte-order mark on.
        order: `<` or `>`.
        fields: The integers that describe the whole image.
        thumbnail_link: Position of the pointer to the thumbnail's directory; None if there is no thumbnail.
        thumbnail: (position, length, fields) of a JPEG thumbnail; None if there is none or it has another format.
        areas: For each area of the picture, in pixels: struct code, position and count of its numbers.
        orientation: EXIF orientation of the picture in which the areas lie.
        full_size: Width and height of the upright picture in which the areas lie; None if it is not scaled.
    """

    data: bytes
    order: str
    fields: list[Field]
    thumbnail_link: int | None
    thumbnail: tuple[int, int, list[Field]] | None
    areas: list[tuple[str, int, int]]
    orientation: int
    full_size: tuple[int, int] | None = None

    @classmethod
    def parse(cls, block: bytes, orientation: int = 1) -> "Exif":
        """Reads the layout of a block, with or without its `Exif` prefix.

        Args:
            block: The block.
            orientation: EXIF orientation of the stored picture. If it is 0 (unknown), areas are left out.

        Raises:
            ValueError: The block is damaged.
        """
        data = block.removeprefix(_PREFIX)
        order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(data[:4])
        if order is None:
            raise ValueError("no TIFF header")
        try:
            (start,) = struct.unpack_from(order + "L", data, 4)
            fields, link = _directory(data, order, start)
            pointers = _values(data, order, fields)
            areas = []
            if ExifTags.IFD.Exif in pointers:
                if not orientation:
                    data = _without_areas(data, order, pointers[ExifTags.IFD.Exif])
                fields += _directory(data, order, pointers[ExifTags.IFD.Exif])[0]
                areas = _areas(data, order, pointers[ExifTags.IFD.Exif])
            # some writers omit the last pointer
            first = struct.unpack_from(order + "L", data, link)[0] if link + 4 <= len(data) else 0
        except struct.error as error:
            raise ValueError(str(error)) from None
        if not first:
            return cls(data, order, fields, None, None, areas, orientation)
        return cls(data, order, fields, link, _thumbnail(data, order, first, fields), areas, orientation)

    def updated(self, image: Image.Image, limit: int, icc_profile: bytes = b"") -> bytes:
        """The block for the new pixels: with orientation 1, their size and their thumbnail.

        Args:
            image: The photo as it is written, 8-bit RGB or L.
            limit: Largest size of the result, in bytes. If the thumbnail does not fit, it is left out.
            icc_profile: Colour profile of the image; empty for sRGB. The thumbnail is in sRGB.

        Returns:
            The block with its `Exif` prefix.
        """
        data = bytearray(self.data)
        tags = ExifTags.Base
        values = {
            tags.Orientation: 1,
            tags.ImageWidth: image.width,
            tags.ImageLength: image.height,
            tags.ExifImageWidth: image.width,
            tags.ExifImageHeight: image.height,
        }
        self._patch(data, self.fields, values)
        self._turn_areas(data, image.size)
        limit -= len(_PREFIX)
        if self.thumbnail_link is not None and not self._replace_thumbnail(data, image, limit, icc_profile):
            struct.pack_into(self.order + "L", data, self.thumbnail_link, 0)
        return _PREFIX + bytes(data)

    def _patch(self, data: bytearray, fields: list[Field], values: dict[Any, int]) -> None:
        for tag, code, position in fields:
            if tag in values and (code == "L" or values[tag] < 2**16):
                struct.pack_into(self.order + code, data, position, values[tag])

    def _turn_areas(self, data: bytearray, size: tuple[int, int]) -> None:
        """Writes the place of each area in the picture as written. An area is a point, and a diameter or two sides."""
        full = self.full_size or size
        share = max(size) / max(full)
        for code, position, count in self.areas:
            form = f"{self.order}{count}{code}"
            x, y, *sides = struct.unpack_from(form, data, position)
            width, height = full[::-1] if self.orientation >= 5 else full
            if x < width and y < height:  # otherwise the area belongs to another picture
                right, down = turned_point((x + 0.5) / width, (y + 0.5) / height, self.orientation)
                sides = [int(side * share) for side in (sides[::-1] if self.orientation >= 5 else sides)]
                struct.pack_into(form, data, position, int(right * size[0]), int(down * size[1]), *sides)

    def _replace_thumbnail(self, data: bytearray, image: Image.Image, limit: int, icc_profile: bytes) -> bool:
        """Writes a new thumbnail over the old one, or at the end. Returns False if the block would be too long."""
        if self.thumbnail is None:
            return False
        start, length, fields = self.thumbnail
        # sixteen samples for each pixel of the thumbnail are enough, and nearly free
        step = max(1, max(image.size) // (4 * _THUMBNAIL_SIDE))
        size = max(1, image.width // step), max(1, image.height // step)
        small = image.resize(size, Image.Resampling.NEAREST)
        small.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE), Image.Resampling.BILINEAR)
        buffer = io.BytesIO()
        to_srgb(small, icc_profile).save(buffer, "JPEG", quality=80)
        new = buffer.getvalue()
        data[start : start + length] = bytes(length)
        if start + length == len(data):
            del data[start:]
        elif len(new) > length:
            start = len(data)
        if start + len(new) > limit:
            return False
        data[start : start + len(new)] = new
        tags = ExifTags.Base
        values = {
            tags.Orientation: 1,
            tags.ImageWidth: small.width,
            tags.ImageLength: small.height,
            tags.JpegIFOffset: start,
            tags.JpegIFByteCount: len(new),
        }
        self._patch(data, fields, values)
        return True


def _directory(data: bytes, order: str, start: int) -> tuple[list[Field], int]:
    """The single integers of a directory, and the position of the pointer to the next one."""
    (count,) = struct.unpack_from(order + "H", data, start)
    fields = []
    for position in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from(order + "HHL", data, position)
        if kind in _INTEGER_CODES and number == 1 and position + 12 <= len(data):
            fields.append((tag, _INTEGER_CODES[kind], position + 8))
        elif tag == ExifTags.Base.Orientation:
            raise struct.error("orientation is neither SHORT nor LONG")
    return fields, start + 2 + 12 * count


def _areas(data: bytes, order: str, start: int) -> list[tuple[str, int, int]]:
    """Code, position and count of the numbers of each area in a directory."""
    (count,) = struct.unpack_from(order + "H", data, start)
    areas = []
    for position in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from(order + "HHL", data, position)
        if tag in _AREA_TAGS and kind in _INTEGER_CODES and 2 <= number <= 4:
            code = _INTEGER_CODES[kind]
            length = struct.calcsize(f"{order}{number}{code}")
            at = position + 8 if length <= 4 else struct.unpack_from(order + "L", data, position + 8)[0]
            if at + length <= len(data):
                areas.append((code, at, number))
    return areas


def _without_areas(data: bytes, order: str, start: int) -> bytes:
    """The block without the areas in the directory at `start`. The entries behind them move up."""
    (count,) = struct.unpack_from(order + "H", data, start)
    end = start + 2 + 12 * count
    entries = [data[position : position + 12] for position in range(start + 2, end, 12)]
    kept = [entry for entry in entries if struct.unpack_from(order + "H", entry)[0] not in _AREA_TAGS]
    directory = struct.pack(order + "H", len(kept)) + b"".join(kept) + data[end : end + 4]
    return data[:start] + directory.ljust(end + 4 - start, b"\x00") + data[end + 4 :]


def _values(data: bytes, order: str, fields: list[Field]) -> dict[int, int]:
    return {tag: struct.unpack_from(order + code, data, position)[0] for tag, code, position in fields}


def _thumbnail(data: bytes, order: str, start: int, others: list[Field]) -> tuple[int, int, list[Field]] | None:
    """Position, length and fields of the thumbnail; None if it lies outside the block or overlaps its directories."""
    try:
        fields, _ = _directory(data, order, start)
    except struct.error:
        return None
    values = _values(data, order, fields)
    offset = values.get(ExifTags.Base.JpegIFOffset, 0)
    length = values.get(ExifTags.Base.JpegIFByteCount, 0)
    end = offset + length
    overlaps = any(offset <= position < end for _, _, position in (*fields, *others))
    return (offset, length, fields) if 8 <= offset < end <= len(data) and not overlaps else None


def tags_of_photo(exif: Image.Exif) -> dict[int, Any]:
    """The tags of a directory that describe the photo. Its EXIF and GPS directories become dictionaries.

    Tags about the storage of pixels are left out. So are maker notes, because their offsets are valid only in the
    original file.
    """
    tags = {tag: exif[tag] for tag in exif if tag not in _STORAGE_TAGS and tag < _FIRST_RAW_TAG}
    for group in tags.keys() & {ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo}:
        tags[group] = {tag: value for tag, value in exif.get_ifd(group).items() if tag not in _WITH_OFFSETS}
    return tags


def exif_of_tags(exif: Image.Exif) -> bytes:
    """The EXIF block made from the directory of a TIFF or RAW file; empty if it has no tags."""
    kept = Image.Exif()
    kept.update(tags_of_photo(exif))
    return kept.tobytes() if len(kept) else b""


@dataclasses.dataclass(frozen=True)
class Metadata:
    """The metadata of a photo, as far as the output format can hold it. Missing parts are empty."""

    exif: Exif | None = None
    icc_profile: bytes = b""
    xmp: bytes = b""
    dpi: tuple[float, float] | None = None
    comments: tuple[bytes, ...] = ()
    resources: tuple[tuple[int, bytes], ...] = ()
    text: tuple[tuple[str, str], ...] = ()
    colours: tuple[tuple[bytes, bytes], ...] = ()

    @classmethod
    def of(cls, image: Image.Image, written: Format, orientation: int) -> tuple["Metadata", list[str]]:
        """Collects the metadata of a decoded image, before it is turned or converted.

        Args:
            image: The image as the decoder left it.
            written: The format to write.
            orientation: EXIF orientation of the stored pixels; 0 if unknown.

        Returns:
            The metadata, and a short sentence for each part that cannot be kept.
        """
        exif, of_exif = _exif(image, written, orientation)
        profile, of_profile = _bytes(image.info, "icc_profile", "ICC profile")
        colours, of_colours = _colours(image, written, profile)
        packet, of_packet = _bytes(image.info, "xmp", "XMP")
        packet, gone = xmp.updated(packet, orientation)
        text, of_text = _text(image, written)
        resources, of_resources = _resources(image, written)
        comments, of_comments = _comments(image, written)
        metadata = cls(
            exif=exif,
            icc_profile=b"" if image.mode in ("CMYK", "LAB") else profile,  # these are converted to sRGB
            xmp=packet,
            dpi=_dpi(image.info.get("dpi")),
            comments=comments,
            resources=resources,
            text=text,
            colours=colours,
        )
        notes = [*of_exif, *of_profile, *of_colours, *of_packet, *gone, *of_text, *of_resources, *of_comments]
        kept, too_long = metadata._that_fits(written)
        return kept, notes + too_long

    def _that_fits(self, written: Format) -> tuple["Metadata", list[str]]:
        """The parts that the format can hold, and a note for each other part."""
        if not written.metadata:
            lost = self.exif or self.icc_profile or self.xmp
            return Metadata(dpi=self.dpi, comments=self.comments), [
                f"metadata dropped ({written.name} holds none)"
            ] if lost else []
        kept, notes = self, []
        longest = written.longest_block or sys.maxsize
        if self.exif and len(self.exif.data) + len(_PREFIX) > longest:
            notes.append(f"EXIF too long for {written.name} and dropped")
            kept = dataclasses.replace(kept, exif=None)
        if len(self.xmp) + _XMP_HEADER > longest:
            notes.append(f"XMP too long for {written.name} and dropped")
            kept = dataclasses.replace(kept, xmp=b"")
        return kept, notes

    def with_event(self, event: packets.Event, written: Format) -> tuple["Metadata", list[str]]:
        """The metadata with an event in the history of its XMP, and a note if the event cannot be written.

        Args:
            event: The event.
            written: The format to write. If it holds no XMP, nothing changes, without a note.
        """
        if not written.metadata:
            return self, []
        added, reason = self._with_more_xmp(lambda packet: packets.with_event(packet, event), written)
        return added or self, [f"history not written ({reason})"] if reason else []

    def with_properties(self, properties: packets.Properties, written: Format) -> "Metadata | None":
        """The metadata with further properties in its XMP; None if they cannot be written.

        Args:
            properties: The properties.
            written: The format to write, which holds XMP.
        """
        return self._with_more_xmp(lambda packet: packets.with_properties(packet, properties), written)[0]

    def _with_more_xmp(self, add: Callable[[bytes], bytes | None], written: Format) -> tuple["Metadata | None", str]:
        """The metadata with more XMP; or None, and why there cannot be more."""
        longest = (written.longest_block or sys.maxsize) - _XMP_HEADER
        packet = add(self.xmp)
        if packet is not None and len(packet) > longest:
            packet = add(packets.without_padding(self.xmp))
        if packet is None:
            return None, "XMP damaged"
        if len(packet) > longest:
            return None, f"XMP too long for {written.name}"
        return dataclasses.replace(self, xmp=packet), ""

    def of_scaled(self, full_size: tuple[int, int]) -> "Metadata":
        """The metadata for a smaller copy of the photo.

        Args:
            full_size: Width and height of the photo.
        """
        return dataclasses.replace(self, exif=self.exif and dataclasses.replace(self.exif, full_size=full_size))

    def options(self, image: Image.Image, written: Format) -> dict[str, Any]:
        """Pillow's `save` options that write this metadata.

        Args:
            image: The photo as it is written, 8-bit RGB or L.
            written: The format.
        """
        limit = written.longest_block or sys.maxsize
        options: dict[str, Any] = {
            "dpi": self.dpi,
            "exif": self.exif and self.exif.updated(image, limit, self.icc_profile),
            "icc_profile": self.icc_profile,
            "xmp": self.xmp,
            "comment": b"".join(self.comments[-1:]),
        }
        blocks = b"".join(
            b"8BIM" + struct.pack(">HHL", number, 0, len(data)) + data + bytes(len(data) % 2)
            for number, data in self.resources
        )
        if written.name == "TIFF":
            options["resources"] = blocks
        elif written.name == "JPEG":
            segments = [(b"\xff\xfe", comment) for comment in self.comments[:-1]]
            segments += [(b"\xff\xed", b"Photoshop 3.0\x00" + blocks)] if blocks else []
            options["extra"] = b"".join(mark + struct.pack(">H", len(body) + 2) + body for mark, body in segments)
        if written.chunks:
            options["pnginfo"] = text = PngImagePlugin.PngInfo()
            for chunk, data in self.colours:
                text.add(chunk, data)
            for name, value in self.text:
                text.add_itxt(name, value)
            if xmp := options.pop("xmp"):
                text.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
        return {name: value for name, value in options.items() if value}


def _exif(image: Image.Image, written: Format, orientation: int) -> tuple[Exif | None, list[str]]:
    """The EXIF block that the output format can hold, and notes."""
    notes: list[str] = []
    try:
        block = image.info.get("exif") or (exif_of_tags(image.getexif()) if image.format in ("TIFF", "PNG") else b"")
        exif = Exif.parse(block, orientation) if block else None
        directory = image.getexif().get_ifd(ExifTags.IFD.Exif) if exif else {}
        if not orientation and directory.keys() & set(_AREA_TAGS):
            notes.append("subject area dropped: it was not turned with the photo")
        if image.format == "RAW" and image.info.get("exif") is None:
            notes.append("EXIF not read from this kind of RAW file")
        if block and len(block) + len(_PREFIX) > (written.longest_block or sys.maxsize):
            block = exif_of_tags(image.getexif())
            exif = Exif.parse(block, orientation) if block else None
            notes.append(f"maker note and thumbnail dropped (EXIF too long for {written.name})")
        moves = written.name == "TIFF" or image.format == "TIFF"
        if (moves and ExifTags.IFD.MakerNote in directory) or image.info.get("maker_notes"):
            notes.append("maker notes dropped")
    except Exception:  # on damaged data, Pillow's parser raises exceptions of any type
        return None, [*notes, "EXIF unreadable and dropped"]
    return exif, notes


def _colours(image: Image.Image, written: Format, profile: bytes) -> tuple[tuple[tuple[bytes, bytes], ...], list[str]]:
    """The colour chunks of a PNG, and notes."""
    chunks = image.info.get(colour.CHUNKS, {})
    if chunks and written.chunks:
        return tuple(chunks.items()), []
    lost = {b"gAMA", b"cHRM"} & chunks.keys() and not profile and b"sRGB" not in chunks
    lost = lost and not colour.are_those_of_srgb(chunks)
    return (), ["gamma and primaries (gAMA, cHRM) dropped"] if lost else []


def _text(image: Image.Image, written: Format) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    """The text chunks of a PNG, and notes."""
    if not isinstance(image, PngImagePlugin.PngImageFile):
        return (), []
    texts = tuple((k, str(v)) for k, v in image.text.items() if not k.startswith(_NO_TEXTS))
    return (texts, []) if written.chunks else ((), ["text chunks dropped"] if texts else [])


def _resources(image: Image.Image, written: Format) -> tuple[tuple[tuple[int, bytes], ...], list[str]]:
    """Photoshop's resources, IPTC among them, and notes."""
    photoshop = image.info.get("photoshop")
    if not isinstance(photoshop, dict):
        return (), []
    kept = tuple((number, data) for number, data in photoshop.items() if number not in _OF_OLD_PIXELS)
    if not written.resources and kept:
        return (), ["IPTC and Photoshop resources dropped"]
    if not written.longest_block or sum(len(data) + 16 for _, data in kept) < _LONGEST_RESOURCES:
        return kept, []
    return (), ["Photoshop resources too long and dropped"]


def _comments(image: Image.Image, written: Format) -> tuple[tuple[bytes, ...], list[str]]:
    """Comments, and notes."""
    segments = [body for name, body in getattr(image, "applist", ()) if name == "COM"]
    last, notes = _bytes(
        image.info, "comment", "comment"
    )  # the last comment of a JPEG, or the comment of another format
    kept = (*segments[:-1], last) if last else ()
    if len(kept) > written.comments:
        notes.append("comment dropped")
    return kept, notes


def _bytes(info: dict[Any, Any], name: str, called: str) -> tuple[bytes, list[str]]:
    """The bytes that Pillow has under a name, and notes. In a damaged file the value may have any type."""
    value = info.get(name) or b""
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    return (value, []) if isinstance(value, bytes) else (b"", [f"{called} unreadable and dropped"])


def _dpi(value: Any) -> tuple[float, float] | None:
    try:
        horizontal, vertical = (float(number) for number in value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (horizontal, vertical) if all(1 <= x < 65536 and math.isfinite(x) for x in (horizontal, vertical)) else None
