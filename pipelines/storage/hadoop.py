"""Files on hdfs://, through Beam's file system, because obstore has no client for it."""

import contextlib
import errno
import io
import os
import re
import shutil
from collections.abc import Iterator
from typing import BinaryIO

from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileMetadata
from apache_beam.io.filesystems import FileSystems

from pipelines.storage.entries import Entry, SourceError


@contextlib.contextmanager
def _asking(path: str) -> Iterator[None]:
    """Converts Beam's exceptions into an OSError. Its `strerror` is one line."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and not isinstance(error, BeamIOError):
            raise
        cause: BaseException = error
        while isinstance(cause, BeamIOError) and cause.exception_details:
            cause = next(iter(cause.exception_details.values()))
        raise OSError(errno.EIO, str(cause).split("\n", 1)[0], path) from error


def reach(path: str) -> None:
    """Checks that the file system answers."""
    exists(path)


def exists(path: str) -> bool:
    """Whether a file exists, or a folder with files."""
    return is_file(path) or any(True for _ in _below(path))


def is_file(path: str) -> bool:
    """Whether a path is a file, not a folder."""
    with _asking(path):
        return not path.endswith("/") and bool(FileSystems.exists(path))


def stat(folder: str, relative: str) -> Entry:
    """The entry of one file of a folder."""
    path = f"{folder.rstrip('/')}/{relative}"
    for found in _matching(path, _pattern(path)):
        if found.path == path:
            return Entry(relative, found.size_in_bytes, found.last_updated_in_seconds)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def _pattern(path: str) -> str:
    """A pattern that matches a path, and few other paths. Beam cannot quote `[ ? *`, so these become `?`."""
    return re.sub(r"[\[?*]", "?", path)


def _matching(path: str, pattern: str) -> list[FileMetadata]:
    with _asking(path):
        (match,) = FileSystems.match([pattern])
        return list(match.metadata_list)


def _below(folder: str) -> Iterator[FileMetadata]:
    prefix = folder.rstrip("/") + "/"
    return (found for found in _matching(folder, f"{_pattern(prefix)}**") if found.path.startswith(prefix))


def walk(folder: str) -> Iterator[Entry]:
    """Lists all files below a folder, in no particular order; see `pipelines.storage.walk`."""
    start = len(folder.rstrip("/")) + 1
    for found in _below(folder):
        yield Entry(found.path[start:], found.size_in_bytes, found.last_updated_in_seconds)


def read(path: str) -> bytes:
    """The whole content of a file."""
    with _asking(path), FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        return bytes(file.read())


def write(path: str, content: bytes | BinaryIO) -> None:
    """Writes a file. The content may be a file that is open for reading."""
    octets, plain = "application/octet-stream", CompressionTypes.UNCOMPRESSED
    with _asking(path), FileSystems.create(path, mime_type=octets, compression_type=plain) as file:
        shutil.copyfileobj(io.BytesIO(content) if isinstance(content, bytes) else content, file)


def copy(folder: str, entry: Entry, path: str) -> None:
    """Copies a file within the file system; see `pipelines.storage.copy`."""
    try:
        with _asking(path):
            FileSystems.copy([f"{folder.rstrip('/')}/{entry.path}"], [path])
        same = stat(folder, entry.path) == entry
    except FileNotFoundError as error:
        raise SourceError("it was gone before it was copied") from error
    if not same:
        delete([path])
        raise SourceError("it changed while it was copied")


def delete(paths: list[str]) -> None:
    """Deletes files. A missing file is no error."""
    there = [path for path in paths if is_file(path)]
    if there:
        with _asking(there[0]):
            FileSystems.delete(there)
