"""The command `zerodce status`: what a run of enhance has done, how fast it is, and until when it will take.

The command that enhances writes `.zerodce/job.json` when its job starts and when it ends. All else comes from the
journal, so anybody who can read OUT can ask, on any host.
"""

import datetime
import json
import os
import socket
import time
from collections.abc import Collection, Mapping
from typing import Any

import click
import rich.box
import rich.table

from pipelines import folders, progress, storage
from pipelines.enhance.attempts import Attempts
from pipelines.enhance.journal import Journal, PhotoRecord
from pipelines.processes import is_running

JOB = f"{folders.STATE}/job.json"
"""The file about the job, relative to the folder of the results."""

LATELY_SECONDS = 300.0
"""The speed is that of the last seconds of the run."""


def begin(out: str, journal: Collection[str], runner: str, counts: Mapping[str, int]) -> None:
    """Writes the file about the job.

    Args:
        out: Folder of the results.
        journal: Names of the files of the journal from before the job.
        runner: The runner.
        counts: What the plan says: `found`, `to_do`, `skipped` and `failed`.
    """
    job = {"started": time.time(), "host": socket.gethostname(), "process": os.getpid(), "runner": runner}
    content = {**job, **counts, "ended": False, "before": sorted(journal)}
    storage.write(storage.join(out, JOB), json.dumps(content).encode())


def end(out: str) -> None:
    """Notes in the file that the job has ended, and that its results are written."""
    job = json.loads(storage.read(storage.join(out, JOB)))
    storage.write(storage.join(out, JOB), json.dumps(job | {"ended": True}).encode())


def status(out: str, as_json: bool) -> None:
    """The command `zerodce status`.

    Args:
        out: Folder of the results.
        as_json: Whether to print one line of JSON instead of a table.

    Raises:
        click.UsageError: There was no run of enhance, or the folder cannot be read.
    """
    try:
        found = of(out)
    except FileNotFoundError:
        raise click.UsageError(f"{out} holds no run of `zerodce enhance`") from None
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{out} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if as_json:
        click.echo(json.dumps(found))
        return
    table = rich.table.Table(box=rich.box.SIMPLE, show_header=False)
    speed, left = found["photos_per_second"], found["seconds_left"]
    table.add_row("state", _STATES[found["state"]])
    for name in ("found", "enhanced", "skipped", "failed", "to_go", "in_work"):
        table.add_row(name.replace("_", " "), f"{found[name]:,}")
    if found["state"] == "running" and speed:
        table.add_row("speed", f"{speed:.1f} photos/s, {found['megapixels_per_second']:.1f} MP/s")
        until = datetime.datetime.fromisoformat(found["until"]).astimezone()
        table.add_row("until", f"{until:%Y-%m-%d %H:%M}, in {datetime.timedelta(seconds=left)}")
    progress.Console().print(table)


_STATES = {
    "running": "running",
    "watching": "waiting for photos (--watch)",
    "complete": "complete",
    "ended": "ended before all was done: the same command goes on",
    "killed": "killed: the same command goes on",
}


def of(out: str) -> dict[str, Any]:
    """What is known about the last run.

    Returns:
        `state` (running, watching, complete, ended or killed); the counts `found`, `enhanced`, `skipped`, `failed`,
        `to_go` and `in_work`; `photos_per_second` and `megapixels_per_second` of the last minutes; `seconds_left` and
        `until` (ISO 8601, UTC), None if unknown; `host`, `process` and `runner` of the command.

    Raises:
        FileNotFoundError: There was no run.
        OSError: The folder cannot be read.
        ValueError: The file about the job is damaged.
    """
    job = json.loads(storage.read(storage.join(out, JOB)))
    there = _is_running(out, job)
    running = there and not job["ended"]
    done = Journal(storage.join(out, f"{folders.STATE}/journal"), frozenset(job["before"])).read_new()
    rows = sum(record.row is not None for record in done.values())
    counts = {
        "found": job["found"],
        "enhanced": rows,
        "skipped": job["skipped"],
        "failed": job["failed"] + len(done) - rows,
        "to_go": job["to_do"] - len(done),
        "in_work": len(Attempts.of(out, on_cluster=not _is_local(job["runner"])).all()) if running else 0,
    }
    if job["ended"]:
        final = json.loads(storage.read(storage.join(out, "run.json")))["counts"]
        counts |= {name: final[name] for name in ("found", "enhanced", "skipped", "failed")}
        counts["to_go"] = final["found"] - final["enhanced"] - final["skipped"] - final["failed"]
    photos, megapixels = _speed(done.values(), job["started"])
    left = round(counts["to_go"] / photos) if running and photos else None
    until = None if left is None else datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=left)
    # a command that is still there after the end of its job waits for photos (--watch), or is about to end
    ended = "watching" if there else "complete" if not counts["to_go"] else "ended"
    return {
        "state": "running" if running else ended if job["ended"] else "killed",
        **counts,
        "photos_per_second": round(photos, 3),
        "megapixels_per_second": round(megapixels, 3),
        "seconds_left": left,
        "until": until.isoformat(timespec="seconds") if until else None,
        **{name: job[name] for name in ("host", "process", "runner")},
    }


def _is_running(out: str, job: dict[str, Any]) -> bool:
    if storage.is_local(out) and job["host"] == socket.gethostname():
        return is_running(job["process"])
    return folders.is_locked(out)


def _speed(done: Collection[PhotoRecord], started: float) -> tuple[float, float]:
    """Photos and megapixels a second, up to the last record."""
    end = max((record.time for record in done), default=started)
    start = max(started, end - LATELY_SECONDS)
    photos, pixels = 0, 0
    for record in done:
        if record.time >= start:
            photos += 1
            pixels += record.row["width"] * record.row["height"] if record.row else 0
    seconds = max(end - start, 1e-3)
    return photos / seconds, pixels / 1e6 / seconds


def _is_local(runner: str) -> bool:
    from pipelines.options import LOCAL_RUNNERS

    return runner in LOCAL_RUNNERS
