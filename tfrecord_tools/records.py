"""One record: an image, its reference if there is one, and their sources, as a `tf.train.Example`.

Works without TensorFlow: this module declares the few message types of `tensorflow/core/example/example.proto` in a
descriptor pool of its own. So a worker or a PyTorch user needs only protobuf.
"""

import dataclasses
import functools
import hashlib
import os
from pathlib import PurePosixPath
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

ENCODINGS = ("png", "jpeg")

# Kind of value of each key, as `manifest.json` lists it.
IMAGE_FEATURES = {
    "image/encoded": "bytes",
    "image/format": "bytes",
    "image/height": "int64",
    "image/width": "int64",
    "image/filename": "bytes",
    "image/key/sha256": "bytes",
}
REFERENCE_FEATURES = {
    "reference/encoded": "bytes",
    "reference/format": "bytes",
    "reference/height": "int64",
    "reference/width": "int64",
    "reference/filename": "bytes",
}


class ForeignRecordError(ValueError):
    """A record that this package did not write."""


@dataclasses.dataclass(frozen=True)
class StoredImage:
    """An encoded image of a record.

    Attributes:
        encoded: PNG or JPEG, 8-bit RGB.
        format: `png` or `jpeg`.
        height: Rows of the stored image.
        width: Columns of the stored image.
        filename: Relative path of the source, with `/`.
    """

    encoded: bytes
    format: str
    height: int
    width: int
    filename: str

    @property
    def label(self) -> str:
        """The file name, safe to show."""
        return printable(self.filename)


def printable(text: str) -> str:
    """A name on one line. Characters that are not Unicode, break the line or control a terminal become escapes."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


@dataclasses.dataclass(frozen=True)
class Record:
    """An image and its reference; None if it has no reference."""

    image: StoredImage
    reference: StoredImage | None = None

    @property
    def key_sha256(self) -> str:
        """SHA-256 of the encoded image, in hexadecimal: `image/key/sha256`."""
        return hashlib.sha256(self.image.encoded).hexdigest()

    def serialize(self) -> bytes:
        """The bytes of a `tf.train.Example`; equal records give equal bytes everywhere."""
        example = _example_class()()
        features: dict[str, bytes | str | int] = {**_features("image", self.image), "image/key/sha256": self.key_sha256}
        if self.reference is not None:
            features |= _features("reference", self.reference)
        for key, value in features.items():
            feature = example.features.feature[key]
            if isinstance(value, int):
                feature.int64_list.value.append(value)
            else:
                feature.bytes_list.value.append(os.fsencode(value) if isinstance(value, str) else value)
        return example.SerializeToString(deterministic=True)

    @classmethod
    def parse(cls, content: bytes) -> "Record":
        """The record in the bytes of a `tf.train.Example`.

        Raises:
            ForeignRecordError: This package did not write it. The message names what is missing or wrong.
        """
        try:
            features = _example_class().FromString(content).features.feature
        except DecodeError:
            raise ForeignRecordError("not a tf.train.Example") from None
        image = _stored_image(features, "image")
        stored_hash = _value(features, "image/key/sha256").decode(errors="replace")
        if stored_hash != hashlib.sha256(image.encoded).hexdigest():
            raise ForeignRecordError("`image/key/sha256` is not the SHA-256 of `image/encoded`")
        return cls(image, _stored_image(features, "reference") if "reference/encoded" in features else None)


def _features(prefix: str, image: StoredImage) -> dict[str, bytes | str | int]:
    return {f"{prefix}/{field.name}": getattr(image, field.name) for field in dataclasses.fields(image)}


def _stored_image(features: Any, prefix: str) -> StoredImage:
    image = StoredImage(
        encoded=_value(features, f"{prefix}/encoded"),
        format=_value(features, f"{prefix}/format").decode(errors="replace"),
        height=_value(features, f"{prefix}/height"),
        width=_value(features, f"{prefix}/width"),
        filename=os.fsdecode(_value(features, f"{prefix}/filename")),
    )
    if image.format not in ENCODINGS:
        raise ForeignRecordError(f"`{prefix}/format` is {image.format!a}, none of {', '.join(ENCODINGS)}")
    path = PurePosixPath(image.filename)
    if path.is_absolute() or ".." in path.parts or not path.name or "\0" in image.filename:
        raise ForeignRecordError(f"`{prefix}/filename` {image.filename!a} leads out of the folder, or is not a name")
    return image


def _value(features: Any, key: str) -> Any:
    kind = f"{(IMAGE_FEATURES | REFERENCE_FEATURES)[key]}_list"
    values = getattr(features[key], kind).value if key in features else []
    if len(values) != 1:
        raise ForeignRecordError(f"no `{key}` with one {kind.removesuffix('_list')} value")
    return values[0]


@functools.cache
def _example_class() -> type[Any]:
    """The message class of `tensorflow.Example`, wire-compatible with `tf.train.Example`."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="tensorflow", syntax="proto3")

    def add(
        parent: Any, name: str, number: int, kind: int, type_name: str | None = None, repeated: bool = False
    ) -> Any:
        label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
        return parent.field.add(name=name, number=number, type=kind, type_name=type_name, label=label)

    message = file.message_type.add
    add(message(name="BytesList"), "value", 1, field.TYPE_BYTES, repeated=True)
    add(message(name="FloatList"), "value", 1, field.TYPE_FLOAT, repeated=True)
    add(message(name="Int64List"), "value", 1, field.TYPE_INT64, repeated=True)
    feature = message(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, kind in enumerate(("bytes", "float", "int64"), 1):
        type_name = f".tensorflow.{kind.capitalize()}List"
        add(feature, f"{kind}_list", number, field.TYPE_MESSAGE, type_name).oneof_index = 0
    features = message(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    add(entry, "key", 1, field.TYPE_STRING)
    add(entry, "value", 2, field.TYPE_MESSAGE, ".tensorflow.Feature")
    add(features, "feature", 1, field.TYPE_MESSAGE, ".tensorflow.Features.FeatureEntry", repeated=True)
    add(message(name="Example"), "features", 1, field.TYPE_MESSAGE, ".tensorflow.Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))
