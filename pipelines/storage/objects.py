"""Files on object stores and other stores that Beam's file systems support: s3://, gs://, hdfs://.

A write is one put, so a file appears complete or not at all.
"""

import contextlib
import errno
import functools
import math
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click
from apache_beam.io.filesystem import BeamIOError, CompressionTypes, FileMetadata
from apache_beam.io.filesystems import FileSystems
from apache_beam.utils import retry

from pipelines.runners import STOP
from pipelines.storage.entries import Entry, SourceError

WAIT_SECONDS = 60.0
"""Seconds for which a call waits for an object store that has answered before and does not answer now."""

SAY_SECONDS = 10.0
"""Seconds between lines that say for which store the command waits."""

_Result = TypeVar("_Result")


class _GoneError(OSError):
    """An object store does not answer, or answers that it is out of order."""


class _StillGoneError(OSError):
    """An object store still does not answer, after waiting."""


@contextlib.contextmanager
def _reaching(path: str) -> Iterator[None]:
    """Converts the exceptions of an object store's library into an OSError. Its `strerror` is one line."""
    _prepare_beam()
    before, _asking.now = getattr(_asking, "now", False), True
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
        _asking.now = before


def _status(cause: Any) -> int | None:
    """The HTTP status that an object store answered; None if unknown."""
    status = getattr(cause, "code", None)
    if status is None and hasattr(cause, "response"):
        status = cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status if isinstance(status, int) else None


def _is_gone(cause: BaseException) -> bool:
    """Whether an error means that a store does not answer, or answers that it is out of order or overloaded."""
    if (status := _status(cause)) is not None:
        return status in (429, 500, 502, 503, 504)
    # Beam wraps botocore's exception, and names it only in its text; the original is in __context__
    return any(
        kind.__name__ in ("ConnectionError", "HTTPClientError") and kind.__module__ == "botocore.exceptions"
        for error in (cause, cause.__context__)
        for kind in type(error).__mro__
    )


_asking = threading.local()  # its attribute `now`: whether this thread is asking an object store
_answered: set[str] = set()  # stores that have answered in this process
_said = {"time": -math.inf}  # when the last line about waiting was printed


def _patient(function: Callable[..., _Result]) -> Callable[..., _Result]:
    """Decorates a function of a path with retries and exponential backoff, for a store that no longer answers.

    It prints that it waits, and waits for at most `WAIT_SECONDS`. It does not wait for a store that has never answered.
    """

    @functools.wraps(function)
    def patient(path: str, *arguments: Any, **options: Any) -> _Result:
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
                    raise _StillGoneError(error.errno, error.strerror, path) from error
                if left <= 0 or STOP.is_set():
                    _answered.discard(store)  # the next call must not wait again
                    text = f"{store} has not answered for {now - started:.0f} s ({error.strerror})"
                    raise _StillGoneError(errno.EIO, text, path) from error
                _say_waiting(store, str(error.strerror), left)
                STOP.wait(min(pause, left))
                pause = min(2 * pause, 10)

    return patient


def _say_waiting(store: str, reason: str, left: float) -> None:
    """Prints a line about the store that the command waits for, at most one every `SAY_SECONDS` over all threads."""
    now = time.monotonic()
    if now - _said["time"] >= SAY_SECONDS:
        _said["time"] = now
        click.echo(f"Waiting for {store}, which does not answer ({reason}): for {left:.0f} s more.", err=True)


@functools.cache
def _prepare_beam() -> None:
    """Turns off Beam's silent retries, which take minutes; `_patient` retries instead. Caches botocore's data files."""
    sleep = retry.Clock.sleep

    def sleep_elsewhere(clock: retry.Clock, seconds: float) -> None:
        error = sys.exc_info()[1]
        if error is not None and getattr(_asking, "now", False):
            raise error  # `_patient` waits, and prints a line
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
    """Checks that an S3 bucket answers; see `pipelines.storage.reach`."""
    if path.startswith("s3://"):
        with _reaching(path):
            from apache_beam.io.aws.clients.s3.boto3_client import Client

            bucket = path.removeprefix("s3://").partition("/")[0]
            options = FileSystems.get_filesystem(path)._options  # type: ignore[attr-defined]
            Client(options).client.head_bucket(Bucket=bucket)


@_patient
def exists(path: str) -> bool:
    """Whether a file exists, or a folder with files."""
    with _reaching(path):
        return _is_file(path) or any(_below(path, first_only=True))


def _pattern(path: str) -> str:
    """A pattern that matches a path, and few other paths. Beam cannot quote `[ ? *`, so these become `?`."""
    return re.sub(r"[\[?*]", "?", path)


def _below(folder: str, first_only: bool = False) -> Iterator[FileMetadata]:
    """The files below a folder. With `first_only`, the list may be incomplete."""
    prefix = folder.rstrip("/") + "/"
    pattern = _pattern(prefix)
    (match,) = FileSystems.match([f"{pattern}**"], [1] if first_only and pattern == prefix else None)
    return (found for found in match.metadata_list if found.path.startswith(prefix))


@_patient
def is_file(path: str) -> bool:
    """Whether a path is a file, not a folder."""
    with _reaching(path):
        return _is_file(path)


def _is_file(path: str) -> bool:
    return not path.endswith("/") and FileSystems.exists(path)


def stat(folder: str, relative: str) -> Entry:
    """The entry of one file of a folder."""
    metadata = _metadata(f"{folder.rstrip('/')}/{relative}")
    return Entry(relative, metadata.size_in_bytes, metadata.last_updated_in_seconds)


@_patient
def _metadata(path: str) -> FileMetadata:
    with _reaching(path):
        (match,) = FileSystems.match([_pattern(path)])
        for metadata in match.metadata_list:
            if metadata.path == path:
                return metadata
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def walk(folder: str) -> Iterator[Entry]:
    """Lists all files below a folder, in no particular order; see `pipelines.storage.walk`."""
    reach(folder)
    prefix = len(folder.rstrip("/")) + 1
    for metadata in _list(folder):
        yield Entry(metadata.path[prefix:], metadata.size_in_bytes, metadata.last_updated_in_seconds)


@_patient
def _list(folder: str) -> list[FileMetadata]:
    with _reaching(folder):
        return list(_below(folder))


@_patient
def read(path: str) -> bytes:
    """The whole content of a file."""
    with _reaching(path), FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        return file.read()


@_patient
def write(path: str, content: bytes) -> None:
    """Writes a file, complete or not at all."""
    octets, plain = "application/octet-stream", CompressionTypes.UNCOMPRESSED
    with _reaching(path), FileSystems.create(path, mime_type=octets, compression_type=plain) as file:
        file.write(content)


def copy(folder: str, entry: Entry, path: str) -> None:
    """Lets a store copy a file within itself; see `pipelines.storage.copy`."""
    source = f"{folder.rstrip('/')}/{entry.path}"
    try:
        _copy(path, source)
    except _StillGoneError:  # the store does not answer
        raise
    except OSError as error:
        if not is_file(source):
            raise SourceError("it was gone before it was copied") from error
        raise
    try:
        same = stat(folder, entry.path) == entry
    except _StillGoneError:
        raise
    except OSError as error:
        delete([path])
        raise SourceError(f"it disappeared while it was copied ({error})") from error
    if not same:
        delete([path])
        raise SourceError("it changed while it was copied")


@_patient
def _copy(path: str, source: str) -> None:
    with _reaching(path):
        for *_, error in (
            FileSystems.copy([source], [path]) or ()
        ):  # the S3 file system returns errors, others raise them
            if error is not None:
                raise error


def delete(paths: list[str]) -> None:
    """Deletes files. A missing file is no error."""
    if paths:
        _delete(paths[0], paths)


@_patient
def _delete(first: str, paths: list[str]) -> None:
    with _reaching(first):
        FileSystems.delete(paths)
