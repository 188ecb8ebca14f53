"""The plan of a run: which photos exist, which are done, and the output path of each. Workers read it from files."""

import dataclasses
import functools
import json
import posixpath
import unicodedata
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
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
        todo: Photos to enhance, sorted by path.
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
    found: dict[str, Version]
    todo: list[Task]
    skipped: int
    clashes: list[PhotoRecord]
    refused: list[PhotoRecord]
    unreadable: list[PhotoRecord]
    ignored: int
    kept: Collection[str]
    replaced: dict[str, storage.Entry] = dataclasses.field(default_factory=dict)
    freed: list[int] = dataclasses.field(default_factory=lambda: [0, 0])


def make_plan(
    listing: Listing,
    out: str,
    settings: EnhanceSettings,
    digest: str,
    known: dict[str, PhotoRecord],
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
    outputs = _outputs(listing, settings)
    owners = _owners(outputs, folders.folds_case(out))
    failed = [
        PhotoRecord(path, 0, 0.0, digest, failure={"stage": "read", "error": reason})
        for path, reason in unreadable.items()
    ]
    compared = {entry.path: entry for entry in references}
    versions = {
        entry.path: Version(
            *_of(entry), _digest_of(digest, compared.get(matched.get(entry.path, "")), entry.path in kept)
        )
        for entry in found
    }
    everything = versions | {record.path: record.version for record in failed}
    plan = EnhancePlan(listing.folder, settings, everything, [], 0, [], [], failed, listing.ignored, kept)
    tasks = []
    for entry in found:
        output = outputs[entry.path]
        if owners[entry.path] != entry.path:
            error = f"its output {output} is also the output of {owners[entry.path]}: rename one of them"
            failure = {"stage": "write", "error": error}
            plan.clashes.append(PhotoRecord(*versions[entry.path], failure=failure))
            continue
        sampled = report.is_sampled(entry.path, len(found))
        reference = matched.get(entry.path, "")
        tasks.append(Task(*versions[entry.path], output, reference, sampled, entry.path in kept))
    _choose(plan, tasks, out, known, again)
    return plan


def _choose(plan: EnhancePlan, tasks: Sequence[Task], out: str, known: Mapping[str, PhotoRecord], again: bool) -> None:
    """Fills a plan with the photos that are not done, and that may be written."""
    settings, lying = plan.settings, entries_of(out)
    own = beside.Beside(out, plan.source, (task.output for task in tasks), known) if settings.beside else None
    done = {} if again else known
    images = lying | {beside_photo(path): entry for path, entry in own.present.items()} if own else lying
    todo = _not_done(tasks, done, images, out, plan)
    plan.skipped = len(tasks) - len(todo)
    ownership = Ownership(out, plan.source, plan.found, done, lying)
    ownership.check_folders()
    kinds = IMAGE_FOLDERS[1:] if own else IMAGE_FOLDERS
    for task in todo:
        reason = ownership.refusal(task.path, task.output, settings.overwrite, kinds)
        if own and not reason:
            reason, replaces = own.judge(task.version, task.output)
            task = task._replace(replaces=replaces)
            if replaces:
                plan.replaced[task.output] = own.present[task.output]
        if reason:
            plan.refused.append(PhotoRecord(*task.version, failure={"stage": "write", "error": reason}))
        else:
            plan.todo.append(task)
            for number, image in enumerate(settings.outputs(task.output)):
                plan.freed[number] += size_in(images, image) or 0


def _outputs(listing: Listing, settings: EnhanceSettings) -> dict[str, str]:
    """The relative path of each enhanced photo, by the path of the photo."""
    archive = posixpath.basename(listing.folder.rstrip("/"))
    outputs = {}
    for path in (entry.path for entry in listing.entries):
        named = naming.named(path, settings.template, archive)
        outputs[path] = photos.output_path(path, settings.output_format, named)
        if settings.beside and outputs[path] == path:
            raise click.UsageError(
                f"--name {settings.template} gives the photo beside {path} the name of the original: choose another"
            )
    return outputs


def _matched(
    listing: Listing, references: Sequence[storage.Entry], settings: EnhanceSettings, unreadable: Mapping[str, str]
) -> dict[str, str]:
    """The path of the reference of each photo that has one."""
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


def _owners(outputs: Mapping[str, str], folds_case: bool) -> dict[str, str]:
    """For each photo, the photo that may write its output. Several photos can have the same output.

    A photo whose output keeps its name has priority, whatever the order of the paths.
    """
    place = _folded if folds_case else str
    owners: dict[str, str] = {}
    for path in sorted(outputs, key=lambda path: outputs[path] != path):
        owners.setdefault(place(outputs[path]), path)
    return {path: owners[place(output)] for path, output in outputs.items()}


def _not_done(
    tasks: Sequence[Task],
    known: Mapping[str, PhotoRecord],
    lying: Mapping[str, storage.Entry],
    out: str,
    plan: EnhancePlan,
) -> list[Task]:
    """The photos that are not done."""
    settings = plan.settings
    crc32_of = functools.partial(_crc32, out, plan.source) if settings.verify else None

    def is_done(task: Task) -> bool:
        images = functools.partial(settings.outputs, task.output)
        record = known.get(task.path)
        return record is not None and record.is_done(task.version, images, functools.partial(size_in, lying), crc32_of)

    done = ordered_map(is_done, tasks, READERS) if settings.verify else map(is_done, tasks)
    return [task for task, is_there in zip(tasks, done, strict=True) if not is_there]


def _of(entry: storage.Entry) -> tuple[str, int, float]:
    return entry.path, entry.size, entry.mtime


def _digest_of(settings: str, reference: storage.Entry | None, keeps_original: bool) -> str:
    """The digest of all that the results of one photo depend on, besides the photo.

    Args:
        settings: Digest of the settings and the model.
        reference: The photo's reference. If it changes, the photo is compared again.
        keeps_original: Whether the photo stays as it is.
    """
    if reference is not None:
        settings = digest([settings, *_of(reference)])
    return digest([settings, "original"]) if keeps_original else settings


def entries_of(out: str) -> dict[str, storage.Entry]:
    """Every file in the folder of the results, by its path."""
    return {entry.path: entry for entry in storage.walk(out)} if storage.exists(out) else {}


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
    remember_outputs(out, (task.output for task in plan.todo))
    if plan.settings.beside:
        beside.remember(out, (task.output for task in plan.todo), plan.replaced)
    paths = []
    for start in range(0, len(plan.todo), TASKS_IN_A_FILE):
        paths.append(storage.join(out, f"{STATE}/plan/{start:012}.jsonl"))
        tasks = plan.todo[start : start + TASKS_IN_A_FILE]
        storage.write(paths[-1], b"".join(json.dumps(task).encode() + b"\n" for task in tasks))
    return paths


def read_plan(path: str) -> Iterator[Task]:
    """The tasks in a file of the plan."""
    return (Task(*json.loads(line)) for line in storage.read(path).splitlines())
