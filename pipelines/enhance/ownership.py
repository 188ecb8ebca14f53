"""Which images in the folder of results may be replaced: those that this command wrote and that are not edited since.

An image is ours if the journal or the list in `.zerodce/outputs` names it. Every run adds its outputs to this list
before it writes the first of them.
"""

import functools
import itertools
import json
import os
import uuid
import zlib
from collections.abc import Container, Iterable, Mapping

import click

from pipelines import folders, storage
from pipelines.enhance.journal import PhotoRecord
from pipelines.enhance.settings import IMAGE_FOLDERS
from pipelines.photos import is_whole
from pipelines.sorted_map import SortedMap

LIST = f"{folders.STATE}/outputs"
"""The folder of the list of outputs, relative to the folder of the results."""

OUTPUTS_IN_A_FILE = 50_000
"""Outputs in each file of the list."""

_OF_THE_PAGE = ("report/data", "report/thumbs")
_LONGEST = 3600.0  # seconds between writing an image and writing its record, at most
SLACK = 2.0
"""Seconds by which the time of a file may differ, because file systems round it."""


class Ownership:
    """The images of one folder of results.

    Args:
        out: Folder of the results.
        source: Folder of the photos.
        photos: Relative paths of all photos.
        known: The journal's records, by path of the photo.
        present: The files in the folder of the results, by relative path.
    """

    def __init__(
        self,
        out: str,
        source: str,
        photos: Iterable[str],
        known: Mapping[str, PhotoRecord],
        present: Mapping[str, storage.Entry],
    ) -> None:
        self.out = out
        self.source = source
        self.photos = photos
        self.known = known
        self.present = present
        self._above: dict[str, str | None] = {}  # the answers of `_original_above`

    def refusal(
        self, photo: str, output: str, overwrite: bool = False, kinds: Iterable[str] = IMAGE_FOLDERS
    ) -> str | None:
        """Why the images of a photo may not be written; None if they may.

        Args:
            photo: Relative path of the photo.
            output: Relative path of its output.
            overwrite: Whether every file except originals may be replaced.
            kinds: Folders of its images.
        """
        for folder in kinds:
            image = f"{folder}/{output}"
            entry, original = self.present.get(image), self._originals_at(image)
            if (entry is None and original is None) or self._speaks_for_itself(photo, image):
                continue
            if original:
                return f"{image} would lie in the folder of originals {original}, because of a mount: unmount it"
            if entry is None or overwrite:
                continue
            if not self._is_ours(photo, output):
                return f"{image} exists, and zerodce did not write it: move it away, or replace it with --overwrite"
            if self._may_be_edited and is_edited(storage.join(self.out, image), entry, self.known.get(photo)):
                return f"{image} was edited since it was written: move it away, or replace it with --overwrite"
        return None

    def check_folders(self) -> None:
        """Raises click.UsageError if a mount makes a folder of the page the same as a folder of originals."""
        for folder in _OF_THE_PAGE:
            if original := self._originals_at(f"{folder}/file"):
                raise click.UsageError(
                    f"{folder} in the results is the folder of originals {original}, because of a mount: unmount it"
                )

    def _speaks_for_itself(self, photo: str, image: str) -> bool:
        """Whether the worker itself will refuse the image, because it is behind a link or is the original."""
        target = storage.join(self.out, image)
        return storage.leads_out(target, self.out) or storage.is_same(target, storage.join(self.source, photo))

    def _is_ours(self, photo: str, output: str) -> bool:
        record = self.known.get(photo)
        return bool(record and record.row and record.row["output"] == output) or output in self._listed

    @property
    def _may_be_edited(self) -> bool:
        """False on an object store, which does not keep the time that a file is given."""
        return storage.is_local(self.out)

    @functools.cached_property
    def _listed(self) -> Container[str]:
        """The outputs of all runs."""
        folder = storage.join(self.out, LIST)
        listed: SortedMap[None] = SortedMap()
        for entry in storage.walk(folder) if storage.exists(folder) else ():
            lines = storage.read(storage.join(folder, entry.path)).splitlines()
            listed.update((json.loads(line), None) for line in lines)
        return listed

    def _originals_at(self, image: str) -> str | None:
        """The folder of originals that is the same as a folder above an image, by device and inode.

        A mount or a second network share can cause this. None if there is no such folder.
        """
        if not (storage.is_local(self.out) and storage.is_local(self.source)):
            return None
        return self._original_above(os.path.dirname(image))

    def _original_above(self, folder: str) -> str | None:
        """The folder of originals that is the same as a folder or one above it."""
        if folder and folder not in self._above:
            identity = _identity(os.path.join(self.out, folder))
            original = self._originals.get(identity) if identity else None
            self._above[folder] = original or self._original_above(os.path.dirname(folder))
        return self._above[folder] if folder else None

    @functools.cached_property
    def _originals(self) -> dict[tuple[int, int], str]:
        """The folders of the photos, by device and inode."""
        pending = {os.path.dirname(photo) for photo in self.photos}
        found: dict[tuple[int, int], str] = {}
        seen: set[str] = set()
        while pending - seen:
            seen |= (new := pending - seen)
            pending = {os.path.dirname(folder) for folder in new}
        for folder in seen:
            if identity := _identity(os.path.join(self.source, folder)):
                found[identity] = folder or "."
        return found


def is_edited(path: str, entry: storage.Entry, record: PhotoRecord | None) -> bool:
    """Whether an image is whole, but has another time and other content than this command wrote.

    An image that is cut short does not count as edited: it is made again.

    Args:
        path: Path of the image.
        entry: Its size and time.
        record: The record of its photo. Without one, or if the record is old, nothing counts as edited.
    """
    if record is None or not record.crc32:
        return False
    # an image that is not edited has the time of its photo, or was written shortly before its record
    if abs(entry.mtime - record.mtime) <= SLACK or -_LONGEST <= entry.mtime - record.time <= SLACK:
        return False
    return is_other(path, record)


def is_other(path: str, record: PhotoRecord) -> bool:
    """Whether an image is whole, but has other content than the record of its photo says."""
    content = storage.read(path)
    if (len(content), zlib.crc32(content)) in zip(record.sizes, record.crc32, strict=True):
        return False
    return is_whole(content)


def remember_outputs(out: str, outputs: Iterable[str]) -> None:
    """Adds outputs to the list of our files. Call it before the first of them is written.

    Args:
        out: Folder of the results.
        outputs: Relative paths of outputs.
    """
    left = iter(outputs)
    while chunk := list(itertools.islice(left, OUTPUTS_IN_A_FILE)):
        path = storage.join(out, f"{LIST}/{uuid.uuid4().hex}.jsonl")
        storage.write(path, b"".join(json.dumps(output).encode() + b"\n" for output in chunk))
        storage.sync([path])


def _identity(folder: str) -> tuple[int, int] | None:
    """Device and inode of a folder; None if it does not exist."""
    try:
        found = os.stat(folder)
    except OSError:
        return None
    return found.st_dev, found.st_ino
