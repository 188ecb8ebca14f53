"""Colour spaces that no profile names: kept, turned into a profile, or refused; values never change."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin

from pipelines.photos import PhotoError, decode, encode, load
from pipelines.photos.colour import profile_of

PIXELS = np.random.default_rng(0).integers(0, 90, (30, 40, 3), dtype=np.uint8)


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with further chunks after its header."""
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "PNG")
    content = buffer.getvalue()
    more = b"".join(struct.pack(">L", len(d)) + n + d + struct.pack(">L", zlib.crc32(n + d)) for n, d in chunks)
    return content[:33] + more + content[33:]


def nclx(format_: str, primaries: int, transfer: int) -> bytes:
    """An AVIF or HEIC whose nclx box names these."""
    buffer = io.BytesIO()
    import pillow_heif

    pillow_heif.register_heif_opener()
    Image.fromarray(PIXELS).save(buffer, format_)
    content = buffer.getvalue()
    at = content.find(b"colrnclx")
    assert at >= 0
    return content[: at + 8] + struct.pack(">HH", primaries, transfer) + content[at + 12 :]


@pytest.mark.parametrize("transfer", [8, 16, 18])
@pytest.mark.parametrize("kind", ["PNG", "HEIF", "AVIF"])
def test_what_no_display_shows_as_it_lies_is_refused(kind: str, transfer: int) -> None:
    content = png((b"cICP", bytes((9, transfer, 0, 1)))) if kind == "PNG" else nclx(kind, 9, transfer)
    with pytest.raises(PhotoError, match=f"unsupported: {kind} with .* values, which zerodce cannot read"):
        load(content, {"PNG": "a.png", "HEIF": "a.heic", "AVIF": "a.avif"}[kind])
    with pytest.raises(PhotoError, match=f"unsupported: {kind} with .* values, which zerodce cannot read"):
        decode(content, {"PNG": "a.png", "HEIF": "a.heic", "AVIF": "a.avif"}[kind], (8, 8))


def test_linear_gamma_is_refused_unless_something_else_names_the_space() -> None:
    linear = (b"gAMA", struct.pack(">L", 100_000))
    with pytest.raises(PhotoError, match="unsupported: PNG with linear light"):
        load(png(linear), "a.png")
    assert load(png((b"sRGB", b"\x00"), linear), "a.png").notes == []


def test_chunks_of_a_png_are_kept_in_a_png() -> None:
    gamma = (b"gAMA", struct.pack(">L", 55_000))
    primaries = (b"cHRM", struct.pack(">8L", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000))
    photo = load(png(gamma, primaries), "a.png")
    written = encode(photo, photo.pixels).content
    for name, data in (gamma, primaries):
        assert name + data in written
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(written))), PIXELS)
    other = load(png(gamma, primaries), "a.png", output_format="jpeg")
    assert other.notes == ["gamma and primaries (gAMA, cHRM) dropped", "PNG written as JPEG"]


@pytest.mark.parametrize("kind", ["PNG", "HEIF", "AVIF"])
@pytest.mark.parametrize("primaries", [9, 12])
def test_wide_primaries_travel_as_a_profile(kind: str, primaries: int) -> None:
    content = png((b"cICP", bytes((primaries, 13, 0, 1)))) if kind == "PNG" else nclx(kind, primaries, 13)
    photo = load(content, {"PNG": "a.png", "HEIF": "a.heic", "AVIF": "a.avif"}[kind], output_format="jpeg")
    written = Image.open(io.BytesIO(encode(photo, photo.pixels).content))
    assert written.info["icc_profile"] == profile_of(primaries)


def test_the_profile_of_display_p3_by_its_published_matrix() -> None:
    """Its red in sRGB: 1.0931, -0.2267, -0.1501 in linear light, which is out of range; half of its white is grey."""
    profile = ImageCms.ImageCmsProfile(io.BytesIO(profile_of(12)))
    colours = Image.fromarray(np.uint8([[[255, 0, 0], [128, 128, 128], [100, 160, 120]]]))
    found = np.asarray(
        ImageCms.profileToProfile(
            colours, profile, ImageCms.createProfile("sRGB"), ImageCms.Intent.RELATIVE_COLORIMETRIC
        )
    )
    assert found[0, 0].tolist() == [255, 0, 0]
    np.testing.assert_allclose(found[0, 1], 128, atol=1)
    encoded = np.array([100, 160, 120]) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    matrix = np.array([[1.2249, -0.2247, 0], [-0.0420, 1.0419, 0], [-0.0197, -0.0786, 1.0979]])
    expected = matrix @ linear
    expected = np.where(expected <= 0.0031308, 12.92 * expected, 1.055 * expected ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(found[0, 2], 255 * expected, atol=1.5)


def test_a_thumbnail_page_is_not_the_photo(tmp_path: object) -> None:
    small = Image.fromarray(cv2.resize(PIXELS, (8, 6)))
    buffer = io.BytesIO()
    small.save(buffer, "TIFF", save_all=True, append_images=[Image.fromarray(PIXELS)], tiffinfo={254: 1})
    content = buffer.getvalue()
    with Image.open(io.BytesIO(content)) as image:
        image.seek(1)
        if vars(image)["tag_v2"][254] & 1:  # Pillow marks every page alike: the second is marked by hand
            entry = struct.pack("<HHL", 254, 4, 1) + struct.pack("<L", 1)
            at = content.rindex(entry)
            content = content[: at + 8] + struct.pack("<L", 0) + content[at + 12 :]
    photo = load(content, "a.tif")
    np.testing.assert_array_equal(photo.pixels, PIXELS)
    assert photo.notes == ["page 2 of 2, after thumbnails and masks"]


def test_kinds_that_pillow_knows_not_are_named() -> None:
    import tifffile

    buffer = io.BytesIO()
    tifffile.imwrite(buffer, PIXELS.astype(np.float32) / 255, photometric="rgb")
    with pytest.raises(PhotoError, match="unsupported: TIFF of 32 bit float values in 3 channels"):
        load(buffer.getvalue(), "a.tif")
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "JPEG")
    content = bytearray(buffer.getvalue())
    content[content.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(PhotoError, match="unsupported: JPEG of 12 bits"):
        load(bytes(content), "a.jpg")


def test_cmyk_goes_through_its_profile() -> None:
    """A profile of another kind is of no use, and the plain formula serves."""
    cmyk = Image.new("CMYK", (8, 8), (10, 20, 30, 100))
    buffer = io.BytesIO()
    cmyk.save(buffer, "TIFF", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    photo = load(buffer.getvalue(), "a.tif")
    np.testing.assert_array_equal(photo.pixels[0, 0], np.asarray(cmyk.convert("RGB"))[0, 0])
    assert photo.metadata.icc_profile == b""
    assert photo.notes == ["CMYK converted to RGB"]


def test_a_real_profile_keeps_grey_neutral(data: object) -> None:
    from pathlib import Path

    content = (Path(str(data)) / "reports" / "cmyk_swop_icc.jpg").read_bytes()
    photo = load(content, "a.jpg")
    mean = photo.pixels.reshape(-1, 3).mean(axis=0)
    assert np.ptp(mean) < 2
    assert mean.mean() == pytest.approx(45, abs=2)


def with_curve(curve: bytes, grey: bool = False) -> bytes:
    """The profile of sRGB with another curve, by another name."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack_from(">L", profile, 128)
    for entry in range(132, 132 + 12 * count, 12):
        if profile[entry : entry + 4] in (b"rTRC", b"gTRC", b"bTRC"):
            struct.pack_into(">LL", profile, entry + 4, len(profile), len(curve))
    profile += curve + bytes(-len(curve) % 4)
    struct.pack_into(">L", profile, 0, len(profile))
    return bytes(profile).replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))


def sampled(light: np.ndarray) -> bytes:
    return b"curv" + struct.pack(">LL", 0, len(light)) + np.rint(light * 65535).astype(">u2").tobytes()


VALUES = np.linspace(0, 1, 1024)
PQ_POWER = VALUES ** (1 / 78.84375)
PQ = (np.maximum(PQ_POWER - 0.8359375, 0) / (18.8515625 - 18.6875 * PQ_POWER)) ** (1 / 0.1593017578125)


@pytest.mark.parametrize(
    ("curve", "kind"),
    [
        (b"curv" + struct.pack(">LL", 0, 0), "linear light"),
        (b"curv" + struct.pack(">LLH", 0, 1, 256), "linear light"),
        (b"para" + struct.pack(">LHHl", 0, 0, 0, 65536), "linear light"),
        (sampled(VALUES), "linear light"),
        (sampled(PQ), r"PQ \(HDR\)"),
        (sampled(VALUES**2 / 3), r"HLG \(HDR\)"),
        (b"curv" + struct.pack(">LLH", 0, 1, 461), None),  # gamma 1.8
        (b"curv" + struct.pack(">LLH", 0, 1, 666), None),  # gamma 2.6
        (b"para" + struct.pack(">LHH5l", 0, 3, 0, 157286, 62119, 3417, 5072, 2651), None),  # sRGB's
        (b"para" + struct.pack(">LHH", 0, 9, 0), None),
        (b"", None),
    ],
)
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
def test_a_profile_of_linear_light_or_hdr_is_refused(format_: str, curve: bytes, kind: str | None) -> None:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, format_, icc_profile=with_curve(curve))
    if kind is None:
        load(buffer.getvalue(), f"a.{format_.lower()}")
        return
    with pytest.raises(PhotoError, match=f"unsupported: {format_} with {kind} values"):
        load(buffer.getvalue(), f"a.{format_.lower()}")


def test_a_profile_may_name_its_transfer_function() -> None:
    profile = bytearray(with_curve(b"cicp" + bytes(4) + bytes((9, 16, 0, 1))))
    profile[132:136] = b"cicp"
    (profile[136:144],) = [struct.pack(">LL", len(profile) - 12, 12)]
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "PNG", icc_profile=bytes(profile))
    with pytest.raises(PhotoError, match=r"unsupported: PNG with PQ"):
        load(buffer.getvalue(), "a.png")


@pytest.mark.parametrize("with_profile", [False, True])
def test_the_colours_of_another_picture_in_the_file_do_not_count(with_profile: bool) -> None:
    """As in the HEIC of a phone whose gain map leads to an HDR picture."""
    pillow_heif = pytest.importorskip("pillow_heif")
    image = Image.fromarray(PIXELS)
    if with_profile:
        image.info["icc_profile"] = profile_of(12)
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, save_nclx_profile=False)
    content = bytearray(buffer.getvalue())
    assert b"colrnclx" not in content
    more = struct.pack(">L4s4sHHHB", 19, b"colr", b"nclx", 9, 16, 9, 128)
    ends = {name: content.find(name) - 4 for name in (b"meta", b"iprp", b"ipco")}
    end = ends[b"ipco"] + struct.unpack_from(">L", content, ends[b"ipco"])[0]
    for at in ends.values():
        struct.pack_into(">L", content, at, struct.unpack_from(">L", content, at)[0] + len(more))
    content[end:end] = more
    _move_items(content, len(more))
    photo = load(bytes(content), "a.heic")
    assert photo.metadata.icc_profile == (profile_of(12) if with_profile else b"")


def _move_items(content: bytearray, by: int) -> None:
    """Corrects where the items of a HEIC lie, as libheif writes it: version 0, each with a base and offsets."""
    at = content.find(b"iloc")
    assert (content[at + 4], content[at + 8], content[at + 9]) == (0, 0x44, 0x40)
    (count,) = struct.unpack_from(">H", content, at + 10)
    position = at + 12
    for _ in range(count):
        _, _, base, extents = struct.unpack_from(">HHLH", content, position)
        if base:
            struct.pack_into(">L", content, position + 4, base + by)
        position += 10
        for _ in range(extents):
            if not base:
                struct.pack_into(">L", content, position, struct.unpack_from(">L", content, position)[0] + by)
            position += 8


def test_pages_that_are_masks_or_old_thumbnails_are_not_the_photo() -> None:
    for tag, value in ((254, 4), (255, 2)):
        pages = [Image.fromarray(cv2.resize(PIXELS, (8, 6))), Image.fromarray(PIXELS)]
        for page, number in zip(pages, (value, 0), strict=True):
            tags = TiffImagePlugin.ImageFileDirectory_v2()
            tags[tag] = number
            page.encoderinfo = {"tiffinfo": tags}
        buffer = io.BytesIO()
        first = pages[0].encoderinfo["tiffinfo"]
        pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:], tiffinfo=first)
        photo = load(buffer.getvalue(), "a.tif")
        np.testing.assert_array_equal(photo.pixels, PIXELS)


def test_gamma_and_primaries_of_srgb_are_no_loss() -> None:
    gamma = (b"gAMA", struct.pack(">L", 45_455))
    primaries = (b"cHRM", struct.pack(">8L", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))
    assert load(png(gamma, primaries), "a.png", output_format="jpeg").notes == ["PNG written as JPEG"]
    other = (b"gAMA", struct.pack(">L", 55_000))
    assert "gamma and primaries (gAMA, cHRM) dropped" in load(png(other), "a.png", output_format="jpeg").notes
