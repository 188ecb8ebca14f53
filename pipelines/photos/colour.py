"""Colour spaces that a file names without an ICC profile: by PNG chunks, or by the nclx box of HEIC and AVIF.

The values of a photo stay in its own colour space. So the output must name that space too, by the same chunk or by a
profile. Photos in PQ, HLG or linear light are refused: displays do not show such values directly, and they would look
like dark photos.
"""

import contextlib
import functools
import struct
from collections.abc import Iterator
from typing import Any

from PIL import Image, ImageCms

from pipelines.photos.boxes import primary_nclx
from pipelines.photos.errors import PhotoError

PNG_CHUNKS = (b"cICP", b"sRGB", b"gAMA", b"cHRM")
"""The PNG chunks, besides iCCP, that name the colour space."""

_UNSHOWN = {8: "linear light", 16: "PQ (HDR)", 18: "HLG (HDR)"}  # transfer functions of ITU-T H.273
_P3, _BT2020 = 12, 9  # primaries of H.273
_LINEAR_GAMMA = 90_000  # values of the chunk gAMA from here on count as linear; 100,000 is exactly linear
_SRGB_GAMMA, _SRGB_CHROMATICITIES = 45_455, (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
# red, green and blue in ICC's XYZ, adapted to D50
_PRIMARIES = {
    _P3: ("P3  ", ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))),
    _BT2020: ("2020", ((0.67348, 0.27904, -0.00193), (0.16566, 0.67534, 0.02998), (0.12505, 0.04561, 0.79687))),
}


CHUNKS = "colour_chunks"
"""Key in the `info` of an image. Its value: the PNG chunks that name the colour space, by name."""


def named(image: Image.Image, content: bytes) -> dict[str, Any]:
    """The colour space that a file names, as entries for the image's `info`.

    Args:
        image: The image with its header read.
        content: The file.

    Returns:
        An ICC profile of the space, unless the space is sRGB or the file has a profile already; and the PNG chunks that
        name it (`CHUNKS`).

    Raises:
        PhotoError: The values are PQ, HLG or linear light (stage unsupported).
    """
    chunks: dict[bytes, bytes] = {}
    primaries = transfer = 0
    if image.format == "PNG":
        chunks = {name: data for name, data in _chunks(content) if name in PNG_CHUNKS}
        if len(chunks.get(b"cICP", b"")) == 4:
            primaries, transfer = chunks[b"cICP"][0], chunks[b"cICP"][1]
        elif not image.info.get("icc_profile") and b"sRGB" not in chunks and _gamma(chunks) >= _LINEAR_GAMMA:
            transfer = 8
    elif image.format in ("HEIF", "AVIF"):
        with contextlib.suppress(struct.error, IndexError):  # if the file is damaged, the decoder will say so
            primaries, transfer = primary_nclx(content)
    profile = image.info.get("icc_profile")
    if isinstance(profile, bytes) and transfer not in _UNSHOWN:
        transfer = transfer_of(profile)
    if transfer in _UNSHOWN:
        raise PhotoError("unsupported", f"{image.format} with {_UNSHOWN[transfer]} values, which zerodce cannot read")
    found: dict[str, Any] = {CHUNKS: chunks} if chunks else {}
    if primaries in _PRIMARIES and not profile:
        found["icc_profile"] = profile_of(primaries)
    return found


def are_those_of_srgb(chunks: dict[bytes, bytes]) -> bool:
    """Whether the chunks gAMA and cHRM of a PNG describe sRGB. Missing chunks count as sRGB."""
    numbers = struct.pack(">8L", *_SRGB_CHROMATICITIES)
    return abs(_gamma(chunks) - _SRGB_GAMMA) <= 100 and chunks.get(b"cHRM", numbers) == numbers


@functools.lru_cache(maxsize=64)
def transfer_of(profile: bytes) -> int:
    """The number (H.273) of an ICC profile's transfer function if it is PQ, HLG or linear light; else 0.

    Args:
        profile: A profile, which may be damaged. The result is 0 for a profile with a table over all three channels.
    """
    try:
        tags = _places_of_tags(profile)
        if b"cicp" in tags:
            return profile[tags[b"cicp"] + 9]
        curve = tags.get(b"rTRC") or tags.get(b"kTRC")
        middle = None if b"A2B0" in tags or not curve else _middle(profile, curve)
    except (struct.error, IndexError, ArithmeticError, TypeError):
        return 0
    # half the value is 0.21 of the light in sRGB, 0.29 at a gamma of 1.8, and 0.16 at a gamma of 2.6
    if not isinstance(middle, float) or _DARKEST < middle < _LIGHTEST:
        return 0
    return 8 if middle >= _LIGHTEST else 16 if middle < _DARKEST / 2 else 18


_DARKEST, _LIGHTEST = 0.12, 0.45


def _middle(profile: bytes, at: int) -> float | None:
    """The light at half of the largest value, as a share of the most light; None for an unknown kind of curve."""
    if profile[at : at + 4] == b"curv":
        (count,) = struct.unpack_from(">L", profile, at + 8)
        if count <= 1:
            return 0.5 ** (struct.unpack_from(">H", profile, at + 12)[0] / 256 if count else 1.0)
        return float(struct.unpack_from(">H", profile, at + 12 + 2 * (count // 2))[0] / 65535)
    if profile[at : at + 4] == b"para":
        (kind,) = struct.unpack_from(">H", profile, at + 8)
        numbers = struct.unpack_from(f">{(1, 3, 4, 5, 7)[kind]}l", profile, at + 12)
        g, a, b, *more = [number / 65536 for number in numbers] + ([1.0, 0.0] if kind == 0 else [])
        offset = more[0] if kind == 2 else more[2] if kind == 4 else 0.0
        return float((a / 2 + b) ** g + offset)
    return None


def _places_of_tags(profile: bytes | bytearray) -> dict[bytes, int]:
    """Where the data of each tag of an ICC profile begins. Raises struct.error if the profile is damaged."""
    (count,) = struct.unpack_from(">L", profile, 128)
    return {name: at for name, at, _ in struct.iter_unpack(">4sLL", profile[132 : 132 + 12 * min(count, 100)])}


def _gamma(chunks: dict[bytes, bytes]) -> int:
    data = chunks.get(b"gAMA", b"")
    return int(struct.unpack(">L", data)[0]) if len(data) == 4 else 0


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG before its pixels."""
    position = 8
    while position + 8 <= len(content):
        length, name = struct.unpack_from(">L4s", content, position)
        if name == b"IDAT":
            return
        yield name, content[position + 8 : position + 8 + length]
        position += 12 + length


@functools.cache
def profile_of(primaries: int) -> bytes:
    """An ICC profile with the tone curve of sRGB and the primaries of Display P3 (12) or BT.2020 (9)."""
    name, colours = _PRIMARIES[primaries]
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    places = _places_of_tags(profile)
    for tag, colour in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colours, strict=True):
        struct.pack_into(">3l", profile, places[tag] + 8, *(round(value * 65536) for value in colour))
    return bytes(profile).replace("sRGB".encode("utf-16-be"), name.encode("utf-16-be"))
