"""Files wherever Beam's filesystems reach: a local disk, s3://, gs://, hdfs://.

On a local disk a file appears under its final name complete or not at all (temporary name beside the
target, then a rename); on an object store a write is one put, which has the same property.
"""

import contextlib
import dataclasses
import errno
import functools
import math
import os
import re
import shutil
import struct
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any, BinaryIO, TypeVar

import click
from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileMetadata
from apache_beam.io.filesystems import FileSystems
from apache_beam.utils import retry

from pipelines.runners import STOP

_ACL_GROUP = 0x04  # tag of the owning group's entry, as Linux stores access-control lists
TEMPORARY_SUFFIX = ".zerodce-tmp"
TEMPORARY_NAME = re.compile(rf"\.[0-9a-f]{{32}}{re.escape(TEMPORARY_SUFFIX)}")
"""The name of a file that is being written; a kill leaves it behind."""

WAIT_SECONDS = 60.0
"""How long an object store that has answered, and no longer does, is waited for at each call."""

SAY_SECONDS = 10.0
"""How often it is said what is waited for."""

_Result = TypeVar("_Result")


class SourceError(Exception):
    """A file that was to be copied cannot be read, or is another by now."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A file found: `path` relative to the listed folder with `/`, `size` in bytes, `mtime` in seconds."""

    path: str
    size: int
    mtime: float


def is_local(path: str) -> bool:
    """Whether a path lies on a local (or mounted) disk."""
    return "://" not in path


def join(folder: str, relative: str) -> str:
    """The path of `relative` (with `/`) below `folder`."""
    return os.path.join(folder, *relative.split("/")) if is_local(folder) else f"{folder.rstrip('/')}/{relative}"


def absolute(path: str) -> str:
    """A path that means the same in every process."""
    return os.path.abspath(path) if is_local(path) else path


class _GoneError(OSError):
    """An object store that does not answer, or only that it is out of order."""


@contextlib.contextmanager
def _reaching(path: str) -> Iterator[None]:
    """Whatever the library of an object store raises, as an OSError whose `strerror` is one line."""
    _prepare_beam()
    _asking.now = True
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and not isinstance(error, BeamIOError):
            raise
        cause: Any = error
        while isinstance(cause, BeamIOError) and cause.exception_details:
            cause = next(iter(cause.exception_details.values()))
        kind = _GoneError if _is_gone(cause) else OSError
        number = errno.ENOSPC if _status(cause) == 507 else errno.EIO
        raise kind(number, str(getattr(cause, "message", cause)).split("\n", 1)[0], path) from error
    finally:
        _asking.now = False


def _status(cause: Any) -> int | None:
    """The HTTP status that an object store answered."""
    status = getattr(cause, "code", None)
    if status is None and hasattr(cause, "response"):
        status = cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status if isinstance(status, int) else None


def _is_gone(cause: BaseException) -> bool:
    """Whether an error means that a store does not answer, or only that it is out of order or overloaded."""
    if (status := _status(cause)) is not None:
        return status in (429, 500, 502, 503, 504)
    # Beam wraps what botocore raises, which it says nothing of but in words
    return any(
        kind.__name__ in ("ConnectionError", "HTTPClientError") and kind.__module__ == "botocore.exceptions"
        for error in (cause, cause.__context__)
        for kind in type(error).__mro__
    )


_asking = threading.local()  # whether this thread is asking an object store, by `now`
_answered: set[str] = set()  # stores that have answered in this process
_said = {"time": -math.inf}  # when it was last said what is waited for


def _patient(function: Callable[..., _Result]) -> Callable[..., _Result]:
    """A function of a path that, where an object store no longer answers, says so, and tries for `WAIT_SECONDS`.

    A store that has never answered is not waited for.
    """

    @functools.wraps(function)
    def patient(path: str, *arguments: Any, **options: Any) -> _Result:
        if is_local(path):
            return function(path, *arguments, **options)
        store = "/".join(path.split("/", 3)[:3])
        started, pause = math.nan, 1.0
        while True:
            try:
                result = function(path, *arguments, **options)
                _answered.add(store)
                return result
            except _GoneError as error:
                now = time.monotonic()
                started = now if math.isnan(started) else started
                left = started + WAIT_SECONDS - now
                if store not in _answered:
                    raise OSError(error.errno, error.strerror, path) from error
                if left <= 0 or STOP.is_set():
                    _answered.discard(store)  # not to be waited for again by whoever asks next
                    text = f"{store} has not answered for {now - started:.0f} s ({error.strerror})"
                    raise OSError(errno.EIO, text, path) from error
                _say_waiting(store, str(error.strerror), left)
                STOP.wait(min(pause, left))
                pause = min(2 * pause, 10)

    return patient


def _say_waiting(store: str, reason: str, left: float) -> None:
    """Says, once in a while for all threads, what is waited for."""
    now = time.monotonic()
    if now - _said["time"] >= SAY_SECONDS:
        _said["time"] = now
        click.echo(f"Waiting for {store}, which does not answer ({reason}): for {left:.0f} s more.", err=True)


@functools.cache
def _prepare_beam() -> None:
    """Takes from Beam what it does for every file by itself: waiting silently, for minutes; reading data of S3."""
    sleep = retry.Clock.sleep

    def sleep_elsewhere(clock: retry.Clock, seconds: float) -> None:
        error = sys.exc_info()[1]
        if error is not None and getattr(_asking, "now", False):
            raise error  # `_patient` waits, and says so
        sleep(clock, seconds)

    retry.Clock.sleep = sleep_elsewhere  # type: ignore[method-assign]
    try:
        import botocore.config
        import botocore.session
    except ImportError:
        return
    botocore.session.create_loader = functools.cache(botocore.session.create_loader)  # 0.1 s a client
    get_session = botocore.session.get_session

    def with_limits(*arguments: Any, **options: Any) -> Any:
        session = get_session(*arguments, **options)
        limits = {"connect_timeout": 10, "read_timeout": 30, "retries": {"total_max_attempts": 2}}
        session.set_default_client_config(botocore.config.Config(**limits))
        return session

    botocore.session.get_session = with_limits


@_patient
def reach(path: str) -> None:
    """Asks an S3 bucket whether it answers; one that never has is asked once.

    Raises:
        OSError: It does not; `strerror` says why in a line.
    """
    if path.startswith("s3://"):
        with _reaching(path):
            from apache_beam.io.aws.clients.s3.boto3_client import Client

            bucket = path.removeprefix("s3://").partition("/")[0]
            options = FileSystems.get_filesystem(path)._options  # type: ignore[attr-defined]
            Client(options).client.head_bucket(Bucket=bucket)


@_patient
def exists(path: str) -> bool:
    """Whether a file, or a folder, is there; on an object store a folder is one that holds files."""
    if is_local(path):
        return os.path.exists(path)
    with _reaching(path):
        return is_file(path) or any(_below(path, first_only=True))


def _pattern(path: str) -> str:
    """A pattern that matches a path of an object store, and hardly another: Beam has no way to quote `[ ? *`."""
    return re.sub(r"[\[?*]", "?", path)


def _below(folder: str, first_only: bool = False) -> Iterator[FileMetadata]:
    """The files below a folder of an object store; not necessarily all of them if only the first is asked for."""
    prefix = folder.rstrip("/") + "/"
    pattern = _pattern(prefix)
    (match,) = FileSystems.match([f"{pattern}**"], [1] if first_only and pattern == prefix else None)
    return (found for found in match.metadata_list if found.path.startswith(prefix))


@_patient
def is_file(path: str) -> bool:
    """Whether a path is a file, not a folder."""
    if is_local(path):
        return os.path.isfile(path)
    with _reaching(path):
        return not path.endswith("/") and FileSystems.exists(path)


def split(path: str) -> tuple[str, str]:
    """The folder and the name of a file."""
    if is_local(path):
        return os.path.dirname(os.path.abspath(path)), os.path.basename(path)
    folder, _, name = path.rpartition("/")
    return folder, name


@_patient
def stat(folder: str, relative: str) -> Entry:
    """One file of a folder."""
    path = join(folder, relative)
    if is_local(path):
        found = os.stat(path)
        return Entry(relative, found.st_size, found.st_mtime)
    with _reaching(path):
        (match,) = FileSystems.match([_pattern(path)])
        (metadata,) = (found for found in match.metadata_list if found.path == path)
    return Entry(relative, metadata.size_in_bytes, metadata.last_updated_in_seconds)


def walk(folder: str, others: dict[str, OSError | None] | None = None) -> Iterator[Entry]:
    """Lists all files below a folder, in no particular order.

    Args:
        folder: The folder.
        others: Gets what is neither a file nor a folder, by its relative path: links that lead out of the folder, to
            another folder or nowhere, pipes, sockets and devices with None; links that lead to themselves and folders
            that cannot be read with the error, which is raised for a folder if this is None.
    """
    if not is_local(folder):
        reach(folder)
        prefix = len(folder.rstrip("/")) + 1
        for metadata in _list(folder):
            yield Entry(metadata.path[prefix:], metadata.size_in_bytes, metadata.last_updated_in_seconds)
        return
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
                else:
                    others[relative] = None
            except OSError as error:
                others[relative] = error


@_patient
def _list(folder: str) -> list[FileMetadata]:
    with _reaching(folder):
        return list(_below(folder))


def _stays_inside(link: str, root: str) -> bool:
    return Path(os.path.realpath(link)).is_relative_to(root)


def leads_out(path: str, root: str) -> bool:
    """Whether links lead what is written under a path out of a folder that it seems to lie in; local disks only."""
    return is_local(path) and not Path(os.path.realpath(os.path.dirname(path))).is_relative_to(os.path.realpath(root))


def is_same(first: str, second: str) -> bool:
    """Whether two paths are one file, by device and inode; local disks only."""
    try:
        return is_local(first) and is_local(second) and os.path.samefile(first, second)
    except FileNotFoundError:
        return False


@_patient
def read(path: str, max_bytes: int | None = None) -> bytes:
    """The whole content of a file; never waits for what is none, such as a pipe.

    Args:
        path: Path of the file.
        max_bytes: Largest file that is read; local disks only.
    """
    if is_local(path):
        with open_local(path) as file:
            if max_bytes is not None and os.fstat(file.fileno()).st_size > max_bytes:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
            return file.read()
    with _reaching(path), FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        return file.read()


def open_local(path: str) -> BinaryIO:
    """Opens a file on a local disk for reading; what is no regular file, such as a pipe, is refused, never waited for.

    Raises:
        OSError: It cannot be read, or is no file.
    """
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115
    mode = os.fstat(file.fileno()).st_mode
    if not S_ISREG(mode):
        file.close()
        raise OSError(errno.EISDIR if S_ISDIR(mode) else errno.EINVAL, "it is not a regular file", path)
    return file


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


@_patient
def write(path: str, content: bytes, mtime: float | None = None, like: str | None = None) -> None:
    """Writes a file, complete or not at all, making the folders above it.

    Args:
        path: Path of the file; a file already there is replaced.
        content: Content of the file.
        mtime: Modification time to give it, in seconds; local disks only.
        like: Path of a file whose permissions it gets; local disks only.

    Raises:
        OSError: It could not be written; nothing is left under the final name.
    """
    if not is_local(path):
        with (
            _reaching(path),
            FileSystems.create(
                path, mime_type="application/octet-stream", compression_type=CompressionTypes.UNCOMPRESSED
            ) as file,
        ):
            file.write(content)
        return
    with _appearing(path, like) as temporary:
        with open(temporary, "wb") as file:
            file.write(content)
        if mtime is not None:
            os.utime(temporary, (mtime, mtime))


def sync(paths: Iterable[str]) -> None:
    """Forces files and the folders that they are in to the disk; local disks only, elsewhere a write is safe already.

    Args:
        paths: Paths of the files; one that has gone meanwhile is no error.

    Raises:
        OSError: The disk could not take what had been written.
    """
    local = [path for path in paths if is_local(path)]
    for path in [*local, *dict.fromkeys(os.path.dirname(path) or "." for path in local)]:
        try:
            opened = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        except (FileNotFoundError, PermissionError):  # Windows opens no folders
            continue
        try:
            os.fsync(opened)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # a network's disk that syncs by itself
                raise OSError(error.errno, error.strerror, path) from error
        finally:
            os.close(opened)


@contextlib.contextmanager
def _appearing(path: str, like: str | None = None) -> Iterator[str]:
    """An empty file beside a path of a local disk to write to: it gets the path at the end, or goes after an error.

    Nobody may read it whom the permissions of the file `like`, which it has at the end, do not let.
    """
    permissions = None if like is None else _permissions(like)
    _make_folders(os.path.dirname(path) or ".", like and os.path.dirname(like))
    # the name of the target does not enter: it may already be as long as a name can be
    temporary = os.path.join(os.path.dirname(path), f".{uuid.uuid4().hex}{TEMPORARY_SUFFIX}")
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if permissions is None else 0o600))
        yield temporary
        if permissions is not None:
            with contextlib.suppress(PermissionError):  # a disk that has none
                os.chmod(temporary, permissions)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _make_folders(folder: str, like: str | None = None) -> None:
    """Makes a folder and those above it; one called as its counterpart in `like` gets no more permissions than that."""
    if os.path.isdir(folder):
        return
    name = os.path.basename(folder)
    counterpart = like if like and name and name == os.path.basename(like) else None
    if os.path.dirname(folder) not in ("", folder):
        _make_folders(os.path.dirname(folder), counterpart and os.path.dirname(counterpart))
    permissions = _permissions(counterpart) if counterpart else None
    with contextlib.suppress(FileExistsError):  # another thread made it
        os.mkdir(folder, 0o777 if permissions is None else permissions | 0o700)
    if not os.path.isdir(folder):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), folder)


def _permissions(path: str) -> int | None:
    """Who may read, write and execute a file; None if it is not on a local disk, or not there.

    With an access-control list (POSIX ACL) the group's permissions in the mode are the list's mask; then the group gets
    what the list has for it.
    """
    try:
        if not is_local(path):
            return None
        mode = os.stat(path).st_mode & 0o777
    except FileNotFoundError:
        return None
    try:
        entries = os.getxattr(path, "system.posix_acl_access")[4:]
    except (OSError, AttributeError):  # none, or a system without
        return mode
    of_group = [permissions for tag, permissions, _ in struct.iter_unpack("<HHL", entries) if tag == _ACL_GROUP]
    return mode & (0o707 | (of_group[0] & 7) << 3) if of_group else mode


def copy(folder: str, entry: Entry, path: str) -> None:
    """Copies a file byte for byte, complete or not at all; within an object store, the store does it.

    Args:
        folder: Folder of the file.
        entry: The file as it was listed; on a local disk the copy gets its modification time and permissions.
        path: Path of the copy; a file already there is replaced.

    Raises:
        SourceError: The file cannot be read, or is not what `entry` says any more.
        OSError: The copy could not be written; nothing is left under its name.
    """
    source = join(folder, entry.path)
    if is_local(source) and is_local(path):
        with _appearing(path, source) as temporary:
            try:
                shutil.copyfile(source, temporary)
            except OSError as error:
                if error.filename == source and error.filename2 is None:
                    raise SourceError(error.strerror or str(error)) from error
                raise
            _check_same(folder, entry)
            os.utime(temporary, (entry.mtime, entry.mtime))
    elif source.split("://")[0] == path.split("://")[0]:
        with _reaching(path):
            FileSystems.copy([source], [path])
        try:
            _check_same(folder, entry)
        except SourceError:
            delete([path])
            raise
    else:
        try:
            content = read(source)
        except OSError as error:
            raise SourceError(error.strerror or str(error)) from error
        _check_same(folder, entry)
        write(path, content, entry.mtime)


def _check_same(folder: str, entry: Entry) -> None:
    try:
        same = stat(folder, entry.path) == entry
    except (OSError, ValueError) as error:
        raise SourceError(f"it went while it was copied ({error})") from error
    if not same:
        raise SourceError("it changed while it was copied")


def delete(paths: Iterable[str]) -> None:
    """Deletes files; one that is not there is no error."""
    remote = []
    for path in paths:
        if is_local(path):
            Path(path).unlink(missing_ok=True)
        else:
            remote.append(path)
    if remote:
        _delete_remote(remote[0], remote)


@_patient
def _delete_remote(first: str, paths: list[str]) -> None:
    with _reaching(first):
        FileSystems.delete(paths)
