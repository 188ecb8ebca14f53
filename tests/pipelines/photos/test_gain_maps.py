"""Gain maps: kept where they only brighten, found by the index and the XMP of the new file, turned with the photo."""

import io
import re
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from pipelines import photos
from tests.pipelines.photos.gain_map_samples import (
    HEAD,
    ISO,
    TAIL,
    ULTRA,
    XMP,
    a_map,
    apple,
    dark,
    iso,
    jpeg,
    second_picture,
    ultra_hdr,
    with_map,
)

DROPPED = ["gain map dropped"]


def three(name: str, *values: float) -> str:
    items = "".join(f"<rdf:li>{value}</rdf:li>" for value in values)
    return f"<hdrgm:{name}><rdf:Seq>{items}</rdf:Seq></hdrgm:{name}>"


@pytest.mark.parametrize(
    ("parameters", "inside", "kept"),
    [
        (ULTRA, "", True),
        (ULTRA + ' hdrgm:GainMapMin="0" hdrgm:BaseRenditionIsHDR="False" hdrgm:Gamma="2.2"', "", True),
        (ULTRA, three("GainMapMin", 0, 0.5, 0), True),
        (ULTRA + ' hdrgm:HDRCapacityMin="1.5"', "", True),
        (ULTRA + ' hdrgm:OffsetSDR="0.1" hdrgm:OffsetHDR="0.1"', "", True),
        (ULTRA + ' hdrgm:GainMapMin="-0.01"', "", False),
        (ULTRA, three("GainMapMin", 0, -0.5, 0), False),
        (ULTRA, three("GainMapMin", 0, 3, 0), False),  # more than the largest gain
        (ULTRA + ' hdrgm:OffsetSDR="0" hdrgm:OffsetHDR="0.015625"', "", False),  # black would become darker
        (ULTRA + ' hdrgm:BaseRenditionIsHDR="True"', "", False),
        (ULTRA + ' hdrgm:Gamma="0"', "", False),
        (ULTRA + ' hdrgm:HDRCapacityMin="3"', "", False),
        (ULTRA.replace('"2.0"', '"two"'), "", False),
        ('hdrgm:Version="1.0"', "", False),
    ],
)
def test_a_map_is_kept_if_no_pixel_can_become_darker(parameters: str, inside: str, kept: bool) -> None:
    photo = photos.load(ultra_hdr(parameters, inside), "a.jpg")
    assert photo.hdr
    assert (photo.gain_map is not None) == kept
    assert photo.notes == ([] if kept else DROPPED)


def test_the_hdr_picture_is_never_darker_than_the_new_photo() -> None:
    """With the formula of Ultra HDR, by hand: offsets 1/64, gains from 2**0 to 2**2, linear light."""
    photo = photos.load(ultra_hdr(), "a.jpg")
    brighter = np.minimum(photo.pixels.astype(int) * 3, 255).astype(np.uint8)
    content = photos.encode(photo, brighter, with_gain_map=True).content
    gain = np.asarray(Image.open(io.BytesIO(second_picture(content))).resize((160, 120)), np.float64) / 255
    base = (np.asarray(Image.open(io.BytesIO(content)).convert("RGB")) / 255.0) ** 2.2
    hdr = (base + 1 / 64) * 2.0 ** (2 * gain[..., np.newaxis]) - 1 / 64
    assert (hdr >= base - 1e-12).all()
    assert hdr[60, 2].min() > 3.5 * base[60, 2].max()  # gain 4 at the left
    assert hdr[60, -2] == pytest.approx(base[60, -2], abs=0.02)  # gain 1 at the right


def test_the_map_stays_byte_for_byte_and_index_and_xmp_lead_to_it() -> None:
    original = ultra_hdr()
    photo = photos.load(original, "a.jpg")
    encoded = photos.encode(photo, photo.pixels, with_gain_map=True)
    assert encoded.notes == []
    gain_map = second_picture(encoded.content)
    assert gain_map == second_picture(original)
    image = Image.open(io.BytesIO(encoded.content))
    assert image.format == "JPEG"  # Pillow's check of Ultra HDR: an MPO would be shown as two photos
    assert re.findall(rb'Item:Length="(\d+)"', image.info["xmp"]) == [str(len(gain_map)).encode()]
    assert image.info["xmp"].count(b'hdrgm:Version="1.0"') == 1
    again = photos.load(encoded.content, "a.jpg")
    assert again.notes == []
    assert second_picture(photos.encode(again, photo.pixels, with_gain_map=True).content) == gain_map
    assert b"hdrgm:" not in photos.encode(photo, photo.pixels).content.replace(b"xmlns:hdrgm", b"")  # as for a baseline


@pytest.mark.parametrize("orientation", range(2, 9))
def test_the_map_is_turned_with_the_photo(orientation: int) -> None:
    photo = photos.load(ultra_hdr(orientation=orientation), "a.jpg")
    content = photos.encode(photo, photo.pixels, with_gain_map=True).content
    gain_map = Image.open(io.BytesIO(second_picture(content)))
    assert gain_map.size == ((40, 30) if orientation < 5 else (30, 40))
    assert b'hdrgm:GainMapMax="2.0"' in gain_map.info["xmp"]
    shown = np.asarray(gain_map, float)
    image = Image.open(io.BytesIO(content))
    assert image.getexif().get(0x0112, 1) == 1
    small = np.asarray(image.convert("L").resize(gain_map.size, Image.Resampling.BOX), float)
    assert np.corrcoef(shown.ravel(), small.ravel())[0, 1] < -0.99  # the map is bright where the photo is dark
    stored = Image.fromarray(a_map())
    stored.getexif()[0x0112] = orientation
    assert np.abs(np.asarray(ImageOps.exif_transpose(stored), float) - shown).max() <= 6  # of 255, by JPEG


def test_a_map_of_apple_is_kept() -> None:
    original = apple()
    assert Image.open(io.BytesIO(original)).format == "MPO"
    photo = photos.load(original, "a.jpg")
    assert (photo.hdr, photo.notes) == (True, [])
    content = photos.encode(photo, photo.pixels, with_gain_map=True).content
    assert second_picture(content) == second_picture(original)
    assert "xmp" not in Image.open(io.BytesIO(content)).info
    assert photos.load(original, "a.jpg", output_format="png").notes == [*DROPPED, "MPO written as PNG"]


def iso_metadata(low: int, high: int, gain: int, base: int, other: int, flags: int = 0) -> bytes:
    """The parameters of ISO 21496-1 for one channel, in hundredths, with a denominator each or with a common one."""
    if flags & 8:
        return struct.pack(">HHB3LllLll", 0, 0, flags, 100, low, high, gain, 200, 100, base, other)
    pairs = (low, 100, high, 100, gain, 100, 200, 100, 100, 100, base, 100, other, 100)
    return struct.pack(">HHB4LlLlLLLlLlL", 0, 0, flags, *pairs)


@pytest.mark.parametrize(
    ("metadata", "kept"),
    [
        (iso_metadata(0, 200, 0, 1, 1), True),
        (iso_metadata(0, 200, 0, 1, 1, flags=64), True),
        (iso_metadata(0, 200, 0, 1, 1, flags=8), True),
        (iso_metadata(0, 200, -1, 1, 1), False),
        (iso_metadata(0, 200, -1, 1, 1, flags=8), False),
        (iso_metadata(0, 200, 0, 1, 2), False),
        (iso_metadata(200, 0, 0, 1, 1), False),  # the photo is the HDR picture
        (iso_metadata(0, 200, 0, 1, 1, flags=1), False),  # of a later version
        (iso_metadata(0, 200, 0, 1, 1)[:-1], False),
        (iso_metadata(0, 200, 0, 1, 1).replace(struct.pack(">L", 100), bytes(4)), False),
    ],
)
def test_the_metadata_of_iso_21496_decides_as_well(metadata: bytes, kept: bool) -> None:
    photo = photos.load(iso(metadata), "a.jpg")
    assert (photo.hdr, photo.notes) == (True, [] if kept else DROPPED)
    if kept:
        content = photos.encode(photo, photo.pixels, with_gain_map=True).content
        assert ISO + metadata in second_picture(content)
        assert ISO + bytes(4) in content[: -len(second_picture(content))]


def test_both_kinds_of_metadata_have_to_agree() -> None:
    xmp = XMP + (HEAD + ULTRA + ">" + TAIL).encode()
    for low, notes in ((0, []), (-1, DROPPED)):
        photo = jpeg(dark(), (1, XMP + (HEAD + 'hdrgm:Version="1.0">' + TAIL).encode()))
        content = with_map(photo, (1, xmp), (2, ISO + iso_metadata(0, 200, low, 1, 1)))
        assert photos.load(content, "a.jpg").notes == notes


@pytest.mark.parametrize("cut", [1, 100, 700])
def test_a_map_that_is_cut_is_dropped(cut: int) -> None:
    photo = photos.load(ultra_hdr()[:-cut], "a.jpg")
    assert photo.notes[0] == DROPPED[0]
    assert photo.gain_map is None


def test_a_map_without_room_for_its_properties_is_dropped() -> None:
    filling = f"<hdrgm:x/>{'n' * 65_000}"
    own = HEAD + 'hdrgm:Version="1.0">' + filling + TAIL
    content = with_map(jpeg(dark(), (1, XMP + own.encode())), (1, XMP + (HEAD + ULTRA + ">" + TAIL).encode()))
    photo = photos.load(content, "a.jpg")
    encoded = photos.encode(photo, photo.pixels, with_gain_map=True)
    assert encoded.notes == DROPPED
    assert b"MPF\x00" not in encoded.content


@pytest.mark.parametrize("output_format", ["png", "webp", "avif"])
def test_other_formats_and_stripped_files_hold_none(output_format: str) -> None:
    assert photos.load(ultra_hdr(), "a.jpg", output_format=output_format).notes[0] == DROPPED[0]
    photo = photos.load(ultra_hdr(), "a.jpg")
    encoded = photos.encode(photo, photo.pixels, with_gain_map=True, strip_metadata=True)
    assert encoded.notes == DROPPED
    assert b"hdrgm" not in encoded.content


def test_other_pictures_of_an_mpo_are_no_gain_maps() -> None:
    frame = Image.fromarray(dark())
    buffer = io.BytesIO()
    frame.save(buffer, "MPO", save_all=True, append_images=[frame])
    photo = photos.load(buffer.getvalue(), "a.jpg")
    assert (photo.hdr, photo.notes) == (False, ["second MPO image dropped"])
