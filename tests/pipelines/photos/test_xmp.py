"""XMP after a photo was enhanced: turned regions by hand, nothing that points to what is gone, and hostile packets."""

import time

import pytest

from pipelines.photos import xmp

HEAD = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    b'xmlns:G="http://ns.google.com/photos/1.0/camera/" xmlns:C="http://ns.google.com/photos/1.0/container/" '
    b'xmlns:hdr="http://ns.adobe.com/hdr-gain-map/1.0/" xmlns:note="http://ns.adobe.com/xmp/note/" '
    b'xmlns:r="http://www.metadataworkinggroup.com/schemas/regions/" xmlns:a="http://ns.adobe.com/xmp/sType/Area#"'
)
TAIL = b"</rdf:Description></rdf:RDF></x:xmpmeta>"
FACE = (
    b'<r:Regions rdf:parseType="Resource"><r:AppliedToDimensions a:w="160" a:h="120" a:unit="pixel"/>'
    b"<r:RegionList><rdf:Bag>"
    b'<rdf:li><rdf:Description r:Name="Ada"><r:Area a:x="0.1" a:y="0.2" a:w="0.04" a:h="0.06" a:unit="normalized"/>'
    b"</rdf:Description></rdf:li></rdf:Bag></r:RegionList></r:Regions>"
)


@pytest.mark.parametrize(
    ("orientation", "x", "y", "w", "h"),
    [
        (1, "0.1", "0.2", "0.04", "0.06"),
        (2, "0.9", "0.2", "0.04", "0.06"),
        (3, "0.9", "0.8", "0.04", "0.06"),
        (4, "0.1", "0.8", "0.04", "0.06"),
        (5, "0.2", "0.1", "0.06", "0.04"),
        (6, "0.8", "0.1", "0.06", "0.04"),
        (7, "0.8", "0.9", "0.06", "0.04"),
        (8, "0.2", "0.9", "0.06", "0.04"),
    ],
)
def test_a_face_is_where_the_photo_was_turned_to(orientation: int, x: str, y: str, w: str, h: str) -> None:
    turned, notes = xmp.updated(HEAD + b">" + FACE + TAIL, orientation)
    assert notes == []
    assert f'<r:Area a:x="{x}" a:y="{y}" a:w="{w}" a:h="{h}" a:unit="normalized"/>'.encode() in turned
    sides = (b'a:w="160" a:h="120"', b'a:h="160" a:w="120"')
    assert sides[orientation >= 5] in turned
    assert b'r:Name="Ada"' in turned


def test_regions_that_are_not_understood_go_with_a_note() -> None:
    odd = FACE.replace(b'a:x="0.1"', b'a:x="left"')
    kept, notes = xmp.updated(HEAD + b">" + odd + b"<dc:title>Night</dc:title>" + TAIL, 6)
    assert notes == ["face regions dropped: they were not turned with the photo"]
    assert b"Ada" not in kept
    assert b"<dc:title>Night</dc:title>" in kept
    assert xmp.updated(HEAD + b">" + odd + TAIL, 1) == (HEAD + b">" + odd + TAIL, [])


def test_nothing_points_to_what_is_gone() -> None:
    attributes = (
        b' G:MotionPhoto="1" G:MicroVideoOffset="2032" hdr:Version="1.0" note:HasExtendedXMP="0123" dc:format="a">'
    )
    elements = (
        b"<G:MotionPhotoVersion>1</G:MotionPhotoVersion>"
        b"<C:Directory><rdf:Seq><rdf:li><C:Item/></rdf:li></rdf:Seq></C:Directory>"
        b"<dc:title>Night</dc:title>"
    )
    kept, notes = xmp.updated(HEAD + attributes + elements + TAIL, 1)
    assert notes == ["video of a motion photo dropped", "gain map dropped", "extended XMP dropped"]
    assert kept == HEAD + b' dc:format="a"><dc:title>Night</dc:title>' + TAIL


def test_the_orientation_is_upright() -> None:
    assert xmp.updated(b'<a tiff:Orientation="6">', 6) == (b'<a tiff:Orientation="1">', [])
    assert xmp.updated(b"<tiff:Orientation>8</tiff:Orientation>", 8) == (b"<tiff:Orientation>1</tiff:Orientation>", [])


@pytest.mark.parametrize(
    "hostile",
    [
        HEAD + b">" + b"<hdr:a>" * 100_000,
        HEAD + b">" + b"".join(b"<hdr:a%d>" % i for i in range(30_000)),
        HEAD + b' hdr:a="' * 50_000,
        HEAD + b">" + FACE * 2000,
        b"\x00\xff" * 1_000_000,
        b"<r:Area " * 200_000,
    ],
)
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_hostile_packet_takes_no_time(hostile: bytes, orientation: int) -> None:
    """Seconds of processor time, of which a quadratic search would take thousands."""
    started = time.process_time()
    xmp.updated(hostile, orientation)
    assert time.process_time() - started < 20


def test_a_packet_beyond_all_bounds_is_dropped() -> None:
    assert xmp.updated(bytes(xmp.LONGEST + 1), 1) == (b"", ["XMP too long and dropped"])


@pytest.mark.parametrize(
    ("namespace", "body", "note"),
    [
        (
            "http://ns.microsoft.com/photo/1.2/",
            b"<p:RegionInfo><q:Regions/></p:RegionInfo>",
            "face regions dropped: they were not turned with the photo",
        ),
        (
            "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
            b"<p:ImageRegion><rdf:Bag/></p:ImageRegion>",
            "image regions dropped: they were not turned with the photo",
        ),
        (
            "http://ns.adobe.com/camera-raw-settings/1.0/",
            b"<p:CropTop>0.1</p:CropTop><p:HasCrop>True</p:HasCrop>",
            "crop dropped: it was not turned with the photo",
        ),
        (
            "http://ns.google.com/photos/1.0/panorama/",
            b"<p:FullPanoWidthPixels>9</p:FullPanoWidthPixels>",
            "panorama data dropped: they were not turned with the photo",
        ),
    ],
)
def test_other_places_go_with_a_note_if_the_photo_was_turned(namespace: str, body: bytes, note: str) -> None:
    head = HEAD + b' xmlns:p="' + namespace.encode() + b'"><dc:title>Night</dc:title>'
    assert xmp.updated(head + body + TAIL, 1) == (head + body + TAIL, [])
    assert xmp.updated(head + body + TAIL, 6) == (head + TAIL, [note])


def test_films_of_other_makers_leave_nothing_that_points_to_them() -> None:
    head = HEAD + b' xmlns:o="http://ns.oplus.com/photos/1.0/camera/"'
    packet = head + b' o:MotionPhotoOwner="oplus" o:VideoLength="1032">' + TAIL
    assert xmp.updated(packet, 1) == (head + b">" + TAIL, ["video of a motion photo dropped"])
