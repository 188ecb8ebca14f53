"""The journal: one line of JSON for each photo that is finished or failed. It survives a kill and a loss of power.

On a local disk, each process appends to a file of its own. On an object store, each photo has an object of its own.
A line that a kill cut short does not count. If several lines are about one photo, the latest counts.
"""

import contextlib
import dataclasses
import errno
import hashlib
import io
import json
import os
import sys
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from pipelines import storage
from pipelines.digests import digest
from pipelines.threads import ordered_map

SUFFIX = ".jsonl"
READERS = 32
"""Files read at a time."""

_CHECK = b', "check": '
_NUMBERS = ("width", "height", "mean_input", "mean_enhanced", "psnr_enhanced_db")  # columns that every row fills
_OTHERS = {"psnr_autocontrast_db", "exposure"}  # columns that may be empty

Outputs = Callable[[Collection[str]], Iterable[str]]
"""Gives the output images of a photo. Its argument: the folders whose image is identical to the original."""


class Written(NamedTuple):
    """The output images of a photo as they were written.

    Attributes:
        unchanged: Those of the folders "enhanced" and "autocontrast" whose image is the original, byte for byte.
        sizes: Bytes of each image, in the order of `Outputs`; empty if unknown, as in older records.
        crc32: CRC-32 of each image, in that order; empty if unknown.
    """

    unchanged: tuple[str, ...]
    sizes: tuple[int, ...]
    crc32: tuple[int, ...] = ()

    def is_there(
        self, outputs: Outputs, size_of: Callable[[str], int | None], crc32_of: Callable[[str], int] | None = None
    ) -> bool:
        """Whether the images exist as they were written.

        Args:
            outputs: Gives the output images of the photo.
            size_of: Gives the bytes of an image; None if it does not exist.
            crc32_of: Gives the CRC-32 of an existing image; if None, only sizes are compared.
        """
        images = list(outputs(self.unchanged))
        sizes = tuple(map(size_of, images))
        if None in sizes or self.sizes not in ((), sizes):
            return False
        return crc32_of is None or not self.crc32 or self.crc32 == tuple(map(crc32_of, images))


class Version(NamedTuple):
    """A version of a photo and of the settings. If any field differs, the photo is enhanced again.

    Attributes:
        path: Relative path of the original.
        size: Size of the original in bytes.
        mtime: Modification time of the original in seconds.
        settings: Digest of the model and of all settings that change the result.
    """

    path: str
    size: int
    mtime: float
    settings: str


@dataclasses.dataclass(frozen=True)
class PhotoRecord:
    """One photo, finished or failed.

    Attributes:
        path, size, mtime, settings: Fields of its `Version`.
        row: Row of metrics.csv; None if it failed.
        failure: `stage` and `error`; None if it did not fail.
        unchanged, sizes, crc32: Fields of `Written`.
        time: When the record was made, in seconds.
    """

    path: str
    size: int
    mtime: float
    settings: str
    row: dict[str, Any] | None = None
    failure: dict[str, str] | None = None
    unchanged: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    crc32: tuple[int, ...] = ()
    time: float = dataclasses.field(default_factory=time.time)

    def line(self) -> bytes:
        """The record as a line of JSON with a checksum at its end. Pure ASCII keeps any file name intact."""
        content = json.dumps(vars(self)).encode()
        return content[:-1] + _CHECK + f"{zlib.crc32(content)}}}\n".encode()

    @property
    def version(self) -> Version:
        """The version of the photo and the settings that this record is about."""
        return Version(self.path, self.size, self.mtime, self.settings)

    def is_done(
        self,
        version: Version,
        outputs: Outputs,
        size_of: Callable[[str], int | None],
        crc32_of: Callable[[str], int] | None = None,
    ) -> bool:
        """Whether a photo is done: this version was enhanced, and its images exist as they were written.

        Args:
            version: The photo as it is now.
            outputs, size_of, crc32_of: Arguments of `Written.is_there`.
        """
        written = Written(self.unchanged, self.sizes, self.crc32)
        return self.row is not None and self.version == version and written.is_there(outputs, size_of, crc32_of)


class Journal:
    """The journal in a folder. It can be pickled: each process appends to a file of its own."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._file: int | None = None
        self._held: dict[bytes, Written] | None = None
        self._lock = threading.Lock()
        self._pending: list[tuple[bytes, Collection[str]]] = []
        self._writer = ThreadPoolExecutor(1)
        self._error: OSError | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Journal, (self.folder,)

    def append(self, record: PhotoRecord, images: Collection[str] = ()) -> None:
        """Adds a record. It is safe once `flush` has returned. Threads may call this at the same time.

        Args:
            record: The record.
            images: Paths of the photo's output images. They are synced to the disk before the record is.

        Raises:
            OSError: This record, or an earlier one, could not be written.
        """
        if not storage.is_local(self.folder):
            storage.write(self._object(record.path), record.line())
            return
        self._check()
        with self._lock:
            self._pending.append((record.line(), images))
            if len(self._pending) == 1:  # the first of a group
                self._writer.submit(self._write)

    def flush(self) -> None:
        """Waits until all appended records are safe. Raises OSError if one could not be written."""
        self._writer.submit(self._check).result()

    def _check(self) -> None:
        if self._error:
            raise OSError(self._error.errno, self._error.strerror, self._error.filename) from self._error

    def _write(self) -> None:
        """Writes all pending records as one group. The next group gathers while the disk is busy with this one."""
        with self._lock:
            group, self._pending = self._pending, []
        if not group or self._error:  # after an error, later successes of the disk cannot be trusted
            return
        try:
            storage.sync(path for _, images in group for path in images)
            if self._file is None:
                os.makedirs(self.folder, exist_ok=True)
                name = os.path.join(self.folder, uuid.uuid4().hex + SUFFIX)
                self._file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
                storage.sync([name])
            lines = b"".join(line for line, _ in group)
            if os.write(self._file, lines) != len(lines):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.folder)
            os.fsync(self._file)
        except OSError as error:
            self._error = error

    def is_done(self, version: Version, outputs: Outputs, size_of: Callable[[str], int | None]) -> bool:
        """`PhotoRecord.is_done` for workers.

        On a disk, the first call reads the whole journal and keeps only the fields that decide; it does not see later
        records of other processes. On an object store, each call reads the photo's own object; it does not see records
        that `compact` has joined into one object.
        """
        if storage.is_local(self.folder):
            with self._lock:
                if self._held is None:
                    done = (record for record in self._records() if record.row is not None)
                    self._held = {_key(record.version): Written(record.unchanged, record.sizes) for record in done}
            written = self._held.get(_key(version))
            return written is not None and written.is_there(outputs, size_of)
        try:
            record = _parse(storage.read(self._object(version.path)))
        except FileNotFoundError:
            return False
        return record is not None and record.is_done(version, outputs, size_of)

    def read(self) -> dict[str, PhotoRecord]:
        """The latest record of every photo, by path."""
        self.flush()
        latest: dict[str, PhotoRecord] = {}
        for record in self._records():
            if record.path not in latest or latest[record.path].time <= record.time:
                latest[record.path] = record
        return latest

    def forget(self, known: dict[str, PhotoRecord], paths: Iterable[str]) -> None:
        """Removes photos that will be enhanced again from the journal, so that no worker takes them for done.

        Args:
            known: Records of the journal, by path. No process may be appending.
            paths: The photos; most of them are not in the journal.
        """
        again = known.keys() & set(paths)
        if again:
            self.compact(record for path, record in known.items() if path not in again)

    def compact(self, records: Iterable[PhotoRecord]) -> None:
        """Replaces the whole journal by these records, in one file. No process may be appending."""
        self.flush()
        if self._file is not None:
            os.close(self._file)
            self._file = None
        old = self._names()
        new = storage.join(self.folder, uuid.uuid4().hex + SUFFIX)
        storage.write(new, b"".join(record.line() for record in records))
        storage.sync([new])
        storage.delete(storage.join(self.folder, name) for name in old)

    def _object(self, path: str) -> str:
        """The path of a photo's record on an object store."""
        return storage.join(self.folder, hashlib.sha256(os.fsencode(path)).hexdigest() + SUFFIX)

    def _records(self) -> Iterator[PhotoRecord]:
        paths = (storage.join(self.folder, name) for name in self._names())
        for content in ordered_map(storage.read, paths, READERS):
            yield from filter(None, map(_parse, io.BytesIO(content)))

    def _names(self) -> list[str]:
        if not storage.exists(self.folder) and storage.is_local(self.folder):
            return []
        return [entry.path for entry in storage.walk(self.folder) if entry.path.endswith(SUFFIX)]


class Follower:
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
                    if record := _parse(line):
                        yield record


def _key(version: Version) -> bytes:
    """A version as a digest of 16 bytes, so that a million of them take little memory."""
    return bytes.fromhex(digest(list(version), 32))


def _shared_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose names are shared by all records, which halves the memory of a million of them."""
    return {sys.intern(name): value for name, value in pairs}


def _parse(line: bytes) -> PhotoRecord | None:
    """The record in a line; None if the line was cut short, is damaged, or holds something else.

    Older versions wrote lines without a checksum.
    """
    head, check, number = line.rstrip(b"\n").rpartition(_CHECK)
    content = head + b"}" if check else line
    if check and number != f"{zlib.crc32(content)}}}".encode():
        return None
    try:
        fields = json.loads(content, object_pairs_hook=_shared_names)
        fields["unchanged"] = tuple(map(sys.intern, fields.get("unchanged", ())))
        fields |= {name: tuple(fields.get(name, ())) for name in ("sizes", "crc32")}
        record = PhotoRecord(**fields)
    except (ValueError, TypeError, AttributeError):
        return None
    if not _is_sound(record):
        return None
    return record if check or not record.row or record.row.keys() >= _OTHERS else None


def _is_sound(record: PhotoRecord) -> bool:
    """Whether all fields have the right types."""
    texts: list[Any] = [record.path, record.settings]
    numbers: list[Any] = [record.size, record.mtime, record.time, *record.sizes, *record.crc32]
    for part, names in ((record.row, ("path", "output", "notes")), (record.failure, ("stage", "error"))):
        if not isinstance(part, dict | None):
            return False
        texts += [part.get(name) for name in names] if part else []
    numbers += [record.row.get(name) for name in _NUMBERS] if record.row else []
    return all(isinstance(text, str) for text in texts) and all(isinstance(number, int | float) for number in numbers)
