"""Before a run: says how long it takes and how much room it needs, and refuses it if the disk has too little."""

import json
import os
import shutil

import click

from pipelines import runners, storage
from pipelines.enhance import estimate
from pipelines.enhance.estimate import Estimate
from pipelines.enhance.photo import PhotoProcessor
from pipelines.enhance.plan import EnhancePlan


def expected(processor: PhotoProcessor, plan: EnhancePlan) -> Estimate | None:
    """What a run will take; None if it is small, or if the estimate failed. A cluster's time is unknown."""
    if estimate.is_small(plan.todo.values()):
        return None
    found = estimate.estimate(processor, plan.todo.values())
    return found if runners.is_local(plan.settings.runner) or found is None else found._replace(seconds=None)


def say(expected: Estimate | None, as_json: bool) -> None:
    """Prints what a run will take, if that is known.

    Args:
        expected: The estimate.
        as_json: Whether to print a line of JSON on standard output.
    """
    if expected is None:
        return
    size, seconds = expected.enhanced + expected.others, expected.seconds
    if as_json:
        numbers = {"megabytes": round(size / 1e6, 1), "seconds": seconds and round(seconds)}
        click.echo(json.dumps({"event": "estimate", **numbers}))
    else:
        click.echo(f"About {in_bytes(size)}{f', in about {duration(seconds)}' if seconds else ''}.", err=True)


def check(expected: Estimate | None, plan: EnhancePlan, out: str) -> None:
    """Raises click.UsageError if a disk has too little room for a run, unless --force is given.

    Images that are replaced give their room back.

    Args:
        expected: The estimate.
        plan: The plan of the run.
        out: Folder of the results.
    """
    if expected is None or plan.settings.force:
        return
    needs: dict[int, tuple[str, int]] = {}
    amounts = (expected.enhanced - plan.freed[0], expected.others - plan.freed[1])
    for folder, amount in zip((plan.source if plan.settings.beside else out, out), amounts, strict=True):
        if storage.is_local(folder):
            there = _existing(folder)
            device = os.stat(there).st_dev
            needs[device] = there, needs.get(device, ("", 0))[1] + amount
    for there, need in needs.values():
        free = shutil.disk_usage(there).free
        if need > free:
            raise click.UsageError(
                f"about {in_bytes(need)} would be written, and the disk of {there} has {in_bytes(free)} free: make "
                "room, or go on with --force"
            )


def _existing(folder: str) -> str:
    """A folder, or the first folder above it that exists."""
    folder = os.path.abspath(folder)
    while not os.path.exists(folder):
        folder = os.path.dirname(folder)
    return folder


def in_bytes(size: float) -> str:
    """A number of bytes with a unit."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def duration(seconds: float) -> str:
    """A time with a unit, rounded."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.{1 if seconds < 10 * length and length > 60 else 0}f} {unit}"
    return f"{seconds:.0f} seconds"
