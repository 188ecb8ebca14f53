"""The boxes of ISO base media files (ISO 14496-12): HEIC, AVIF, CR3 and JPEG 2000."""

import struct
from collections.abc import Iterator


def boxes(content: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """The name of each box in a part of a file, and where its content begins and ends. Nested boxes are left out.

    Args:
        content: The file.
        start: Where the first box begins.
        end: Where the last box ends; None for the end of the file.
    """
    end = len(content) if end is None else end
    while start + 8 <= end:
        size, name = struct.unpack_from(">L4s", content, start)
        body = start + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", content, body)
            body += 8
        stop = start + size if size else end
        if stop < body:
            return
        yield name, body, min(stop, end)
        start = stop


def box(content: bytes, *path: bytes) -> tuple[int, int] | None:
    """Where the content of the first box at a path (such as `meta`, `iprp`) begins and ends; None if it is missing."""
    start, end = 0, len(content)
    for step in path:
        place = next(((a, b) for name, a, b in boxes(content, start, end) if name == step), None)
        if place is None:
            return None
        start, end = place
        if step == b"meta":
            start += 4  # version and flags
    return start, end


def primary_nclx(content: bytes) -> tuple[int, int]:
    """Primaries and transfer function (H.273) of the nclx box of the primary picture; zeros if it has none.

    Other pictures of the file, such as the HDR picture of a gain map, may be in other colours.

    Raises:
        struct.error: The file is damaged.
    """
    places = [box(content, b"meta", *path) for path in ((b"pitm",), (b"iprp", b"ipma"), (b"iprp", b"ipco"))]
    if None in places:
        return 0, 0
    (pitm, _), (ipma, _), (start, end) = (place for place in places if place)
    (primary,) = struct.unpack_from(">L" if content[pitm] else ">H", content, pitm + 4)
    properties = [(name, a, b) for name, a, b in boxes(content, start, end)]
    of_items = _associations(content, ipma)
    for item in (primary, *_tiles(content, primary)[:1]):
        for index in of_items.get(item, ()):
            name, a, b = properties[index - 1] if 0 < index <= len(properties) else (b"", 0, 0)
            if name == b"colr" and content[a : a + 4] == b"nclx" and b - a >= 8:
                primaries, transfer = struct.unpack_from(">HH", content, a + 4)
                return primaries, transfer
    return 0, 0


def _associations(content: bytes, ipma: int) -> dict[int, list[int]]:
    """The property numbers of each item."""
    item, index = (">L" if content[ipma] else ">H"), (">H" if content[ipma + 3] & 1 else ">B")
    mask = 0x7FFF if index == ">H" else 0x7F
    (count,) = struct.unpack_from(">L", content, ipma + 4)
    position, found = ipma + 8, {}
    for _ in range(count):
        (number,) = struct.unpack_from(item, content, position)
        position += struct.calcsize(item)
        length = content[position] * struct.calcsize(index)
        found[number] = [value & mask for (value,) in struct.iter_unpack(index, content[position + 1 :][:length])]
        position += 1 + length
    return found


def _tiles(content: bytes, picture: int) -> list[int]:
    """The items that are the tiles of a picture."""
    place = box(content, b"meta", b"iref")
    if not place:
        return []
    code = "L" if content[place[0]] else "H"
    size = struct.calcsize(code)
    for name, start, _ in boxes(content, place[0] + 4, place[1]):
        number, count = struct.unpack_from(f">{code}H", content, start)
        if name == b"dimg" and number == picture:
            return list(struct.unpack_from(f">{count}{code}", content, start + size + 2))
    return []
