"""Data in a file that Pillow does not read. This module reads what can be kept, and makes notes about the rest."""

import contextlib
import re
import struct
from collections.abc import Callable
from typing import Any

from PIL import Image, PngImagePlugin, PsdImagePlugin, TiffImagePlugin

from pipelines.photos.boxes import box, boxes

FILM = "video of a motion photo dropped"
GAIN_MAP = "gain map dropped"
DEPTH_MAP = "depth map dropped"

_EXIF = b"Exif\x00\x00"
_RESOLUTION, _EXIF_RESOURCE, _XMP_RESOURCE = 1005, 1058, 1060  # Photoshop's numbers
_OF_THE_OWNER = (1028, 1034, 1035)  # IPTC, copyright and its URL; the other resources describe layers and the window
_RAW_PROFILE = "Raw profile type "  # ImageMagick's name
_LAYERS_OF_PHOTOSHOP = 37724  # TIFF's tag
_XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_EXIF_UUID = b"JpgTiffExif->JP2"
_BMP_V5, _EMBEDDED = 124, b"DEBM"
_PICTURES, _MPF = 0xB002, b"MPF\x00"  # the tag of an MPO's list of pictures, and the bytes before the tags
# beginnings of JPEG segments that Pillow reads, or that only describe the encoding
_READ = {
    "APP0": (b"",),
    "APP1": (b"Exif\x00", b"http://ns.adobe.com/xap/1.0/\x00", b"http://ns.adobe.com/xmp/extension/\x00"),
    "APP2": (b"ICC_PROFILE\x00", _MPF, b"urn:iso:std:iso:ts:21496:-1\x00"),
    "APP12": (b"Ducky",),
    "APP13": (b"Photoshop 3.0\x00", b"Adobe_CM"),
    "APP14": (b"Adobe",),
    "COM": (b"",),
}
_CREDENTIALS = "content credentials (C2PA) dropped"
_KNOWN_SEGMENTS = {"JP": _CREDENTIALS, "FLIR": "thermal data (FLIR) dropped"}
_MARK = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")
_NO_PROFILE = "ICC profile unreadable and dropped"
_MUCH = 16_384  # bytes behind an image; the makers' data of cameras is shorter
_FILLING = b"\x00\xff\r\n "
_AUXILIARY = re.compile(rb"auxC\x00{4}([\x21-\x7e]+)\x00")
_KEPT_OR_NOTED = ("alpha", "depth", "auxid:1", "auxid:2", "gainmap")


def found(image: Image.Image, content: bytes) -> dict[str, Any]:
    """Metadata that Pillow has not read, as entries for the `info` of an image.

    Args:
        image: The image with its header read.
        content: The file, which may be damaged.
    """
    read = _READERS.get(str(image.format))
    with contextlib.suppress(Exception):  # damaged data must not make the photo fail
        return {name: value for name, value in read(image, content).items() if value} if read else {}
    return {}


def notes(image: Image.Image, content: bytes) -> list[str]:
    """A short sentence for each part of a file that the output will not have.

    Args:
        image: The image with its header read.
        content: The file, which may be damaged.
    """
    look = _NOTES.get(str(image.format))
    with contextlib.suppress(Exception):
        return list(dict.fromkeys(look(image, content))) if look else []
    return []


def _of_bmp(image: Image.Image, content: bytes) -> dict[str, Any]:
    if content[14] < _BMP_V5 or content[14 + 56 : 14 + 60] != _EMBEDDED:
        return {}
    offset, length = struct.unpack_from("<LL", content, 14 + 112)
    return {"icc_profile": content[14 + offset : 14 + offset + length]}


def _of_gif(image: Image.Image, content: bytes) -> dict[str, Any]:
    start = content.find(b"\x0bXMP DataXMP") + 12
    end = content.find(b"\x01\xff\xfe\xfd", start)
    read = {"xmp": content[start:end]} if start > 11 and end > 0 else {}
    start = content.find(b"\x0bICCRGBG1012") + 12
    blocks = []
    while start > 11 and content[start]:  # each block follows its length
        blocks.append(content[start + 1 : start + 1 + content[start]])
        start += 1 + content[start]
    return read | {"icc_profile": b"".join(blocks)}


def _of_jpeg2000(image: Image.Image, content: bytes) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for name, start, end in boxes(content):
        if name == b"uuid" and content[start : start + 16] == _XMP_UUID:
            read["xmp"] = content[start + 16 : end]
        elif name == b"uuid" and content[start : start + 16] == _EXIF_UUID:
            read["exif"] = _EXIF + content[start + 16 : end].removeprefix(_EXIF)
        elif name == b"jp2h":
            colours = [(a, b) for kind, a, b in boxes(content, start, end) if kind == b"colr"]
            read["icc_profile"] = next((content[a + 3 : b] for a, b in colours if content[a] == 2), b"")
    return read


def _of_png(image: Image.Image, content: bytes) -> dict[str, Any]:
    assert isinstance(image, PngImagePlugin.PngImageFile)
    profile = image.info.get(_RAW_PROFILE + "xmp")  # from ImageMagick: a length, and the bytes in hexadecimal
    return {"xmp": bytes.fromhex("".join(profile.split()[2:]))} if profile and "xmp" not in image.info else {}


def _of_psd(image: Image.Image, content: bytes) -> dict[str, Any]:
    assert isinstance(image, PsdImagePlugin.PsdImageFile)
    resources = {number: data for number, _, data in image.resources}
    owners = {number: resources[number] for number in _OF_THE_OWNER if number in resources}
    read: dict[str, Any] = {"photoshop": owners, "xmp": resources.get(_XMP_RESOURCE)}
    if block := resources.get(_EXIF_RESOURCE):
        read["exif"] = _EXIF + block
    if len(resources.get(_RESOLUTION, b"")) >= 12:
        across, _, down = struct.unpack_from(">LLL", resources[_RESOLUTION])
        read["dpi"] = across / 65536, down / 65536
    return read


def _of_tiff(image: Image.Image, content: bytes) -> dict[str, Any]:
    assert isinstance(image, TiffImagePlugin.TiffImageFile)
    return {"photoshop": {number: block["data"] for number, block in image.get_photoshop_blocks().items()}}


def _lost_of_heif(image: Image.Image, content: bytes) -> list[str]:
    lost = [FILM for name, _, _ in boxes(content) if name == b"mpvd"]
    start, end = box(content, b"meta") or (0, 0)
    meta = content[start:end]
    types = [name.decode() for name in _AUXILIARY.findall(meta)]
    if any("gainmap" in name for name in types) or (b"infe" in meta and b"tmap" in meta):
        lost.append(GAIN_MAP)
    if any(name.endswith(("depth", "auxid:2")) for name in types):
        lost.append(DEPTH_MAP)
    others = sorted({re.split("[:/]", name)[-1] for name in types if not any(k in name for k in _KEPT_OR_NOTED)})
    return lost + [f"auxiliary picture dropped ({name})" for name in others]


def _lost_of_ico(image: Image.Image, content: bytes) -> list[str]:
    count = len(image.info.get("sizes", ()))
    return [f"largest of {count} sizes"] if count > 1 else []


def _lost_of_jpeg(image: Image.Image, content: bytes) -> list[str]:
    lost = []
    segments = getattr(image, "applist", ())
    for name, body in segments:
        if not body.startswith(_READ.get(name, ())):
            kind = (re.match(rb"[\w .-]{2,20}", body) or [b""])[0].decode().strip()
            lost.append(_KNOWN_SEGMENTS.get(kind, f"maker's data dropped (segment {name}{kind and f', {kind}'})"))
    if not image.info.get("icc_profile") and any(body.startswith(b"ICC_PROFILE\x00") for _, body in segments):
        lost.append(_NO_PROFILE)
    behind = _behind_jpeg(content) if image.format == "JPEG" else _behind_mpo(image, content)
    if (behind.endswith(b"SEFT") and b"MotionPhoto_Data" in behind) or b"ftyp" in behind[:64]:
        lost.append(FILM)
    elif behind.endswith(b"SEFT") or len(behind) >= _MUCH:
        lost.append(f"{len(behind):,} bytes of other data behind the image dropped")
    return lost


def _behind_jpeg(content: bytes) -> bytes:
    """The data behind the end of a JPEG, without padding. Another JPEG behind it is not found."""
    if content.rstrip(_FILLING).endswith(b"\xd9"):
        return b""
    position = 2
    while content[position] == 0xFF:
        mark, length = content[position + 1], int.from_bytes(content[position + 2 : position + 4])
        position += 2 + length
        if mark == 0xDA:
            following = _MARK.search(content, position)
            if not following:
                return b""
            position = following.start()
        if content[position : position + 2] == b"\xff\xd9":
            return content[position + 2 :].rstrip(_FILLING)
    return b""


def _behind_mpo(image: Image.Image, content: bytes) -> bytes:
    """The data behind the last picture of an MPO."""
    pictures = getattr(image, "mpinfo", {}).get(_PICTURES, ())
    last = max((picture["DataOffset"] for picture in pictures), default=0)
    return _behind_jpeg(content[content.index(_MPF) + len(_MPF) + last :]) if last else b""


def _lost_of_jpeg2000(image: Image.Image, content: bytes) -> list[str]:
    return ["XML dropped" for name, _, _ in boxes(content) if name == b"xml "]


def _lost_of_png(image: Image.Image, content: bytes) -> list[str]:
    lost = [_CREDENTIALS] if b"caBX" in content[:10_000] else []
    if b"iCCP" in content[:10_000] and not image.info.get("icc_profile"):
        lost.append(_NO_PROFILE)
    at = content.find(b"acTL", 0, 10_000)
    if at > 0 and getattr(image, "n_frames", 1) == 1 and int.from_bytes(content[at + 4 : at + 8]) != 1:
        lost.append("animation unreadable and dropped")
    return lost


def _lost_of_psd(image: Image.Image, content: bytes) -> list[str]:
    lost = ["layers dropped"] if getattr(image, "n_frames", 1) > 1 else []
    more = int.from_bytes(content[12:14]) - len(image.getbands())
    return lost + ([f"{more} further channels dropped"] if more > 0 else [])


def _lost_of_tiff(image: Image.Image, content: bytes) -> list[str]:
    assert isinstance(image, TiffImagePlugin.TiffImageFile)
    return ["layers dropped"] if _LAYERS_OF_PHOTOSHOP in image.tag_v2 else []


_READERS: dict[str, Callable[[Any, bytes], dict[str, Any]]] = {
    "BMP": _of_bmp,
    "GIF": _of_gif,
    "JPEG2000": _of_jpeg2000,
    "PNG": _of_png,
    "PSD": _of_psd,
    "TIFF": _of_tiff,
}
_NOTES: dict[str, Callable[[Any, bytes], list[str]]] = {
    "AVIF": _lost_of_heif,
    "HEIF": _lost_of_heif,
    "ICO": _lost_of_ico,
    "JPEG": _lost_of_jpeg,
    "JPEG2000": _lost_of_jpeg2000,
    "MPO": _lost_of_jpeg,
    "PNG": _lost_of_png,
    "PSD": _lost_of_psd,
    "TIFF": _lost_of_tiff,
}
