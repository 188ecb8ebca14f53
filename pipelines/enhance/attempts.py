"""Which photos are in work: a small file for each while it is, so that one that ends its process is known by it.

Imports nothing heavy: the process that watches over the job reads it as well.
"""

import dataclasses
import json
import os
import tempfile
from collections.abc import Callable, Collection
from typing import Any

from pipelines.digests import digest

LIMIT = 10
"""How often a photo may be begun on this machine without ever being finished, whatever ended the process."""

CLUSTER_LIMIT = 3
"""The same on a cluster, where nobody sees what ended it."""


@dataclasses.dataclass(frozen=True)
class Attempt:
    """A photo that was begun, and not finished.

    Attributes:
        path: Relative path of the photo; empty where the file about it was cut short.
        times: How often it was begun.
        alone: Whether nothing else was in work the last time.
        crashed: Whether it ended its process then.
        stage: Stage of the failure that it is, where it took longer than its time limit; else empty.
        error: What `failures.csv` says of that; else empty.
        process: Number of the process that began it; 0 where nobody knows.
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
    """The photos in work on what a folder of results is for.

    Attributes:
        folder: Folder of their files.
        limit: How often a photo may be begun without being finished.
    """

    folder: str
    limit: int = LIMIT

    @classmethod
    def of(cls, out: str, on_cluster: bool) -> "Attempts":
        """Those of a job: beside its journal, or on this machine where that is on an object store but the job is not.

        Args:
            out: Folder of the results.
            on_cluster: Whether the workers are other machines.
        """
        if on_cluster or "://" not in out:
            return cls(os.path.join(out, ".zerodce", "in_work"), CLUSTER_LIMIT if on_cluster else LIMIT)
        name = f"zerodce-{os.getuid()}-{digest(out)}"
        return cls(os.path.join(tempfile.gettempdir(), name))

    def of_photo(self, path: str) -> Attempt | None:
        """What is known of a photo; None if it is not in work, nor was when a process ended."""
        try:
            return _parsed(self._read(self._file(path)))
        except FileNotFoundError:
            return None

    def is_hopeless(self, attempt: Attempt) -> bool:
        """Whether a photo has to be given up."""
        return attempt.crashed or bool(attempt.error) or attempt.times >= self.limit

    def write(self, attempt: Attempt) -> None:
        """Writes down that a photo is in work."""
        content = json.dumps(dataclasses.asdict(attempt)).encode()
        if "://" in self.folder:
            from pipelines import storage

            storage.write(self._file(attempt.path), content)
            return
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        with open(self._file(attempt.path), "wb") as file:
            file.write(content)

    def end(self, path: str) -> None:
        """Writes down that a photo is finished."""
        from pipelines import storage

        storage.delete([self._file(path)])

    def all(self) -> list[Attempt]:
        """All photos that are in work or were when a process ended."""
        return [_parsed(self._read(f"{self.folder}/{name}")) for name in sorted(self._names())]

    def condemn(self, ended: Callable[[int], bool] = lambda process: True) -> None:
        """Writes down that processes were ended by what they did alone.

        Args:
            ended: Whether a process, by its number, is one of these.
        """
        for attempt in self.all():
            if attempt.alone and attempt.path and ended(attempt.process):
                self.write(dataclasses.replace(attempt, crashed=True))

    def finish(self, begun_before: Collection[str], ended: bool) -> None:
        """Tidies up after a run; nobody may be working.

        A photo that was given up is tried alone by the next run, and so is one that earlier runs began.

        Args:
            begun_before: Paths of those that earlier runs began, and this one had to do.
            ended: Whether the run came to its end, and so dealt with all of them.
        """
        for attempt in self.all():
            if self.is_hopeless(attempt) and ended:
                self.write(Attempt(attempt.path))
            elif attempt.path not in begun_before and not self.is_hopeless(attempt):
                self.end(attempt.path)

    def _names(self) -> list[str]:
        if "://" in self.folder:
            from pipelines import storage

            return [entry.path for entry in storage.walk(self.folder)]
        names = os.listdir(self.folder) if os.path.isdir(self.folder) else []
        return [name for name in names if name.endswith(".json") and os.path.isfile(os.path.join(self.folder, name))]

    def _file(self, path: str) -> str:
        return f"{self.folder}/{digest(path)}.json"

    def _read(self, file: str) -> bytes:
        if "://" in file:
            from pipelines import storage

            return storage.read(file)
        with open(file, "rb") as content:
            return content.read()


def _parsed(content: bytes) -> Attempt:
    try:
        fields: dict[str, Any] = json.loads(content)
        known = str(fields["path"]), int(fields["times"]), bool(fields["alone"]), bool(fields["crashed"])
        stage, error = str(fields.get("stage", "")), str(fields.get("error", ""))
        return Attempt(*known, stage, error, int(fields.get("process", 0)))
    except (ValueError, KeyError, TypeError):
        return Attempt()
