"""What is done: one line of JSON for each photo finished or failed, safe from a kill or a loss of power.

A local journal is one file for each process, appended to; on an object store it is one object for each photo.
A line that a kill cut short does not count. Of several lines about a photo the latest holds.
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
_NUMBERS = ("width", "height", "mean_input", "mean_enhanced", "psnr_enhanced_db")  # in a row
_OTHERS = {"psnr_autocontrast_db", "exposure"}  # in a row, and empty where there is none

Outputs = Callable[[Collection[str]], Iterable[str]]
"""The images that a photo consists of, from those of them that are the original."""


class Written(NamedTuple):
    """The images of a photo as they were written.

    Attributes:
        unchanged: Those of its images, "enhanced" and "autocontrast", that are the original, byte for byte.
        sizes: Bytes of its images, in the order of `Outputs`; empty if they are not known, as in older records.
        crc32: CRC-32 of its images, in that order; empty likewise.
    """

    unchanged: tuple[str, ...]
    sizes: tuple[int, ...]
    crc32: tuple[int, ...] = ()

    def is_there(
        self, outputs: Outputs, size_of: Callable[[str], int | None], crc32_of: Callable[[str], int] | None = None
    ) -> bool:
        """Whether the images are there as they were written.

        Args:
            outputs: The images that the photo consists of.
            size_of: Bytes of such an image; None if there is none.
            crc32_of: CRC-32 of an image that is there; if None, sizes have to do.
        """
        images = list(outputs(self.unchanged))
        sizes = tuple(map(size_of, images))
        if None in sizes or self.sizes not in ((), sizes):
            return False
        return crc32_of is None or not self.crc32 or self.crc32 == tuple(map(crc32_of, images))


class Version(NamedTuple):
    """A photo as it is, and how it is to be enhanced: where any of this differs, it is done again.

    Attributes:
        path: Relative path of the original.
        size: Size of the original in bytes.
        mtime: Modification time of the original in seconds.
        settings: Digest of the model and of all settings that the result depends on.
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
        unchanged: Those of its images, "enhanced" and "autocontrast", that are the original, byte for byte.
        sizes: Bytes of its images, in the order of `Outputs`; empty if they are not known, as in older records.
        crc32: CRC-32 of its images, in that order.
        time: Time of writing in seconds.
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
        """The record as a line of JSON with a checksum at its end; pure ASCII, so that any file name survives."""
        content = json.dumps(vars(self)).encode()
        return content[:-1] + _CHECK + f"{zlib.crc32(content)}}}\n".encode()

    @property
    def version(self) -> Version:
        """The photo that it is about, and how it was enhanced."""
        return Version(self.path, self.size, self.mtime, self.settings)

    def is_done(
        self,
        version: Version,
        outputs: Outputs,
        size_of: Callable[[str], int | None],
        crc32_of: Callable[[str], int] | None = None,
    ) -> bool:
        """Whether a photo is done: it was enhanced in this very version, and its images are there as they were written.

        Args:
            version: The photo as it is now.
            outputs, size_of, crc32_of: Arguments of `Written.is_there`.
        """
        written = Written(self.unchanged, self.sizes, self.crc32)
        return self.row is not None and self.version == version and written.is_there(outputs, size_of, crc32_of)


class Journal:
    """The journal in a folder. Picklable: each process that gets it appends to a file of its own."""

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
        """Adds a record, which is safe once `flush` has returned. Threads may call it at the same time.

        Args:
            record: The record.
            images: Paths of what was written of the photo, which is forced to the disk first.

        Raises:
            OSError: This record, or one before, could not be written.
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
        """Waits until all that was appended is safe, and raises the OSError if it cannot be."""
        self._writer.submit(self._check).result()

    def _check(self) -> None:
        if self._error:
            raise OSError(self._error.errno, self._error.strerror, self._error.filename) from self._error

    def _write(self) -> None:
        """Writes all that waits as one group: while the disk is busy with one, the next gathers."""
        with self._lock:
            group, self._pending = self._pending, []
        if not group or self._error:  # the disk may have lost what it could not write, whatever it says next
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
        """`PhotoRecord.is_done` for workers: they keep of all records what decides it, or look records up one by one.

        On a disk the journal is read at the first call: later records of other processes are not seen. On an object
        store the photo's own object is read at each call; what `compact` has put into one object is not seen.
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
        """Takes photos that are to be done again out of the journal, so that no worker finds them done.

        Args:
            known: Records of the journal, by path. Nobody may be appending.
            paths: The photos; most are not in it.
        """
        again = known.keys() & set(paths)
        if again:
            self.compact(record for path, record in known.items() if path not in again)

    def compact(self, records: Iterable[PhotoRecord]) -> None:
        """Replaces the whole journal by these records, in one file. Nobody may be appending."""
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
        """Where the record of a photo is on an object store."""
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
    """Reads what is appended to a local journal while others write it."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._read: dict[str, int] = {}
        list(self.poll())

    def poll(self) -> Iterator[PhotoRecord]:
        """The records added since the last call, in no particular order between processes."""
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
    """Sixteen bytes that stand for a version: a million of them take little memory."""
    return bytes.fromhex(digest(list(version), 32))


def _shared_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose names all records share: half the memory of a million of them."""
    return {sys.intern(name): value for name, value in pairs}


def _parse(line: bytes) -> PhotoRecord | None:
    """The record in a line; None if the line was cut short or damaged, or holds something else.

    A line without a checksum is of a version that wrote none.
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
    """Whether its fields are what they have to be."""
    texts: list[Any] = [record.path, record.settings]
    numbers: list[Any] = [record.size, record.mtime, record.time, *record.sizes, *record.crc32]
    for part, names in ((record.row, ("path", "output", "notes")), (record.failure, ("stage", "error"))):
        if not isinstance(part, dict | None):
            return False
        texts += [part.get(name) for name in names] if part else []
    numbers += [record.row.get(name) for name in _NUMBERS] if record.row else []
    return all(isinstance(text, str) for text in texts) and all(isinstance(number, int | float) for number in numbers)
