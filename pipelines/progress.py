"""Progress of a job: a bar, plain lines, or JSON lines for programs."""

import errno
import json
import os
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TypeVar

import click
import rich.console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)


class Console(rich.console.Console):
    """Rich's console. If the reader of the output has gone, it lets the command line choose the exit code."""

    def on_broken_pipe(self) -> None:
        """Raises BrokenPipeError; Rich itself would end the process with 1."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


_Element = TypeVar("_Element")

LINE_SECONDS = 5.0
"""Seconds between plain lines, without a terminal."""


def bar(*columns: ProgressColumn, disable: bool = False) -> Progress:
    """A progress bar on standard error. It shows nothing if that is not a terminal.

    Args:
        columns: Columns between the bar and the time left.
        disable: Show nothing on a terminal either.
    """
    console = Console(stderr=True)
    hidden = disable or not console.is_terminal
    description, left = TextColumn("{task.description}"), TimeRemainingColumn()
    return Progress(description, BarColumn(), *columns, left, console=console, disable=hidden)


def track(elements: Iterable[_Element], what: str, total: int) -> Iterator[_Element]:
    """Yields elements one by one, and shows the progress in a bar.

    Args:
        elements: The elements.
        what: Name of the elements, in the plural.
        total: Number of the elements.
    """
    with bar(MofNCompleteColumn()) as shown:
        yield from shown.track(elements, total, description=what)


class Reporter:
    """Shows the progress of a job: a bar on a terminal, a line every few seconds elsewhere, JSON lines on request.

    Args:
        total: Number of elements to work on.
        what: Name of the elements, in the plural.
        as_json: Whether to print JSON lines on standard output, and nothing else there.
    """

    def __init__(self, total: int, what: str, as_json: bool = False) -> None:
        self.total = total
        self.what = what
        self.as_json = as_json
        self.done = self.failed = 0
        self.megapixels = 0.0
        self.started = self.printed = time.monotonic()
        self.bar = bar(MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), disable=as_json)
        self.task = self.bar.add_task(what, total=total, rate="")

    def __enter__(self) -> "Reporter":
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.bar.stop()

    def advance(self, megapixels: float, failed: int, elements: int = 1) -> None:
        """Counts finished elements, and how many of them failed.

        The rate is in megapixels a second, or in elements a second if there are no megapixels.
        """
        self.done += elements
        self.failed += failed
        self.megapixels += megapixels

    def show(self) -> None:
        """Shows the counts so far. Plain and JSON lines appear only every few seconds."""
        seconds = time.monotonic() - self.started
        amount, unit = (self.megapixels, "MP/s") if self.megapixels else (self.done, f"{self.what}/s")
        rate = amount / seconds if seconds else 0.0
        failed = f", {self.failed} failed" if self.failed else ""
        if not self.bar.disable:
            self.bar.update(self.task, completed=self.done, rate=f"{rate:.1f} {unit}{failed}")
            return
        if time.monotonic() - self.printed < LINE_SECONDS:
            return
        self.printed = time.monotonic()
        left = seconds / self.done * (self.total - self.done) if self.done else None
        if self.as_json:
            counts = {"event": "progress", "done": self.done, "total": self.total, "failed": self.failed}
            speed = {"megapixels_per_second": round(rate, 2), "seconds_left": None if left is None else round(left)}
            click.echo(json.dumps(counts | speed))
        else:
            remaining = "" if left is None else f", {left:.0f} s left"
            click.echo(f"{self.done} of {self.total} {self.what}{failed}, {rate:.1f} {unit}{remaining}", err=True)
