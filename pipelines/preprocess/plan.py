"""The plan of a data-set job: the split, shard and reference of every image of a folder."""

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Collection, Iterable, Sequence

import click

from pipelines import folders, photos, storage
from pipelines.layouts import AUTO, LAYOUTS, LOL, Layout, find_layout, is_lol
from pipelines.preprocess import splits
from pipelines.preprocess.settings import PreprocessSettings
from pipelines.references import AmbiguousReferenceError, match_pairs, match_references, no_match, read_pairs

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
        data: Folder of the images.
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
        layout = _layout(data, files, settings)
        assignment = _assign(data, _images(files, layout, settings), layout, settings)
        keys = [key for keys_of_split in assignment.splits.values() for key in keys_of_split]
        folder, references = data, files
        if settings.reference:
            folder, paired, _ = folders.find(settings.reference)
            references = {entry.path: entry for entry in paired}
        matched = _match(keys, list(references), files, layout, settings)
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
        used.update(matched.values(), filter(layout.is_reference, files) if layout else ())
    return DatasetPlan(
        data,
        folder,
        sources,
        assignment.rule,
        listing.ignored + len(files) - len(used),
        {name: reason for name, reason in unreadable.items() if name not in files},
    )


def _layout(data: str, files: Collection[str], settings: PreprocessSettings) -> Layout | None:
    """The layout of the folder; None if all its images are alike."""
    if settings.layout == AUTO:
        if settings.reference or settings.pairs:  # the user says the pairs, and LoL's dark images are those in `low`
            return LOL if is_lol(files) else None
        return find_layout(files)
    layout = LAYOUTS.get(settings.layout)
    if layout is None:
        return None
    images = list(filter(layout.is_image, files))
    references = list(filter(layout.is_reference, files))
    image, reference = layout.where
    if not images:
        raise splits.SplitError(f"--layout {layout.name}: {data} has no image such as {image}")
    if not (settings.reference or settings.pairs):
        if not references:
            raise splits.SplitError(f"--layout {layout.name}: {data} has images, but no reference such as {reference}")
        if not layout.match(images, references):
            raise splits.SplitError(f"--layout {layout.name}: {no_match(images, references)}")
    return layout


def _images(files: Iterable[str], layout: Layout | None, settings: PreprocessSettings) -> list[str]:
    """The files that become records. Files that are only references of other images do not."""
    if layout is not None:
        return list(filter(layout.is_image, files))
    if not settings.pairs or settings.reference:
        return list(files)
    pairs = read_pairs(settings.pairs)
    only_references = {reference for _, _, reference in pairs} - {low for _, low, _ in pairs}
    return [key for key in files if key not in only_references]


def _match(
    keys: Sequence[str],
    references: Sequence[str],
    files: Collection[str],
    layout: Layout | None,
    settings: PreprocessSettings,
) -> dict[str, str]:
    """The reference of each image that has one, by the rule that applies."""
    if settings.pairs:
        return match_pairs(settings.pairs, keys, references, files.__contains__)
    if settings.reference:
        matched = match_references(keys, references)
        if not matched:
            raise click.UsageError(f"--reference: {no_match(keys, references)}")
        return matched
    return layout.match(keys, list(filter(layout.is_reference, files))) if layout else {}


def _assign(data: str, keys: list[str], layout: Layout | None, settings: PreprocessSettings) -> splits.Assignment:
    """Assigns every image to a split, by the rule that applies."""
    split, split_file = settings.split, settings.split_file
    if split and split_file:
        raise splits.SplitError("--split and --split-file exclude each other: use one of them")
    ours = "/our485/low/"
    if settings.layout == AUTO and layout is None and (nested := next((key for key in keys if ours in key), None)):
        root = storage.join(data, nested[: nested.index(ours)])
        raise splits.SplitError(f"the LoL data set is in {root}: name that folder")
    if split_file:
        try:
            return _named(layout, splits.split_by_list(keys, splits.read_split_file(storage.read(split_file))))
        except OSError as error:
            raise splits.SplitError(f"--split-file {split_file} cannot be read ({error.strerror or error})") from None
        except splits.SplitError as error:
            raise splits.SplitError(f"--split-file {split_file}: {error}") from None
    if not split and layout is LOL:
        return splits.split_lol(keys, settings.train_count)
    if not split and layout and any(map(layout.split, keys)):
        return _named(layout, splits.split_by_folders(keys, layout))
    fractions = splits.parse_fractions(split) if split else splits.DEFAULT_FRACTIONS
    return _named(layout, splits.split_by_hash(keys, fractions, layout.scene if layout and layout.shared else None))


def _named(layout: Layout | None, assignment: splits.Assignment) -> splits.Assignment:
    """The assignment, whose rule names the layout. The rule of LoL, the first layout, never named it."""
    if layout is None or layout is LOL:
        return assignment
    return dataclasses.replace(assignment, rule=f"layout {layout.name}: {assignment.rule}")
