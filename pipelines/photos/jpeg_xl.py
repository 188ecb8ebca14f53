"""JPEG XL: Pillow's plug-in that reads and writes it, and the size of a photo before it is decoded.

The plug-in (pillow-jxl-plugin, with libjxl) decodes a file as soon as Pillow opens it. So whoever opens a file first
asks `size_of`.
"""

import importlib
import importlib.util

from pipelines.photos.formats import FORMATS

_CODESTREAM = b"\xff\x0a"
_CONTAINER = b"\x00\x00\x00\x0cJXL \r\n\x87\n"
_LENGTHS = (9, 13, 18, 30)  # bits of a side, by its selector
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # width to height, by its number less 1


def register() -> None:
    """Lets Pillow read and write JPEG XL, if the plug-in is installed."""
    if (module := FORMATS["JXL"].module) and importlib.util.find_spec(module):
        importlib.import_module(module)


def size_of(content: bytes) -> tuple[int, int] | None:
    """Width and height that the header of a file tells (ISO/IEC 18181-1, SizeHeader); None if this is no JPEG XL."""
    stream = content if content.startswith(_CODESTREAM) else _codestream(content)
    if not stream.startswith(_CODESTREAM):
        return None
    bits = _Bits(stream[2:18])
    by_eight = bits.take(1)
    height = _side(bits, by_eight)
    if ratio := bits.take(3):
        wide, high = _RATIOS[ratio - 1]
        return height * wide // high, height
    return _side(bits, by_eight), height


class _Bits:
    """The bits of a codestream, the lowest of each byte first."""

    def __init__(self, content: bytes) -> None:
        self._left = int.from_bytes(content, "little")

    def take(self, count: int) -> int:
        """The next bits as a number."""
        number = self._left & ((1 << count) - 1)
        self._left >>= count
        return number


def _side(bits: _Bits, by_eight: int) -> int:
    return 8 * (bits.take(5) + 1) if by_eight else bits.take(_LENGTHS[bits.take(2)]) + 1


def _codestream(content: bytes) -> bytes:
    """The beginning of the codestream in a container (ISO/IEC 18181-2); empty if there is none."""
    if not content.startswith(_CONTAINER):
        return b""
    at = 0
    while at + 16 <= len(content):
        length, kind, body = int.from_bytes(content[at : at + 4]), content[at + 4 : at + 8], at + 8
        if length == 1:  # the length follows, in 8 bytes
            length, body = int.from_bytes(content[at + 8 : at + 16]), at + 16
        if kind in (b"jxlc", b"jxlp"):  # a part begins with its number, of 4 bytes
            start = body + 4 * (kind == b"jxlp")
            return content[start : start + 18]
        if length < 8:
            break
        at += length
    return b""
