"""The journal: one line of JSON for each photo that is finished or failed. It survives a kill and a loss of power.

On a local disk, each process appends to a file of its own. Nothing can be appended to an object, so on an object store
each process writes segments: an object for at most `SEGMENT_RECORDS` photos or `SEGMENT_SECONDS`, and one at the end of
each bundle. A kill costs at most the photos of a segment, which are enhanced again. A line that a kill cut short does
not count. If several lines are about one photo, the latest counts.
"""

import dataclasses
import errno
import io
import itertools
import json
import os
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, NamedTuple

from pipelines import storage
from pipelines.sorted_map import SortedMap
from pipelines.threads import ordered_map

SUFFIX = ".jsonl"
READERS = 16
"""Objects read at a time."""

SEGMENT_RECORDS, SEGMENT_SECONDS = 100, 10.0
"""Records in a segment, at most, and seconds that its first record waits for others, as long as photos are finished."""

RECORDS_IN_A_FILE = 20_000
"""Records in each file of a compacted journal, which take about 8 MB."""

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
        when: Date in the history of the enhanced photo; empty if there is none.
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
    when: str = ""
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


class _Pending(NamedTuple):
    """A record that is not safe yet: its line, the images to sync before it, and the file to delete after it."""

    line: bytes
    images: Collection[str]
    mark: str | None


class Journal:
    """The journal in a folder. It can be pickled: each process writes files of its own.

    Args:
        folder: The folder.
        skip: Names of files that `is_done` and `read_new` do not read: those from before the job.
    """

    def __init__(self, folder: str, skip: frozenset[str] = frozenset()) -> None:
        self.folder = folder
        self.skip = skip
        self._file: int | None = None
        self._held: SortedMap[PhotoRecord] | None = None
        self._lock = threading.Lock()
        self._pending: list[_Pending] = []
        self._since = 0.0  # when the first of them came
        self._writer = ThreadPoolExecutor(1)
        self._error: OSError | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Journal, (self.folder, self.skip)

    def append(self, record: PhotoRecord, images: Collection[str] = (), mark: str | None = None) -> None:
        """Adds a record. It is safe once `flush` has returned. Threads may call this at the same time.

        Args:
            record: The record.
            images: Paths of the photo's output images. They are synced to the disk before the record is.
            mark: A file to delete when the record is safe: it says that the photo is in work.

        Raises:
            OSError: This record, or an earlier one, could not be written.
        """
        self._check()
        with self._lock:
            self._pending.append(_Pending(record.line(), images, mark))
            count = len(self._pending)
            if count == 1:
                self._since = time.monotonic()
            # on a disk, a group gathers while the disk is busy with the one before
            full = count % SEGMENT_RECORDS == 0 or time.monotonic() - self._since > SEGMENT_SECONDS
            if full or (count == 1 and storage.is_local(self.folder)):
                self._writer.submit(self._write)

    def flush(self) -> None:
        """Waits until all appended records are safe. Raises OSError if one could not be written."""
        self._writer.submit(self._write)
        self._writer.submit(self._check).result()

    def close(self) -> None:
        """Closes the file, once all appended records are safe. A later record opens a new one.

        Raises:
            OSError: A record could not be written.
        """
        try:
            self.flush()
        finally:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _check(self) -> None:
        if self._error:
            raise OSError(self._error.errno, self._error.strerror, self._error.filename) from self._error

    def _write(self) -> None:
        """Writes all pending records as one group. The next group gathers meanwhile."""
        with self._lock:
            group, self._pending = self._pending, []
        if not group or self._error:  # after an error, later successes of the disk cannot be trusted
            return
        lines = b"".join(pending.line for pending in group)
        try:
            storage.sync(path for pending in group for path in pending.images)
            if storage.is_local(self.folder):
                self._append_to_file(lines)
            else:
                storage.write(self._new(), lines)
            storage.delete(pending.mark for pending in group if pending.mark)
        except OSError as error:
            self._error = error

    def _append_to_file(self, lines: bytes) -> None:
        if self._file is None:
            os.makedirs(self.folder, exist_ok=True)
            name = self._new()
            self._file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
            storage.sync([name])
        if os.write(self._file, lines) != len(lines):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.folder)
        os.fsync(self._file)

    def _new(self) -> str:
        """The path of a new file of the journal."""
        return storage.join(self.folder, uuid.uuid4().hex + SUFFIX)

    def is_done(self, version: Version, outputs: Outputs, size_of: Callable[[str], int | None]) -> bool:
        """`PhotoRecord.is_done` for workers.

        The first call reads the journal but the files of `skip`. It does not see later records of other processes.
        """
        with self._lock:
            if self._held is None:
                self._held = self.read_new()
        record = self._held.get(version.path)
        return record is not None and record.is_done(version, outputs, size_of)

    def skip_present(self) -> None:
        """Lets `is_done` skip what is in the journal now: before a job that leaves out all photos that are done."""
        self.skip = frozenset(self._names())

    def read(self) -> SortedMap[PhotoRecord]:
        """The latest record of every photo, by path."""
        self.flush()
        return self._latest()

    def read_new(self) -> SortedMap[PhotoRecord]:
        """The latest record of every photo in the files that are not in `skip`, by path."""
        return self._latest(self.skip)

    def _latest(self, skip: Collection[str] = ()) -> SortedMap[PhotoRecord]:
        latest: SortedMap[PhotoRecord] = SortedMap(_fields, _record, rank=lambda record: record.time)
        latest.merge((record.path, record) for record in self._records(skip))
        return latest

    def forget(self, known: Mapping[str, PhotoRecord], paths: Container[str]) -> None:
        """Removes photos that will be enhanced again from the journal, so that no worker takes them for done.

        Args:
            known: Records of the journal, by path. No process may be appending.
            paths: The photos; most of them are not in the journal.
        """
        if any(path in paths for path in known):
            self.compact(record for record in known.values() if record.path not in paths)

    def compact(self, records: Iterable[PhotoRecord]) -> None:
        """Replaces the whole journal by these records, in few files. No process may be appending."""
        self.close()
        old, new = self._names(), []
        for chunk in _chunks(records, RECORDS_IN_A_FILE):
            new.append(self._new())
            storage.write(new[-1], b"".join(record.line() for record in chunk))
        storage.sync(new)
        storage.delete(storage.join(self.folder, name) for name in old)

    def _records(self, skip: Collection[str] = ()) -> Iterator[PhotoRecord]:
        seen = set(skip)
        while names := [name for name in self._names() if name not in seen]:
            seen.update(names)
            gone = False
            is_local = storage.is_local(self.folder)
            opened = map(self._open, names) if is_local else ordered_map(self._open, names, READERS, ahead=1)
            for file in opened:
                if file is None:
                    gone = True
                    continue
                with file:
                    yield from filter(None, map(parse, file))
            if not gone:
                break  # otherwise a `SegmentFollower` has merged them into a new file

    def _open(self, name: str) -> BinaryIO | None:
        """A file of the journal, read line by line on a disk, and whole from an object store."""
        path = storage.join(self.folder, name)
        try:
            return storage.open_local(path) if storage.is_local(path) else io.BytesIO(storage.read(path))
        except FileNotFoundError:
            return None

    def _names(self) -> list[str]:
        if not storage.exists(self.folder) and storage.is_local(self.folder):
            return []
        return names_in(self.folder)


def names_in(folder: str) -> list[str]:
    """The names of a journal's files."""
    return [entry.path for entry in storage.walk(folder) if entry.path.endswith(SUFFIX)]


def _chunks(records: Iterable[PhotoRecord], size: int) -> Iterator[list[PhotoRecord]]:
    """Lists of at most `size` records; one empty list if there are no records."""
    left = iter(records)
    chunk = list(itertools.islice(left, size))
    yield chunk
    while chunk := list(itertools.islice(left, size)):
        yield chunk


def _fields(record: PhotoRecord) -> tuple[Any, ...]:
    return tuple(vars(record).values())


def _record(fields: tuple[Any, ...]) -> PhotoRecord:
    return PhotoRecord(*fields)


def parse(line: bytes) -> PhotoRecord | None:
    """The record in a line; None if the line was cut short, is damaged, or holds something else.

    Older versions wrote lines without a checksum.
    """
    head, check, number = line.rstrip(b"\n").rpartition(_CHECK)
    content = head + b"}" if check else line
    if check and number != f"{zlib.crc32(content)}}}".encode():
        return None
    try:
        fields = json.loads(content)
        fields |= {name: tuple(fields.get(name, ())) for name in ("unchanged", "sizes", "crc32")}
        record = PhotoRecord(**fields)
    except (ValueError, TypeError, AttributeError):
        return None
    if not _is_sound(record):
        return None
    return record if check or not record.row or record.row.keys() >= _OTHERS else None


def _is_sound(record: PhotoRecord) -> bool:
    """Whether all fields have the right types."""
    texts: list[Any] = [record.path, record.settings, record.when]
    numbers: list[Any] = [record.size, record.mtime, record.time, *record.sizes, *record.crc32]
    for part, names in ((record.row, ("path", "output", "notes")), (record.failure, ("stage", "error"))):
        if not isinstance(part, dict | None):
            return False
        texts += [part.get(name) for name in names] if part else []
    numbers += [record.row.get(name) for name in _NUMBERS] if record.row else []
    return all(isinstance(text, str) for text in texts) and all(isinstance(number, int | float) for number in numbers)
