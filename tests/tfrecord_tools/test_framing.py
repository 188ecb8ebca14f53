"""TFRecord files against TensorFlow's own writer and reader, and against damage."""

import io
from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tfrecord_tools.framing import CorruptShardError, frame, read_frames

PAYLOADS = [b"", b"a", b"light" * 1000]
CONTENT = b"".join(map(frame, PAYLOADS))


def test_same_bytes_as_tensorflow(tmp_path: Path) -> None:
    path = str(tmp_path / "x.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        for payload in PAYLOADS:
            writer.write(payload)
    assert Path(path).read_bytes() == CONTENT


@given(st.lists(st.binary(max_size=200)))
def test_reads_what_was_framed(payloads: list[bytes]) -> None:
    assert list(read_frames(io.BytesIO(b"".join(map(frame, payloads))))) == payloads


@given(st.integers(0, len(CONTENT) * 8 - 1))
def test_every_flipped_bit_is_found(bit: int) -> None:
    damaged = bytearray(CONTENT)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptShardError, match=r"record \d \(byte \d+\)"):
        list(read_frames(io.BytesIO(bytes(damaged))))


@given(st.integers(1, len(CONTENT) - 1).filter(lambda size: size not in (16, 33)))
def test_every_cut_inside_a_record_is_found(size: int) -> None:
    with pytest.raises(CorruptShardError, match="is cut short"):
        list(read_frames(io.BytesIO(CONTENT[:size])))


def test_says_which_record_is_damaged() -> None:
    damaged = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    with pytest.raises(CorruptShardError, match=r"record 2 \(byte 33\): the checksum of its content does not match"):
        list(read_frames(io.BytesIO(damaged)))
