"""What a run has to do: which photos are there, which are done, what each is called; in files for the workers."""

import dataclasses
import json
import os
from collections.abc import Iterator
from typing import NamedTuple

from pipelines import photos, storage
from pipelines.enhance import report
from pipelines.enhance.journal import PhotoRecord
from pipelines.enhance.settings import Settings
from pipelines.folders import STATE, find

TASKS_IN_A_FILE = 50_000


class Task(NamedTuple):
    """A photo to enhance: relative paths, `size` in bytes, `mtime` in seconds; `reference` may be empty."""

    path: str
    size: int
    mtime: float
    output: str
    reference: str
    thumbnail: bool


@dataclasses.dataclass
class EnhancePlan:
    """What a run found.

    Attributes:
        source: Folder of the photos.
        found: Every photo by name, by path.
        todo: Those to enhance, sorted by path.
        skipped: How many are done already and unchanged.
        clashes: Those whose output would overwrite another's.
        ignored: How many other files there are.
    """

    source: str
    found: dict[str, storage.Entry]
    todo: list[Task]
    skipped: int
    clashes: list[PhotoRecord]
    ignored: int


def make_plan(
    source: str,
    found: list[storage.Entry],
    ignored: int,
    out: str,
    settings: Settings,
    done: dict[str, PhotoRecord],
    references: dict[str, str],
) -> EnhancePlan:
    """Decides what there is to do.

    Args:
        source: Folder of the photos.
        found: Its photos.
        ignored: Number of its other files.
        out: Folder of the results.
        settings: What the results depend on; done with others is not done.
        done: The journal's records, by path.
        references: Path of the reference of each photo's path without extension.
    """
    present = {entry.path for entry in storage.walk(out)} if storage.exists(out) else set()
    digest = settings.digest()
    owners: dict[str, str] = {}
    # a photo whose output has its own name comes first, whatever the order of the paths
    for entry in sorted(found, key=lambda entry: photos.output_path(entry.path, settings.output_format) != entry.path):
        owners.setdefault(photos.output_path(entry.path, settings.output_format), entry.path)
    plan = EnhancePlan(source, {entry.path: entry for entry in found}, [], 0, [], ignored)
    for entry in found:
        output = photos.output_path(entry.path, settings.output_format)
        if owners[output] != entry.path:
            failure = {"stage": "write", "error": f"its output {output} is also that of {owners[output]}: rename one"}
            plan.clashes.append(PhotoRecord(entry.path, entry.size, entry.mtime, digest, failure=failure))
        elif is_done(done.get(entry.path), entry, digest) and set(settings.outputs(output)) <= present:
            plan.skipped += 1
        else:
            reference = references.get(os.path.splitext(entry.path)[0], "")
            sampled = report.is_sampled(entry.path, len(found))
            plan.todo.append(Task(entry.path, entry.size, entry.mtime, output, reference, sampled))
    return plan


def is_done(record: PhotoRecord | None, entry: storage.Entry, digest: str) -> bool:
    """Whether a journal record says that this photo, unchanged, was enhanced with these settings."""
    return record is not None and record.is_of(entry.path, entry.size, entry.mtime, digest)


def references_in(folder: str | None) -> dict[str, str]:
    """The photos of a folder of references, by path without extension.

    Raises:
        click.UsageError: The folder holds none.
    """
    return {} if folder is None else {os.path.splitext(entry.path)[0]: entry.path for entry in find(folder)[1]}


def write_plan(out: str, plan: EnhancePlan) -> list[str]:
    """Writes the tasks where every worker can read them, a line each, and returns the paths of the files."""
    paths = []
    for start in range(0, len(plan.todo), TASKS_IN_A_FILE):
        paths.append(storage.join(out, f"{STATE}/plan/{start:012}.jsonl"))
        tasks = plan.todo[start : start + TASKS_IN_A_FILE]
        storage.write(paths[-1], b"".join(json.dumps(task).encode() + b"\n" for task in tasks))
    return paths


def read_plan(path: str) -> Iterator[Task]:
    """The tasks in a file of the plan."""
    return (Task(*json.loads(line)) for line in storage.read(path).splitlines())
