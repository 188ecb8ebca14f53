"""Image data sets as TFRecord shards with a manifest: writing, reading, checking. Knows nothing of any method.

    dataset = tfrecord_tools.load("lol-records", "train", batch_size=32, shuffle=True, seed=1)

TensorFlow is imported by `load` alone, at first use.
"""

import importlib
from typing import Any

from tfrecord_tools.manifest import DatasetError, Manifest, read_manifest

__all__ = ["DatasetError", "Manifest", "load", "read_manifest"]


def __getattr__(name: str) -> Any:
    if name == "load":
        return importlib.import_module("tfrecord_tools.reading").load
    raise AttributeError(f"module 'tfrecord_tools' has no attribute {name!r}")
