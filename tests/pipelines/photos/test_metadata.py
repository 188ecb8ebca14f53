"""Metadata goes into the output, in line with its pixels; what cannot is a note."""

import io
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from pipelines import photos
from pipelines.photos import encode, load
from pipelines.photos.formats import FORMATS
from pipelines.photos.metadata import Exif, Metadata

pytestmark = pytest.mark.filterwarnings(r"ignore::UserWarning:PIL\..*")  # as pipelines.photos does

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" title="dusk"/></x:xmpmeta>'
MAKER_NOTE = b"MAKER\x00\x00\x01kept as it is"


def entry(order: str, tag: int, kind: int, count: int, value: int) -> bytes:
    return struct.pack(f"{order}HHLL", tag, kind, count, value)


def exif_block(order: str, thumbnail: bytes, tail: bytes = b"") -> bytes:
    """A block as cameras write it: orientation, a maker note, the size, a thumbnail, and whatever follows."""
    short = (lambda value: value) if order == "<" else (lambda value: value << 16)
    header = (b"II*\x00" if order == "<" else b"MM\x00*") + struct.pack(order + "L", 8)
    second, third = 8 + 2 + 2 * 12 + 4, 38 + 2 + 3 * 12 + 4
    note_at = third + 2 + 2 * 12 + 4
    thumbnail_at = note_at + len(MAKER_NOTE)
    ifd0 = struct.pack(order + "H", 2) + entry(order, 0x0112, 3, 1, short(6)) + entry(order, 0x8769, 4, 1, second)
    ifd0 += struct.pack(order + "L", third)
    sub = struct.pack(order + "H", 3) + entry(order, 0x927C, 7, len(MAKER_NOTE), note_at)
    sub += entry(order, 0xA002, 4, 1, 40) + entry(order, 0xA003, 3, 1, short(20)) + bytes(4)
    ifd1 = struct.pack(order + "H", 2) + entry(order, 0x0201, 4, 1, thumbnail_at)
    ifd1 += entry(order, 0x0202, 4, 1, len(thumbnail)) + bytes(4)
    return b"Exif\x00\x00" + header + ifd0 + sub + ifd1 + MAKER_NOTE + thumbnail + tail


def jpeg(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def thumbnail_of(block: bytes) -> Image.Image | None:
    exif = Image.Exif()
    exif.load(block)
    directory = exif.get_ifd(ExifTags.IFD.IFD1)
    if not directory:
        return None
    start = directory[0x0201] + len(b"Exif\x00\x00")
    return Image.open(io.BytesIO(block[start : start + directory[0x0202]]))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("old", "tail"),
    [(bytes(200), b""), (bytes(200), b"more"), (bytes(5000), b"more")],
    ids=["at the end", "too short a place", "room enough"],
)
def test_exif_is_patched_and_the_thumbnail_made_anew(order: str, old: bytes, tail: bytes) -> None:
    block = exif_block(order, old, tail)
    bright = Image.new("RGB", (300, 600), (200, 210, 220))
    updated = Exif.parse(block).updated(bright, 65533)
    exif = Image.Exif()
    exif.load(updated)
    assert exif[0x0112] == 1
    sub = exif.get_ifd(ExifTags.IFD.Exif)
    assert (sub[0xA002], sub[0xA003], sub[0x927C]) == (300, 600, MAKER_NOTE)
    assert updated.index(MAKER_NOTE) == block.index(MAKER_NOTE)  # its own offsets still hold
    thumbnail = thumbnail_of(updated)
    assert thumbnail is not None
    assert thumbnail.size == (80, 160)
    assert np.abs(np.asarray(thumbnail, int) - (200, 210, 220)).max() <= 3
    if tail:
        assert updated.count(tail) == 1


def test_the_thumbnail_is_in_srgb_without_a_profile(red_is_green: bytes) -> None:
    picture = Image.new("RGB", (300, 600), (200, 100, 50))
    content = jpeg(picture, exif=exif_block("<", bytes(5000)), icc_profile=red_is_green)
    photo = photos.load(content, "a.jpg")
    written = Image.open(io.BytesIO(encode(photo, photo.pixels).content))
    assert written.info["icc_profile"] == red_is_green
    thumbnail = thumbnail_of(written.info["exif"])
    assert thumbnail is not None
    assert "icc_profile" not in thumbnail.info
    assert np.abs(np.asarray(thumbnail, int) - (100, 200, 50)).max() <= 3


def test_a_thumbnail_without_room_is_left_out() -> None:
    block = exif_block("<", bytes(200))
    updated = Exif.parse(block).updated(Image.new("RGB", (300, 600)), len(block))
    assert thumbnail_of(updated) is None
    assert len(updated) <= len(block)


def test_a_thumbnail_of_another_kind_is_left_out() -> None:
    block = bytearray(exif_block("<", bytes(200)))
    at = block.index(struct.pack("<HH", 0x0201, 4))
    block[at : at + 2] = struct.pack("<H", 0x0111)  # strips of uncompressed pixels
    assert thumbnail_of(Exif.parse(bytes(block)).updated(Image.new("L", (9, 9)), 65533)) is None


def test_a_thumbnail_over_the_directories_is_left_out() -> None:
    block = bytearray(exif_block("<", bytes(200)))
    at = block.index(struct.pack("<HHL", 0x0201, 4, 1)) + 8
    block[at : at + 4] = struct.pack("<L", 20)
    updated = Exif.parse(bytes(block)).updated(Image.new("L", (9, 9)), 65533)
    exif = Image.Exif()
    exif.load(updated)
    assert exif.get_ifd(ExifTags.IFD.Exif)[0x927C] == MAKER_NOTE
    assert thumbnail_of(updated) is None


@given(st.binary(max_size=300) | st.tuples(st.integers(0, 400), st.integers(0, 255)))
def test_damaged_exif_is_refused_or_patched_never_more(damage: bytes | tuple[int, int]) -> None:
    if isinstance(damage, tuple):
        block = bytearray(exif_block(">", bytes(200)))
        block[damage[0] % len(block)] = damage[1]
    else:
        block = bytearray(b"Exif\x00\x00II*\x00" + damage)
    try:
        exif = Exif.parse(bytes(block))
    except ValueError:
        return
    assert exif.updated(Image.new("RGB", (9, 9)), 65533).startswith(b"Exif\x00\x00")


def a_jpeg(**options: object) -> bytes:
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 90, (20, 40, 3), np.uint8))
    return jpeg(
        image, **{"exif": exif_block("<", bytes(99)), "icc_profile": PROFILE, "xmp": XMP, "dpi": (300, 300), **options}
    )


@pytest.mark.parametrize("output_format", ["JPEG", "PNG", "WebP", "TIFF", "AVIF"])
def test_all_of_it_goes_into_formats_that_hold_it(output_format: str) -> None:
    photo = photos.load(a_jpeg(), "a.jpg", output_format=output_format)
    written = Image.open(io.BytesIO(encode(photo, photo.pixels).content))
    written.load()
    assert written.size == (20, 40)  # orientation 6: a quarter turn
    exif = written.getexif()
    assert exif.get(0x0112, 1) == 1
    assert (exif.get_ifd(ExifTags.IFD.Exif)[0xA002], exif.get_ifd(ExifTags.IFD.Exif)[0xA003]) == (20, 40)
    assert written.info["icc_profile"] == PROFILE
    assert written.info["xmp"] == XMP.replace(b'"6"', b'"1"')
    if output_format in ("JPEG", "PNG", "TIFF"):
        assert written.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert ("maker notes dropped" in photo.notes) == (output_format == "TIFF")


@pytest.mark.parametrize("output_format", ["JPEG", "PNG", "WebP", "TIFF", "AVIF"])
def test_strip_metadata_leaves_nothing(output_format: str) -> None:
    photo = photos.load(a_jpeg(comment=b"hello"), "a.jpg", output_format=output_format)
    table = photos.autocontrast_table(photo.pixels)
    assert table is not None
    for pixels in (photo.pixels, photos.look_up(photo.pixels, table)):
        content = encode(photo, pixels, strip_metadata=True).content
        written = Image.open(io.BytesIO(content))
        assert not {"exif", "icc_profile", "xmp", "comment"} & set(written.info)
        assert not set(written.getexif()) & {0x0112, 0x8769}
        assert b"hello" not in content


@pytest.mark.parametrize("output_format", ["BMP", "JPEG2000"])
def test_formats_that_hold_none_say_so(output_format: str) -> None:
    photo = photos.load(a_jpeg(), "a.jpg", output_format=output_format)
    assert f"metadata dropped ({output_format} holds none)" in photo.notes
    assert photos.load(encode(photo, photo.pixels).content, "x").pixels.shape == (40, 20, 3)


@pytest.mark.parametrize("output_format", ["PNG", "TIFF"])
def test_sixteen_bit_files_keep_it_too(output_format: str) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", "<x>IDAT</x>")
    content = io.BytesIO()
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "someone"
    options = {"exif": exif.tobytes(), "icc_profile": PROFILE, "dpi": (300, 300), "pnginfo": text}
    Image.fromarray(np.full((3, 5), 0x1234, np.uint16)).save(content, "PNG", **options)
    photo = photos.load(content.getvalue(), "a.png", output_format=output_format)
    written = Image.open(io.BytesIO(encode(photo, photo.pixels).content))
    np.testing.assert_array_equal(np.asarray(written), np.full((3, 5), 0x1234))
    assert written.getexif()[ExifTags.Base.Artist] == "someone"
    assert (written.info["icc_profile"], written.info["xmp"]) == (PROFILE, b"<x>IDAT</x>")
    assert written.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_unreadable_exif_is_a_note_and_the_photo_stays_as_it_is() -> None:
    photo = photos.load(a_jpeg(xmp=b"", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x00"), "a.jpg")
    assert photo.notes == ["EXIF unreadable and dropped"]
    assert photo.pixels.shape == (20, 40, 3)
    assert "exif" not in Image.open(io.BytesIO(encode(photo, photo.pixels).content)).info


@pytest.mark.parametrize(("kind", "dropped"), [(1, True), (3, False), (4, False), (11, True), (2, True)])
def test_orientation_of_another_type_cannot_stay(kind: int, dropped: bool) -> None:
    block = b"Exif\x00\x00II*\x00" + struct.pack("<LH", 8, 1) + entry("<", 0x0112, kind, 1, 3) + bytes(4)
    photo = photos.load(a_jpeg(xmp=b"", exif=block), "a.jpg")
    assert photo.notes == (["EXIF unreadable and dropped"] if dropped else [])
    orientation = Image.open(io.BytesIO(encode(photo, photo.pixels).content)).getexif().get(0x0112)
    assert orientation == (None if dropped else 1)


def test_comment_iptc_and_texts_are_kept() -> None:
    caption = b"\x1c\x02\x78\x00\x04dusk"
    resource = b"Photoshop 3.0\x008BIM" + struct.pack(">HHL", 0x0404, 0, len(caption)) + caption
    extra = b"\xff\xed" + struct.pack(">H", len(resource) + 2) + resource
    photo = photos.load(a_jpeg(comment=b"by the sea", extra=extra), "a.jpg")
    written = Image.open(io.BytesIO(encode(photo, photo.pixels).content))
    assert written.info["comment"] == b"by the sea"
    assert written.info["photoshop"] == {0x0404: caption}
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "Dämmerung")
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2)).save(buffer, "PNG", pnginfo=text)
    photo = photos.load(buffer.getvalue(), "a.png")
    png = Image.open(io.BytesIO(encode(photo, photo.pixels).content))
    assert isinstance(png, PngImagePlugin.PngImageFile)
    assert png.text == {"Title": "Dämmerung"}


def test_more_than_a_jpeg_segment_holds_is_a_note() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", "x" * 70_000)
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2)).save(buffer, "PNG", pnginfo=text, exif=exif_block("<", bytes(70_000)))
    photo = photos.load(buffer.getvalue(), "a.png", output_format="JPEG")
    assert photo.notes[:2] == [
        "maker note and thumbnail dropped (EXIF too long for JPEG)",
        "XMP too long for JPEG and dropped",
    ]
    assert photos.load(encode(photo, photo.pixels).content, "a.jpg").pixels.shape == (3, 2, 3)


def test_tags_of_a_tiff_are_kept_but_not_how_it_was_stored() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "someone"
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.ISOSpeedRatings: 800}
    buffer = io.BytesIO()
    Image.new("RGB", (6, 4)).save(buffer, "TIFF", exif=exif.tobytes())
    for output_format in ("TIFF", "JPEG"):
        photo = photos.load(buffer.getvalue(), "a.tif", output_format=output_format)
        written = Image.open(io.BytesIO(encode(photo, photo.pixels).content))
        tags = written.getexif()
        assert written.size == (4, 6)
        assert (tags[ExifTags.Base.Artist], tags.get(0x0112, 1)) == ("someone", 1)
        assert tags.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] == 800
        assert (ExifTags.Base.StripOffsets in tags) == (output_format == "TIFF")


def saved(name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((40, 30), 20).convert("RGB").save(buffer, name, **options)
    return buffer.getvalue()


def test_exif_that_is_too_long_keeps_date_camera_and_place() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Maker"
    exif.get_ifd(ExifTags.IFD.Exif).update(
        {ExifTags.Base.DateTimeOriginal: "2024:05:06 07:08:09", 0x927C: bytes(70_000)}
    )
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: (50.0, 30.0, 0.0)})
    photo = load(saved("WEBP", exif=exif.tobytes()), "a.webp", output_format="jpeg")
    assert photo.notes[0] == "maker note and thumbnail dropped (EXIF too long for JPEG)"
    kept = Image.open(io.BytesIO(encode(photo, photo.pixels).content)).getexif()
    assert kept[ExifTags.Base.Make] == "Maker"
    assert kept.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] == "2024:05:06 07:08:09"
    assert 0x927C not in kept.get_ifd(ExifTags.IFD.Exif)
    assert kept.get_ifd(ExifTags.IFD.GPSInfo)[1] == "N"


def test_all_comments_and_photoshop_resources_of_a_jpeg_are_kept_or_noted() -> None:
    resources = {0x0404: b"\x1c\x02\x78\x00\x05night", 1034: b"\x01", 1035: b"https://example.org/"}
    body = b"Photoshop 3.0\x00" + b"".join(
        b"8BIM" + struct.pack(">HHL", number, 0, len(data)) + data + bytes(len(data) % 2)
        for number, data in {**resources, 1036: b"the old thumbnail"}.items()
    )
    segment = b"\xff\xed" + struct.pack(">H", len(body) + 2) + body + b"\xff\xfe\x00\x07first"
    content = saved("JPEG", extra=segment, comment=b"second")
    photo = load(content, "a.jpg")
    written = Image.open(io.BytesIO(encode(photo, photo.pixels).content))
    assert photo.notes == []
    assert written.info["photoshop"] == resources
    assert sorted(body for name, body in vars(written)["applist"] if name == "COM") == [b"first", b"second"]
    other = load(content, "a.jpg", output_format="webp")
    assert other.notes == ["IPTC and Photoshop resources dropped", "comment dropped", "JPEG written as WEBP"]


def test_texts_of_a_png_are_noted_where_the_format_holds_none() -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("parameters", "a night, 20 steps")
    photo = load(saved("PNG", pnginfo=texts), "a.png", output_format="jpeg")
    assert photo.notes == ["text chunks dropped", "PNG written as JPEG"]


def test_the_film_of_samsung_is_noted() -> None:
    photo = load(saved("JPEG") + b"MotionPhoto_Data" + bytes(500) + b"SEFT", "a.jpg")
    assert photo.notes == ["video of a motion photo dropped"]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("sides", [(), (9,), (9, 5)])
def test_the_subject_is_where_the_photo_was_turned_to(order: str, orientation: int, sides: tuple[int, ...]) -> None:
    """A bright pixel stands at the subject's place, before and after."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    x, y = 16, 24
    pixels[y - 8 : y + 8, x - 8 : x + 8] = 255  # a block of JPEG keeps it apart
    pixels[y, x] = 255
    count = 2 + len(sides)
    numbers = struct.pack(f"{order}{count}H", x, y, *sides)
    value = numbers if len(numbers) == 4 else struct.pack(order + "L", 8 + 2 + 24 + 4 + 2 + 12 + 4)
    header = (b"II*\x00" if order == "<" else b"MM\x00*") + struct.pack(order + "L", 8)
    ifd = struct.pack(order + "H", 2) + struct.pack(order + "HHLHH", 0x0112, 3, 1, orientation, 0)
    ifd += entry(order, 0x8769, 4, 1, 38) + bytes(4)
    sub = struct.pack(order + "HHHL", 1, 0x9214, 3, count) + value + bytes(4)
    block = b"Exif\x00\x00" + header + ifd + sub + (b"" if len(numbers) == 4 else numbers)
    photo = load(jpeg(Image.fromarray(pixels), quality=95, exif=block), "a.jpg")
    written = Image.open(io.BytesIO(encode(photo, photo.pixels).content))
    area = written.getexif().get_ifd(ExifTags.IFD.Exif)[0x9214]
    assert photo.notes == []
    assert np.argwhere(photo.pixels[..., 0] > 128).mean(axis=0) == pytest.approx((area[1], area[0]), abs=0.6)
    assert tuple(area[2:]) == (sides[::-1] if orientation >= 5 else sides)


def test_the_subject_of_a_picture_turned_who_knows_how_goes_with_a_note() -> None:
    """As of a HEIC that its container turns: EXIF says nothing of it. What stands behind in the directory stays."""
    numbers = struct.pack("<4H", 16, 24, 9, 5)
    header = b"II*\x00" + struct.pack("<L", 8)
    ifd = struct.pack("<H", 1) + entry("<", 0x8769, 4, 1, 26) + bytes(4)
    sub = struct.pack("<H", 3) + entry("<", 0x9209, 3, 1, 16) + entry("<", 0x9214, 3, 4, 26 + 2 + 36 + 4)
    sub += entry("<", 0xA403, 3, 1, 1) + bytes(4)
    image = Image.open(
        io.BytesIO(jpeg(Image.new("RGB", (60, 40)), exif=b"Exif\x00\x00" + header + ifd + sub + numbers))
    )
    metadata, notes = Metadata.of(image, FORMATS["JPEG"], 0)
    assert notes == ["subject area dropped: it was not turned with the photo"]
    assert metadata.exif is not None
    kept = Image.Exif()
    kept.load(metadata.exif.updated(Image.new("RGB", (40, 60)), 60000))
    assert dict(kept.get_ifd(ExifTags.IFD.Exif)) == {0x9209: 16, 0xA403: 1}
