"""Images beside their originals (`--beside`): the list of those that this command writes, and which it may replace.

A file among the photos may be the owner's, even if it has a name that this command gives. So a name in the list is not
enough to replace a file: its record, its size and time, or its content have to say that it is ours.
"""

import json
import os
import uuid
from collections.abc import Iterable, Mapping

import click

from pipelines import folders, storage
from pipelines.enhance.journal import PhotoRecord, Version
from pipelines.enhance.ownership import SLACK, is_edited, is_other
from pipelines.threads import ordered_map

LIST = f"{folders.STATE}/beside"
"""The folder of the list, relative to the folder of the results."""

READERS = 32
"""Files whose size and time are asked for at a time."""

Written = dict[str, tuple[tuple[int, float], ...]]
"""Relative paths of images beside their photos, each with the sizes and times of versions that were ours."""


def check(photos: str) -> None:
    """Raises click.UsageError if images cannot lie beside the photos of a folder."""
    if not storage.is_local(photos):
        raise click.UsageError(f"--beside needs photos on a disk, and {photos} is on an object store: leave it out")
    if not os.access(photos, os.W_OK):
        raise click.UsageError(f"{photos} cannot be written, so --beside has no place for the photos: leave it out")


def read_list(out: str) -> Written:
    """The images that runs into a folder of results wrote, or meant to write, beside their photos."""
    folder = storage.join(out, LIST)
    found: Written = {}
    for entry in storage.walk(folder) if storage.exists(folder) else ():
        for line in storage.read(storage.join(folder, entry.path)).splitlines():
            path, *version = json.loads(line)
            found[path] = (*found.get(path, ()), *([(version[0], version[1])] if version else []))
    return found


def remember(out: str, outputs: Iterable[str], replaced: Mapping[str, storage.Entry]) -> None:
    """Adds images to the list. Call it before the first of them is written.

    Args:
        out: Folder of the results.
        outputs: Relative paths of the images.
        replaced: Those that exist and are ours.
    """
    lines = [[path, replaced[path].size, replaced[path].mtime] if path in replaced else [path] for path in outputs]
    if lines:
        path = storage.join(out, f"{LIST}/{uuid.uuid4().hex}.jsonl")
        storage.write(path, b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        storage.sync([path])


def entries(photos: str, paths: Iterable[str]) -> dict[str, storage.Entry]:
    """The files that exist among photos on a disk, by path.

    Args:
        photos: Folder of the photos.
        paths: Relative paths of the files that are looked for.
    """

    def entry(path: str) -> storage.Entry | None:
        try:
            return storage.stat(photos, path)
        except OSError:  # a link that leads nowhere is somebody's
            return storage.Entry(path, 0, 0.0) if os.path.lexists(storage.join(photos, path)) else None

    return {entry.path: entry for entry in ordered_map(entry, paths, READERS) if entry}


class Beside:
    """The images of one run beside their photos.

    Args:
        out: Folder of the results.
        photos: Folder of the photos, on a disk.
        outputs: Relative paths of the images.
        known: The journal's records, by path of the photo.
    """

    def __init__(
        self,
        out: str,
        photos: str,
        outputs: Iterable[str],
        known: Mapping[str, PhotoRecord],
    ) -> None:
        self.photos = photos
        self.present = entries(photos, outputs)
        self.known = known
        self._written = read_list(out)

    def judge(self, photo: Version, output: str) -> tuple[str | None, bool]:
        """Says whether the image of a photo may be written.

        Args:
            photo: The photo.
            output: Relative path of its image.

        Returns:
            Why it may not be written, None if it may; and whether it replaces a file, which is ours. If nothing but
            its name says that a file is ours, it is not replaced: a run that was killed has written it if it has the
            same content.
        """
        entry, record = self.present.get(output), self.known.get(photo.path)
        if entry is None:
            return None, False
        if output not in self._written:
            return taken(output), False
        if record and record.row and record.row["output"] == output and record.crc32:
            path = storage.join(self.photos, output)
            if is_other(path, record) if entry.size not in record.sizes else is_edited(path, entry, record):
                return f"{output} was edited since it was written: move it away, or choose another --name", False
            return None, True
        times = [photo.mtime, *(mtime for size, mtime in self._written[output] if size == entry.size)]
        return None, any(abs(entry.mtime - time) <= SLACK for time in times)


def taken(output: str) -> str:
    """The error about a file of somebody else in the place of an image."""
    return f"{output} exists, and zerodce did not write it: move it away, or choose another --name"


def remove_leftovers(photos: str, in_work: Iterable[str]) -> None:
    """Deletes the temporary files that a killed run left beside photos.

    Args:
        photos: Folder of the photos, on a disk.
        in_work: Relative paths of the photos that were in work when a process ended.
    """
    for folder in {os.path.dirname(storage.join(photos, path)) for path in in_work}:
        names = os.listdir(folder) if os.path.isdir(folder) else []
        storage.delete(os.path.join(folder, name) for name in names if storage.TEMPORARY_NAME.fullmatch(name))
