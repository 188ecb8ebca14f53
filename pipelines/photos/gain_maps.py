"""Gain maps of JPEG photos: the second picture that makes an HDR picture of the photo. They are kept if that is right.

The HDR picture is the photo times the gain of the map: (base + offset_base) * 2**gain - offset_hdr, where the gain goes
from GainMapMin to GainMapMax (Ultra HDR, https://developer.android.com/media/platform/hdr-image-format; ISO 21496-1). A
gain from 0 on makes no pixel darker, also over a photo that has become brighter. In the maps of Apple, the factor is
never below 1.
"""

import contextlib
import dataclasses
import io
import itertools
import re
import struct
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping

import numpy as np
from PIL import Image, JpegImagePlugin

from pipelines.photos.errors import described
from pipelines.photos.packets import Properties
from pipelines.photos.pixels import turned_pixels

_XMP = b"http://ns.adobe.com/xap/1.0/\x00"
_ISO = b"urn:iso:std:iso:ts:21496:-1\x00"
_MPF, _ICC = b"MPF\x00", b"ICC_PROFILE\x00"
_HDRGM = "http://ns.adobe.com/hdr-gain-map/1.0/"
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_APPLE = (b"HDRGainMapVersion", b"urn:com:apple:photo:2020:aux:hdrgainmap")
_SIGNS = (b"hdrgm:Version", _ISO, _MPF)
_SCAN = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")  # the next marker after the data of a scan
_FILLING = re.compile(rb"[\x00\xff\r\n ]*?(?=\xff\xd8\xff)")
_MULTICHANNEL, _BASE_COLOURS, _COMMON_DENOMINATOR = 128, 64, 8  # flags of ISO 21496-1
_DEFAULTS = {"GainMapMin": 0.0, "OffsetSDR": 1 / 64, "OffsetHDR": 1 / 64, "HDRCapacityMin": 0.0, "Gamma": 1.0}
_QUALITY = 97  # of a map that is turned
_MOST_PICTURES = 16  # further pictures are not looked at
_PRIMARY = 0x030000  # the type of the first picture in MPF: baseline primary image


@dataclasses.dataclass(frozen=True)
class GainMap:
    """The gain map of a JPEG.

    Attributes:
        content: The map: a JPEG with its own metadata.
        orientation: EXIF orientation of the photo, and so of the map, 1 to 8.
        kind: "ultra" (XMP of Ultra HDR), "iso" (ISO 21496-1 without that XMP) or "apple".
        version: The segment of ISO 21496-1 in the photo itself; empty if it has none.
    """

    content: bytes
    orientation: int
    kind: str
    version: bytes = b""

    def upright(self) -> bytes:
        """The map, turned like the photo. Its metadata stays. A map that lies right stays as it is, byte for byte.

        Raises:
            ValueError: The map is damaged.
        """
        if self.orientation == 1:
            return self.content
        try:
            with Image.open(io.BytesIO(self.content)) as image:
                pixels = np.atleast_3d(np.asarray(image))
                mode, kept = image.mode, _segments(self.content)
        except Exception as error:  # decoders raise exceptions of any type on damaged data
            raise ValueError(described(error)) from error
        if mode not in ("L", "RGB"):
            raise ValueError(f"a gain map in {mode}")
        turned = np.ascontiguousarray(turned_pixels(pixels, self.orientation))
        buffer = io.BytesIO()
        Image.fromarray(turned[..., 0] if mode == "L" else turned).save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
        body = buffer.getvalue()
        extra = b"".join(_segment(mark, data) for mark, data in kept if data.startswith((_XMP, _ISO, _ICC)))
        position = _behind_headers(body)
        return body[:position] + extra + body[position:]

    def properties(self, length: int) -> Properties | None:
        """The properties by which a reader finds the map, for the XMP of the photo; None if there are none.

        Args:
            length: Bytes of the map.
        """
        if self.kind != "ultra":
            return None
        item = '<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="{}" Item:Mime="image/jpeg"{}/></rdf:li>'
        items = item.format("Primary", "") + item.format("GainMap", f' Item:Length="{length}"')
        return Properties(
            f'xmlns:hdrgm="{_HDRGM}" xmlns:Container="http://ns.google.com/photos/1.0/container/" '
            'xmlns:Item="http://ns.google.com/photos/1.0/container/item/" hdrgm:Version="1.0"',
            f"<Container:Directory><rdf:Seq>{items}</rdf:Seq></Container:Directory>",
        )

    def attached(self, photo: bytes, upright: bytes) -> bytes:
        """A file of the photo and the map behind it, with an index of both (MPF, CIPA DC-007).

        Args:
            photo: The photo, a JPEG with the `properties` in its XMP.
            upright: The map.
        """
        position = _behind_headers(photo)
        before, behind = photo[:position], photo[position:]
        if self.version:
            before += _segment(b"\xff\xe2", self.version)
        index = len(before) + 4 + len(_MPF)  # the offsets in MPF count from here
        size = len(before) + len(_segment(b"\xff\xe2", _index(0, 0, 0))) + len(behind)
        return before + _segment(b"\xff\xe2", _index(size, len(upright), size - index)) + behind + upright


def find(image: Image.Image, content: bytes, orientation: int) -> "GainMap | None":
    """The gain map of a JPEG; None if it has none.

    Args:
        image: The file, opened with Pillow.
        content: The file.
        orientation: EXIF orientation of the photo.
    """
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return None
    segments = [body for _, body in getattr(image, "applist", ())]
    if not any(sign in body for body in segments for sign in _SIGNS):
        return None
    with contextlib.suppress(Exception):  # damage behind the photo must not make it fail
        version = next((body for body in segments if body.startswith(_ISO)), b"")
        for picture in itertools.islice(_pictures_behind(content, segments), _MOST_PICTURES):
            bodies = [body for _, body in _segments(picture)]
            if any(body.startswith(_XMP) and b"hdrgm:" in body for body in bodies):
                return GainMap(picture, orientation, "ultra", version)
            if any(sign in body for body in bodies for sign in _APPLE):
                return GainMap(picture, orientation, "apple", version)
            if any(body.startswith(_ISO) for body in bodies):
                return GainMap(picture, orientation, "iso", version or _ISO + bytes(4))
    return None


def only_brightens(gain_map: GainMap) -> bool:
    """Whether no pixel of the HDR picture is darker than the photo, whatever the pixels of the photo are.

    That is so for each channel if the smallest gain is at least 1, and the offset that is subtracted is not larger than
    the one that is added. The photo has to be the SDR picture. The limits of the display's headroom do not matter: they
    only reduce the gain towards 1.
    """
    try:
        bodies = [body for _, body in _segments(gain_map.content)]
        found = [_of_xmp(body.removeprefix(_XMP)) for body in bodies if body.startswith(_XMP) and b"hdrgm:" in body]
        found += [_of_iso(body.removeprefix(_ISO)) for body in bodies if body.startswith(_ISO)]
    except (ValueError, LookupError, TypeError, struct.error, ET.ParseError):
        return False
    if gain_map.kind == "apple" and not found:
        return True
    return bool(found) and all(map(_is_multiplied, found))


def _is_multiplied(values: Mapping[str, tuple[float, ...]]) -> bool:
    """Whether the parameters of a map describe a gain of at least 1 over an SDR picture."""
    pairs = (("GainMapMin", "GainMapMax"), ("OffsetHDR", "OffsetSDR"), ("HDRCapacityMin", "HDRCapacityMax"))
    rising = all(
        less <= more
        for low, high in pairs
        for less, more in zip(_three(values[low]), _three(values[high]), strict=True)
    )
    return rising and min(values["GainMapMin"]) >= 0 and min(values["Gamma"]) > 0


def _three(values: tuple[float, ...]) -> tuple[float, ...]:
    return values * 3 if len(values) == 1 else values


def _of_xmp(packet: bytes) -> dict[str, tuple[float, ...]]:
    """The parameters in the XMP of a map, each for one channel or for three.

    Raises:
        ValueError: The photo is the HDR picture, or a value is no number.
        KeyError: A parameter is missing.
    """
    values: dict[str, tuple[float, ...]] = {name: (value,) for name, value in _DEFAULTS.items()}
    for description in ET.fromstring(packet.decode()).iter(f"{{{_RDF}}}Description"):
        texts = {name: [value] for name, value in description.attrib.items()}
        texts |= {child.tag: _texts(child) for child in description}
        for name, found in texts.items():
            if name == f"{{{_HDRGM}}}BaseRenditionIsHDR" and found != ["False"]:
                raise ValueError("the photo is the HDR picture")
            if name.startswith(f"{{{_HDRGM}}}") and not name.endswith(("}Version", "}BaseRenditionIsHDR")):
                values[name.rpartition("}")[2]] = tuple(map(float, found))
    return {name: values[name] for name in (*_DEFAULTS, "GainMapMax", "HDRCapacityMax")}


def _texts(element: ET.Element) -> list[str]:
    return [(each.text or "").strip() for each in element.iter(f"{{{_RDF}}}li")] or [(element.text or "").strip()]


def _of_iso(data: bytes) -> dict[str, tuple[float, ...]]:
    """The parameters in the binary metadata of ISO 21496-1, each for one channel or for three.

    Raises:
        ValueError: The photo is the HDR picture, or the data has an unknown form.
        ZeroDivisionError: A denominator is 0.
    """
    version, _, flags = struct.unpack_from(">HHB", data)
    if version or flags & ~(_MULTICHANNEL | _BASE_COLOURS | _COMMON_DENOMINATOR):
        raise ValueError("gain map metadata in an unknown form")
    channels = 3 if flags & _MULTICHANNEL else 1
    if flags & _COMMON_DENOMINATOR:
        form = f">L2L{'llLll' * channels}"
        denominator, *numerators = struct.unpack(form, data[5:])
        numbers = [_ratio(numerator, denominator) for numerator in numerators]
    else:
        parts = struct.unpack(f">4L{'lLlLLLlLlL' * channels}", data[5:])
        numbers = [_ratio(*pair) for pair in zip(parts[::2], parts[1::2], strict=True)]
    low, high, *others = numbers
    if low >= high:
        raise ValueError("the photo is the HDR picture")
    names = ("GainMapMin", "GainMapMax", "Gamma", "OffsetSDR", "OffsetHDR")
    values = {name: tuple(others[number :: len(names)]) for number, name in enumerate(names)}
    return values | {"HDRCapacityMin": (low,), "HDRCapacityMax": (high,)}


def _ratio(numerator: int, denominator: int) -> float:
    if not denominator:
        raise ValueError("gain map metadata with a denominator of 0")
    return numerator / denominator


def _pictures_behind(content: bytes, segments: list[bytes]) -> Iterator[bytes]:
    """The JPEGs behind the first one of a file: those that follow it directly, and those that its index names."""
    end, seen = _end(content, 0), set()
    while (filling := _FILLING.match(content, end)) is not None:
        start, end = filling.end(), _end(content, filling.end())
        seen.add(start)
        yield content[start:end]
    for offset in _indexed(content, segments):
        if offset not in seen and content[offset : offset + 3] == b"\xff\xd8\xff":
            yield content[offset : _end(content, offset)]


def _indexed(content: bytes, segments: list[bytes]) -> Iterator[int]:
    """The positions of the further pictures in the index of a file (MPF)."""
    for body in segments:
        if body.startswith(_MPF):
            base, order = content.index(body) + len(_MPF), ">" if body[4:6] == b"MM" else "<"
            (start,) = struct.unpack_from(order + "L", body, 8)
            (count,) = struct.unpack_from(order + "H", body, 4 + start)
            for entry in range(4 + start + 2, 4 + start + 2 + 12 * count, 12):
                tag, _, length, place = struct.unpack_from(order + "HHLL", body, entry)
                if tag == 0xB002:
                    for picture in range(4 + place + 16, 4 + place + length, 16):
                        yield base + struct.unpack_from(order + "L", body, picture + 8)[0]


def _end(content: bytes, start: int) -> int:
    """Where the JPEG at a position ends.

    Raises:
        ValueError: It is damaged.
    """
    position = start + 2
    while content[position : position + 1] == b"\xff":
        if content[position + 1] == 0xFF:  # filling
            position += 1
            continue
        if content[position + 1] == 0xD9:
            return position + 2
        mark = content[position + 1]
        position += 2 + int.from_bytes(content[position + 2 : position + 4])
        if mark == 0xDA:
            following = _SCAN.search(content, position)
            if following is None:
                break
            position = following.start()
    raise ValueError("a damaged JPEG")


def _segments(picture: bytes) -> list[tuple[bytes, bytes]]:
    """The marks and bodies of the segments before the data of a JPEG."""
    position, found = 2, []
    while position + 4 <= len(picture) and picture[position] == 0xFF and picture[position + 1] != 0xDA:
        length = int.from_bytes(picture[position + 2 : position + 4])
        found.append((picture[position : position + 2], picture[position + 4 : position + 2 + length]))
        position += 2 + length
    return found


def _behind_headers(picture: bytes) -> int:
    """Where the first segments of a JPEG end: JFIF, EXIF and XMP."""
    position = 2
    while picture[position : position + 2] in (b"\xff\xe0", b"\xff\xe1"):
        position += 2 + int.from_bytes(picture[position + 2 : position + 4])
    return position


def _segment(mark: bytes, body: bytes) -> bytes:
    return mark + struct.pack(">H", len(body) + 2) + body


def _index(size: int, length: int, offset: int) -> bytes:
    """The body of an MPF segment with two pictures.

    Args:
        size: Bytes of the first picture.
        length: Bytes of the second picture.
        offset: Where the second picture begins, from the byte-order mark of this segment on.
    """
    tags = struct.pack("<HHL4s", 0xB000, 7, 4, b"0100") + struct.pack("<HHLL", 0xB001, 4, 1, 2)
    tags += struct.pack("<HHLL", 0xB002, 7, 32, 8 + 2 + 3 * 12 + 4)
    entries = struct.pack("<LLLHH", _PRIMARY, size, 0, 0, 0) + struct.pack("<LLLHH", 0, length, offset, 0, 0)
    return _MPF + b"II*\x00" + struct.pack("<LH", 8, 3) + tags + bytes(4) + entries
