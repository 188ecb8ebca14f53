"""A folder that is watched: which files in it are complete, and when there is something to do."""

import time
from collections.abc import Callable, Iterable, Iterator
from threading import Event

import click

from pipelines import storage
from pipelines.enhance.settings import EnhanceSettings
from pipelines.folders import Listing
from pipelines.options import LOCAL_RUNNERS
from tfrecord_tools.records import printable

COMPLETE_SECONDS = 5.0
"""A file is complete if its size and time have not changed for this long."""

POLL_SECONDS = 2.0
"""Seconds between two listings of the folder; longer if a listing takes longer."""

Found = tuple[Listing, dict[str, str]]
"""The photos of a folder, and the reason for each file and folder in it that cannot be read."""


def refuse(settings: EnhanceSettings) -> None:
    """Raises click.UsageError if `--watch` does not go with other options."""
    if settings.runner not in LOCAL_RUNNERS:
        raise click.UsageError(f"--watch works on this machine only: leave out --watch, or --runner {settings.runner}")
    for name in ("dry_run", "pairs", "files"):
        if getattr(settings, name):
            raise click.UsageError(f"--watch and --{name.replace('_', '-')} exclude each other: leave one of them out")


class Arrivals:
    """Finds out which files are complete, from listings that follow each other.

    A file that is being replaced counts as its former version until the new one is complete.

    Args:
        done: Versions of files that are known to be complete.
    """

    def __init__(self, done: Iterable[storage.Entry] = ()) -> None:
        self._complete = {entry.path: entry for entry in done}
        self._seen: dict[str, tuple[storage.Entry, float]] = {}

    def complete(self, entries: Iterable[storage.Entry], now: float) -> list[storage.Entry]:
        """The latest complete version of each file in a listing that has one, in the order of the listing.

        Args:
            entries: The listing.
            now: Its time in seconds, on any clock that never goes back.
        """
        seen = {entry.path: (entry, now) for entry in entries}
        for path, (entry, _) in seen.items():
            former, since = self._seen.get(path, (None, now))
            if former == entry:
                seen[path] = former, since
                if now - since >= COMPLETE_SECONDS:
                    self._complete[path] = entry
        self._seen = seen
        self._complete = {path: entry for path, entry in self._complete.items() if path in seen}
        return [self._complete[path] for path in seen if path in self._complete]


def batches(find: Callable[[], Found], done: Iterable[storage.Entry], stop: Event) -> Iterator[Found]:
    """Yields the complete photos of a folder, all of them, each time that one has come or has been replaced.

    Photos that vanish begin no batch: a network share may only be away for a while. So does a folder that cannot be
    read, which is said once.

    Args:
        find: Lists the folder.
        done: Versions of photos that are known to be complete.
        stop: Ends the watch when it is set.
    """
    arrivals, latest, said = Arrivals(done), set[storage.Entry](), ""
    while not stop.is_set():
        started = time.monotonic()
        try:
            listing, unreadable = find()
        except click.UsageError as error:
            if said != error.message:
                said = error.message
                click.echo(printable(f"Waiting: {said}"), err=True)
            listing, unreadable = Listing("", [], {}), {}
        seconds = time.monotonic() - started
        complete = arrivals.complete(listing.entries, started)
        if not latest.issuperset(complete):
            latest = set(complete)
            yield listing._replace(entries=complete), unreadable
        stop.wait(max(POLL_SECONDS, seconds))
