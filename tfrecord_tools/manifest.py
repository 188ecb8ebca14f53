"""`manifest.json` lists the content of a data-set folder, so that a reader can check that nothing is missing."""

import dataclasses
import hashlib
import json
import re
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1
FILENAME = "manifest.json"
REJECTED = "rejected.csv"
SHARD_NAME = re.compile(r"[^/]+-\d{5,}-of-\d{5,}\.tfrecord")

SPLIT_NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)
"""The name of a split."""

DANGLING = "is a link that leads nowhere"
"""The message about a broken link in a data-set folder."""

_CHECKSUM_LINE = re.compile(rb'  "checksum": ".*",\n')

_COUNTS = ("found", "records", "rejected", "references", "without_reference", "ignored")
_FIELDS: dict[str, dict[str, type]] = {
    "image": {"width": int, "height": int, "resize": str, "filter": str, "encoding": str},
    "counts": dict.fromkeys(_COUNTS, int),
    "sources": {"bytes": int, "sha256": str, "listing": str},
    "features": {},
    "notes": {},
    "settings": {},
    "versions": {},
}
_OF_SHARD: dict[str, type] = {"name": str, "records": int, "references": int, "bytes": int, "sha256": str}


class DatasetError(ValueError):
    """The data-set folder cannot be trusted. The message names the fault and the fix."""


@dataclasses.dataclass(frozen=True)
class Shard:
    """One shard file.

    Attributes:
        name: Name of the file, such as `train-00000-of-00004.tfrecord`.
        records: Number of records.
        references: Number of records that have a reference.
        bytes: Size of the file in bytes.
        sha256: SHA-256 of the file, in hexadecimal.
        source_bytes: Size of all source files, in bytes.
        source_sha256: SHA-256 over the SHA-256 of these files, in order, in hexadecimal; empty if unknown.
        notes: Number of its images by conversion.
    """

    name: str
    records: int
    references: int
    bytes: int
    sha256: str
    source_bytes: int = 0
    source_sha256: str = ""
    notes: dict[str, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The manifest of a data set.

    Attributes:
        splits: Shards of each split, in order.
        image: `width`, `height`, `resize`, `filter` and `encoding` of the stored images.
        counts: `found` = `records` + `rejected`; `records` = `references` + `without_reference`; `ignored` is separate.
        sources: `bytes` and `sha256` of the source files, and the hash of their `listing`.
        features: Kind of value of each key of a record.
        split_rule: The rule that made the splits, in words.
        notes: Number of images by conversion, for images that were not 8-bit RGB.
        settings: Settings of the job.
        versions: Versions of the packages that determine the bytes.
        intact: Whether the checksum in `manifest.json` matches its text; None if it has no checksum, as in older
            versions.
    """

    splits: dict[str, list[Shard]]
    image: dict[str, Any]
    counts: dict[str, int]
    sources: dict[str, Any]
    features: dict[str, str]
    split_rule: str
    notes: dict[str, int]
    settings: dict[str, Any]
    versions: dict[str, str]
    intact: bool | None = dataclasses.field(default=None, compare=False)

    def records(self, split: str) -> int:
        """Number of records of a split."""
        return sum(shard.records for shard in self.splits[split])

    def to_json(self) -> str:
        """The text of `manifest.json`; its `checksum` is the SHA-256 of all other lines."""
        content = {"schema_version": SCHEMA_VERSION, **dataclasses.asdict(self)}
        del content["intact"]
        content["splits"] = {
            split: {"records": self.records(split), "shards": shards} for split, shards in content["splits"].items()
        }
        text = json.dumps(content, indent=2) + "\n"
        start, first, rest = text.partition(f'  "schema_version": {SCHEMA_VERSION},\n')
        return f'{start}{first}  "checksum": "{own_checksum(text.encode())}",\n{rest}'

    @classmethod
    def from_json(cls, text: str | bytes) -> "Manifest":
        """The manifest in the text of `manifest.json`.

        Raises:
            DatasetError: It is not a manifest of this schema version, lacks a field, has an invalid name of a split or
                shard (such as `../x`), or its counts contradict one another.
        """
        try:
            content = json.loads(text)
            version = content.pop("schema_version")
            if version != SCHEMA_VERSION:
                raise DatasetError(f"schema version {version}; this package reads {SCHEMA_VERSION}")
            claimed = {split: entry["records"] for split, entry in content["splits"].items()}
            content["splits"] = {
                split: [Shard(**shard) for shard in entry["shards"]] for split, entry in content["splits"].items()
            }
            checksum = content.pop("checksum", None)
            found = own_checksum(text.encode() if isinstance(text, str) else text)
            manifest = cls(**content, intact=None if checksum is None else checksum == found)
            manifest._check()
            held = {split: manifest.records(split) for split in manifest.splits}
            counts = manifest.counts
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if isinstance(error, DatasetError):
                raise
            raise DatasetError(f"not the manifest of a data set ({type(error).__name__}: {error})") from None
        if claimed != held or not sum(held.values()) == counts["records"] == counts["found"] - counts["rejected"]:
            raise DatasetError("its record counts contradict one another")
        return manifest

    def _check(self) -> None:
        """Raises `DatasetError` if a field is missing or has another type, or a name is invalid."""
        for group, fields in _FIELDS.items():
            _check_fields(group, getattr(self, group), fields)
        names = set()
        for split, shards in self.splits.items():
            if not SPLIT_NAME.fullmatch(split):
                raise DatasetError(f"{split!a} is not the name of a split")
            for shard in shards:
                _check_fields("shards", vars(shard), _OF_SHARD)
                if not re.fullmatch(rf"{split}-\d{{5,}}-of-\d{{5,}}\.tfrecord", shard.name) or shard.name in names:
                    raise DatasetError(f"{shard.name!a} is not the name of a shard of {split}, or named twice")
                names.add(shard.name)


def own_checksum(text: bytes) -> str:
    """SHA-256 of all lines of a file of the data set except the line with its `checksum`, in hexadecimal."""
    return hashlib.sha256(_CHECKSUM_LINE.sub(b"", text, count=1)).hexdigest()


def _check_fields(group: str, values: Any, fields: dict[str, type]) -> None:
    if not isinstance(values, dict):
        raise DatasetError(f"not the manifest of a data set ({group} is no table)")
    for name, kind in fields.items():
        value = values.get(name)
        if not isinstance(value, kind) or (isinstance(value, int) and value < 0):
            raise DatasetError(f"not the manifest of a data set ({name} of {group} is {value!a})")


def read_manifest(folder: str | Path) -> Manifest:
    """The manifest of a data-set folder.

    Raises:
        DatasetError: It is missing, cannot be read, or has changed since it was written.
    """
    path = Path(folder) / FILENAME
    try:
        manifest = Manifest.from_json(path.read_bytes())
        if manifest.intact is False:
            raise DatasetError("its checksum does not match: copy it again from where the data set was made")
        return manifest
    except FileNotFoundError:
        if path.is_symlink():
            raise DatasetError(f"{path} {DANGLING}") from None
        raise DatasetError(
            f"{folder} is not a finished data set: it has no {FILENAME} (make one with `zerodce preprocess`)"
        ) from None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from None
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from None


def check_files(folder: str | Path, manifest: Manifest) -> dict[str, str]:
    """Checks the shards of a folder by name and size.

    Returns:
        By name of the shard: a few words if it is missing, is not in the manifest, or has another size.

    Raises:
        DatasetError: The folder or a file in it cannot be read.
    """
    expected = {shard.name: shard for shards in manifest.splits.values() for shard in shards}
    try:
        there = {path.name: path for path in Path(folder).iterdir() if SHARD_NAME.fullmatch(path.name)}
        present = {name: path.stat().st_size for name, path in there.items() if path.exists()}
    except OSError as error:
        raise DatasetError(f"{error.filename} cannot be read: {error.strerror}") from None
    faults = {name: DANGLING if name in there else "is missing" for name in expected if name not in present}
    for name in sorted(there.keys() - expected.keys()):
        faults[name] = f"is not in {FILENAME}" + ("" if name in present else f", and {DANGLING}")
    return faults | {
        name: f"has {present[name]} bytes instead of {shard.bytes}"
        for name, shard in expected.items()
        if name in present and present[name] != shard.bytes
    }
