"""The TFRecord container: length, masked CRC-32C of the length, payload, masked CRC-32C of the payload.

Format: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
"""

import struct
from collections.abc import Iterator
from typing import Protocol

import google_crc32c

_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
_OVERHEAD = _LENGTH.size + 2 * _CRC.size
_LONGEST = 1 << 31  # bytes; a damaged length must not cause a huge allocation


class Readable(Protocol):
    """What is read of a file."""

    def read(self, size: int, /) -> bytes: ...


class CorruptShardError(ValueError):
    """The bytes are not a sequence of whole, undamaged TFRecords."""


def frame(payload: bytes) -> bytes:
    """One payload as a TFRecord."""
    length = _LENGTH.pack(len(payload))
    return b"".join((length, _masked_crc(length), payload, _masked_crc(payload)))


def read_frames(file: Readable) -> Iterator[bytes]:
    """The payloads of a TFRecord file; checks every checksum.

    Args:
        file: Open for reading, at its start.

    Raises:
        CorruptShardError: A record is cut short or a checksum does not match. The message says which record.
    """
    index = offset = 0
    while head := file.read(_LENGTH.size + _CRC.size):
        where = f"record {index} (byte {offset})"
        if len(head) < _LENGTH.size + _CRC.size:
            raise CorruptShardError(f"{where} is cut short")
        raw_length = head[: _LENGTH.size]
        if head[_LENGTH.size :] != _masked_crc(raw_length):
            raise CorruptShardError(f"{where}: the checksum of its length does not match")
        (length,) = _LENGTH.unpack(raw_length)
        if length > _LONGEST:
            raise CorruptShardError(f"{where} claims {length} bytes")
        body = file.read(length + _CRC.size)
        if len(body) < length + _CRC.size:
            raise CorruptShardError(f"{where} is cut short")
        payload = body[:length]
        if body[length:] != _masked_crc(payload):
            raise CorruptShardError(f"{where}: the checksum of its content does not match")
        yield payload
        index += 1
        offset += length + _OVERHEAD


def _masked_crc(content: bytes) -> bytes:
    crc = google_crc32c.value(content)
    return _CRC.pack((((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)
