"""Reads a data-set folder record by record, without TensorFlow: for tools, and for PyTorch."""

from collections.abc import Iterator
from pathlib import Path

from tfrecord_tools.framing import CorruptShardError, Readable, read_frames
from tfrecord_tools.manifest import DatasetError, Manifest, Shard, check_files, read_manifest
from tfrecord_tools.records import ForeignRecordError, Record


def open_dataset(folder: str | Path, split: str | None = None) -> Manifest:
    """The manifest of a folder with all of its shards.

    Args:
        folder: Folder that `zerodce preprocess` wrote.
        split: A split that must have records; None for no such check.

    Raises:
        DatasetError: The folder is not a data set, a shard is missing, extra or of another size, or the split is
            missing or empty.
    """
    manifest = read_manifest(folder)
    if faults := [f"{name} {fault}" for name, fault in check_files(folder, manifest).items()]:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise DatasetError(
            f"{folder}: {'; '.join(faults[:3])}{more}: copy the data set again, or make it again; "
            "`zerodce records verify` checks every byte"
        )
    if split is not None and split not in manifest.splits:
        raise DatasetError(f"{folder} has no split {split!r}, only {', '.join(manifest.splits)}")
    if split is not None and not manifest.records(split):
        raise DatasetError(f"split {split!r} of {folder} has no records")
    return manifest


def read_records(folder: str | Path, split: str) -> Iterator[Record]:
    """The records of a split, in order; checks every checksum.

    Args:
        folder: Folder that `zerodce preprocess` wrote.
        split: Name of the split.

    Raises:
        DatasetError: As for `open_dataset`; or a record is damaged, or this package did not write it.
    """
    for shard in open_dataset(folder, split).splits[split]:
        with open(Path(folder) / shard.name, "rb") as file:
            yield from records_of(file, shard)


def records_of(file: Readable, shard: Shard) -> Iterator[Record]:
    """The records of a shard, in order; checks the checksum of each, and their number.

    Args:
        file: The shard, open for reading at its start.
        shard: Its entry in the manifest.

    Raises:
        DatasetError: A record is damaged, this package did not write it, or the shard holds more or fewer records.
    """
    count = 0
    try:
        for payload in read_frames(file):
            yield Record.parse(payload)
            count += 1
    except CorruptShardError as error:
        raise DatasetError(f"{shard.name}: {error}") from None
    except ForeignRecordError as error:
        raise DatasetError(f"{shard.name}: record {count}: {error}") from None
    if count != shard.records:
        raise DatasetError(f"{shard.name} holds {count} records instead of {shard.records}")
