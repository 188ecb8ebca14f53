"""Lists of photos that a user gives instead of a listing of the folder: lines, CSV, Parquet, or an inventory of S3."""

import contextlib
import csv
import gzip
import io
import json
import os
import posixpath
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, BinaryIO, NamedTuple, cast
from urllib.parse import unquote_plus

import click

from pipelines import storage
from pipelines.sorted_map import SortedMap
from pipelines.storage import Entry
from pipelines.tables import read_csv
from pipelines.threads import ordered_map

READERS = 32
"""Photos whose size and time are asked for at a time."""

_HEAD = 4096  # bytes that tell the kind of a list

NAMES = ("path", "key")
"""The column of a table that holds the paths."""


class _Listed(NamedTuple):
    """A line of a list. Size and time are None if the list does not tell them."""

    where: str
    path: str
    size: int | None = None
    mtime: float | None = None


def entries(folder: str, source: str, others: dict[str, OSError | None]) -> Iterator[Entry]:
    """The photos of a list, in its order.

    Args:
        folder: Folder of the photos. Paths of the list are relative to it, or lie below it.
        source: Path of the list; `-` for standard input. A file of one path a line; a CSV or Parquet table with a
            column `path` or `key`; or the `manifest.json` of an S3 inventory, of which the objects below the folder
            count.
        others: Gets the reason for each line without a photo, by its path. A second line of the same photo has its
            place in the list in its name.

    Raises:
        click.UsageError: The list cannot be read, or is of another kind.
    """
    seen: SortedMap[str] = SortedMap()
    pending = _below(folder, source, seen, others)
    for listed, found in ordered_map(lambda listed: (listed, _entry(folder, listed)), pending, READERS):
        if isinstance(found, Entry):
            yield found
        else:
            others[listed.path] = found


def _below(folder: str, source: str, seen: SortedMap[str], others: dict[str, OSError | None]) -> Iterator[_Listed]:
    """The lines with a path below the folder, relative to it, each path once."""
    start = storage.absolute(folder).rstrip("/") + "/"
    for listed in _read(source):
        path = listed.path
        if path.startswith(start):
            path = path[len(start) :]
        if "://" in path or posixpath.isabs(path) or ".." in path.split("/"):
            if listed.mtime is None:  # an inventory lists the whole bucket
                others[path] = OSError(None, f"{listed.where} names a path that is not below {folder}")
        elif first := seen.get(path := posixpath.normpath(path)):
            reason = f"{listed.where} names it again, after {first}"
            others[f"{path} ({listed.where})"] = OSError(None, reason)
        else:
            seen.update([(path, listed.where)])
            yield listed._replace(path=path)


def _entry(folder: str, listed: _Listed) -> Entry | OSError:
    if listed.size is not None and listed.mtime is not None:
        return Entry(listed.path, listed.size, listed.mtime)
    path = storage.join(folder, listed.path)
    try:
        if storage.is_local(folder) and (os.path.isdir(path) or _leads_out(path, folder)):
            return OSError(None, "it is a folder" if os.path.isdir(path) else "a link leads it out of the folder")
        return storage.stat(folder, listed.path)
    except OSError as error:
        return error


def _leads_out(path: str, folder: str) -> bool:
    return os.path.exists(path) and not os.path.realpath(path).startswith(os.path.realpath(folder).rstrip("/") + "/")


def _read(source: str) -> Iterator[_Listed]:
    try:
        with _standard_input() if source == "-" else storage.reading(source) as file:
            head = file.peek(_HEAD)[:_HEAD]
            if head.startswith(b"PAR1"):
                yield from _parquet(source, file.read() if source == "-" else file)
            elif source.endswith(".json"):
                yield from _inventory(json.loads(file.read()))
            else:
                yield from _lines(source, file, head)
    except OSError as error:
        raise click.UsageError(f"{error.filename or source} cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise click.UsageError(f"{source} is no list of photos: {error}") from None


@contextlib.contextmanager
def _standard_input() -> Iterator[io.BufferedReader]:
    yield io.BufferedReader(cast(io.RawIOBase, sys.stdin.buffer))


def _column(head: bytes) -> str | None:
    """The column of paths if a file begins with the head of a CSV table; else None."""
    line = head.decode("utf-8-sig", "surrogateescape").split("\n", 1)[0].rstrip("\r")
    return next((name for name in NAMES if name in next(csv.reader([line]), [])), None)


def _lines(source: str, file: BinaryIO, head: bytes) -> Iterator[_Listed]:
    name = "standard input" if source == "-" else source
    if column := _column(head):
        rows: Iterable[tuple[int, str]] = (
            (number, row[column]) for number, row in read_csv(file, [column], "surrogateescape")
        )
    else:
        text = io.TextIOWrapper(file, "utf-8-sig", "surrogateescape")
        rows = ((number, line.rstrip("\n")) for number, line in enumerate(text, 1))
    for number, path in rows:
        if path.strip():
            yield _Listed(f"line {number} of {name}", path)


def _parquet(source: str, content: bytes | BinaryIO, bucket: str | None = None) -> Iterator[_Listed]:
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content) if isinstance(content, bytes) else content)
    names = set(file.schema_arrow.names)
    column = next((name for name in NAMES if name in names), None)
    if column is None:
        raise ValueError(f"it has no column {' or '.join(NAMES)}, but {', '.join(sorted(names))}")
    more = [name for name in ("size", "last_modified_date") if bucket and name in names]
    number = 0
    for batch in file.iter_batches(columns=[column, *more]):
        for row in batch.to_pylist():
            number += 1
            if path := row[column]:
                yield _Listed(f"row {number} of {source}", *_object(bucket, path, row))


def _object(bucket: str | None, path: str, row: dict[str, Any]) -> tuple[str, int | None, float | None]:
    """Path, size and time of an object of an inventory; of another row the path alone."""
    if bucket is None:
        return path, None, None
    time, size = row.get("last_modified_date"), row.get("size")
    path = f"s3://{bucket}/{path}"
    if not time or size in (None, ""):
        return path, None, None
    if isinstance(time, str):
        time = datetime.fromisoformat(time.replace("Z", "+00:00"))
    return path, int(size), float(int(time.timestamp()))


def _inventory(manifest: dict[str, Any]) -> Iterator[_Listed]:
    """The objects of an S3 inventory (Amazon S3 User Guide, "Inventory manifest")."""
    bucket, target = manifest["sourceBucket"], manifest["destinationBucket"].rpartition(":")[2]
    names = {"Key": "key", "Size": "size", "LastModifiedDate": "last_modified_date"}
    columns = [names.get(name.strip(), name) for name in manifest["fileSchema"].split(",")]
    for each in manifest["files"]:
        path = f"s3://{target}/{each['key']}"
        content = storage.read(path)
        if manifest["fileFormat"] == "Parquet":
            yield from _parquet(path, content, bucket)
        elif manifest["fileFormat"] == "CSV":
            lines = csv.reader(io.TextIOWrapper(gzip.GzipFile(fileobj=io.BytesIO(content))))
            for number, values in enumerate(lines, 1):
                row = dict(zip(columns, values, strict=True))
                yield _Listed(f"line {number} of {path}", *_object(bucket, unquote_plus(row["key"]), row))
        else:
            raise ValueError(f"its files are {manifest['fileFormat']}, not CSV or Parquet")
