"""`croissant.json` describes a data set as Croissant 1.0, for search engines and data loaders.

Format: https://docs.mlcommons.org/croissant/docs/croissant-spec.html
"""

import hashlib
import json
from typing import Any

from tfrecord_tools.manifest import FILENAME as MANIFEST
from tfrecord_tools.manifest import Manifest, Shard, own_checksum

FILENAME = "croissant.json"

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context that the specification recommends."""

_SPLITS = {"train": "cr:TrainingSplit", "val": "cr:ValidationSplit", "test": "cr:TestSplit"}
_TFRECORD = "https://www.tensorflow.org/tutorials/load_data/tfrecord"
_TYPES = {"bytes": "sc:Text", "int64": "sc:Integer"}


def describe(manifest: Manifest, content: bytes) -> str:
    """The text of `croissant.json`. Its `checksum` is the SHA-256 of all other lines.

    The set of records `records` names the values of a record. Readers of Croissant do not read TFRecord files, but they
    read the other two: `splits`, and `shards`, a row for each file.

    Args:
        manifest: The manifest of the data set.
        content: The bytes of its `manifest.json`.
    """
    image, digest = manifest.image, hashlib.sha256(content).hexdigest()
    size = f"{image['width']}x{image['height']}"
    described = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": f"images-{size}-{digest[:8]}",
        "description": f"{manifest.counts['records']} images, resized to {size} ({image['resize']}) and stored as "
        f"{image['encoding']} in TFRecord files; {manifest.counts['references']} have a well-exposed reference. "
        f"Splits: {manifest.split_rule}",
        "version": "1.0.0",
        "distribution": [
            _file(MANIFEST, "application/json", len(content), digest),
            *(_file(shard.name, _TFRECORD, shard.bytes, shard.sha256) for shard in _shards_of(manifest)),
            {
                "@type": "cr:FileSet",
                "@id": "tfrecords",
                "name": "tfrecords",
                "encodingFormat": _TFRECORD,
                "includes": "*.tfrecord",
            },
        ],
        "recordSet": [_splits(manifest), _shards(), _records(manifest)],
    }
    text = json.dumps(described, indent=2) + "\n"
    start, version, rest = text.partition('  "version": "1.0.0",\n')
    return f'{start}{version}  "checksum": "{own_checksum(text.encode())}",\n{rest}'


def is_unedited(content: bytes) -> bool:
    """Whether the bytes of a `croissant.json` are as `describe` made them, in this version or another."""
    try:
        return json.loads(content)["checksum"] == own_checksum(content)
    except (ValueError, TypeError, KeyError):
        return False


def find_fault(content: bytes, manifest: Manifest, manifest_content: bytes) -> str:
    """What is wrong with a `croissant.json`, in a few words; empty if it lists the files of the data set.

    Args:
        content: Its bytes. Everything but the list of files may be edited.
        manifest: The manifest of the data set.
        manifest_content: The bytes of its `manifest.json`.
    """
    try:
        files = [each for each in json.loads(content)["distribution"] if each["@type"] == "cr:FileObject"]
        listed = {each["contentUrl"]: each["sha256"] for each in files}
    except (ValueError, TypeError, KeyError):
        return "is no description of a data set"
    expected: dict[str, Any] = {shard.name: shard.sha256 for shard in _shards_of(manifest)}
    # a manifest without a checksum is of an older version, or was written anew by one
    expected[MANIFEST] = hashlib.sha256(manifest_content).hexdigest() if manifest.intact else listed.get(MANIFEST)
    wrong = [name for name in {**expected, **listed} if expected.get(name) != listed.get(name)]
    return f"its checksum of {wrong[0]!a} is not that of the data set" if wrong else ""


def _shards_of(manifest: Manifest) -> list[Shard]:
    return [shard for shards in manifest.splits.values() for shard in shards]


def _file(name: str, encoding: str, size: int, sha256: str) -> dict[str, Any]:
    named = {"@type": "cr:FileObject", "@id": name, "name": name, "contentUrl": name}
    return named | {"contentSize": f"{size} B", "encodingFormat": encoding, "sha256": sha256}


def _field(records: str, name: str, kind: str, source: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    field = {"@type": "cr:Field", "@id": f"{records}/{name}", "name": f"{records}/{name}", "dataType": kind, **more}
    return field | ({"source": source} if source else {})


def _splits(manifest: Manifest) -> dict[str, Any]:
    """The splits with their number of records, in the file itself."""
    rows = [
        {"splits/name": split, "splits/url": _SPLITS.get(split, "cr:Split"), "splits/records": manifest.records(split)}
        for split in manifest.splits
    ]
    kinds = {"name": "sc:Text", "url": "sc:URL", "records": "sc:Integer"}
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [_field("splits", name, kind) for name, kind in kinds.items()],
        "data": rows,
    }


def _shards() -> dict[str, Any]:
    """The shards, as the manifest lists them."""

    def source(name: str) -> dict[str, Any]:
        return {"fileObject": {"@id": MANIFEST}, "extract": {"jsonPath": f"$.splits.*.shards[*].{name}"}}

    kinds = {"name": "sc:Text", "sha256": "sc:Text"} | dict.fromkeys(("records", "references", "bytes"), "sc:Integer")
    return {
        "@type": "cr:RecordSet",
        "@id": "shards",
        "name": "shards",
        "key": {"@id": "shards/name"},
        "field": [_field("shards", name, kind, source(name)) for name, kind in kinds.items()],
    }


def _records(manifest: Manifest) -> dict[str, Any]:
    """The values of a record. A column is a key of `tf.train.Example`."""
    shards = {"fileSet": {"@id": "tfrecords"}}
    name = {"extract": {"fileProperty": "filename"}, "transform": {"regex": r"^(\w+)-\d+-of-\d+\.tfrecord$"}}
    of_splits = {"field": {"@id": "splits/name"}}
    fields = [_field("records", "split", "sc:Text", shards | name, references=of_splits)]
    for key, kind in manifest.features.items():
        shown = "sc:ImageObject" if key.endswith("/encoded") else _TYPES[kind]
        fields.append(_field("records", key, shown, shards | {"extract": {"column": key}}))
    return {
        "@type": "cr:RecordSet",
        "@id": "records",
        "name": "records",
        "description": "one tf.train.Example for each image",
        "field": fields,
    }
