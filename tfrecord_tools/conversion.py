"""A data set in another format, shard by shard: WebDataset or Parquet. The encoded images keep their bytes."""

import functools
import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tfrecord_tools.manifest import DatasetError, Manifest, Shard
from tfrecord_tools.reading import open_dataset, records_of
from tfrecord_tools.records import Record, StoredImage

CHECKSUMS = "_checksums.sha256"
"""The SHA-256 of every file, as `sha256sum --check` reads it. Readers of Parquet folders leave out names with `_`."""

_STATE = ".zerodce"
SOURCE = f"{_STATE}/export/source.json"
"""The file that says what a folder is a conversion of."""

_ROW_GROUP_RECORDS, _ROW_GROUP_BYTES = 100, 16 << 20
_TEMPORARY_NAME = re.compile(r"\.\w+-\d{5,}-of-\d{5,}\.(tar|parquet)\.tmp", re.ASCII)
_EXTENSIONS = {"png": "png", "jpeg": "jpg"}


def convert(folder: str | Path, out: str | Path, to: str) -> Iterator[Record]:
    """Writes one file for each shard, with its name and another extension, and `CHECKSUMS`.

    A file gets its name when it is complete and its shard has the SHA-256 that the manifest gives. So a conversion that
    was stopped goes on where it was: existing files stay. Memory does not grow with the shards.

    Args:
        folder: Folder that `zerodce preprocess` wrote.
        out: Folder of the files: new, empty, or of the same conversion. The caller holds its lock.
        to: A key of `FORMATS`.

    Yields:
        Each record after it is written. Records of files that exist already are not yielded.

    Raises:
        DatasetError: The folder is not a complete data set, a shard is damaged, or `out` holds something else.
        OSError: A file cannot be read or written.
    """
    folder, out, manifest = Path(folder), Path(out), open_dataset(folder)
    suffix, write = FORMATS[to]
    refuse_other(out, manifest, to)
    _begin(out, _source(manifest, to))
    digests = {}
    for split, shards in manifest.splits.items():
        first = 0
        for shard in shards:
            path = out / Path(shard.name).with_suffix(suffix)
            if not path.exists():
                context = (split, first, bool(manifest.counts["references"]))
                yield from _convert_shard(folder / shard.name, shard, path, functools.partial(write, context))
            with open(path, "rb") as file:
                digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
            first += shard.records
    written = checksums(digests)
    if (out / CHECKSUMS).exists() and (out / CHECKSUMS).read_bytes() != written:
        raise DatasetError(f"files of {out} differ from its {CHECKSUMS}: delete the folder, and export again")
    _replace(out / CHECKSUMS, written)


def checksums(digests: dict[str, str]) -> bytes:
    """The content of `CHECKSUMS`: a line for each file, with the escapes of `sha256sum` where a name needs them.

    Args:
        digests: SHA-256 in hexadecimal, by relative path.
    """
    lines = []
    for name, digest in digests.items():
        escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
        mark = "" if escaped == name else "\\"
        lines.append(os.fsencode(f"{mark}{digest}  {escaped}\n"))
    return b"".join(lines)


def refuse_other(out: Path, manifest: Manifest, to: str) -> None:
    """Raises `DatasetError` if a folder holds anything but the same conversion. Writes nothing."""
    if (out / SOURCE).exists():
        if (out / SOURCE).read_bytes() != _source(manifest, to):
            raise DatasetError(f"{out} holds the export of another data set or format: choose another folder")
    elif out.exists() and any(path.name != _STATE for path in out.iterdir()):
        raise DatasetError(f"{out} is not empty, and holds no export to go on with: choose another folder")


def _begin(out: Path, source: bytes) -> None:
    """Writes `SOURCE`, and deletes what a killed conversion was writing."""
    (out / SOURCE).parent.mkdir(parents=True, exist_ok=True)
    _replace(out / SOURCE, source)
    for path in out.iterdir():
        if _TEMPORARY_NAME.fullmatch(path.name):
            path.unlink()


def _source(manifest: Manifest, to: str) -> bytes:
    shards = [shard.sha256 for shards in manifest.splits.values() for shard in shards]
    return json.dumps({"format": to, "shards": shards}).encode()


def _convert_shard(
    source: Path, shard: Shard, path: Path, write: Callable[[BinaryIO, Iterable[Record]], Iterator[Record]]
) -> Iterator[Record]:
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with open(source, "rb") as tfrecord, open(temporary, "xb") as file:
            hashed = _Hashed(tfrecord)
            yield from write(file, records_of(hashed, shard))
            if hashed.digest.hexdigest() != shard.sha256:
                raise DatasetError(f"{shard.name}: its SHA-256 differs from the manifest: copy it again")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class _Hashed:
    """A file that hashes what is read of it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        content = self.file.read(size)
        self.digest.update(content)
        return content


_Context = tuple[str, int, bool]
"""The split, the number of the first record of a file in its split, and whether the data set has references."""


def _write_tar(context: _Context, file: BinaryIO, records: Iterable[Record]) -> Iterator[Record]:
    """A tar file in the layout of WebDataset: the files of a record follow one another and share their first name."""
    split, first, _ = context
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:

        def add(name: str, content: bytes) -> None:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))

        for number, record in enumerate(records, first):
            key, fields = f"{split}-{number:09d}", _fields(record)
            add(f"{key}.{_EXTENSIONS[record.image.format]}", record.image.encoded)
            if record.reference:
                add(f"{key}.reference.{_EXTENSIONS[record.reference.format]}", record.reference.encoded)
                fields["reference"] = _name(record.reference)
            add(f"{key}.json", json.dumps(fields).encode())
            yield record


def _write_parquet(context: _Context, file: BinaryIO, records: Iterable[Record]) -> Iterator[Record]:
    """A Parquet file with the columns that the library `datasets` reads as images."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    image = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    images = ("image", "reference") if context[2] else ("image",)
    columns = dict.fromkeys(images, image) | {"filename": pa.string(), "sha256": pa.string()}
    columns |= {"width": pa.int32(), "height": pa.int32()}
    features = {
        name: {"_type": "Image"} if name in images else {"dtype": str(kind), "_type": "Value"}
        for name, kind in columns.items()
    }
    schema = pa.schema(columns, {"huggingface": json.dumps({"info": {"features": features}})})
    # the images are compressed already, and no two are alike
    with pq.ParquetWriter(file, schema, compression="none", use_dictionary=False, write_statistics=False) as table:
        for group in _groups(records):
            rows = []
            for record in group:
                stored = {"image": record.image, "reference": record.reference}
                cells = {name: each and {"bytes": each.encoded, "path": _name(each)} for name, each in stored.items()}
                rows.append({name: cells[name] for name in images} | _fields(record))
            table.write_table(pa.Table.from_pylist(rows, schema))
            yield from group


FORMATS = {"webdataset": (".tar", _write_tar), "parquet": (".parquet", _write_parquet)}
"""By name of the format: the extension of its files, and what writes the records of one and yields each."""


def _groups(records: Iterable[Record]) -> Iterator[list[Record]]:
    """The records in groups: so many that a group is read at once, so few that it takes little memory."""
    group: list[Record] = []
    size = 0
    for record in records:
        group.append(record)
        size += len(record.image.encoded) + (len(record.reference.encoded) if record.reference else 0)
        if len(group) == _ROW_GROUP_RECORDS or size >= _ROW_GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _fields(record: Record) -> dict[str, Any]:
    """What a record says of its image; `sha256` is that of the encoded image."""
    image = record.image
    return {"filename": _name(image), "sha256": record.key_sha256, "width": image.width, "height": image.height}


def _name(image: StoredImage) -> str:
    """The file name as Unicode. Bytes that are not UTF-8 become escapes."""
    return os.fsencode(image.filename).decode(errors="backslashreplace")


def _replace(path: Path, content: bytes) -> None:
    """Writes a file, atomically."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    with open(temporary, "xb") as file:  # never through a link
        file.write(content)
    os.replace(temporary, path)
