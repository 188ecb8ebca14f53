"""Files on object stores: s3://, gs:// and az://.

The client is obstore, the Python interface of Rust's object_store. A write up to `ONE_PUT` bytes is one put, so a file
appears complete or not at all; a longer one is a multipart upload, which also appears only when it is complete.
"""

import contextlib
import datetime
import errno
import functools
import io
import math
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, TypeVar

import click

from pipelines.stopping import STOP
from pipelines.storage.entries import Entry, SourceError

ONE_PUT = 8 * 2**20
"""The largest number of bytes that is written by one put."""

WAIT_SECONDS = 60.0
"""Seconds for which a call waits for an object store that does not work now."""

SAY_SECONDS = 10.0
"""Seconds between lines that say for which store the command waits."""

PAGE = 1000
"""Objects in a page of a listing, the largest number that S3 gives in one answer."""

_OUT_OF_ORDER = (429, 500, 502, 503, 504)  # HTTP statuses of a store that does not work at the moment
_FULL = 507
_FROM_BEAM = {  # options of Beam for S3, and what obstore calls them
    "s3_access_key_id": "access_key_id",
    "s3_secret_access_key": "secret_access_key",
    "s3_session_token": "session_token",
    "s3_endpoint_url": "endpoint",
    "s3_region_name": "region",
}

_Result = TypeVar("_Result")


class _GoneError(OSError):
    """An object store does not answer."""


class _RefusedError(_GoneError):
    """An object store answers that it cannot work now, as S3 does if it is asked too often."""


class _StillGoneError(OSError):
    """An object store still does not work, after waiting."""


_options: dict[str, str] = {}


def configure(options: Mapping[str, Any]) -> None:
    """Takes over Beam's options for S3, such as `--s3_endpoint_url`. What they do not set comes from the environment.

    Args:
        options: Beam's options by name.
    """
    found = {ours: str(options[name]) for name, ours in _FROM_BEAM.items() if options.get(name)}
    if found != _options:
        _options.clear()
        _options.update(found)
        _client.cache_clear()


def _store(path: str) -> tuple[Any, str]:
    """The client for the bucket of a path, and the key of the path in it."""
    return _client(_bucket(path)), "".join(path.split("/", 3)[3:]).rstrip("/")


@functools.cache
def _client(url: str) -> Any:
    """The client for a bucket. Its threads are shared by all threads of this process."""
    try:
        from obstore.store import from_url
    except ImportError as error:
        scheme = url.partition("://")[0]
        extra = {"s3": "aws", "gs": "gcp"}.get(scheme, "azure")
        raise OSError(errno.EIO, f"{scheme}:// needs a library: pip install 'zerodce[{extra}]'", url) from error
    options: dict[str, Any] = {
        "client_options": {"allow_http": True, "connect_timeout": "10s", "read_timeout": "30s", "timeout": "1h"},
        # with jitter; `_patient` does the rest
        "retry_config": {"max_retries": 2, "retry_timeout": datetime.timedelta(seconds=20)},
    }
    if url.startswith("s3://"):
        options["config"] = dict(_options)
        given = _options.get("access_key_id") or os.getenv("AWS_ACCESS_KEY_ID") or os.getenv("AWS_SKIP_SIGNATURE")
        if not given:
            options["credential_provider"] = _credentials(url)
    try:
        return from_url(url, **options)
    except Exception as error:
        raise OSError(errno.EIO, _reason(error), url) from error


def _credentials(url: str) -> Any:
    """Credentials from where boto3 finds them: profiles, a role of the machine, single sign-on."""
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider

        return Boto3CredentialProvider()
    except ImportError as error:
        raise OSError(
            errno.EIO, "no AWS_ACCESS_KEY_ID; for other credentials: pip install 'zerodce[aws]'", url
        ) from error
    except ValueError as error:
        raise OSError(errno.EIO, "no credentials for S3: set AWS_ACCESS_KEY_ID, or run `aws configure`", url) from error


def _bucket(path: str) -> str:
    return "/".join(path.split("/", 3)[:3])


@contextlib.contextmanager
def _asking(path: str) -> Iterator[None]:
    """Converts the exceptions of obstore into an OSError. Its `strerror` is one line."""
    try:
        yield
    except Exception as error:
        text = str(error)
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            raise
        if isinstance(error, FileNotFoundError) and not re.search("NoSuchBucket|ContainerNotFound", text):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error
        status = _status(text)
        kind: type[OSError] = FileExistsError if isinstance(error, _conflicts()) else OSError
        if status in _OUT_OF_ORDER:
            kind = _RefusedError
        elif status is None and "HTTP error" in text:
            kind = _GoneError
        raise kind(errno.ENOSPC if status == _FULL else errno.EIO, _reason(error), path) from error


def _conflicts() -> tuple[type[Exception], ...]:
    from obstore.exceptions import AlreadyExistsError, PreconditionError

    return AlreadyExistsError, PreconditionError


def _status(text: str) -> int | None:
    """The HTTP status in the text of an error; None if the store did not answer."""
    found = re.search(r"status code: (\d{3})", text)
    return int(found[1]) if found else None


def _reason(error: Exception) -> str:
    """The text of an error as one line: what the store answered, or why it did not, or what the client says."""
    text, _, debug = str(error).partition("\n\nDebug source")
    if answer := re.search(r"<Code>([^<]*)</Code>\s*<Message>([^<]*)</Message>", text):
        message = answer[2].strip().split("\n", 1)[0]
        return f"{message.rstrip('.')} ({answer[1]}, {_status(text)})"
    line = " ".join(text.split()).rstrip(": ")
    if request := re.search(r"(https?://[^/\s]+)\S* in .* - (?:HTTP error: )?(.*)", line):
        cause = re.search(r'message: "([^"]+)"', debug)
        return f"{request[1]}: {cause[1] if cause else request[2]}"
    return line


_works: dict[str, bool] = {}  # for each store: whether it has worked in this process; False once it was given up
_said = {"time": -math.inf}  # when the last line about waiting was printed


def _patient(function: Callable[..., _Result]) -> Callable[..., _Result]:
    """Decorates a function of a path with retries and exponential backoff, for a store that no longer works.

    It prints that it waits, and waits for at most `WAIT_SECONDS`. It does not wait for a store that has never answered,
    nor a second time for a store that was given up.
    """

    @functools.wraps(function)
    def patient(path: str, *arguments: Any, **options: Any) -> _Result:
        store = _bucket(path)
        started, pause = math.nan, 1.0
        while True:
            try:
                with _asking(path):
                    result = function(path, *arguments, **options)
                _works[store] = True
                return result
            except FileNotFoundError:
                _works[store] = True
                raise
            except _GoneError as error:
                now = time.monotonic()
                started = now if math.isnan(started) else started
                left = started + WAIT_SECONDS - now
                refuses = isinstance(error, _RefusedError)
                if not _works.get(store, refuses):
                    raise _StillGoneError(error.errno, error.strerror, path) from error
                if left <= 0 or STOP.is_set():
                    _works[store] = False
                    does = "refused to work" if refuses else "not answered"
                    text = f"{store} has {does} for {now - started:.0f} s ({error.strerror})"
                    raise _StillGoneError(errno.EIO, text, path) from error
                _say_waiting(store, error, left)
                STOP.wait(min(random.uniform(0.5, 1) * pause, left))  # workers that were refused together come apart
                pause = min(2 * pause, 10)

    return patient


def _say_waiting(store: str, error: _GoneError, left: float) -> None:
    """Prints a line about the store that the command waits for, at most one every `SAY_SECONDS` over all threads."""
    now = time.monotonic()
    if now - _said["time"] >= SAY_SECONDS:
        _said["time"] = now
        does = "refuses to work now" if isinstance(error, _RefusedError) else "does not answer"
        click.echo(f"Waiting for {store}, which {does} ({error.strerror}): for {left:.0f} s more.", err=True)


@_patient
def reach(path: str) -> None:
    """Checks that a bucket answers; see `pipelines.storage.reach`."""
    import obstore

    store, _ = _store(path)
    next(iter(obstore.list(store, prefix=".zerodce", chunk_size=1)), None)


@_patient
def exists(path: str) -> bool:
    """Whether a file exists, or a folder with files."""
    import obstore

    store, key = _store(path)
    return _is_file(path) or bool(next(iter(obstore.list(store, prefix=key or None, chunk_size=1)), None))


@_patient
def is_file(path: str) -> bool:
    """Whether a path is a file, not a folder."""
    return _is_file(path)


def _is_file(path: str) -> bool:
    import obstore

    store, key = _store(path)
    if not key or path.endswith("/"):
        return False
    with contextlib.suppress(FileNotFoundError):
        obstore.head(store, key)
        return True
    return False


def stat(folder: str, relative: str) -> Entry:
    """The entry of one file of a folder."""
    return _stat(f"{folder.rstrip('/')}/{relative}", relative)


@_patient
def _stat(path: str, relative: str) -> Entry:
    import obstore

    store, key = _store(path)
    return _entry(relative, obstore.head(store, key))


def _entry(relative: str, found: Mapping[str, Any]) -> Entry:
    """The entry of an object. Its time has no fraction, because some answers have none."""
    return Entry(relative, found["size"], float(int(found["last_modified"].timestamp())))


def walk(folder: str) -> Iterator[Entry]:
    """Lists all files below a folder, in no particular order, and holds one page; see `pipelines.storage.walk`."""
    reach(folder)
    prefix = len(_store(folder)[1])
    start = prefix + 1 if prefix else 0
    pages = _Pages()
    while page := _next_page(folder, pages):
        for found in page:
            if not found["path"].endswith("/"):
                yield _entry(found["path"][start:], found)


class _Pages:
    """A listing of a folder: the stream of its pages, and the last key, after which a new stream goes on."""

    stream: Iterator[Any] | None = None
    last: str | None = None


@_patient
def _next_page(folder: str, pages: _Pages) -> list[Any]:
    import obstore

    store, key = _store(folder)
    if pages.stream is None:
        pages.stream = iter(obstore.list(store, prefix=key or None, offset=pages.last, chunk_size=PAGE))
    try:
        page = list(next(pages.stream, ()))
    except Exception:
        pages.stream = None
        raise
    pages.last = page[-1]["path"] if page else pages.last
    return page


@_patient
def read(path: str) -> bytes:
    """The whole content of a file."""
    import obstore

    store, key = _store(path)
    return bytes(obstore.get(store, key).bytes())


@_patient
def write(path: str, content: bytes | BinaryIO) -> None:
    """Writes a file, complete or not at all. The content may be a file that is open for reading."""
    import obstore

    store, key = _store(path)
    size = len(content) if isinstance(content, bytes) else content.seek(0, io.SEEK_END)
    if not isinstance(content, bytes):
        content.seek(0)
    obstore.put(store, key, content, use_multipart=size > ONE_PUT, chunk_size=ONE_PUT)


@_patient
def replace(path: str, content: bytes, tag: str | None) -> str:
    """Writes a file if nobody else has written it meanwhile.

    Args:
        path: Path of the file.
        content: Its content, at most `ONE_PUT` bytes.
        tag: The tag of the version to replace; None for a file that must not exist.

    Returns:
        The tag of the new version.

    Raises:
        FileExistsError: It exists in another version.
    """
    import obstore

    store, key = _store(path)
    result = obstore.put(store, key, content, mode={"e_tag": tag} if tag else "create", use_multipart=False)
    return result["e_tag"] or ""


@_patient
def tag(path: str) -> str:
    """The tag of a file's version."""
    import obstore

    store, key = _store(path)
    return obstore.head(store, key)["e_tag"] or ""


def copy(folder: str, entry: Entry, path: str) -> None:
    """Lets a store copy a file within a bucket; see `pipelines.storage.copy`."""
    source = f"{folder.rstrip('/')}/{entry.path}"
    try:
        _copy(path, source)
    except FileNotFoundError as error:
        raise SourceError("it was gone before it was copied") from error
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
    import obstore

    store, key = _store(path)
    obstore.copy(store, _store(source)[1], key)


def delete(paths: list[str]) -> None:
    """Deletes files. A missing file is no error."""
    by_bucket: dict[str, list[str]] = {}
    for path in paths:
        by_bucket.setdefault(_bucket(path), []).append(path)
    for each in by_bucket.values():
        _delete(each[0], each)


@_patient
def _delete(first: str, paths: list[str]) -> None:
    import obstore

    store, _ = _store(first)
    keys = [_store(path)[1] for path in paths]
    try:
        obstore.delete(store, keys)  # one request for many, where the store can do that
    except FileNotFoundError:
        for key in keys:
            with contextlib.suppress(FileNotFoundError):
                obstore.delete(store, key)
