"""Access to files by path: on a disk (`disk`), on an object store (`objects`), or in Hadoop (`hadoop`)."""

import contextlib
import io
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, BinaryIO

from pipelines.storage import disk
from pipelines.storage.disk import TEMPORARY_NAME, TEMPORARY_SUFFIX, open_local
from pipelines.storage.entries import Entry, SourceError

__all__ = [
    "TEMPORARY_NAME",
    "TEMPORARY_SUFFIX",
    "Entry",
    "SourceError",
    "absolute",
    "configure",
    "copy",
    "delete",
    "exists",
    "is_file",
    "is_local",
    "is_same",
    "join",
    "leads_out",
    "open_local",
    "reach",
    "read",
    "reading",
    "split",
    "stat",
    "sync",
    "walk",
    "write",
    "writing",
]


def is_local(path: str) -> bool:
    """Whether a path lies on a local (or mounted) disk."""
    return "://" not in path


def _home(path: str) -> ModuleType:
    """The module for a path. All but `disk` are imported only when they are needed, because they import libraries."""
    if is_local(path):
        return disk
    if path.startswith("hdfs://"):
        from pipelines.storage import hadoop

        return hadoop
    from pipelines.storage import objects

    return objects


def join(folder: str, relative: str) -> str:
    """The path of `relative` (with `/`) below `folder`."""
    return os.path.join(folder, *relative.split("/")) if is_local(folder) else f"{folder.rstrip('/')}/{relative}"


def absolute(path: str) -> str:
    """A path that is valid in every process."""
    return os.path.abspath(path) if is_local(path) else path


def split(path: str) -> tuple[str, str]:
    """The folder and the name of a file."""
    if is_local(path):
        return os.path.dirname(os.path.abspath(path)), os.path.basename(path)
    folder, _, name = path.rpartition("/")
    return folder, name


def configure(options: Mapping[str, Any]) -> None:
    """Takes over Beam's options for S3, such as `--s3_endpoint_url`.

    Args:
        options: Beam's options by name.
    """
    from pipelines.storage import objects

    objects.configure(options)


def reach(path: str) -> None:
    """Checks that an object store answers. It does not wait for one that has never answered.

    Raises:
        OSError: It does not answer. `strerror` gives the reason in one line.
    """
    if not is_local(path):
        _home(path).reach(path)


def exists(path: str) -> bool:
    """Whether a file or a folder exists. On an object store, only folders with files exist."""
    return _home(path).exists(path)


def is_file(path: str) -> bool:
    """Whether a path is a file, not a folder."""
    return _home(path).is_file(path)


def stat(folder: str, relative: str) -> Entry:
    """The entry of one file of a folder."""
    return _home(folder).stat(folder, relative)


def walk(folder: str, others: dict[str, OSError | None] | None = None) -> Iterator[Entry]:
    """Lists all files below a folder, in no particular order.

    Args:
        folder: The folder.
        others: Gets everything that is neither a file nor a folder, by relative path. The value is None for links out
            of the folder, links to folders, pipes, sockets and devices. For broken links and unreadable folders it is
            the error. If `others` is None, an unreadable folder raises its error.
    """
    if is_local(folder):
        yield from disk.walk(folder, others)
    else:
        yield from _home(folder).walk(folder)


def leads_out(path: str, root: str) -> bool:
    """Whether a path leads out of the folder `root` through links. Always False on an object store."""
    return is_local(path) and disk.leads_out(path, root)


def is_same(first: str, second: str) -> bool:
    """Whether two paths are the same file, by device and inode. Always False on an object store."""
    return is_local(first) and is_local(second) and disk.is_same(first, second)


def read(path: str, max_bytes: int | None = None) -> bytes:
    """The whole content of a file. Never waits for a path that is not a file, such as a pipe.

    Args:
        path: Path of the file.
        max_bytes: Larger files raise an error; local disks only.
    """
    return disk.read(path, max_bytes) if is_local(path) else _home(path).read(path)


def write(path: str, content: bytes, mtime: float | None = None, like: str | None = None, replace: bool = True) -> None:
    """Writes a file, complete or not at all. Makes missing folders above it.

    Args:
        path: Path of the file.
        content: Content of the file.
        mtime: Modification time of the file, in seconds; local disks only.
        like: Path of another file; the new file gets its permissions; local disks only.
        replace: Whether to replace an existing file. On an object store every file is replaced.

    Raises:
        FileExistsError: The file exists, and may not be replaced.
        OSError: It could not be written; nothing is left under the final name.
    """
    if is_local(path):
        disk.write(path, content, mtime, like if like and is_local(like) else None, replace)
    else:
        _home(path).write(path, content)


@contextlib.contextmanager
def writing(path: str) -> Iterator[BinaryIO]:
    """Opens a file that is too large for memory, for writing. It appears complete at the end, or after an error not.

    Args:
        path: Path of the file.

    Raises:
        OSError: It could not be written; nothing is left under the final name.
    """
    if is_local(path):
        with disk.appearing(path) as temporary, open(temporary, "wb") as file:
            yield file
    else:
        with tempfile.TemporaryFile(prefix="zerodce-") as file:
            yield file
            file.seek(0)
            _home(path).write(path, file)


@contextlib.contextmanager
def reading(path: str) -> Iterator[io.BufferedReader]:
    """Opens a file that may be too large for memory, for reading. An object is read whole."""
    if is_local(path):
        with disk.open_local(path) as file:
            yield file
    else:
        yield io.BufferedReader(io.BytesIO(read(path)))


def make_folder(path: str, like: str) -> None:
    """Makes a folder that gets no more permissions than another one. Object stores have no folders.

    Args:
        path: Path of the folder; the folder above it exists.
        like: Path of the other folder; its permissions count on local disks only.
    """
    if is_local(path):
        disk.make_folder(path, like if is_local(like) else None)


def sync(paths: Iterable[str]) -> None:
    """Syncs files and their folders to the disk. On an object store, a write is safe already.

    Args:
        paths: Paths of the files. A file that no longer exists is no error.

    Raises:
        OSError: The disk could not store the data.
    """
    disk.sync(path for path in paths if is_local(path))


def copy(folder: str, entry: Entry, path: str, crc32: int, replace: bool = True) -> int:
    """Copies a file byte for byte, complete or not at all. Within a bucket of an object store, the store copies it.

    Args:
        folder: Folder of the file.
        entry: The file as it was listed. On a local disk, the copy gets its modification time and permissions.
        path: Path of the copy.
        crc32: CRC-32 of the content when it was read. It is not checked if the store copies.
        replace: Whether to replace an existing file. On an object store every file is replaced.

    Returns:
        The CRC-32 of the copied bytes. If the store copies, the argument `crc32`.

    Raises:
        SourceError: The file cannot be read, or has changed.
        FileExistsError: The copy exists, and may not be replaced.
        OSError: The copy could not be written. Nothing is left under its name.
    """
    if is_local(folder) and is_local(path):
        return disk.copy(folder, entry, path, crc32, replace)
    if folder.split("/", 3)[:3] == path.split("/", 3)[:3]:  # of one bucket
        _home(path).copy(folder, entry, path)
        return crc32
    try:
        content = read(join(folder, entry.path))
    except OSError as error:
        raise SourceError(error.strerror or str(error)) from error
    found = zlib.crc32(content)
    if found != crc32:
        raise SourceError("it changed while it was copied")
    write(path, content, entry.mtime)
    return found


def delete(paths: Iterable[str]) -> None:
    """Deletes files. A missing file is no error."""
    remote = []
    for path in paths:
        if is_local(path):
            disk.delete(path)
        else:
            remote.append(path)
    if remote:
        _home(remote[0]).delete(remote)
