"""The work step of preprocessing: makes one shard from the paths of its images, and a row with its checksum."""

import collections
import dataclasses
import hashlib
import io
import json
import os
import zlib
from collections.abc import Callable, Iterable
from typing import Any

from PIL import Image

from pipelines import storage
from pipelines.folders import OutputError, check_readable
from pipelines.photos import PhotoError
from pipelines.preprocess.plan import STATE, Source
from pipelines.preprocess.resizing import load_resized
from pipelines.preprocess.settings import PreprocessSettings
from pipelines.threads import ordered_map
from tfrecord_tools.framing import frame
from tfrecord_tools.manifest import Shard
from tfrecord_tools.records import Record, StoredImage

_SAVE: dict[str, dict[str, Any]] = {
    # for photos, the files are as small as with Pillow's default, in a quarter of the time
    "png": {"compress_level": 1, "compress_type": zlib.Z_RLE},
    "jpeg": {"quality": 95, "subsampling": 0},
}


@dataclasses.dataclass(frozen=True)
class ShardResult:
    """The row of one finished shard.

    Attributes:
        name: Name of the shard.
        plan: Digest of its images and settings.
        records: Number of records.
        references: Number of records that have a reference.
        size: Size of the file in bytes.
        sha256: SHA-256 of the file, in hexadecimal.
        source_bytes: Size of all files read, in bytes.
        source_sha256: SHA-256 over the SHA-256 of all files read, in order, in hexadecimal.
        notes: Number of images by conversion.
        rejected: Path, stage and error of each image that is not in it.
    """

    name: str
    plan: str
    records: int
    references: int
    size: int
    sha256: str
    source_bytes: int
    source_sha256: str
    notes: dict[str, int]
    rejected: list[list[str]]

    def shard(self) -> Shard:
        """The entry of the shard in the manifest."""
        sources = self.source_bytes, self.source_sha256, self.notes
        return Shard(self.name, self.records, self.references, self.size, self.sha256, *sources)

    @classmethod
    def parse(cls, content: bytes) -> "ShardResult":
        """Parses a row from its file.

        Raises:
            ValueError, TypeError: The file holds something else.
        """
        row = cls(**json.loads(content))
        if not isinstance(row.notes, dict) or any(len(entry) != 3 for entry in row.rejected):
            raise ValueError("notes are counts by text, and a rejected image has path, stage and error")
        texts = [row.name, row.plan, row.sha256, row.source_sha256, *row.notes]
        texts += [text for entry in row.rejected for text in entry]
        numbers = [row.records, row.references, row.size, row.source_bytes, *row.notes.values()]
        if not all(isinstance(text, str) for text in texts) or not all(isinstance(number, int) for number in numbers):
            raise TypeError("a field has another type")
        return row

    @classmethod
    def of(cls, shard: Shard, plan: str, rejected: list[list[str]]) -> "ShardResult":
        """The row of a shard, made from its entry in the manifest.

        Args:
            shard: The entry in the manifest.
            plan: Digest of its images and settings.
            rejected: Path, stage and error of each image that is not in it.
        """
        counts = shard.records, shard.references, shard.bytes
        sources = shard.source_bytes, shard.source_sha256, shard.notes
        return cls(shard.name, plan, *counts, shard.sha256, *sources, rejected)


@dataclasses.dataclass(frozen=True)
class ShardWriter:
    """Makes shards of a data set.

    Attributes:
        data: Folder of the images.
        references: Folder that the paths of the references are relative to.
        out: Folder of the data set.
        settings: Settings of the job.
        digest: Digest of everything that the shards depend on, except the images.
    """

    data: str
    references: str
    out: str
    settings: PreprocessSettings
    digest: str

    def plan_path(self, name: str) -> str:
        """The path of the file that lists the images of a shard."""
        return storage.join(self.out, f"{STATE}/plan/{name}.json")

    def plan(self, name: str, sources: Iterable[Source]) -> str:
        """Writes the list of a shard's images, in the order of its records. Returns the digest of this plan."""
        content = json.dumps([dataclasses.astuple(source) for source in sources]).encode()
        storage.write(self.plan_path(name), content)
        return self._digest(content)

    def written(self) -> list[str]:
        """Names of the shards that have a row."""
        folder = storage.join(self.out, f"{STATE}/rows")
        return [entry.path.removesuffix(".json") for entry in storage.walk(folder)] if storage.exists(folder) else []

    def result(self, name: str) -> ShardResult | None:
        """The row of a shard; None if it has none."""
        try:
            return ShardResult.parse(storage.read(self._row_path(name)))
        except (OSError, ValueError, TypeError):
            return None

    def remember(self, row: ShardResult) -> None:
        """Writes the row of a shard, which marks it as finished. The shard has to be in storage already."""
        storage.write(self._row_path(row.name), json.dumps(dataclasses.asdict(row)).encode())

    def forget(self, name: str) -> None:
        """Deletes the row of a shard, so that it no longer counts as finished."""
        storage.delete([self._row_path(name)])

    def holds(self, name: str, sha256: str) -> bool:
        """Whether a shard exists and has this SHA-256."""
        path = storage.join(self.out, name)
        return storage.exists(path) and hashlib.sha256(storage.read(path)).hexdigest() == sha256

    def can_read(self, source: Source) -> bool:
        """Whether the files of an image and its reference can be read. They are not decoded."""
        try:
            storage.read(storage.join(self.data, source.key))
            if source.reference is not None:
                storage.read(storage.join(self.references, source.reference))
        except OSError:
            return False
        return True

    @property
    def threads(self) -> int:
        """Number of images or shards in work at a time."""
        return self.settings.workers or os.cpu_count() or 1

    def write(self, name: str, tick: Callable[[int, int], object] = lambda images, rejected: None) -> ShardResult:
        """Makes a shard, unless it is finished. A shard that lacks unreadable images does not count as finished.

        Args:
            name: Name of the shard.
            tick: Called with two numbers since the last call: images done, and how many of them were rejected.

        Returns:
            The row of the shard. It is also in storage.

        Raises:
            InputError: A folder of images cannot be read any more.
            OutputError: The shard cannot be written.
        """
        plan = storage.read(self.plan_path(name))
        digest = self._digest(plan)
        if (old := self.result(name)) and old.plan == digest and self._is_finished(old):
            tick(old.records + len(old.rejected), len(old.rejected))
            return old
        content = io.BytesIO()
        sources_hash = hashlib.sha256()
        tally: collections.Counter[str] = collections.Counter()
        notes: collections.Counter[str] = collections.Counter()
        rejected = []
        for outcome in ordered_map(self._outcome, (Source(*row) for row in json.loads(plan)), self.threads):
            sources_hash.update(outcome.source_sha256.encode())
            tally["source_bytes"] += outcome.source_bytes
            if outcome.record is None:
                rejected.append(outcome.rejection)
            else:
                content.write(frame(outcome.record))
                tally["records"] += 1
                tally["references"] += outcome.has_reference
                notes.update(outcome.notes)
            tick(1, outcome.record is None)
        shard = content.getvalue()
        row = ShardResult(
            name=name,
            plan=digest,
            records=tally["records"],
            references=tally["references"],
            size=len(shard),
            sha256=hashlib.sha256(shard).hexdigest(),
            source_bytes=tally["source_bytes"],
            source_sha256=sources_hash.hexdigest(),
            notes=dict(sorted(notes.items())),
            rejected=rejected,
        )
        try:
            storage.write(storage.join(self.out, name), shard)
            self.remember(row)
        except OSError as error:
            raise OutputError(f"{storage.join(self.out, name)}: {error.strerror or error}") from error
        return row

    def _row_path(self, name: str) -> str:
        return storage.join(self.out, f"{STATE}/rows/{name}.json")

    def _is_finished(self, row: ShardResult) -> bool:
        if any(stage == "read" for _, stage, _ in row.rejected):
            return False  # the disk or the network may work again
        return self.holds(row.name, row.sha256)

    def _digest(self, plan: bytes) -> str:
        return hashlib.sha256(self.digest.encode() + plan).hexdigest()

    def _outcome(self, source: Source) -> "_Outcome":
        """The record of one image, or the reason why there is none. Runs in a thread of the pool."""
        outcome = _Outcome()
        try:
            image = self._store(self.data, source.key, outcome)
        except PhotoError as error:
            outcome.rejection = [source.key, error.stage, error.message]
            return outcome
        reference = None
        if source.reference is not None:
            try:
                reference = self._store(self.references, source.reference, outcome)
                if (reference.width, reference.height) != (image.width, image.height):
                    raise PhotoError("reference", "its shape differs from that of the image")
            except PhotoError as error:
                stage = "read" if error.stage == "read" else "reference"  # the next run tries unreadable files again
                outcome.rejection = [source.key, stage, f"{source.reference}: {error.message}"]
                return outcome
        outcome.has_reference = reference is not None
        outcome.record = Record(image, reference).serialize()
        return outcome

    def _store(self, folder: str, path: str, outcome: "_Outcome") -> StoredImage:
        try:
            content = storage.read(storage.join(folder, path))
        except OSError as error:
            check_readable(folder, error)
            raise PhotoError("read", error.strerror or str(error)) from error
        outcome.source_bytes += len(content)
        outcome.source_sha256 += hashlib.sha256(content).hexdigest()
        settings = self.settings
        image, notes = load_resized(content, path, settings.size, settings.resize, settings.damaged == "reject")
        try:
            encoded = encode(image, settings.encoding)
        except (OSError, ValueError) as error:
            raise PhotoError("encode", str(error)) from error
        outcome.notes += notes
        return StoredImage(encoded, settings.encoding, image.height, image.width, path)


@dataclasses.dataclass
class _Outcome:
    record: bytes | None = None
    has_reference: bool = False
    notes: list[str] = dataclasses.field(default_factory=list)
    rejection: list[str] = dataclasses.field(default_factory=list)
    source_bytes: int = 0
    source_sha256: str = ""


def encode(image: Image.Image, encoding: str) -> bytes:
    """Encodes an image as a file: `png`, or `jpeg` with quality 95 and full colour resolution."""
    content = io.BytesIO()
    image.save(content, encoding, **_SAVE[encoding])
    return content.getvalue()
