"""The plan of a data-set job: the split, shard and reference of every image of a folder."""

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Iterable

import click

from pipelines import folders, photos, storage
from pipelines.preprocess import splits
from pipelines.preprocess.settings import PreprocessSettings
from pipelines.references import (
    LOL_OURS,
    AmbiguousReferenceError,
    is_lol,
    is_lol_image,
    is_lol_reference,
    match_lol_references,
    match_pairs,
    match_references,
    no_match,
    read_pairs,
)

STATE = f"{folders.STATE}/preprocess"
"""The folder in OUT with the state of an unfinished job."""

SHARD_BYTES = 64 << 20
"""Approximate size of a shard: small enough to distribute and to keep in memory, large enough to read fast."""

_BYTES_PER_PIXEL = {"png": 1.5, "jpeg": 0.6}  # of photos at 256x256, measured and rounded up


@dataclasses.dataclass(frozen=True)
class Source:
    """An image that becomes a record: its key, size and mtime, and the same of its reference if it has one."""

    key: str
    size: int
    mtime: float
    reference: str | None = None
    reference_size: int = 0
    reference_mtime: float = 0


@dataclasses.dataclass(frozen=True)
class DatasetPlan:
    """The images of a data set.

    Attributes:
        data: Folder of the images.
        references: The folder that the paths of their references are relative to.
        sources: Images of each shard, in the order of their records, by name of the shard, by split.
        rule: Rule of the splits, in words.
        ignored: Number of files that are not images by name, or that belong to no split.
        unreadable: The reason for each folder that could not be listed. Each counts as one rejected image.
    """

    data: str
    references: str
    sources: dict[str, dict[str, list[Source]]]
    rule: str
    ignored: int
    unreadable: dict[str, str]

    @functools.cached_property
    def shards(self) -> dict[str, list[Source]]:
        """Images of each shard, over all splits."""
        return {name: sources for shards in self.sources.values() for name, sources in shards.items()}

    @property
    def found(self) -> int:
        """Number of images."""
        return sum(map(len, self.shards.values())) + len(self.unreadable)

    def listing(self) -> str:
        """Digest of names, sizes and times of the files that the data set is made from."""
        digest = hashlib.sha256()
        for name, sources in self.shards.items():
            digest.update(json.dumps([name, *map(dataclasses.astuple, sources)]).encode())
        if self.unreadable:
            digest.update(json.dumps(sorted(self.unreadable)).encode())
        return digest.hexdigest()


def make_plan(data: str, settings: PreprocessSettings) -> DatasetPlan:
    """Assigns every image of a folder to a split and a shard.

    Args:
        data: Folder of the images, in the LoL layout or any other.
        settings: The options. Without `shard_records`, size and encoding determine the number of records in a shard.

    Raises:
        click.UsageError: There are no images, or they cannot be assigned as requested.
    """
    unreadable: dict[str, str] = {}
    listing = folders.find(data, unreadable)
    data, files = listing.folder, {entry.path: entry for entry in listing.entries}
    # an unreadable file with the name of a photo is planned like the others, and rejected when it is read
    files |= {name: storage.Entry(name, 0, 0.0) for name in unreadable if photos.is_photo(name)}
    try:
        splits.check_unique(files)
        assignment = _assign(data, _images(files, settings), settings)
        keys = [key for keys_of_split in assignment.splits.values() for key in keys_of_split]
        folder, references = data, files
        if settings.reference:
            folder, paired, _ = folders.find(settings.reference)
            references = {entry.path: entry for entry in paired}
        if settings.pairs:
            matched = match_pairs(settings.pairs, keys, references, files.__contains__)
        elif settings.reference:
            matched = match_references(keys, list(references))
            if not matched:
                raise click.UsageError(f"--reference: {no_match(keys, list(references))}")
        elif is_lol(files):
            matched = match_lol_references(keys, list(filter(is_lol_reference, files)))
        else:
            matched = {}
    except (splits.SplitError, AmbiguousReferenceError) as error:
        raise click.UsageError(str(error)) from None

    def source(key: str) -> Source:
        entry = files[key]
        if key not in matched:
            return Source(key, entry.size, entry.mtime)
        pair = references[matched[key]]
        return Source(key, entry.size, entry.mtime, pair.path, pair.size, pair.mtime)

    shard_records = settings.shard_records
    if shard_records is None:
        record_bytes = math.prod(settings.size) * _BYTES_PER_PIXEL[settings.encoding] * (2 if matched else 1)
        shard_records = max(1, int(SHARD_BYTES / record_bytes))
    sources = {
        name: {
            shard: [source(key) for key in part]
            for shard, part in splits.into_shards(name, keys_of_split, shard_records).items()
        }
        for name, keys_of_split in assignment.splits.items()
    }
    used = set(keys)
    if not settings.reference:
        used.update(matched.values(), filter(is_lol_reference, files) if is_lol(files) else ())
    return DatasetPlan(
        data,
        folder,
        sources,
        assignment.rule,
        listing.ignored + len(files) - len(used),
        {name: reason for name, reason in unreadable.items() if name not in files},
    )


def _images(files: Iterable[str], settings: PreprocessSettings) -> list[str]:
    """The files that become records. Files that are only references of other images do not."""
    if is_lol(files):
        return [key for key in files if is_lol_image(key)]
    if not settings.pairs or settings.reference:
        return list(files)
    pairs = read_pairs(settings.pairs)
    only_references = {reference for _, _, reference in pairs} - {low for _, low, _ in pairs}
    return [key for key in files if key not in only_references]


def _assign(data: str, keys: list[str], settings: PreprocessSettings) -> splits.Assignment:
    """Assigns every image to a split, by the rule that applies."""
    split, split_file = settings.split, settings.split_file
    if split and split_file:
        raise splits.SplitError("--split and --split-file exclude each other: use one of them")
    if not is_lol(keys) and (nested := next((key for key in keys if f"/{LOL_OURS}" in key), None)):
        root = storage.join(data, nested[: nested.index(f"/{LOL_OURS}")])
        raise splits.SplitError(f"the LoL data set is in {root}: name that folder")
    if split_file:
        try:
            return splits.split_by_list(keys, splits.read_split_file(storage.read(split_file)))
        except OSError as error:
            raise splits.SplitError(f"--split-file {split_file} cannot be read ({error.strerror or error})") from None
        except splits.SplitError as error:
            raise splits.SplitError(f"--split-file {split_file}: {error}") from None
    if split:
        return splits.split_by_hash(keys, splits.parse_fractions(split))
    if is_lol(keys):
        return splits.split_lol(keys, settings.train_count)
    return splits.split_by_hash(keys, splits.DEFAULT_FRACTIONS)
