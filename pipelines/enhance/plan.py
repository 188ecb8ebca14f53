"""The plan of a run: which photos exist, which are done, and the output path of each. Workers read it from files."""

import dataclasses
import functools
import itertools
import json
import posixpath
import unicodedata
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import click

from pipelines import folders, photos, storage
from pipelines.digests import digest
from pipelines.enhance import beside, naming, report
from pipelines.enhance.journal import PhotoRecord, Version
from pipelines.enhance.ownership import Ownership, remember_outputs
from pipelines.enhance.settings import IMAGE_FOLDERS, EnhanceSettings, beside_photo, place
from pipelines.folders import STATE, Listing
from pipelines.references import AmbiguousReferenceError, match_pairs, match_references, no_match
from pipelines.sorted_map import SortedMap
from pipelines.threads import ordered_map
from tfrecord_tools.records import printable

TASKS_IN_A_FILE = 50_000
READERS = 4
"""Photos whose images are read at a time for --verify."""


class Task(NamedTuple):
    """A photo to enhance.

    Attributes:
        path: Relative path of the original.
        size: Size of the original in bytes.
        mtime: Modification time of the original in seconds.
        settings: Digest of the model, of the settings, of the photo's reference, and of whether it stays as it is.
        output: Relative path of the enhanced photo.
        reference: Relative path of the reference; empty if there is none.
        thumbnail: Whether the report gets thumbnails of it.
        keeps_original: Whether it stays as it is.
        replaces: Whether a file in the place of the enhanced photo is replaced. If not (`--beside`), a file there is of
            somebody else, unless it has the same content.
        when: Date for the history of the enhanced photo; empty if there is none.
    """

    path: str
    size: int
    mtime: float
    settings: str
    output: str
    reference: str
    thumbnail: bool
    keeps_original: bool = False
    replaces: bool = True
    when: str = ""

    @property
    def version(self) -> Version:
        """The version of the photo and of the settings."""
        return Version(self.path, self.size, self.mtime, self.settings)


@dataclasses.dataclass
class EnhancePlan:
    """What a run found and has to do.

    Attributes:
        source: Folder of the photos.
        settings: Settings of the run.
        found: Versions of all photos, by path.
        todo: Photos to enhance, by path.
        skipped: Number of photos that are done already and unchanged.
        clashes: Records of the photos whose output would overwrite the output of another photo.
        refused: Records of the photos whose output would replace a file that is not ours.
        unreadable: Records of the folders and files whose status or listing could not be read.
        ignored: Number of other files.
        kept: Relative paths in the list of `--keep-original`.
        replaced: With `--beside`, the images of ours that exist beside the photos of `todo`.
        freed: Bytes of the images that the photos of `todo` replace, enhanced ones and others.
    """

    source: str
    settings: EnhanceSettings
    unreadable: list[PhotoRecord]
    ignored: int
    kept: Collection[str]
    found: SortedMap[Version] = dataclasses.field(default_factory=lambda: SortedMap(tuple, Version._make))
    todo: SortedMap[Task] = dataclasses.field(default_factory=lambda: SortedMap(tuple, Task._make))
    skipped: int = 0
    clashes: list[PhotoRecord] = dataclasses.field(default_factory=list)
    refused: list[PhotoRecord] = dataclasses.field(default_factory=list)
    replaced: dict[str, storage.Entry] = dataclasses.field(default_factory=dict)
    freed: list[int] = dataclasses.field(default_factory=lambda: [0, 0])


def make_plan(
    listing: Listing,
    out: str,
    settings: EnhanceSettings,
    digest: str,
    known: Mapping[str, PhotoRecord],
    references: Sequence[storage.Entry],
    unreadable: Mapping[str, str] = MappingProxyType({}),
    kept: Collection[str] = frozenset(),
    again: bool = False,
) -> EnhancePlan:
    """Decides which photos to enhance.

    Args:
        listing: The photos.
        out: Folder of the results.
        settings: Settings of the run.
        digest: Digest of the settings and the model. A photo that was done with another digest counts as not done.
        known: The journal's records, by path.
        references: The references. Each photo gets the one of its name, or the one that the list of pairs names.
        unreadable: The reason for each folder and file that could not be read, by path.
        kept: Relative paths of the photos that stay as they are. They need not exist.
        again: Whether no photo counts as done.

    Raises:
        click.UsageError: Two references match one photo, the list of pairs is wrong, or a photo beside its original
            would have the original's name.
    """
    found = listing.entries
    matched = _matched(listing, references, settings, unreadable)
    compared = {entry.path: entry for entry in references}
    archive = posixpath.basename(listing.folder.rstrip("/"))
    output_of = functools.partial(_output, settings=settings, archive=archive)
    owners = _owners(found, output_of, folders.folds_case(out))
    failed = [
        PhotoRecord(path, 0, 0.0, digest, failure={"stage": "read", "error": reason})
        for path, reason in unreadable.items()
    ]
    plan = EnhancePlan(listing.folder, settings, failed, listing.ignored, kept)

    def version(entry: storage.Entry) -> Version:
        reference = compared.get(matched.get(entry.path, ""))
        return Version(*entry.fields(), _digest_of(digest, reference, entry.path in kept))

    def tasks() -> Iterator[Task]:
        for entry in found:
            if entry.path not in owners:
                sampled = report.is_sampled(entry.path, len(found))
                reference = matched.get(entry.path, "")
                yield Task(*version(entry), output_of(entry.path), reference, sampled, entry.path in kept)

    plan.found.update((entry.path, version(entry)) for entry in found)
    plan.found.update((record.path, record.version) for record in failed)
    for path, owner in owners.items():
        error = f"its output {output_of(path)} is also the output of {owner}: rename one of them"
        plan.clashes.append(PhotoRecord(*plan.found[path], failure={"stage": "write", "error": error}))
    _choose(plan, tasks, out, known, again)
    return plan


def _choose(
    plan: EnhancePlan, tasks: Callable[[], Iterator[Task]], out: str, known: Mapping[str, PhotoRecord], again: bool
) -> None:
    """Fills a plan with the photos that are not done, and that may be written."""
    settings, lying = plan.settings, entries_of(out)
    done: Mapping[str, PhotoRecord] = {} if again else known
    own = beside.Beside(out, plan.source, (task.output for task in tasks()), known) if settings.beside else None
    if own:
        lying.update((beside_photo(path), entry) for path, entry in own.present.items())
    ownership = Ownership(out, plan.source, plan.found, done, lying)
    ownership.check_folders()
    kinds = IMAGE_FOLDERS[1:] if own else IMAGE_FOLDERS

    def allowed() -> Iterator[tuple[str, Task]]:
        for task in _not_done(tasks(), done, lying, out, plan):
            reason = ownership.refusal(task.path, task.output, settings.overwrite, kinds)
            if own and not reason:
                reason, replaces = own.judge(task.version, task.output)
                task = task._replace(replaces=replaces)
                if replaces:
                    plan.replaced[task.output] = own.present[task.output]
            if reason:
                plan.refused.append(PhotoRecord(*task.version, failure={"stage": "write", "error": reason}))
            else:
                for number, image in enumerate(settings.outputs(task.output)):
                    plan.freed[number] += size_in(lying, image) or 0
                yield task.path, task

    plan.todo.update(allowed())


def _output(path: str, settings: EnhanceSettings, archive: str) -> str:
    """The relative path of an enhanced photo.

    Args:
        path: Relative path of the photo.
        settings: Settings of the run.
        archive: Name of the folder of all photos.
    """
    output = photos.output_path(path, settings.output_format, naming.named(path, settings.template, archive))
    if settings.beside and output == path:
        raise click.UsageError(
            f"--name {settings.template} gives the photo beside {path} the name of the original: choose another"
        )
    return output


def _matched(
    listing: Listing, references: Sequence[storage.Entry], settings: EnhanceSettings, unreadable: Mapping[str, str]
) -> dict[str, str]:
    """The path of the reference of each photo that has one."""
    if settings.reference is None and settings.pairs is None and not references:
        return {}
    names, names_of_references = [entry.path for entry in listing.entries], [entry.path for entry in references]
    if settings.pairs is not None:

        def is_left_out(name: str) -> bool:
            return name in unreadable or storage.exists(storage.join(listing.folder, name))

        return match_pairs(settings.pairs, names, names_of_references, is_left_out)
    try:
        matched = match_references(names, names_of_references)
    except AmbiguousReferenceError as error:
        raise click.UsageError(str(error)) from None
    if settings.reference and not matched:
        click.echo(printable(f"Warning: --reference: {no_match(names, names_of_references)}"), err=True)
    return matched


def _owners(found: Collection[storage.Entry], output_of: Callable[[str], str], folds_case: bool) -> dict[str, str]:
    """For each photo that may not write its output, the photo that may. Several photos can have the same output.

    A photo whose output keeps its name has priority, whatever the order of the paths.
    """

    def place(path: str) -> str:
        return _folded(output_of(path)) if folds_case else output_of(path)

    if not folds_case and all(output_of(entry.path) == entry.path for entry in found):
        return {}
    owners: SortedMap[str] = SortedMap()
    for keeps in (True, False):
        paths = (entry.path for entry in found if (output_of(entry.path) == entry.path) == keeps)
        owners.add_missing((place(path), path) for path in paths)
    if len(owners) == len(found):
        return {}
    writer = ((entry.path, owners[place(entry.path)]) for entry in found)
    return {path: owner for path, owner in writer if path != owner}


def _not_done(
    tasks: Iterator[Task],
    known: Mapping[str, PhotoRecord],
    lying: Mapping[str, storage.Entry],
    out: str,
    plan: EnhancePlan,
) -> Iterator[Task]:
    """The photos that are not done. The plan counts the others."""
    settings = plan.settings
    crc32_of = functools.partial(_crc32, out, plan.source) if settings.verify else None

    def judged(task: Task) -> tuple[Task, bool]:
        images = functools.partial(settings.outputs, task.output)
        record, size_of = known.get(task.path), functools.partial(size_in, lying)
        return task, record is not None and record.is_done(task.version, images, size_of, crc32_of)

    for task, is_done in ordered_map(judged, tasks, READERS) if settings.verify else map(judged, tasks):
        if is_done:
            plan.skipped += 1
        else:
            yield task


def _digest_of(settings: str, reference: storage.Entry | None, keeps_original: bool) -> str:
    """The digest of all that the results of one photo depend on, besides the photo.

    Args:
        settings: Digest of the settings and the model.
        reference: The photo's reference. If it changes, the photo is compared again.
        keeps_original: Whether the photo stays as it is.
    """
    if reference is not None:
        settings = digest([settings, *reference.fields()])
    return digest([settings, "original"]) if keeps_original else settings


def entries_of(out: str) -> SortedMap[storage.Entry]:
    """Every file in the folder of the results, by its path."""
    entries: SortedMap[storage.Entry] = SortedMap(storage.Entry.fields, storage.Entry.of)
    entries.update((entry.path, entry) for entry in (storage.walk(out) if storage.exists(out) else ()))
    return entries


def size_in(lying: Mapping[str, storage.Entry], path: str) -> int | None:
    """The bytes of a file that `entries_of` found; None if it does not exist or is empty."""
    entry = lying.get(path)
    return entry.size or None if entry else None


def _crc32(out: str, source: str, image: str) -> int:
    """CRC-32 of an image; -1, which is never a CRC-32, if it cannot be read."""
    try:
        return zlib.crc32(storage.read(place(image, out, source)))
    except OSError:
        return -1


def _folded(path: str) -> str:
    """A path as a case-insensitive file system compares it."""
    return unicodedata.normalize("NFC", path).casefold()


def write_plan(out: str, plan: EnhancePlan) -> list[str]:
    """Writes the tasks, one a line, into files that every worker can read. Returns the paths of these files."""
    remember_outputs(out, (task.output for task in plan.todo.values()))
    if plan.settings.beside:
        beside.remember(out, (task.output for task in plan.todo.values()), plan.replaced)
    paths: list[str] = []
    left = iter(plan.todo.values())
    while tasks := list(itertools.islice(left, TASKS_IN_A_FILE)):
        paths.append(storage.join(out, f"{STATE}/plan/{len(paths) * TASKS_IN_A_FILE:012}.jsonl"))
        storage.write(paths[-1], b"".join(json.dumps(task).encode() + b"\n" for task in tasks))
    return paths


def read_plan(path: str) -> Iterator[Task]:
    """The tasks in a file of the plan."""
    return (Task(*json.loads(line)) for line in storage.read(path).splitlines())
