"""Image data sets as TFRecord shards with a manifest: writing, reading, checking. Independent of any method.

    dataset = tfrecord_tools.load("lol-records", "train", batch_size=32, shuffle=True, seed=1)

Only `load` imports TensorFlow, at first use.
"""

import importlib
from typing import Any

from tfrecord_tools.checking import verify
from tfrecord_tools.manifest import DatasetError, Manifest, read_manifest
from tfrecord_tools.reading import read_records
from tfrecord_tools.records import Record

__all__ = ["DatasetError", "Manifest", "Record", "load", "read_manifest", "read_records", "verify"]


def __getattr__(name: str) -> Any:
    if name == "load":
        return importlib.import_module("tfrecord_tools.dataset").load
    raise AttributeError(f"module 'tfrecord_tools' has no attribute {name!r}")
