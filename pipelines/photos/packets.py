"""Adds to the XMP of a photo, and changes nothing else in it: an event in its history, or properties (ISO 16684-1)."""

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
_TAG = re.compile(rb"<([^\s<>/]+)")
_EMPTY = re.compile(rb"<([^\s<>/]+)\s*/>")  # an element without content and attributes
_NEW = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    f'<rdf:RDF xmlns:rdf="{_RDF}"></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
).encode()
_BLANK = b"\x00 \r\n\t"


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


@dataclasses.dataclass(frozen=True)
class Properties:
    """Properties of a photo, as text of RDF in ASCII.

    Attributes:
        attributes: Declarations of prefixes, and properties with simple values.
        elements: Other properties.
    """

    attributes: str
    elements: str = ""


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
    places = _Places.of(packet)
    if places is None:
        return None
    item = _item(event)
    if places.entries is not None:
        return places.inserted(places.entries, item)
    if places.history is not None:
        return places.inserted(places.history, _sequence(item))
    history = Properties(f'xmlns:xmpMM="{_MM}"', f"<xmpMM:History>{_sequence(item)}</xmpMM:History>")
    return places.with_properties(history)


def with_properties(packet: bytes, properties: Properties) -> bytes | None:
    """A packet with further properties.

    Args:
        packet: As for `with_event`. It must not have these properties.
        properties: The properties.

    Returns:
        As `with_event`.
    """
    places = _Places.of(packet)
    return places.with_properties(properties) if places else None


def without_padding(packet: bytes) -> bytes:
    """A packet without the white space before its end, which is room for edits in place."""
    content, end, rest = packet.rpartition(b"<?xpacket end")
    return content.rstrip() + b"\n" + end + rest if end else packet


class _Places:
    """Finds where an event can be inserted into a packet. Each place is that of an end tag or of an empty element.

    Attributes:
        end: Place of the end of `rdf:RDF`; None if it is missing.
        history: Place of the end of `xmpMM:History`; None if there is none.
        entries: Place of the end of the list in it; None if there is none.
        about: The `rdf:about` that all descriptions of the packet share.
    """

    def __init__(self, packet: bytes) -> None:
        self.end: int | None = None
        self.history: int | None = None
        self.entries: int | None = None
        self.about = ""
        self._packet = packet
        self._refused = False
        self._inside: list[tuple[str, int]] | None = None  # names and places of the open elements from rdf:RDF on
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._refuse  # XMP has none, and entities could be endless

    @classmethod
    def of(cls, packet: bytes) -> "_Places | None":
        """The places in a packet, or in a new one; None if it is not understood up to the end of `rdf:RDF`."""
        if not packet.strip(_BLANK):
            packet = _NEW
        if b"\x00" in packet.rstrip(b"\x00"):  # UTF-16 or UTF-32
            return None
        places = cls(packet)
        with contextlib.suppress(expat.ExpatError):  # what follows the RDF need not be XML
            places._parser.Parse(packet, True)
        return None if places._refused or places.end is None else places

    def _refuse(self, *_: object) -> None:
        self._refused = True

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self._inside is None and (name != _ROOT or self.end is not None):
            return
        self._inside = self._inside or []
        self._inside.append((name, self._parser.CurrentByteIndex))
        if len(self._inside) == 2:
            self.about = self.about or attributes.get(f"{_RDF} about", "")
            self._refused |= _HISTORY in attributes

    def _end(self, name: str) -> None:
        if not self._inside:
            return
        names = [opened for opened, _ in self._inside[:5]]
        if len(names) == 1:
            self.end = self._place()
            self._inside = None
            return
        if names[2:] == [_HISTORY]:
            self.history = self._place()
        elif len(names) == 4 and names[2] == _HISTORY and name in _LISTS:
            self.entries = self._place()
        self._inside.pop()

    def _place(self) -> int:
        """The place of the innermost element, which ends here: of its end tag, or of itself if it is empty."""
        assert self._inside
        start, position = self._inside[-1][1], self._parser.CurrentByteIndex
        tag = _TAG.match(self._packet, start)
        if tag and _EMPTY.match(self._packet, start):
            return start
        self._refused |= not tag or not self._packet.startswith(b"</" + tag[1], position)
        return position

    def with_properties(self, properties: Properties) -> bytes:
        """The packet with further properties of the photo."""
        assert self.end is not None
        start = f'<rdf:Description xmlns:rdf="{_RDF}" rdf:about={quoteattr(self.about)} {properties.attributes}>'
        return self.inserted(self.end, f"{start}{properties.elements}</rdf:Description>")

    def inserted(self, position: int, text: str) -> bytes:
        """The packet with text at the end of an element: before its end tag, or in an empty element."""
        packet, data = self._packet, text.encode("ascii", "xmlcharrefreplace")
        empty = _EMPTY.match(packet, position)
        if not empty:
            return packet[:position] + data + packet[position:]
        whole = b"<" + empty[1] + b">" + data + b"</" + empty[1] + b">"
        return packet[:position] + whole + packet[empty.end() :]


def _item(event: Event) -> str:
    """An entry of a history. It declares its own prefixes, because a packet may have others."""
    values = {"action": event.action, "softwareAgent": event.agent, "when": event.when, "parameters": event.parameters}
    fields = "".join(f" stEvt:{name}={quoteattr(value)}" for name, value in values.items() if value)
    return f'<rdf:li xmlns:rdf="{_RDF}" xmlns:stEvt="{_EVENT}"{fields}/>'


def _sequence(item: str) -> str:
    return f'<rdf:Seq xmlns:rdf="{_RDF}">{item}</rdf:Seq>'
