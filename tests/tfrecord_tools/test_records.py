"""Records against `tf.train.Example`."""

import hashlib

import pytest
import tensorflow as tf
from hypothesis import example, given
from hypothesis import strategies as st

from tfrecord_tools.records import ForeignRecordError, Record, StoredImage

IMAGE = StoredImage(b"\x89PNG", "png", 3, 5, "a/b.png")
REFERENCE = StoredImage(b"\x89PNG!", "png", 3, 5, "high/b.png")


def test_is_a_tf_train_example_with_the_usual_names() -> None:
    serialized = Record(IMAGE, REFERENCE).serialize()
    parsed = tf.train.Example.FromString(serialized)
    values = {
        key: (feature.bytes_list.value or feature.int64_list.value)[0]
        for key, feature in parsed.features.feature.items()
    }
    assert values == {
        "image/encoded": b"\x89PNG",
        "image/format": b"png",
        "image/height": 3,
        "image/width": 5,
        "image/filename": b"a/b.png",
        "image/key/sha256": hashlib.sha256(b"\x89PNG").hexdigest().encode(),
        "reference/encoded": b"\x89PNG!",
        "reference/format": b"png",
        "reference/height": 3,
        "reference/width": 5,
        "reference/filename": b"high/b.png",
    }
    assert parsed.SerializeToString(deterministic=True) == serialized


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1)


@given(
    st.builds(
        StoredImage,
        st.binary(min_size=1),
        st.sampled_from(["png", "jpeg"]),
        st.integers(1, 9999),
        st.integers(1, 9999),
        st.lists(NAMES.filter(lambda name: name not in (".", "..")), min_size=1).map("/".join),
    )
)
@example(StoredImage(b"x", "png", 1, 1, "not UTF-8 \udcff.png"))
def test_comes_back(image: StoredImage) -> None:
    for record in (Record(image), Record(image, image)):
        assert Record.parse(record.serialize()) == record


@given(st.binary())
@example(b"")
@example(b"\x0a\x00")
def test_foreign_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(ForeignRecordError, match=r"not a tf\.train\.Example|no `image/encoded`"):
        Record.parse(content)


@pytest.mark.parametrize("key", ["image/encoded", "image/width", "image/filename", "image/key/sha256"])
def test_a_missing_key_is_named(key: str) -> None:
    example = tf.train.Example.FromString(Record(IMAGE).serialize())
    del example.features.feature[key]
    with pytest.raises(ForeignRecordError, match=f"no `{key}`"):
        Record.parse(example.SerializeToString())


def test_a_value_of_another_kind_is_named() -> None:
    example = tf.train.Example.FromString(Record(IMAGE).serialize())
    example.features.feature["image/height"].bytes_list.value.append(b"3")
    with pytest.raises(ForeignRecordError, match="no `image/height` with one int64 value"):
        Record.parse(example.SerializeToString())


def test_an_image_that_is_not_the_hashed_one_is_refused() -> None:
    example = tf.train.Example.FromString(Record(IMAGE).serialize())
    example.features.feature["image/encoded"].bytes_list.value[0] = b"another"
    with pytest.raises(ForeignRecordError, match="is not the SHA-256"):
        Record.parse(example.SerializeToString())
