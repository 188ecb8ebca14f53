"""The two steps of the archive job for one photo, without Beam: read and make a small copy; apply, write, measure."""

import contextlib
import dataclasses
import errno
import functools
import math
import os
import time
import zlib
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import numpy as np

from pipelines import folders, memory, models, photos, storage
from pipelines.enhance import beside, history, report, watchdog
from pipelines.enhance.attempts import Attempt, Attempts
from pipelines.enhance.journal import Journal, PhotoRecord
from pipelines.enhance.plan import Task
from pipelines.enhance.settings import EnhanceSettings, place
from pipelines.folders import InputError, OutputError
from pipelines.memory import CancelledError, Share
from pipelines.options import LOCAL_RUNNERS
from pipelines.photos.packets import Event
from pipelines.photos.pixels import eight_bit_values, image_of, scaled_size
from zerodce.applying.enhancement import Curves, Enhancer
from zerodce.images import metrics, pixels

LARGE_PHOTO = 128 * 2**20
"""A photo with at least this many bytes of pixels gives memory back to the system after each step."""

LARGE_FILE = 64 * 2**20
"""Files larger than this many bytes are read one at a time, when there is memory for them."""

EXPOSURE_REACHED = 0.01
"""If the mean of a photo differs by more than this from the exposure asked for, its row gets a note."""

ORIGINAL_KEPT = "original kept (--keep-original)"
"""The note about a photo that stays as it is."""

HDR_KEPT = "original kept (--unchanged-hdr)"
"""The note about a photo that stays as it is because it has a gain map."""


class _GivenUpError(photos.PhotoError):
    """The photo ended its process too often, or took longer than its time limit. This run does not try it again."""


_ENDING = (InputError, OutputError, CancelledError)  # the job, not one photo


class Prepared(NamedTuple):
    """A decoded photo, its preview, and the small copy for its curves (see `zerodce.images.pixels`).

    It holds a share of the memory budget until its step `complete` ends. `crc32` is the CRC-32 of the photo's file.
    """

    task: Task
    photo: photos.Photo
    preview: np.ndarray
    small: np.ndarray
    share: Share
    crc32: int

    def __reduce__(self) -> tuple[Any, tuple[()]]:
        """Pickles nothing. Beam pickles some elements only to measure them; that would copy the whole photo."""
        return _arrived, ()


def _arrived() -> None:
    """Unpickles a decoded photo, which fails. Only a runner that does not fuse the steps of a photo calls this."""
    raise RuntimeError(
        "a decoded photo has to stay in its process: this runner does not fuse the steps of a photo into one stage"
    )


class Image(NamedTuple):
    """An image that was written: path, bytes and CRC-32."""

    path: str
    size: int
    crc32: int


@dataclasses.dataclass
class Outcome:
    """The results of a photo, collected while it is in work.

    Attributes:
        row: Its row of metrics.csv, without the notes.
        notes: The notes.
        images: The images that were written.
        unchanged: Those of the folders "enhanced" and "autocontrast" in which the image is the original.
    """

    row: dict[str, Any]
    notes: list[str]
    images: list[Image] = dataclasses.field(default_factory=list)
    unchanged: list[str] = dataclasses.field(default_factory=list)


class Done(NamedTuple):
    """A photo that is done: its journal record (None if an earlier attempt wrote it), and the seconds it took."""

    record: PhotoRecord | None
    seconds: float


@dataclasses.dataclass(frozen=True)
class PhotoProcessor:
    """The two steps of a photo, without Beam. It can be pickled: it contains the model file.

    Attributes:
        source: Folder of the originals.
        out: Folder of the results.
        model: The model file.
        settings: Settings of the run.
        journal: Journal of finished and failed photos.
    """

    source: str
    out: str
    model: models.ModelFile
    settings: EnhanceSettings
    journal: Journal

    def enhancer(self) -> Enhancer:
        """The enhancer of this process."""
        return models.load_enhancer(self.model, models.Application.of(self.settings))

    def is_done(self, task: Task) -> bool:
        """Whether the journal has this version of the photo, and its images exist."""
        return self.journal.is_done(
            task.version,
            functools.partial(self.settings.outputs, task.output),
            self._size_of,
        )

    def _size_of(self, image: str) -> int | None:
        """Bytes of an image of a name; None if it does not exist or is empty."""
        try:
            return storage.stat(*storage.split(place(image, self.out, self.source))).size or None
        except FileNotFoundError:
            return None

    @property
    def attempts(self) -> Attempts:
        """The photos in work."""
        return Attempts.of(self.out, on_cluster=self.settings.runner not in LOCAL_RUNNERS)

    def prepare(self, task: Task, share: Share | None = None) -> Prepared | Done:
        """Reads and decodes a photo and makes its small copies.

        Args:
            task: The photo.
            share: Its place in the queue for memory; if None, it joins the queue at the end.
        """
        started = time.perf_counter()
        share = share or memory.budget(self.settings.max_memory).queue()
        try:
            if self.is_done(task):  # a cluster that lost a worker restarts the job
                share.release()
                return Done(None, 0.0)
            with photos.failing_as("decode", *_ENDING):
                photo, crc32 = self._load(task, share)
                if photo.pixels.nbytes >= LARGE_PHOTO:
                    memory.give_back()  # the buffers of the decoder
                preview = pixels.preview(photo.pixels)
                curve_size = self.enhancer().curve_size
                small = pixels.small_copy(preview if curve_size <= pixels.PREVIEW else photo.pixels, curve_size)
                return Prepared(task, photo, preview, small, share, crc32)
        except photos.PhotoError as error:
            share.release()
            return self.failed(task, error, started)
        except BaseException:  # ends the job; the photos that wait for memory must not wait for ever
            share.release()
            raise

    def complete(self, prepared: Prepared, curves: Curves | photos.PhotoError) -> Done:
        """Applies the curves at full size, writes the images, measures them, and writes the journal record.

        Args:
            prepared: Result of `prepare`.
            curves: Curves of its small copy, or the error that the model raised.
        """
        started = time.perf_counter()
        try:
            with photos.failing_as("model", *_ENDING):
                if prepared.task.keeps_original or self._keeps_hdr(prepared):
                    curves = Curves.of_nothing(prepared.small)
                if isinstance(curves, photos.PhotoError):
                    raise curves
                height, width = prepared.photo.pixels.shape[:2]
                with self._limited(prepared.task, "encode", height * width):
                    outcome = self._enhance(prepared, curves)
            paths, sizes, crc32 = zip(*outcome.images, strict=True) if outcome.images else ((), (), ())
            row = outcome.row | {"notes": "; ".join(outcome.notes)}
            unchanged = tuple(outcome.unchanged)
            return self._record(
                prepared.task,
                started,
                paths,
                row=row,
                unchanged=unchanged,
                sizes=sizes,
                crc32=crc32,
                when=prepared.task.when,
            )
        except photos.PhotoError as error:
            return self.failed(prepared.task, error, started)
        finally:
            prepared.share.release()

    def failed(self, task: Task, error: photos.PhotoError, started: float) -> Done:
        """Records that a photo failed."""
        failure = {"stage": error.stage, "error": error.message}
        return self._record(task, started, given_up=isinstance(error, _GivenUpError), failure=failure)

    def flush(self) -> None:
        """Waits until all journal records are safe."""
        with self._journaling():
            self.journal.flush()

    def close(self) -> None:
        """Closes the journal of this process, once all its records are safe."""
        with self._journaling():
            self.journal.close()

    def _record(
        self, task: Task, started: float, images: Collection[str] = (), given_up: bool = False, **what: Any
    ) -> Done:
        record = PhotoRecord(*task.version, **what)
        with self._journaling():
            attempts = self.attempts
            # if it was given up, the attempt stays, so that no process of this run begins it again
            ends_with_record = attempts.on_object_store and not given_up  # then many are deleted by one request
            self.journal.append(record, images, attempts.file(task.path) if ends_with_record else None)
            if not (given_up or ends_with_record):
                attempts.end(task.path)
        return Done(record, time.perf_counter() - started)

    @contextlib.contextmanager
    def _journaling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"{error.filename or self.journal.folder}: {error.strerror or error}") from error

    def _load(self, task: Task, share: Share) -> tuple[photos.Photo, int]:
        """The decoded photo and the CRC-32 of its file. Waits until there is memory for it."""
        settings, budget = self.settings, share.budget
        if task.size > settings.max_bytes:
            raise photos.PhotoError("too_large", f"{task.size} bytes are more than --max-bytes {settings.max_bytes}")
        if task.size > budget.total:
            raise photos.PhotoError("too_large", f"a file of {task.size} bytes needs more than --max-memory allows")
        if task.size > LARGE_FILE:
            share.take(task.size, more=True)
        self._begin(task, share)
        with self._limited(task, "read") as step:
            content = self._read(task)
            step.stage = "decode"

            def admit(count: int, bits: int) -> None:
                pixel = 2 if bits > 8 else 1  # bytes of a value
                if len(content) + count * pixel * memory.LEAST_BYTES_PER_PIXEL > budget.total:
                    there = f"{(budget.total + memory.BASE) / 1e6:.0f} MB (--max-memory)"
                    raise photos.PhotoError("too_large", f"{count / 1e6:.0f} megapixels need more memory than {there}")
                with step.waiting():
                    share.take(len(content) + count * pixel * memory.BYTES_PER_PIXEL)
                step.limit = watchdog.seconds_for(settings.photo_timeout, task.size, count)

            photo = photos.load(
                content, task.path, output_format=settings.output_format, max_pixels=settings.max_pixels, admit=admit
            )
            return photo, zlib.crc32(content)

    def _limited(self, task: Task, stage: str, pixels: int = 0) -> contextlib.AbstractContextManager[watchdog.Step]:
        """A step of a photo with a time limit. If it takes longer, this records the failure and ends the process."""

        def expired(step: watchdog.Step) -> None:
            error = f"it took longer than {step.limit:.0f} s (--photo-timeout)"
            self.attempts.write(Attempt(task.path, stage=step.stage, error=error, process=os.getpid()))

        return watchdog.limited(stage, watchdog.seconds_for(self.settings.photo_timeout, task.size, pixels), expired)

    def _begin(self, task: Task, share: Share) -> None:
        """Records that a photo is in work.

        A photo that was in work when a process ended is tried alone: it first takes all of the memory budget.
        """
        attempts = self.attempts
        with _writing(self.out, attempts.folder):
            before = attempts.of_photo(task.path)
            if before is None:
                attempts.write(Attempt(task.path, process=os.getpid()))
                return
        if before.error:
            raise _GivenUpError(before.stage, before.error)
        if attempts.is_hopeless(before):
            raise _GivenUpError("crash", f"it was tried {before.times} times, and the process ended each time")
        share.take(share.budget.total, more=True)
        with _writing(self.out, attempts.folder):
            attempts.write(Attempt(task.path, before.times + 1, alone=True, process=os.getpid()))

    def _read(self, task: Task) -> bytes:
        try:
            return storage.read(storage.join(self.source, task.path), self.settings.max_bytes)
        except OSError as error:
            folders.check_readable(self.source, error)
            raise photos.PhotoError("read", photos.described(error)) from error

    @contextlib.contextmanager
    def _target(self, task: Task, kind: str) -> Iterator[tuple[str, bool]]:
        """Gives the path to write an image to, and whether a file there is replaced.

        Args:
            task: The photo.
            kind: "enhanced" or "autocontrast".

        Raises:
            PhotoError: By now, the path leads out of its folder or to the original; or the image cannot be written.
        """
        image = self.settings.image(kind, task.output)
        target, path = place(image, self.out, self.source), image.lstrip("/")
        is_beside = path != image
        with _writing(self.out, path):
            if storage.leads_out(target, self.source if is_beside else self.out):
                raise photos.PhotoError("write", f"a link leads {path} out of the folder of results")
            if storage.is_same(target, storage.join(self.source, task.path)):
                raise photos.PhotoError("write", f"{path} is the original file")
            replace = not is_beside or task.replaces
            try:
                yield target, replace
            except FileExistsError as error:
                if replace:
                    raise
                raise photos.PhotoError("write", beside.taken(path)) from error

    def _enhance(self, prepared: Prepared, curves: Curves) -> Outcome:
        """Brightens a photo, writes its images, measures it, and writes its thumbnails."""
        settings, photo, original = self.settings, prepared.photo, prepared.photo.pixels
        enhanced = self.enhancer().apply(original, curves) if curves.grid.any() else original
        before, after = photo.eight_bits, eight_bit_values(enhanced)
        row, same = _measured(prepared, enhanced, before, after, curves)
        lost = [] if same and self._may_stay(prepared) else photo.notes  # a copied file loses nothing
        damage = [photo.damage] if photo.damage else []
        if prepared.task.keeps_original:
            kept = [ORIGINAL_KEPT]
        else:
            kept = [HDR_KEPT] if self._keeps_hdr(prepared) else self._missed(curves)
        outcome = Outcome(row, [*damage, *lost, *kept])
        event = self._event(prepared, row, same, curves)
        self._put(prepared, "enhanced", enhanced, same, outcome, event)
        after_preview = pixels.preview(after) if prepared.task.thumbnail and not same else prepared.preview
        if settings.reference is None:
            del enhanced, after  # a quarter of the memory that the photo uses
            if original.nbytes >= LARGE_PHOTO:
                memory.give_back()
        table, baseline = None, None
        if settings.autocontrast:
            table = photos.autocontrast_table(before)
            baseline = before if table is None else photos.look_up(before, table)
            row["psnr_autocontrast_db"] = math.inf if table is None else metrics.psnr(before, baseline)
            self._put(prepared, "autocontrast", baseline, table is None, outcome)
        if settings.reference is not None:
            scores, notes = self._compare(prepared.task, before, after, baseline)
            row |= scores
            outcome.notes += notes
        if prepared.task.thumbnail:
            outcome.notes += self._draw(prepared, row, after_preview, table)
        return outcome

    def _event(self, prepared: Prepared, row: dict[str, Any], same: bool, curves: Curves) -> Event | None:
        """The entry for the history of the enhanced photo; None without one."""
        if not self.settings.history:
            return None
        action = "edited" if not same else "saved" if prepared.photo.same_format else "converted"
        denoised = self.enhancer().filters_noise(curves)
        size = self._scaled_size(prepared)
        return history.event_of(action, row, self.settings, self.model.sha256, prepared.task.when, denoised, size)

    def _scaled_size(self, prepared: Prepared) -> tuple[int, int] | None:
        """Width and height of the images of a photo that `--max-side` scales down; None for other photos."""
        height, width = prepared.photo.pixels.shape[:2]
        longest = self.settings.max_side
        return scaled_size(width, height, longest) if longest and max(width, height) > longest else None

    def _keeps_hdr(self, prepared: Prepared) -> bool:
        """Whether a photo stays as it is because it has a gain map."""
        return self.settings.unchanged_hdr and prepared.photo.hdr

    def _missed(self, curves: Curves) -> list[str]:
        """A note if the photo does not reach the exposure asked for."""
        wanted = self.settings.exposure
        missed = wanted != "auto" and abs(curves.exposure - wanted) > EXPOSURE_REACHED
        return [f"exposure {wanted:g} not reached"] if missed else []

    def _may_stay(self, prepared: Prepared) -> bool:
        """Whether a copy of the photo's file may be the output if the pixels do not change."""
        task = prepared.task
        if not self.settings.keep_files or self._scaled_size(prepared):
            return False
        return prepared.photo.same_format and photos.is_named_alike(task.path, task.output)

    def _put(
        self,
        prepared: Prepared,
        folder: str,
        values: np.ndarray,
        same: bool,
        outcome: Outcome,
        event: Event | None = None,
    ) -> None:
        """Writes an image of a photo. If the pixels are unchanged and the settings allow it, copies the file instead.

        Args:
            prepared: The photo.
            folder: "enhanced" or "autocontrast".
            values: The pixels to write.
            same: Whether these are the pixels of the photo.
            outcome: Gets the image, and a note if the file is copied.
            event: Entry for the history of the image; None for no entry.
        """
        task, settings = prepared.task, self.settings
        original = storage.join(self.source, task.path)
        if not (same and self._may_stay(prepared)):
            content, notes = photos.encode(
                prepared.photo,
                values,
                quality=settings.quality,
                strip_metadata=settings.strip_metadata,
                event=event,
                with_gain_map=folder == "enhanced",
                max_side=settings.max_side,
            )
            mtime = None if settings.strip_metadata else task.mtime
            with self._target(task, folder) as (target, replace):
                try:
                    storage.write(target, content, mtime, like=original, replace=replace)
                except FileExistsError:
                    if replace or storage.read(target) != content:  # an earlier attempt at the photo wrote the same
                        raise
            outcome.images.append(Image(target, len(content), zlib.crc32(content)))
            outcome.notes += [note for note in notes if note not in outcome.notes]
            return
        outcome.unchanged.append(folder)
        with self._target(task, folder) as (target, replace):
            if settings.unchanged == "skip":
                storage.delete([target] if replace else [])  # a run with other settings may have written it
                outcome.notes.append(f"{folder} unchanged, not written")
                return
            try:
                entry = storage.Entry(task.path, task.size, task.mtime)
                crc32 = storage.copy(self.source, entry, target, prepared.crc32, replace)
            except FileExistsError:
                crc32 = prepared.crc32
                if replace or zlib.crc32(storage.read(target)) != crc32:
                    raise
            except storage.SourceError as error:
                folders.check_readable(self.source, error)
                raise photos.PhotoError("read", str(error)) from error
        outcome.images.append(Image(target, task.size, crc32))
        outcome.notes.append(f"{folder} unchanged, copied byte for byte")

    def _compare(
        self, task: Task, before: np.ndarray, enhanced: np.ndarray, autocontrast: np.ndarray | None
    ) -> tuple[dict[str, float | None], list[str]]:
        """PSNR and SSIM against the reference, and notes.

        A value is None if there is no reference of the same size, or if SSIM is undefined.
        """
        images = {"input": before, "enhanced": enhanced, "autocontrast": autocontrast}
        reference, notes = None, []
        if task.reference:
            assert self.settings.reference is not None
            path = storage.join(self.settings.reference, task.reference)
            try:
                reference = photos.load(storage.read(path), path, max_pixels=self.settings.max_pixels).eight_bits
            except (OSError, photos.PhotoError) as error:
                if isinstance(error, OSError):
                    folders.check_readable(self.settings.reference, error)
                notes.append(f"reference not readable: {error}")
        if reference is not None and reference.shape[:2] != before.shape[:2]:
            notes.append("size differs from reference")
            reference = None
        scores: dict[str, float | None] = {}
        target = None if reference is None else _rgb(reference)
        for name, score in (("psnr_{}_reference_db", metrics.psnr), ("ssim_{}_reference", metrics.ssim)):
            for image_name, image in images.items():
                value = math.nan if target is None or image is None else score(_rgb(image), target)
                scores[name.format(image_name)] = None if math.isnan(value) else value
        return scores, notes

    def _draw(self, prepared: Prepared, row: dict[str, Any], after: np.ndarray, table: np.ndarray | None) -> list[str]:
        """Writes the thumbnails of the report. Returns a note if that fails.

        Args:
            prepared: The photo.
            row: Its row.
            after: Preview of the enhanced photo; the preview of the photo itself if nothing changed.
            table: Table of its autocontrast; None if it changes nothing or is switched off.
        """
        preview = prepared.preview
        try:
            with photos.failing_as("write", *_ENDING), _writing(self.out, prepared.task.path):
                shown = image_of(preview)
                contrasted = shown if self.settings.autocontrast else None
                report.write_thumbnails(
                    self.out,
                    row,
                    shown,
                    shown if after is preview else image_of(after),
                    contrasted if table is None else image_of(photos.look_up(preview, table)),
                    icc_profile=prepared.photo.metadata.icc_profile,
                    like=storage.join(self.source, prepared.task.path),
                )
        except photos.PhotoError as error:
            return [f"no thumbnails in the report ({error.message})"]
        return []


def _measured(
    prepared: Prepared, enhanced: np.ndarray, before: np.ndarray, after: np.ndarray, curves: Curves
) -> tuple[dict[str, Any], bool]:
    """The row of a photo without the columns of the baselines, and whether its pixels are unchanged.

    Args:
        prepared: The photo.
        enhanced: Its enhanced pixels.
        before: Its pixels in 8 bits.
        after: Its enhanced pixels in 8 bits.
        curves: Its curves.
    """
    original = prepared.photo.pixels
    mean_input = metrics.mean(before)
    psnr = math.inf if enhanced is original else metrics.psnr(before, after)
    same = enhanced is original or (math.isinf(psnr) and np.array_equal(enhanced, original))
    row = {
        "path": prepared.task.path,
        "output": prepared.task.output,
        "width": original.shape[1],
        "height": original.shape[0],
        "mean_input": mean_input,
        "mean_enhanced": mean_input if same else metrics.mean(after),
        "psnr_enhanced_db": psnr,
        "psnr_autocontrast_db": None,
        "exposure": curves.exposure,
    }
    return row, same


@contextlib.contextmanager
def _writing(out: str, path: str) -> Iterator[None]:
    """Separates write errors of one photo (a name too long) from those that end the job (a full disk).

    Raises:
        PhotoError: The error concerns this photo only.
        OutputError: Nothing can be written any more.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS) or not folders.is_writable(out):
            raise OutputError(f"{path}: {error.strerror or error}") from error
        raise photos.PhotoError("write", photos.described(error)) from error


def _rgb(pixels: np.ndarray) -> np.ndarray:
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))
