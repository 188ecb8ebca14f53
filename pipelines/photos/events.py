"""Adds an event to the history in the XMP of a photo (`xmpMM:History`, ISO 16684-1), and changes nothing else in it."""

import contextlib
import dataclasses
import re
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_MM = "http://ns.adobe.com/xap/1.0/mm/"
_EVENT = "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"
_ROOT, _HISTORY = f"{_RDF} RDF", f"{_MM} History"
_LISTS = frozenset(f"{_RDF} {name}" for name in ("Seq", "Bag", "Alt"))
_EMPTY = re.compile(rb"<([^\s<>/]+)\s*/>")  # an element without content and attributes
_PACKET_ID = "W5M0MpCehiHzreSzNTczkc9d"


@dataclasses.dataclass(frozen=True)
class Event:
    """What a program did to a photo. The names are those of XMP's type ResourceEvent.

    Attributes:
        action: A word of XMP: "edited", "converted", "saved" ...
        agent: Name and version of the program.
        when: Date and time, ISO 8601; empty if there is none.
        parameters: More about the action.
    """

    action: str
    agent: str
    when: str = ""
    parameters: str = ""


def with_event(packet: bytes, event: Event) -> bytes | None:
    """A packet whose history ends with an event.

    All other bytes of the packet stay as they are. A photo without XMP gets a packet.

    Args:
        packet: The packet, which may be damaged; empty if there is none.
        event: The event.

    Returns:
        The packet; None if this one is not understood: it is damaged before its end, or not in an encoding that
        extends ASCII.
    """
    if not packet.strip(b"\x00 \r\n\t"):
        return _new_packet(event)
    places = _Places.of(packet)
    if places is None:
        return None
    item = _item(event)
    if places.entries is not None:
        return _inserted(packet, places.entries, item)
    if places.history is not None:
        return _inserted(packet, places.history, _sequence(item))
    return _inserted(packet, places.end, _description(item, places.about))


def without_padding(packet: bytes) -> bytes:
    """A packet without the white space before its end, which is room for edits in place."""
    content, end, rest = packet.rpartition(b"<?xpacket end")
    return content.rstrip() + b"\n" + end + rest if end else packet


class _Places:
    """Finds where an event can be inserted into a packet. Each place is that of an end tag or of an empty element.

    Attributes:
        end: Place of the end of `rdf:RDF`, -1 if it is missing.
        history: Place of the end of `xmpMM:History`; None if there is none.
        entries: Place of the end of the list in it; None if there is none.
        about: The `rdf:about` that all descriptions of the packet share.
    """

    def __init__(self) -> None:
        self.end = -1
        self.history: int | None = None
        self.entries: int | None = None
        self.about = ""
        self._refused = False
        self._inside: list[str] | None = None  # names of the open elements in rdf:RDF; None outside of it

    @classmethod
    def of(cls, packet: bytes) -> "_Places | None":
        """The places in a packet; None if it is not understood up to the end of `rdf:RDF`."""
        if b"\x00" in packet.rstrip(b"\x00"):  # UTF-16 or UTF-32
            return None
        places = cls()
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartElementHandler = places._start
        parser.EndElementHandler = lambda name: places._end(name, parser.CurrentByteIndex)
        parser.StartDoctypeDeclHandler = places._refuse  # XMP has none, and entities could be endless
        with contextlib.suppress(expat.ExpatError):  # what follows the RDF need not be XML
            parser.Parse(packet, True)
        return None if places._refused or places.end < 0 else places

    def _refuse(self, *_: object) -> None:
        self._refused = True

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self._inside is not None:
            self._inside.append(name)
            if len(self._inside) == 1:
                self.about = self.about or attributes.get(f"{_RDF} about", "")
                self._refused |= _HISTORY in attributes
        elif name == _ROOT and self.end < 0:
            self._inside = []

    def _end(self, name: str, position: int) -> None:
        if self._inside is None:
            return
        if not self._inside:
            self.end, self._inside = position, None
            return
        if self._inside[1:] == [_HISTORY]:
            self.history = position
        elif self._inside[1:-1] == [_HISTORY] and name in _LISTS:
            self.entries = position
        self._inside.pop()


def _inserted(packet: bytes, position: int, text: bytes) -> bytes | None:
    """A packet with text at the end of an element: before its end tag, or in an empty element."""
    if packet.startswith(b"</", position):
        return packet[:position] + text + packet[position:]
    empty = _EMPTY.match(packet, position)
    if not empty:
        return None
    whole = b"<" + empty[1] + b">" + text + b"</" + empty[1] + b">"
    return packet[:position] + whole + packet[empty.end() :]


def _item(event: Event) -> bytes:
    """An entry of a history. It declares its own prefixes, because a packet may have others."""
    values = {"action": event.action, "softwareAgent": event.agent, "when": event.when, "parameters": event.parameters}
    fields = "".join(f" stEvt:{name}={quoteattr(value)}" for name, value in values.items() if value)
    return f'<rdf:li xmlns:rdf="{_RDF}" xmlns:stEvt="{_EVENT}"{fields}/>'.encode("ascii", "xmlcharrefreplace")


def _sequence(item: bytes) -> bytes:
    return f'<rdf:Seq xmlns:rdf="{_RDF}">'.encode() + item + b"</rdf:Seq>"


def _description(item: bytes, about: str) -> bytes:
    start = f'<rdf:Description xmlns:rdf="{_RDF}" xmlns:xmpMM="{_MM}" rdf:about={quoteattr(about)}><xmpMM:History>'
    return start.encode("ascii", "xmlcharrefreplace") + _sequence(item) + b"</xmpMM:History></rdf:Description>"


def _new_packet(event: Event) -> bytes:
    start = (
        f'<?xpacket begin="\ufeff" id="{_PACKET_ID}"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">'
    )
    end = '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    return start.encode() + _description(_item(event), "") + end.encode()
