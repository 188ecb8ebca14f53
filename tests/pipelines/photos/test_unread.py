"""What a file carries and Pillow passes over: kept, or named."""

import contextlib
import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin, TiffImagePlugin

from pipelines.photos import PhotoError, encode, load
from pipelines.photos.unread import FILM

IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 90, (30, 40, 3), dtype=np.uint8))
FILM_FILE = struct.pack(">L4s4s", 12, b"ftyp", b"mp42") + bytes(500) + b"end"
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><!-- of the owner --></x:xmpmeta>'
IPTC = b"\x1c\x02\x78\x00\x09a caption"


def exif() -> bytes:
    tags = Image.Exif()
    tags[271] = "Maker"
    return tags.tobytes()


def profile() -> bytes:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return srgb.replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))


def saved(format_: str, image: Image.Image = IMAGE, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def jpeg(*segments: tuple[int, bytes], behind: bytes = b"", format_: str = "JPEG", **options: object) -> bytes:
    content = saved(format_, **options)
    more = b"".join(bytes((0xFF, mark)) + struct.pack(">H", len(body) + 2) + body for mark, body in segments)
    return content[:2] + more + content[2:] + behind


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    content = saved("PNG")
    more = b"".join(struct.pack(">L", len(d)) + n + d + struct.pack(">L", zlib.crc32(n + d)) for n, d in chunks)
    return content[:33] + more + content[33:]


def box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">L4s", 8 + len(body), name) + body


@pytest.mark.parametrize(
    ("segment", "note"),
    [
        ((0xEB, b"JP\x00\x01" + bytes(40)), "content credentials (C2PA) dropped"),
        ((0xE1, b"FLIR\x00\x01" + bytes(40)), "thermal data (FLIR) dropped"),
        ((0xE4, b"SCALADO\x00" + bytes(40)), "maker's data dropped (segment APP4, SCALADO)"),
        ((0xE5, bytes(40)), "maker's data dropped (segment APP5)"),
        ((0xE2, b"ICC_PROFILE\x00\x01\x02half of a profile"), "ICC profile unreadable and dropped"),
        ((0xEC, b"Ducky\x00\x01\x00\x04\x00\x00\x00\x50\x00\x00"), None),
        ((0xED, b"Adobe_CM\x00\x02"), None),
    ],
)
def test_segments_of_a_jpeg_that_nobody_reads_are_named(segment: tuple[int, bytes], note: str | None) -> None:
    assert load(jpeg(segment), "a.jpg").notes == ([note] if note else [])


@pytest.mark.parametrize(
    ("behind", "note"),
    [
        (FILM_FILE, FILM),
        (FILM_FILE + b"LIVE_2333654", FILM),
        (bytes(16) + b"MotionPhoto_Data" + FILM_FILE + b"SEFT", FILM),
        (b"DualShot_DepthMap" + bytes(100) + b"SEFT", "121 bytes of other data behind the image dropped"),
        (bytes(1000) + b"debugging", None),
        (b"\x01" * 20_000, "20,000 bytes of other data behind the image dropped"),
        (b"\r\n", None),
    ],
)
@pytest.mark.parametrize("format_", ["JPEG", "MPO"])
def test_what_lies_behind_a_jpeg_is_named(behind: bytes, note: str | None, format_: str) -> None:
    options = {"save_all": True, "append_images": [IMAGE]} if format_ == "MPO" else {"progressive": True}
    photo = load(jpeg(behind=behind, format_=format_, **options), "a.jpg")
    assert photo.notes == ["second MPO image dropped"][: format_ == "MPO"] + ([note] if note else [])


def test_the_film_and_further_pictures_of_a_heic_are_named() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(IMAGE).save(buffer)
    assert load(buffer.getvalue(), "a.heic").notes == ["HEIF written as JPEG"]
    assert load(buffer.getvalue() + box(b"mpvd", FILM_FILE), "a.heic").notes == [FILM, "HEIF written as JPEG"]


def test_jpeg_2000_names_what_its_boxes_hold() -> None:
    boxes = box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + XMP)
    boxes += box(b"uuid", b"JpgTiffExif->JP2" + exif()[6:])
    content = saved("JPEG2000") + boxes
    assert load(content, "a.jp2").notes == ["metadata dropped (JPEG2000 holds none)"]
    photo = load(content, "a.jp2", output_format="jpeg")
    written = Image.open(io.BytesIO(encode(photo, photo.pixels).content))
    assert written.info["xmp"] == XMP
    assert written.getexif()[271] == "Maker"


def test_the_profile_of_jpeg_2000_and_of_bmp_is_read() -> None:
    content = saved("JPEG2000")
    at, header = content.find(b"colr") - 4, content.find(b"jp2h") - 4
    (old,), new = struct.unpack_from(">L", content, at), box(b"colr", b"\x02\x00\x00" + profile())
    (length,) = struct.unpack_from(">L", content, header)
    content = content[:at] + new + content[at + old :]
    content = content[:header] + struct.pack(">L", length + len(new) - old) + content[header + 4 :]
    assert load(content, "a.jp2", output_format="png").metadata.icc_profile == profile()
    assert load(content, "a.jp2").notes == ["metadata dropped (JPEG2000 holds none)"]

    bmp = saved("BMP")
    head, pixels = bytearray(bmp[14:54].ljust(124, b"\x00")), bmp[54:]
    struct.pack_into("<L", head, 0, 124)
    head[56:60] = b"DEBM"
    struct.pack_into("<LL", head, 112, 124 + len(pixels), len(profile()))
    content = b"BM" + struct.pack("<LHHL", 138 + len(pixels) + len(profile()), 0, 0, 138) + head + pixels + profile()
    assert load(content, "a.bmp", output_format="png").metadata.icc_profile == profile()
    assert load(content, "a.bmp").notes == ["metadata dropped (BMP holds none)"]


def test_a_gif_keeps_its_xmp_and_names_its_comment() -> None:
    content = saved("GIF", comment=b"of the owner")
    end = 13 + 3 * 2 ** ((content[10] & 7) + 1)
    packet = b"\x21\xff\x0bXMP DataXMP" + XMP + b"\x01" + bytes(range(255, -1, -1)) + b"\x00"
    photo = load(content[:end] + packet + content[end:], "a.gif")
    assert photo.metadata.xmp == XMP
    assert "comment dropped" in photo.notes


def test_imagemagicks_profiles_in_a_png_are_kept() -> None:
    def raw(name: str, data: bytes) -> tuple[bytes, bytes]:
        return b"tEXt", f"Raw profile type {name}\x00\n{name}\n{len(data):8}\n{data.hex()}\n".encode()

    photo = load(png(raw("iptc", IPTC), raw("xmp", XMP)), "a.png")
    written = Image.open(io.BytesIO(encode(photo, photo.pixels).content))
    assert isinstance(written, PngImagePlugin.PngImageFile)
    assert IPTC.hex() in written.text["Raw profile type iptc"]
    assert written.info["xmp"] == XMP
    assert photo.notes == []


def test_what_a_png_loses_is_named() -> None:
    assert load(png((b"caBX", bytes(20))), "a.png").notes == ["content credentials (C2PA) dropped"]
    assert load(png((b"iCCP", b"x\x00\x00no profile")), "a.png").notes == ["ICC profile unreadable and dropped"]
    assert load(png((b"acTL", struct.pack(">LL", 0, 0))), "a.png").notes == ["animation unreadable and dropped"]


def test_photoshops_resources_of_a_tiff_are_kept() -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags.tagtype[34377] = 1
    tags[34377] = b"8BIM\x04\x0a\x00\x00\x00\x00\x00\x01\x01\x00" + b"8BIM\x04\x04\x00\x00\x00\x00\x00\x0e" + IPTC
    photo = load(saved("TIFF", tiffinfo=tags), "a.tif")
    assert photo.notes == []
    written = Image.open(io.BytesIO(encode(photo, photo.pixels).content))
    assert isinstance(written, TiffImagePlugin.TiffImageFile)
    assert {number: block["data"] for number, block in written.get_photoshop_blocks().items()} == {
        0x040A: b"\x01",
        0x0404: IPTC,
    }
    photo = load(saved("TIFF", tiffinfo=tags), "a.tif", output_format="jpeg")
    assert Image.open(io.BytesIO(encode(photo, photo.pixels).content)).info["photoshop"][0x0404] == IPTC


def test_layers_and_sizes_are_named() -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags.tagtype[37724] = 7
    tags[37724] = b"Adobe Photoshop Document Data Block\x00"
    assert load(saved("TIFF", tiffinfo=tags), "a.tif").notes == ["layers dropped"]
    assert "largest of 2 sizes" in load(saved("ICO", sizes=[(16, 16), (24, 24)]), "a.ico").notes


@pytest.mark.parametrize(
    ("make", "name"),
    [(lambda: saved("JPEG2000") + box(b"uuid", bytes(40)), "a.jp2"), (lambda: jpeg(behind=FILM_FILE), "a.jpg")],
)
def test_damage_anywhere_costs_no_more_than_the_notes(make: Callable[[], bytes], name: str) -> None:
    content = make()
    for cut in range(40, len(content), 97):
        for damaged in (content[:cut], content[:cut] + b"\xff" + content[cut + 1 :]):
            with contextlib.suppress(PhotoError):
                load(damaged, name)
