"""JPEG photos with gain maps, as phones write them."""

import io
import struct

import numpy as np
from PIL import Image

XMP, ISO = b"http://ns.adobe.com/xap/1.0/\x00", b"urn:iso:std:iso:ts:21496:-1\x00"
HEAD = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" '
    'xmlns:C="http://ns.google.com/photos/1.0/container/" xmlns:I="http://ns.google.com/photos/1.0/container/item/" '
    'xmlns:HDRGainMap="http://ns.apple.com/HDRGainMap/1.0/" '
)
TAIL = "</rdf:Description></rdf:RDF></x:xmpmeta>"
ULTRA = 'hdrgm:Version="1.0" hdrgm:GainMapMax="2.0" hdrgm:HDRCapacityMax="2.0"'
APPLE = "<HDRGainMap:HDRGainMapVersion>65536</HDRGainMap:HDRGainMapVersion>"


def jpeg(pixels: np.ndarray, *segments: tuple[int, bytes]) -> bytes:
    """A JPEG with segments: the number of the APP mark, and the body."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    body = buffer.getvalue()
    extra = b"".join(
        bytes((0xFF, 0xE0 + number)) + struct.pack(">H", len(data) + 2) + data for number, data in segments
    )
    return body[:2] + extra + body[2:]


def a_map() -> np.ndarray:
    """Grey (30, 40): bright at the left, where the gain is large."""
    return np.repeat(np.linspace(255, 0, 40).astype(np.uint8)[np.newaxis], 30, axis=0)


def dark() -> np.ndarray:
    """RGB (120, 160): a dark ramp, from the left to the right."""
    return np.repeat(np.linspace(5, 60, 160).astype(np.uint8)[np.newaxis, :, np.newaxis], 120, axis=0).repeat(3, axis=2)


def with_map(photo: bytes, *segments: tuple[int, bytes], behind: bytes = b"") -> bytes:
    """A photo with a gain map behind it, and with an index of both pictures (MPF, written by hand, big-endian)."""
    gain_map = jpeg(a_map(), *segments)
    entries = struct.pack(">LLLHH", 0x030000, 0, 0, 0, 0)
    size = 4 + 8 + 2 + 3 * 12 + 4 + 32  # of the body
    photo_size = len(photo) + 4 + size
    entries = struct.pack(">LLLHH", 0x030000, photo_size, 0, 0, 0)
    entries += struct.pack(">LLLHH", 0, len(gain_map), photo_size - 2 - 4 - 4, 0, 0)
    tags = struct.pack(">HHL4s", 0xB000, 7, 4, b"0100") + struct.pack(">HHLL", 0xB001, 4, 1, 2)
    tags += struct.pack(">HHLL", 0xB002, 7, 32, 50)
    body = b"MPF\x00MM\x00*" + struct.pack(">LH", 8, 3) + tags + bytes(4) + entries
    return photo[:2] + b"\xff\xe2" + struct.pack(">H", len(body) + 2) + body + photo[2:] + gain_map + behind


def ultra_hdr(parameters: str = ULTRA, inside: str = "", orientation: int = 1) -> bytes:
    """An Ultra HDR photo. Its XMP names a map of another length, as after the edit of a careless program."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    listed = (
        '<C:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"><C:Item I:Semantic="GainMap" I:Length="7"/></rdf:li>'
    )
    own = HEAD + 'hdrgm:Version="1.0">' + listed + "</rdf:Seq></C:Directory>" + TAIL
    photo = jpeg(dark(), (1, b"Exif\x00\x00" + exif.tobytes().removeprefix(b"Exif\x00\x00")), (1, XMP + own.encode()))
    return with_map(photo, (1, XMP + (HEAD + parameters + ">" + inside + TAIL).encode()))


def apple() -> bytes:
    """A photo with Apple's gain map. Pillow takes it for an MPO."""
    return with_map(jpeg(dark()), (1, XMP + (HEAD + ">" + APPLE + TAIL).encode()))


def iso(metadata: bytes) -> bytes:
    """A photo whose gain map has the metadata of ISO 21496-1 alone."""
    return with_map(jpeg(dark(), (2, ISO + bytes(4))), (2, ISO + metadata))


def second_picture(content: bytes) -> bytes:
    """The second picture of a file, by its index (MPF), read by hand."""
    base = content.index(b"MPF\x00") + 4
    order = ">" if content[base : base + 2] == b"MM" else "<"
    entries = base + 50
    first, second = (struct.unpack_from(order + "LLL", content, entries + at) for at in (0, 16))
    assert first[1] == base + second[2]  # the second picture follows the first one
    assert base + second[2] + second[1] == len(content)
    return content[base + second[2] :]
