"""Files on a local or mounted disk.

A file appears under its final name complete or not at all. It is written beside the target under a temporary name, and
then renamed.
"""

import contextlib
import errno
import io
import os
import re
import struct
import uuid
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from pipelines.storage.entries import Entry, SourceError

TEMPORARY_SUFFIX = ".zerodce-tmp"
TEMPORARY_NAME = re.compile(rf"\.[0-9a-f]{{32}}{re.escape(TEMPORARY_SUFFIX)}")
"""The name of a file that is being written. A kill leaves such a file behind."""

_ACL_GROUP = 0x04  # tag of the owning group's entry in an access-control list of Linux
_CHUNK = 1 << 20  # bytes that a copy reads at a time


def exists(path: str) -> bool:
    """Whether a file or a folder exists."""
    return os.path.exists(path)


def is_file(path: str) -> bool:
    """Whether a path is a file, not a folder."""
    return os.path.isfile(path)


def stat(folder: str, relative: str) -> Entry:
    """The entry of one file of a folder."""
    found = os.stat(os.path.join(folder, *relative.split("/")))
    return Entry(relative, found.st_size, found.st_mtime)


def walk(folder: str, others: dict[str, OSError | None] | None = None) -> Iterator[Entry]:
    """Lists all files below a folder, in no particular order; see `pipelines.storage.walk`."""
    root = os.path.realpath(folder)
    raising = others is None
    others = {} if others is None else others
    pending = [""]
    while pending:
        parent = pending.pop()
        try:
            with os.scandir(os.path.join(root, parent)) as entries:
                found = list(entries)
        except OSError as error:
            if raising or not parent:
                raise
            others[parent] = error
            continue
        for entry in found:
            relative = f"{parent}/{entry.name}" if parent else entry.name
            try:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(relative)
                elif entry.is_file() and not (entry.is_symlink() and not _stays_inside(entry.path, root)):
                    status = entry.stat()
                    yield Entry(relative, status.st_size, status.st_mtime)
                elif entry.is_symlink() and not os.path.exists(entry.path):
                    others[relative] = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), entry.path)
                else:
                    others[relative] = None
            except OSError as error:
                others[relative] = error


def _stays_inside(link: str, root: str) -> bool:
    return Path(os.path.realpath(link)).is_relative_to(root)


def leads_out(path: str, root: str) -> bool:
    """Whether a path leads out of the folder `root` through links."""
    return not Path(os.path.realpath(os.path.dirname(path))).is_relative_to(os.path.realpath(root))


def is_same(first: str, second: str) -> bool:
    """Whether two paths are the same file, by device and inode."""
    try:
        return os.path.samefile(first, second)
    except FileNotFoundError:
        return False


def read(path: str, max_bytes: int | None = None) -> bytes:
    """The whole content of a file; see `pipelines.storage.read`."""
    with open_local(path) as file:
        if max_bytes is not None and os.fstat(file.fileno()).st_size > max_bytes:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        return file.read()


def open_local(path: str) -> io.BufferedReader:
    """Opens a file on a local disk for reading. Never waits for a path that is not a regular file, such as a pipe.

    Raises:
        OSError: It cannot be read, or is not a regular file.
    """
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115
    mode = os.fstat(file.fileno()).st_mode
    if not S_ISREG(mode):
        file.close()
        raise OSError(errno.EISDIR if S_ISDIR(mode) else errno.EINVAL, "it is not a regular file", path)
    return file


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def write(path: str, content: bytes, mtime: float | None = None, like: str | None = None, replace: bool = True) -> None:
    """Writes a file, complete or not at all; see `pipelines.storage.write`."""
    with appearing(path, like, replace) as temporary:
        with open(temporary, "wb") as file:
            file.write(content)
        if mtime is not None:
            os.utime(temporary, (mtime, mtime))


def sync(paths: Iterable[str]) -> None:
    """Syncs files and their folders to the disk.

    Args:
        paths: Paths of the files. A file that no longer exists is no error.

    Raises:
        OSError: The disk could not store the data.
    """
    files = list(paths)
    for path in [*files, *dict.fromkeys(os.path.dirname(path) or "." for path in files)]:
        try:
            opened = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        except (FileNotFoundError, PermissionError):  # Windows cannot open folders
            continue
        try:
            os.fsync(opened)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # a network disk that does not support it
                raise OSError(error.errno, error.strerror, path) from error
        finally:
            os.close(opened)


@contextlib.contextmanager
def appearing(path: str, like: str | None = None, replace: bool = True) -> Iterator[str]:
    """Gives an empty temporary file beside `path`. At the end it is renamed to `path`; after an error it is deleted.

    With `like`, only the owner may read the file while it is written. At the end it gets the permissions of `like`.
    Without `replace`, a file that exists at the end stays, and FileExistsError is raised.
    """
    permissions = None if like is None else _permissions(like)
    _make_folders(os.path.dirname(path) or ".", like and os.path.dirname(like))
    # without the name of the target, which may already have the greatest length
    temporary = os.path.join(os.path.dirname(path), f".{uuid.uuid4().hex}{TEMPORARY_SUFFIX}")
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if permissions is None else 0o600))
        yield temporary
        if permissions is not None:
            with contextlib.suppress(PermissionError):  # a disk without permissions
                os.chmod(temporary, permissions)
        if replace:
            os.replace(temporary, path)
        else:
            _rename_to_new(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _rename_to_new(temporary: str, path: str) -> None:
    """Renames a file. Raises FileExistsError if something has the new name; a rename would replace it."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError as error:  # a disk without hard links
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path) from error
        os.replace(temporary, path)
    else:
        os.unlink(temporary)


def _make_folders(folder: str, like: str | None = None) -> None:
    """Makes a folder and the folders above it.

    A folder with the same name as its counterpart in the path `like` gets no more permissions than the counterpart.
    """
    if os.path.isdir(folder):
        return
    name = os.path.basename(folder)
    counterpart = like if like and name and name == os.path.basename(like) else None
    if os.path.dirname(folder) not in ("", folder):
        _make_folders(os.path.dirname(folder), counterpart and os.path.dirname(counterpart))
    make_folder(folder, counterpart)


def make_folder(folder: str, like: str | None) -> None:
    """Makes a folder that gets no more permissions than the folder `like`, if there is one."""
    permissions = _permissions(like) if like else None
    with contextlib.suppress(FileExistsError):  # it exists, or another thread made it
        os.mkdir(folder, 0o777 if permissions is None else permissions | 0o700)
    if not os.path.isdir(folder):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), folder)


def _permissions(path: str) -> int | None:
    """The permissions of a file; None if it does not exist.

    If the file has an access-control list (POSIX ACL), the mode holds the mask of the list instead of the group's
    permissions. Then the group's permissions come from the list.
    """
    try:
        mode = os.stat(path).st_mode & 0o777
    except FileNotFoundError:
        return None
    try:
        entries = os.getxattr(path, "system.posix_acl_access")[4:]
    except (OSError, AttributeError):  # no list, or a system without lists
        return mode
    of_group = [permissions for tag, permissions, _ in struct.iter_unpack("<HHL", entries) if tag == _ACL_GROUP]
    return mode & (0o707 | (of_group[0] & 7) << 3) if of_group else mode


def copy(folder: str, entry: Entry, path: str, crc32: int, replace: bool = True) -> int:
    """Copies a file byte for byte, complete or not at all; see `pipelines.storage.copy`."""
    source = os.path.join(folder, *entry.path.split("/"))
    with appearing(path, source, replace) as temporary:
        with open(temporary, "wb") as file:
            found = 0
            for chunk in _chunks(source):
                found = zlib.crc32(chunk, found)
                file.write(chunk)
        if found != crc32 or stat(folder, entry.path) != entry:
            raise SourceError("it changed while it was copied")
        os.utime(temporary, (entry.mtime, entry.mtime))
    return found


def _chunks(source: str) -> Iterator[bytes]:
    """The content of a file to copy, in chunks."""
    try:
        with open_local(source) as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise SourceError(error.strerror or str(error)) from error


def delete(path: str) -> None:
    """Deletes a file. A missing file is no error."""
    Path(path).unlink(missing_ok=True)
