"""An archive before and after the job: what there is to do, the lock, and the files that tell what was done."""

import dataclasses
import json
import os
from collections.abc import Iterator
from typing import Any

from pipelines import photos, report, storage, versions
from pipelines.folders import STATE, find
from pipelines.journal import Journal, Record
from pipelines.tables import to_csv
from pipelines.work import Settings, Task

COLUMNS = (
    "path",
    "output",
    "width",
    "height",
    "mean_input",
    "mean_enhanced",
    "psnr_enhanced_db",
    "psnr_autocontrast_db",
    "exposure",
    "notes",
)
REFERENCE_COLUMNS = tuple(
    f"{metric}_{image}_reference{unit}"
    for metric, unit in (("psnr", "_db"), ("ssim", ""))
    for image in ("input", "enhanced", "autocontrast")
)
FAILURE_COLUMNS = ("path", "stage", "error")
TASKS_IN_A_FILE = 50_000


@dataclasses.dataclass
class Plan:
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
    clashes: list[Record]
    ignored: int


def make_plan(
    source: str,
    found: list[storage.Entry],
    ignored: int,
    out: str,
    settings: Settings,
    done: dict[str, Record],
    references: dict[str, str],
) -> Plan:
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
    plan = Plan(source, {entry.path: entry for entry in found}, [], 0, [], ignored)
    for entry in found:
        output = photos.output_path(entry.path, settings.output_format)
        if owners[output] != entry.path:
            failure = {"stage": "write", "error": f"its output {output} is also that of {owners[output]}: rename one"}
            plan.clashes.append(Record(entry.path, entry.size, entry.mtime, digest, failure=failure))
        elif is_done(done.get(entry.path), entry, digest) and set(settings.outputs(output)) <= present:
            plan.skipped += 1
        else:
            reference = references.get(os.path.splitext(entry.path)[0], "")
            sampled = report.is_sampled(entry.path, len(found))
            plan.todo.append(Task(entry.path, entry.size, entry.mtime, output, reference, sampled))
    return plan


def is_done(record: Record | None, entry: storage.Entry, digest: str) -> bool:
    """Whether a journal record says that this photo, unchanged, was enhanced with these settings."""
    return record is not None and record.is_of(entry.path, entry.size, entry.mtime, digest)


def references(folder: str | None) -> dict[str, str]:
    """The photos of a folder of references, by path without extension.

    Raises:
        click.UsageError: The folder holds none.
    """
    return {} if folder is None else {os.path.splitext(entry.path)[0]: entry.path for entry in find(folder)[1]}


def remove_leftovers(out: str) -> None:
    """Removes the temporary files of a run that was killed. Nobody may be writing."""
    leftovers = (entry.path for entry in storage.walk(out) if entry.path.endswith(storage.TEMPORARY_SUFFIX))
    storage.delete([storage.join(out, path) for path in leftovers])


def write_plan(out: str, plan: Plan) -> list[str]:
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


def finish(out: str, plan: Plan, settings: Settings, journal: Journal, run: dict[str, Any]) -> dict[str, int]:
    """Writes metrics.csv, failures.csv, run.json and the report from the journal, and checks the counts.

    Args:
        out: Folder of the results.
        plan: What the run found.
        settings: As it ran.
        journal: Its journal; nobody may be appending. It is compacted.
        run: What else run.json shall hold.

    Returns:
        The counts: found, enhanced, skipped, failed, ignored.
    """
    records = journal.read() | {record.path: record for record in plan.clashes}
    records = {path: records[path] for path in sorted(plan.found) if path in records}
    journal.compact(records.values())
    present = {entry.path for entry in storage.walk(out)}
    digest = settings.digest()
    rows, failures = [], []
    for record in records.values():
        if is_done(record, plan.found[record.path], digest) and record.row:
            if set(settings.outputs(record.row["output"])) <= present:
                rows.append(record.row)
        elif record.failure and record.settings == digest:
            failures.append({"path": record.path, **record.failure})
    worked_on = {task.path for task in plan.todo}
    enhanced = [row for row in rows if row["path"] in worked_on]
    counts = {
        "found": len(plan.found),
        "enhanced": len(enhanced),
        "skipped": len(rows) - len(enhanced),
        "failed": len(failures),
        "ignored": plan.ignored,
    }
    megapixels = sum(row["width"] * row["height"] for row in enhanced) / 1e6
    columns = COLUMNS + REFERENCE_COLUMNS * (settings.reference is not None)
    storage.write(storage.join(out, "metrics.csv"), to_csv(columns, rows))
    storage.write(storage.join(out, "failures.csv"), to_csv(FAILURE_COLUMNS, failures))
    run |= {"counts": counts, "megapixels": round(megapixels, 3), "versions": versions.of_run()}
    storage.write(storage.join(out, "run.json"), json.dumps(run, indent=2).encode())
    report.write_report(out, plan.source, rows, failures, run)
    return counts
