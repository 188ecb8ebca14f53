"""The history of a photo: an entry more, all other bytes as they were; damaged and hostile packets."""

import io
import time
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from pipelines import photos
from pipelines.photos.packets import Event, with_event, without_padding

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
MM = "{http://ns.adobe.com/xap/1.0/mm/}"
ST = "{http://ns.adobe.com/xap/1.0/sType/ResourceEvent#}"
EVENT = Event("edited", "zerodce 1", "2020-09-13T12:26:40Z", 'a<b & "c" ä')
START = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">'.encode()
HEAD = START + b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
TAIL = b'</rdf:RDF></x:xmpmeta>\n<?xpacket end="w"?>'
TITLE = (
    b'<rdf:Description rdf:about="uuid:1" xmlns:dc="http://purl.org/dc/elements/1.1/">'
    b"<dc:title>Night</dc:title></rdf:Description>"
)
OLD = b'<r:li e:action="created" e:when="2001-01-01"/>'


def with_history(entries: bytes) -> bytes:
    """A packet with other prefixes than the usual ones, and a history inside an ingredient, which is not its own."""
    return (
        START + b'<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><r:Description r:about="" '
        b'xmlns:m="http://ns.adobe.com/xap/1.0/mm/" xmlns:e="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#">'
        b'<m:Pantry><r:Bag><r:li r:parseType="Resource"><m:History><r:Seq></r:Seq></m:History></r:li></r:Bag>'
        b"</m:Pantry>" + entries + b"</r:Description></r:RDF></x:xmpmeta>"
    )


def entries(packet: bytes | None) -> list[dict[str, str]]:
    """The entries of the own history of a packet."""
    assert packet is not None
    found = ET.fromstring(packet.decode()).findall(f"{RDF}RDF/{RDF}Description/{MM}History/{RDF}Seq/{RDF}li")
    return [{name.removeprefix(ST): value for name, value in entry.attrib.items()} for entry in found]


NEW = {"action": "edited", "softwareAgent": "zerodce 1", "when": "2020-09-13T12:26:40Z", "parameters": 'a<b & "c" ä'}


@pytest.mark.parametrize("empty", [b"", b"\x00\x00", b"  \n"])
def test_a_photo_without_xmp_gets_a_packet(empty: bytes) -> None:
    packet = with_event(empty, EVENT)
    assert entries(packet) == [NEW]
    assert packet is not None
    assert packet.startswith(b"<?xpacket begin=")
    assert packet.endswith(b'<?xpacket end="w"?>')


def test_a_packet_without_history_gets_one_and_keeps_every_byte() -> None:
    packet = HEAD + TITLE + TAIL
    found = with_event(packet, EVENT)
    assert entries(found) == [NEW]
    assert found is not None
    assert found.startswith(HEAD + TITLE)
    assert found.endswith(TAIL)
    assert found[len(HEAD + TITLE) :].count(b'rdf:about="uuid:1"') == 1  # a resource has one name


@pytest.mark.parametrize(
    ("history", "before"),
    [
        (b"<m:History><r:Seq>" + OLD + b"</r:Seq></m:History>", [{"action": "created", "when": "2001-01-01"}]),
        (b"<m:History><r:Seq></r:Seq></m:History>", []),
        (b"<m:History><r:Seq/></m:History>", []),
        (b"<m:History></m:History>", []),
        (b"<m:History />", []),
    ],
)
def test_the_entry_is_the_last_of_the_history(history: bytes, before: list[dict[str, str]]) -> None:
    packet = with_history(history)
    found = with_event(packet, EVENT)
    assert entries(found) == [*before, NEW]
    assert entries(with_event(found or b"", Event("saved", "other"))) == [
        *before,
        NEW,
        {"action": "saved", "softwareAgent": "other"},
    ]


def test_what_follows_the_packet_need_not_be_xml() -> None:
    packet = HEAD + TITLE + TAIL + b"\x00\x00"
    found = with_event(packet, EVENT)
    assert found is not None
    assert found.endswith(TAIL + b"\x00\x00")
    assert entries(found.rstrip(b"\x00")) == [NEW]


@pytest.mark.parametrize(
    "damaged",
    [
        HEAD + TITLE,
        b"<x>no RDF</x>",
        b"not XML",
        (HEAD + TITLE + TAIL).decode().encode("utf-16"),
        HEAD + b'<rdf:Description xmlns:m="http://ns.adobe.com/xap/1.0/mm/" m:History="x"/>' + TAIL,
        b"<!DOCTYPE a [<!ENTITY a 'b'>]>" + HEAD + TITLE + TAIL,
        HEAD + b"<rdf:Description undeclared:a='1'/>" + TAIL,
        with_history(b"<m:History r:parseType='x'/>"),
        with_history(b"<m:History><r:Seq e:a='1'/></m:History>"),
    ],
)
def test_a_packet_that_is_not_understood_is_left_alone(damaged: bytes) -> None:
    assert with_event(damaged, EVENT) is None


@pytest.mark.parametrize(
    "hostile",
    [
        HEAD + b"<a>" * 300_000,
        HEAD + b"<rdf:Description>" + b"<rdf:li/>" * 500_000,
        HEAD + TITLE + b" " * 5_000_000 + TAIL,
        b"\x00\xff" * 1_000_000,
    ],
)
def test_a_hostile_packet_takes_no_time(hostile: bytes) -> None:
    started = time.process_time()
    with_event(hostile, EVENT)
    without_padding(hostile)
    assert time.process_time() - started < 20


def a_photo(packet: bytes, output_format: str | None = None) -> photos.Photo:
    buffer = io.BytesIO()
    texts = PngImagePlugin.PngInfo()
    if packet:
        texts.add_itxt("XML:com.adobe.xmp", packet.decode())
    Image.fromarray(np.full((20, 30, 3), 40, np.uint8)).save(buffer, "PNG", pnginfo=texts)
    return photos.load(buffer.getvalue(), "a.png", output_format=output_format)


@pytest.mark.parametrize("output_format", ["JPEG", "PNG", "WebP", "TIFF", "AVIF"])
@pytest.mark.parametrize("packet", [b"", HEAD + TITLE + TAIL])
def test_formats_that_hold_xmp_hold_the_history(output_format: str, packet: bytes) -> None:
    photo = a_photo(packet, output_format)
    encoded = photos.encode(photo, photo.pixels, event=EVENT)
    assert encoded.notes == []
    written = Image.open(io.BytesIO(encoded.content)).info["xmp"]
    assert entries(written) == [NEW]
    assert (b"<dc:title>Night</dc:title>" in written) == bool(packet)
    assert photos.encode(photo, photo.pixels).content != encoded.content
    stripped = photos.encode(photo, photo.pixels, event=EVENT, strip_metadata=True).content
    assert "xmp" not in Image.open(io.BytesIO(stripped)).info


@pytest.mark.parametrize("output_format", ["BMP", "JPEG2000"])
def test_formats_that_hold_none_stay_as_they_are(output_format: str) -> None:
    photo = a_photo(b"", output_format)
    assert photos.encode(photo, photo.pixels, event=EVENT) == photos.encode(photo, photo.pixels)


def test_a_jpeg_has_room_for_the_entry_or_keeps_its_xmp_and_says_so() -> None:
    """A segment holds 65,533 bytes, of which 29 name it. Padding gives way, content does not."""
    room = 65_533 - 29
    for filling, padding, notes in (
        (60_000, 5_000, []),
        (room - len(HEAD + TITLE + TAIL) - 20, 0, ["history not written (XMP too long for JPEG)"]),
    ):
        content = HEAD + TITLE.replace(b"Night", b"N" * filling) + TAIL
        packet = content.replace(b"<?xpacket end", b" " * padding + b"<?xpacket end")
        photo = a_photo(packet, "JPEG")
        encoded = photos.encode(photo, photo.pixels, event=EVENT)
        assert encoded.notes == notes
        written = Image.open(io.BytesIO(encoded.content)).info["xmp"]
        assert b"N" * filling in written
        assert entries(written) == ([] if notes else [NEW])


def test_xmp_that_is_damaged_is_kept_with_a_note() -> None:
    photo = a_photo(HEAD + TITLE)
    encoded = photos.encode(photo, photo.pixels, event=EVENT)
    assert encoded.notes == ["history not written (XMP damaged)"]
    assert Image.open(io.BytesIO(encoded.content)).info["xmp"] == HEAD + TITLE
