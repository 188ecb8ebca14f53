"""Compares a data set with its manifest: every file, checksum, count, record and image."""

import csv
import dataclasses
import hashlib
import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from tfrecord_tools import croissant
from tfrecord_tools.framing import CorruptShardError, read_frames
from tfrecord_tools.manifest import (
    DANGLING,
    FILENAME,
    REJECTED,
    SHARD_NAME,
    Manifest,
    Shard,
    check_files,
    read_manifest,
)
from tfrecord_tools.records import ForeignRecordError, Record, StoredImage, printable


@dataclasses.dataclass(frozen=True)
class Fault:
    """A fault: the name of the file, and a sentence."""

    file: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.message}"


def verify(
    folder: str | Path, *, workers: int | None = None, progress: Callable[[Shard], object] = lambda shard: None
) -> list[Fault]:
    """Reads a whole data set and compares it with its manifest.

    Args:
        folder: Folder that `zerodce preprocess` wrote.
        workers: Number of images decoded at a time; one for each core if None.
        progress: Called after each shard.

    Returns:
        All faults, in the order of the manifest; empty if there are none.

    Raises:
        DatasetError: There is no manifest to compare with, or it is damaged.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    shards = [shard for shards in manifest.splits.values() for shard in shards]
    # existing files are read completely below
    faults = [Fault(*fault) for fault in check_files(folder, manifest).items() if not (folder / fault[0]).exists()]
    names_by_hash = {shard.sha256: shard.name for shard in shards}
    first_with: dict[str, str] = {}
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        for shard in shards:
            content = None
            try:
                if (folder / shard.name).exists():
                    content = (folder / shard.name).read_bytes()
            except OSError as error:
                faults.append(Fault(shard.name, f"cannot be read ({error.strerror})"))
            if content is not None:
                checked = _Shard(manifest, shard, content)
                faults += checked.faults(pool, names_by_hash)
                for filename in checked.filenames:
                    if (other := first_with.setdefault(filename, shard.name)) != shard.name:
                        faults.append(Fault(shard.name, f"{printable(filename)} is also in {other}"))
            progress(shard)
    listed = {shard.name for shard in shards}
    for path in sorted(folder.iterdir()):
        if SHARD_NAME.fullmatch(path.name) and path.name not in listed and path.exists():
            faults.append(Fault(path.name, f"not in {FILENAME}{_copied(path, names_by_hash)}"))
    return faults + _check_rejected(folder, manifest) + _check_description(folder, manifest)


def _copied(path: Path, names_by_hash: dict[str, str]) -> str:
    """The rest of the message about a file that is a copy of a shard or cannot be read; empty for other files."""
    try:
        copy_of = names_by_hash.get(hashlib.sha256(path.read_bytes()).hexdigest())
    except OSError as error:
        return f", and cannot be read ({error.strerror})"
    return f", a copy of {copy_of}" if copy_of else ""


class _Shard:
    """The check of one shard."""

    def __init__(self, manifest: Manifest, shard: Shard, content: bytes) -> None:
        self.manifest = manifest
        self.shard = shard
        self.content = content
        self.filenames: list[str] = []

    def faults(self, pool: ThreadPoolExecutor, names_by_hash: dict[str, str]) -> list[Fault]:
        name, found = self.shard.name, hashlib.sha256(self.content).hexdigest()
        messages = []
        if found in names_by_hash and found != self.shard.sha256:
            return [Fault(name, f"holds the bytes of {names_by_hash[found]}: files were exchanged or renamed")]
        payloads = []
        try:
            for payload in read_frames(io.BytesIO(self.content)):
                payloads.append(payload)
        except CorruptShardError as error:
            messages.append(str(error))
        if len(self.content) != self.shard.bytes:
            messages.append(f"{len(self.content)} bytes instead of {self.shard.bytes}")
        if len(payloads) != self.shard.records:
            messages.append(f"{len(payloads)} readable records instead of {self.shard.records}")
        if found != self.shard.sha256:
            messages.append("its SHA-256 differs from the manifest")
        references = 0
        for index, (record, fault) in enumerate(pool.map(self._check_record, payloads)):
            if fault:
                messages.append(f"record {index}: {fault}")
            if record:
                self.filenames.append(record.image.filename)
                references += record.reference is not None
        if not messages and references != self.shard.references:
            messages.append(f"{references} records with a reference instead of {self.shard.references}")
        return [Fault(name, message) for message in messages]

    def _check_record(self, payload: bytes) -> tuple[Record | None, str]:
        try:
            record = Record.parse(payload)
        except ForeignRecordError as error:
            return None, str(error)
        images = [record.image] + ([record.reference] if record.reference else [])
        return record, "; ".join(fault for image in images if (fault := self._check_image(image)))

    def _check_image(self, stored: StoredImage) -> str:
        width, height = self.manifest.image["width"], self.manifest.image["height"]
        fits = stored.width <= width and stored.height <= height
        if not fits or (self.manifest.image["resize"] != "fit" and (stored.width, stored.height) != (width, height)):
            return f"{stored.label} is {stored.width}x{stored.height}, not {width}x{height} as the data set"
        try:
            with Image.open(io.BytesIO(stored.encoded), formats=[self.manifest.image["encoding"]]) as image:
                image.load()
                decoded = (image.mode, image.width, image.height)
        except Exception as error:  # decoders raise almost any exception on bad input
            return f"{stored.label} cannot be decoded ({error})"
        if decoded != ("RGB", stored.width, stored.height):
            return f"{stored.label} is {decoded[0]} {decoded[1]}x{decoded[2]}, unlike its record"
        return ""


def _check_rejected(folder: Path, manifest: Manifest) -> list[Fault]:
    try:
        with open(folder / REJECTED, encoding="utf-8", errors="surrogateescape", newline="") as file:
            listed = sum(1 for _ in csv.DictReader(file))
    except OSError as error:
        if (folder / REJECTED).is_symlink() and isinstance(error, FileNotFoundError):
            return [Fault(REJECTED, DANGLING)]
        return [Fault(REJECTED, f"cannot be read ({error.strerror})")]
    if listed != manifest.counts["rejected"]:
        return [Fault(REJECTED, f"lists {listed} images, {FILENAME} counts {manifest.counts['rejected']}")]
    return []


def _check_description(folder: Path, manifest: Manifest) -> list[Fault]:
    """Checks `croissant.json`. A data set of an older version has none."""
    try:
        content, manifest_content = ((folder / name).read_bytes() for name in (croissant.FILENAME, FILENAME))
    except FileNotFoundError:
        return [Fault(croissant.FILENAME, DANGLING)] if (folder / croissant.FILENAME).is_symlink() else []
    except OSError as error:
        return [Fault(croissant.FILENAME, f"cannot be read ({error.strerror})")]
    fault = croissant.find_fault(content, manifest, manifest_content)
    return [Fault(croissant.FILENAME, fault)] if fault else []
