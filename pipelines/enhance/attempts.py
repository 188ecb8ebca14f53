"""Which photos are in work: a small file for each while it is, so that one that ends its process is known by it.

Imports nothing heavy: the process that watches over the job reads it as well.
"""

import dataclasses
import json
import os
import tempfile
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
    """

    path: str = ""
    times: int = 1
    alone: bool = False
    crashed: bool = False


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
        return attempt.crashed or attempt.times >= self.limit

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
        """All photos that are in work or were when a process ended, on a local disk."""
        found = []
        for name in sorted(os.listdir(self.folder)) if os.path.isdir(self.folder) else []:
            if name.endswith(".json") and os.path.isfile(os.path.join(self.folder, name)):
                found.append(_parsed(self._read(os.path.join(self.folder, name))))
        return found

    def condemn(self) -> None:
        """Writes down that a process was ended by what it did alone; nobody may be working."""
        for attempt in self.all():
            if attempt.alone and attempt.path:
                self.write(dataclasses.replace(attempt, crashed=True))

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
        return Attempt(str(fields["path"]), int(fields["times"]), bool(fields["alone"]), bool(fields["crashed"]))
    except (ValueError, KeyError, TypeError):
        return Attempt()
