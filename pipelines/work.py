"""What the archive job does with one photo, as plain functions: read, make a small copy; apply, write, measure."""

import contextlib
import dataclasses
import errno
import functools
import hashlib
import json
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from pipelines import encoding, photos, report, storage
from pipelines.folders import OutputError
from pipelines.journal import Journal, Record
from zerodce import metrics
from zerodce.enhancement import Curves, Enhancer

KEPT_BYTES = 32 << 20
"""Larger files are read again for the second step, so that what waits between the two stays small."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that an enhanced photo and its row depend on, besides the photo.

    Attributes:
        model: SHA-256 of the model file.
        reference: Folder of references, or None.
        curve_size, exposure, autocontrast, output_format, quality, strip_metadata, max_pixels: As the options of
            `zerodce enhance`.
    """

    model: str
    reference: str | None = None
    curve_size: int | str = "auto"
    exposure: float | str = "auto"
    autocontrast: bool = True
    output_format: str | None = None
    quality: int | None = None
    strip_metadata: bool = False
    max_pixels: int = 500_000_000

    def digest(self) -> str:
        """A short digest that changes when any setting does."""
        return hashlib.sha256(json.dumps(dataclasses.asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    def outputs(self, output: str) -> list[str]:
        """The images that a photo's output consists of, relative to the folder of the results."""
        return [f"{folder}/{output}" for folder in ("enhanced", "autocontrast")[: 1 + self.autocontrast]]


class Task(NamedTuple):
    """A photo to enhance: relative paths, `size` in bytes, `mtime` in seconds; `reference` may be empty."""

    path: str
    size: int
    mtime: float
    output: str
    reference: str
    thumbnail: bool


class Prepared(NamedTuple):
    """A photo that has been read: its small copy, uint8 RGB, and its content unless that is large."""

    task: Task
    small: np.ndarray
    content: bytes | None


class Done(NamedTuple):
    """What became of a photo: its journal record, None if an earlier attempt wrote it; and the seconds it took."""

    record: Record | None
    seconds: float


@functools.lru_cache(maxsize=1)
def load_enhancer(model: bytes, curve_size: int | str, exposure: float | str) -> Enhancer:
    """The one enhancer of this process, warm: network traced, curves compiled.

    Args:
        model: The content of a `.keras` file.
        curve_size: As in `Enhancer`.
        exposure: As in `Enhancer`.

    Raises:
        ValueError: The content is not a ZeroDCE model.
    """
    import keras

    from zerodce.model import ZeroDCE

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(model)
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no .keras file")
        loaded = keras.saving.load_model(path, compile=False)
    if not isinstance(loaded, ZeroDCE):
        raise ValueError(f"it holds a {type(loaded).__name__}, not a ZeroDCE")
    enhancer = Enhancer(loaded, curve_size, exposure)
    enhancer(np.zeros((8, 8, 3), np.uint8))
    return enhancer


@dataclasses.dataclass(frozen=True)
class Work:
    """The two steps of a photo as plain functions. Picklable: the model's file travels inside.

    Attributes:
        source: Folder of the originals.
        out: Folder of the results.
        model: Content of the `.keras` file.
        settings: What the results depend on.
        journal: Where finished and failed photos are written down.
    """

    source: str
    out: str
    model: bytes = dataclasses.field(repr=False)
    settings: Settings
    journal: Journal

    def enhancer(self) -> Enhancer:
        """The enhancer of this process."""
        return load_enhancer(self.model, self.settings.curve_size, self.settings.exposure)

    def is_done(self, task: Task) -> bool:
        """Whether the journal holds the photo, and its images are there."""
        return self.journal.holds(task.path, task.size, task.mtime, self.settings.digest()) and all(
            storage.exists(storage.join(self.out, path)) for path in self.settings.outputs(task.output)
        )

    def prepare(self, task: Task) -> Prepared | Done:
        """Reads a photo and makes its small copy."""
        started = time.perf_counter()
        if self.is_done(task):  # a cluster that lost a worker starts the job anew
            return Done(None, 0.0)
        try:
            content = self._read(task)
            size = self.enhancer().curve_size
            small = photos.small_copy(content, task.path, size, max_pixels=self.settings.max_pixels)
        except photos.PhotoError as error:
            return self.failed(task, error, started)
        return Prepared(task, small, content if len(content) <= KEPT_BYTES else None)

    def finish(self, prepared: Prepared, curves: Curves | photos.PhotoError) -> Done:
        """Applies the curves at full size, writes the images, measures, and writes the journal.

        Args:
            prepared: What `prepare` returned.
            curves: What the model made of its small copy, or why it could not.
        """
        started = time.perf_counter()
        task = prepared.task
        try:
            if isinstance(curves, photos.PhotoError):
                raise curves
            row = self._enhance(task, prepared.content or self._read(task), curves)
        except photos.PhotoError as error:
            return self.failed(task, error, started)
        return self._record(task, started, row=row)

    def failed(self, task: Task, error: photos.PhotoError, started: float) -> Done:
        """Writes down that a photo failed."""
        return self._record(task, started, failure={"stage": error.stage, "error": error.message})

    def _record(self, task: Task, started: float, **what: dict[str, Any]) -> Done:
        record = Record(task.path, task.size, task.mtime, self.settings.digest(), **what)  # type: ignore[arg-type]
        self.journal.append(record)
        return Done(record, time.perf_counter() - started)

    def _read(self, task: Task) -> bytes:
        try:
            return storage.read(storage.join(self.source, task.path))
        except OSError as error:
            raise photos.PhotoError("read", error.strerror or str(error)) from error

    def _write(self, path: str, content: bytes, mtime: float | None) -> None:
        with _writing(path):
            storage.write(storage.join(self.out, path), content, mtime)

    def _enhance(self, task: Task, content: bytes, curves: Curves) -> dict[str, Any]:
        settings = self.settings
        photo = photos.load(content, task.path, output_format=settings.output_format, max_pixels=settings.max_pixels)
        enhanced = self.enhancer().apply(photo.pixels, curves)
        mtime = None if settings.strip_metadata else task.mtime
        encode = functools.partial(
            encoding.encode, photo, quality=settings.quality, strip_metadata=settings.strip_metadata
        )
        self._write(f"enhanced/{task.output}", encode(enhanced), mtime)
        before, after = _eight_bit(np.asarray(photo.image)), _eight_bit(enhanced)
        row: dict[str, Any] = {
            "path": task.path,
            "output": task.output,
            "width": photo.image.width,
            "height": photo.image.height,
            "mean_input": metrics.mean(before),
            "mean_enhanced": metrics.mean(after),
            "psnr_enhanced_db": metrics.psnr(before, after),
            "psnr_autocontrast_db": None,
            "exposure": curves.exposure,
        }
        baseline = None
        if settings.autocontrast:
            baseline, row["psnr_autocontrast_db"] = photos.autocontrast(photo)
            self._write(f"autocontrast/{task.output}", encode(baseline), mtime)
        if settings.reference is not None:
            row |= self._compare(task, photo, after, baseline)
        if task.thumbnail:
            with _writing(task.path):
                report.write_thumbnails(self.out, row, photo.image, _image(after), baseline)
        return row | {"notes": "; ".join(photo.notes)}

    def _compare(
        self, task: Task, photo: photos.Photo, enhanced: np.ndarray, autocontrast: Image.Image | None
    ) -> dict[str, float | None]:
        """PSNR and SSIM against the reference, None where there is none of the same size."""
        images = {
            "input": np.asarray(photo.image),
            "enhanced": enhanced,
            "autocontrast": None if autocontrast is None else np.asarray(autocontrast),
        }
        reference = None
        if task.reference:
            assert self.settings.reference is not None
            path = storage.join(self.settings.reference, task.reference)
            try:
                reference = photos.load(storage.read(path), path, max_pixels=self.settings.max_pixels).image
            except (OSError, photos.PhotoError) as error:
                photo.notes.append(f"reference not readable: {error}")
        if reference is not None and reference.size != photo.image.size:
            photo.notes.append("size differs from reference")
            reference = None
        scores: dict[str, float | None] = {}
        target = None if reference is None else np.asarray(reference.convert("RGB"))
        for name, score in (("psnr_{}_reference_db", metrics.psnr), ("ssim_{}_reference", metrics.ssim)):
            for image_name, image in images.items():
                missing = target is None or image is None
                scores[name.format(image_name)] = None if missing else score(_rgb(image), target)
        return scores


@contextlib.contextmanager
def _writing(path: str) -> Iterator[None]:
    """Tells what concerns one photo (a name too long) from what ends the job (a full disk)."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES):
            raise OutputError(f"{path}: {reason}") from error
        raise photos.PhotoError("write", reason) from error


def _eight_bit(pixels: np.ndarray) -> np.ndarray:
    """uint8 (height, width, channels) of a uint8 or uint16 photo, rounded."""
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return pixels if pixels.dtype == np.uint8 else ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def _rgb(pixels: np.ndarray) -> np.ndarray:
    return np.broadcast_to(_eight_bit(pixels), (*pixels.shape[:2], 3))
