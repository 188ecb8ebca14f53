"""What the history of an enhanced photo says: what was done, by which model, with which options, and when.

The date is the day on which the run started, in UTC, so that two runs of one day write the same bytes.
`.zerodce/started.json` keeps it until the run is complete, so a run that goes on after a kill writes the same bytes as
one that was not killed. The record of a photo keeps the date of the photo: if its image is lost, the same image is made
again. SOURCE_DATE_EPOCH sets the date.
"""

import datetime
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

import click

import zerodce
from pipelines import folders, storage
from pipelines.enhance.journal import PhotoRecord
from pipelines.enhance.plan import Task
from pipelines.enhance.settings import EnhanceSettings
from pipelines.photos.packets import Event
from pipelines.sorted_map import SortedMap

STARTED = f"{folders.STATE}/started.json"
"""The file with the date of a run that is not complete, relative to the folder of the results."""

EPOCH = "SOURCE_DATE_EPOCH"
"""The environment variable with the date to use, in seconds since 1970 (reproducible-builds.org)."""


def begin(out: str, settings: str) -> str:
    """The date of a run, which it keeps until `end`.

    Args:
        out: Folder of the results.
        settings: Digest of the settings and the model. With other settings, another run begins.

    Returns:
        Day in UTC, such as 2026-11-27.

    Raises:
        click.UsageError: SOURCE_DATE_EPOCH is not a number of seconds.
    """
    if EPOCH in os.environ:
        return _of_environment(os.environ[EPOCH])
    path = storage.join(out, STARTED)
    try:
        content = json.loads(storage.read(path))
    except (OSError, ValueError):
        content = None
    if isinstance(content, dict) and content.get("settings") == settings and isinstance(content.get("started"), str):
        return content["started"]
    started = _written(datetime.datetime.now(datetime.UTC))
    storage.write(path, json.dumps({"settings": settings, "started": started}).encode())
    return started


def end(out: str) -> None:
    """Notes that a run is complete: the next one has a date of its own."""
    storage.delete([storage.join(out, STARTED)])


def dated(tasks: Iterable[Task], known: Mapping[str, PhotoRecord], started: str) -> SortedMap[Task]:
    """Photos to enhance, by path, each with the date for its history.

    Args:
        tasks: The photos.
        known: Records of earlier runs, by path. A photo that was enhanced in the same version keeps its date.
        started: Date of the run.
    """

    def when(task: Task) -> str:
        record = known.get(task.path)
        return record.when if record and record.row and record.when and record.version == task.version else started

    found: SortedMap[Task] = SortedMap(tuple, Task._make)
    found.update((task.path, task._replace(when=when(task))) for task in tasks)
    return found


def event_of(
    action: str,
    row: Mapping[str, Any],
    settings: EnhanceSettings,
    model: str,
    when: str,
    denoised: bool,
    size: tuple[int, int] | None = None,
) -> Event:
    """The entry about an enhanced photo.

    Args:
        action: "edited"; or "saved" or "converted" (into another format) if the pixels are unchanged.
        row: The row of the photo.
        settings: Settings of the run.
        model: SHA-256 of the model file.
        when: The date; empty if there is none.
        denoised: Whether noise was filtered out.
        size: Width and height of the image if it was scaled.
    """
    agent = f"zerodce {zerodce.__version__}"
    resized = {"size": f"{size[0]}x{size[1]}"} if size else {}
    if action != "edited":
        return Event("resized" if size else action, agent, when, _listed(resized or {"pixels": "unchanged"}))
    parameters = {
        "model": model,
        "look": settings.look,
        "strength": _number(settings.strength),
        "exposure": _number(settings.exposure),
        "denoise": _number(settings.denoise),
        "noise_removed": "yes" if denoised else "no",
        "mean_before": f"{row['mean_input']:.3f}",
        "mean_after": f"{row['mean_enhanced']:.3f}",
    }
    return Event(action, agent, when, _listed(parameters | resized))


def _listed(parameters: Mapping[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in parameters.items())


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _of_environment(value: str) -> str:
    try:
        return _written(datetime.datetime.fromtimestamp(int(value), datetime.UTC))
    except (ValueError, OverflowError, OSError):
        raise click.UsageError(f"{EPOCH} is {value!r}, and has to be a number of seconds since 1970") from None


def _written(date: datetime.datetime) -> str:
    return date.strftime("%Y-%m-%d")
