"""Follows a journal while other processes write it: for the progress of a job."""

import contextlib
import io
import os
import time
import uuid
from collections.abc import Iterator
from typing import Protocol

from pipelines import storage
from pipelines.enhance.journal import READERS, SUFFIX, PhotoRecord, names_in, parse
from pipelines.threads import ordered_map

POLL_SECONDS = 5.0
"""Seconds between two listings of a journal on an object store."""

MERGED = 200
"""Segments that become one object."""


class Follower(Protocol):
    """Reads the new records of a journal."""

    def poll(self) -> Iterator[PhotoRecord]:
        """The records added since the last call. Records of different processes come in any order."""


def follow(folder: str) -> Follower:
    """A follower of a journal, from its present end on."""
    return FileFollower(folder) if storage.is_local(folder) else SegmentFollower(folder)


class FileFollower:
    """Reads new records of a local journal while other processes append them."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._read: dict[str, int] = {}
        list(self.poll())

    def poll(self) -> Iterator[PhotoRecord]:
        """The records added since the last call. Records of different processes come in any order."""
        if not os.path.isdir(self.folder):
            return
        for name in os.listdir(self.folder):
            if not name.endswith(SUFFIX):
                continue
            with contextlib.suppress(OSError), storage.open_local(os.path.join(self.folder, name)) as file:
                file.seek(self._read.get(name, 0))
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # still being written
                    self._read[name] = self._read.get(name, 0) + len(line)
                    if record := parse(line):
                        yield record


class SegmentFollower:
    """Reads new segments of a journal on an object store, and merges them, so that a resume reads few objects."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._seen = set(names_in(folder))
        self._segments: dict[str, bytes] = {}
        self._next = 0.0

    def poll(self) -> Iterator[PhotoRecord]:
        """The records added since the last call, at most one listing every `POLL_SECONDS`."""
        if time.monotonic() < self._next:
            return
        with contextlib.suppress(OSError):  # the workers say it if the store is gone
            names = [name for name in names_in(self.folder) if name not in self._seen]
            for name, content in zip(names, ordered_map(self._read, names, READERS), strict=True):
                self._seen.add(name)
                self._segments[name] = content
                yield from filter(None, map(parse, io.BytesIO(content)))
            if len(self._segments) >= MERGED:
                self._merge()
        self._next = time.monotonic() + POLL_SECONDS

    def _read(self, name: str) -> bytes:
        return storage.read(storage.join(self.folder, name))

    def _merge(self) -> None:
        """Replaces the segments that were read by one object."""
        name = uuid.uuid4().hex + SUFFIX
        storage.write(storage.join(self.folder, name), b"".join(self._segments.values()))
        self._seen.add(name)
        storage.delete(storage.join(self.folder, old) for old in self._segments)
        self._segments.clear()
