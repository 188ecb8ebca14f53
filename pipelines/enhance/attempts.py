"""Which photos are in work. Each has a small file while it is: after a crash, the file names the photo.

This module imports nothing heavy, because the process that watches over the job reads these files as well.
"""

import dataclasses
import functools
import json
import os
import tempfile
import time
from collections.abc import Callable, Collection
from typing import Any

from pipelines.digests import digest

LIMIT = 10
"""How often a photo may be begun on this machine without being finished, for any cause."""

LISTED_SECONDS = 5.0
"""On an object store, the files about photos in work are listed at most once in these seconds."""

CLUSTER_LIMIT = 3
"""The same limit on a cluster, where the cause of a crash is unknown."""


@dataclasses.dataclass(frozen=True)
class Attempt:
    """A photo that was begun, and not finished.

    Attributes:
        path: Relative path of the photo; empty if the file about it was cut short.
        times: How often it was begun.
        alone: Whether no other photo was in work at the last attempt.
        crashed: Whether the process ended in that attempt.
        stage: Stage of the failure if the photo took longer than its time limit; else empty.
        error: Text of that failure in `failures.csv`; else empty.
        process: Number of the process that began it; 0 if unknown.
    """

    path: str = ""
    times: int = 1
    alone: bool = False
    crashed: bool = False
    stage: str = ""
    error: str = ""
    process: int = dataclasses.field(default=0, compare=False)


@dataclasses.dataclass(frozen=True)
class Attempts:
    """The photos in work of one folder of results.

    Attributes:
        folder: Folder of the files, one for each photo.
        limit: How often a photo may be begun without being finished.
    """

    folder: str
    limit: int = LIMIT

    @classmethod
    def of(cls, out: str, on_cluster: bool) -> "Attempts":
        """The photos in work of a job.

        Their files lie beside the journal, or on this machine if the job runs here but OUT is on an object store.

        Args:
            out: Folder of the results.
            on_cluster: Whether the workers are other machines.
        """
        if on_cluster or "://" not in out:
            return cls(os.path.join(out, ".zerodce", "in_work"), CLUSTER_LIMIT if on_cluster else LIMIT)
        name = f"zerodce-{os.getuid()}-{digest(out)}"
        return cls(os.path.join(tempfile.gettempdir(), name))

    @property
    def on_object_store(self) -> bool:
        """Whether each file costs requests."""
        return "://" in self.folder

    def of_photo(self, path: str) -> Attempt | None:
        """The attempt at a photo; None if it is not in work, and was not in work when a process ended."""
        file = self.file(path)
        if self.on_object_store:
            period = int(time.monotonic() / LISTED_SECONDS)
            if file.rpartition("/")[2] not in _listed(self.folder, period):
                return None
        try:
            return _parsed(self._read(file))
        except FileNotFoundError:
            return None

    def is_hopeless(self, attempt: Attempt) -> bool:
        """Whether a photo is given up."""
        return attempt.crashed or bool(attempt.error) or attempt.times >= self.limit

    def write(self, attempt: Attempt) -> None:
        """Records that a photo is in work."""
        content = json.dumps(dataclasses.asdict(attempt)).encode()
        if self.on_object_store:
            from pipelines import storage

            storage.write(self.file(attempt.path), content)
            return
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        with open(self.file(attempt.path), "wb") as file:
            file.write(content)

    def end(self, path: str) -> None:
        """Records that a photo is finished."""
        from pipelines import storage

        storage.delete([self.file(path)])

    def all(self) -> list[Attempt]:
        """All photos that are in work, or were in work when a process ended."""
        return [_parsed(self._read(f"{self.folder}/{name}")) for name in sorted(self._names())]

    def condemn(self, ended: Callable[[int], bool] = lambda process: True) -> None:
        """Records a crash for each photo that was alone in work when its process ended.

        Args:
            ended: Says whether the process of a number has ended.
        """
        for attempt in self.all():
            if attempt.alone and attempt.path and ended(attempt.process):
                self.write(dataclasses.replace(attempt, crashed=True))

    def finish(self, begun_before: Collection[str], ended: bool) -> None:
        """Tidies up after a run. No photo may be in work.

        The next run tries two kinds of photos alone: those that were given up, and those that earlier runs began.

        Args:
            begun_before: Paths of the photos that earlier runs began and that this run had to enhance.
            ended: Whether the run came to its end, so that it tried all of them.
        """
        for attempt in self.all():
            if self.is_hopeless(attempt) and ended:
                self.write(Attempt(attempt.path))
            elif attempt.path not in begun_before and not self.is_hopeless(attempt):
                self.end(attempt.path)

    def _names(self) -> list[str]:
        if self.on_object_store:
            from pipelines import storage

            return [entry.path for entry in storage.walk(self.folder)]
        names = os.listdir(self.folder) if os.path.isdir(self.folder) else []
        return [name for name in names if name.endswith(".json") and os.path.isfile(os.path.join(self.folder, name))]

    def file(self, path: str) -> str:
        """The file that says that a photo is in work."""
        return f"{self.folder}/{digest(path)}.json"

    def _read(self, file: str) -> bytes:
        if self.on_object_store:
            from pipelines import storage

            return storage.read(file)
        with open(file, "rb") as content:
            return content.read()


@functools.lru_cache(maxsize=1)
def _listed(folder: str, period: int) -> frozenset[str]:
    """The names in a folder of an object store, listed once in a period for all photos."""
    from pipelines import storage

    return frozenset(entry.path for entry in storage.walk(folder))


def _parsed(content: bytes) -> Attempt:
    try:
        fields: dict[str, Any] = json.loads(content)
        known = str(fields["path"]), int(fields["times"]), bool(fields["alone"]), bool(fields["crashed"])
        stage, error = str(fields.get("stage", "")), str(fields.get("error", ""))
        return Attempt(*known, stage, error, int(fields.get("process", 0)))
    except (ValueError, KeyError, TypeError):
        return Attempt()
