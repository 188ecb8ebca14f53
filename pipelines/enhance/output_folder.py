"""Checks the folder of results: whose photos it holds, which files are ours, and that no link leads out of it."""

import json
import os
import time
from typing import Any

import click

from pipelines import folders, storage
from pipelines.enhance import beside, ownership, report
from pipelines.enhance.journal import Journal
from pipelines.enhance.settings import IMAGE_FOLDERS
from pipelines.folders import Listing

FOLDERS = (*IMAGE_FOLDERS, "report", "report/data", "report/thumbs")
"""The folders of images and of the report, relative to the folder of results."""

TABLES = (
    *("metrics.csv", "metrics.parquet", "failures.csv", "run.json", "report.html"),
    *(f"report/{name}" for name in report.PAGE_FILES),
)
"""The tables, the page and its files, relative to the folder of results. Each run replaces them."""

TIME_SLACK = 2.0
"""Seconds by which the time of a moved photo may differ, because file systems round it."""

_JOURNAL = f"{folders.STATE}/journal"
_STATE = (folders.STATE, _JOURNAL, f"{folders.STATE}/plan", f"{folders.STATE}/in_work", ownership.LIST, beside.LIST)
_SOURCE = f"{folders.STATE}/source.json"


def check(out: str, photos: str, overwrite: bool, moved: Listing | None = None) -> None:
    """Checks a folder before a run changes anything in it.

    Args:
        out: Folder of the results; it may not exist yet.
        photos: The folder of photos, or the photo, of the run.
        overwrite: Whether results of other photos may be replaced.
        moved: The photos of the run, if results of another path may belong to them (`--same-archive`); else None.

    Raises:
        click.UsageError: It is not a folder. Or it holds results of other photos, files of another job, or a link that
            leads out of it. Or one of the two folders lies in the other.
    """
    folders.refuse_links_out(out, [*_STATE, *FOLDERS])
    if storage.is_local(out):
        for path in (out, *(storage.join(out, name) for name in (*_STATE, *FOLDERS))):
            if os.path.lexists(path) and not os.path.isdir(path):
                raise click.UsageError(f"{path} is not a folder: remove it, or choose another folder for the results")
    for path in (out, *(storage.join(out, name) for name in FOLDERS)):
        folders.refuse_overlap(photos, path)
    folders.refuse_other_job(out, "enhance")
    if not overwrite:
        _refuse_files_of_others(out)
    if not overwrite or beside.read_list(out):
        _refuse_other_source(out, source_of(photos), moved, overwrite)


def source_of(photos: str) -> str:
    """A canonical name for the folder of photos, or the photo."""
    return os.path.realpath(photos) if storage.is_local(photos) else photos.rstrip("/")


def remember_source(out: str, photos: str) -> None:
    """Records to which photos the results belong."""
    storage.write(storage.join(out, _SOURCE), json.dumps({"source": source_of(photos)}).encode())


def _refuse_files_of_others(out: str) -> None:
    """Raises click.UsageError if a folder without a run of ours holds a file with the name of a table or the page."""
    if any(storage.exists(storage.join(out, path)) for path in (_SOURCE, _JOURNAL)):
        return
    if isinstance(_read(out, "run.json").get("photos"), str):  # a run without a state folder wrote it
        return
    for name in TABLES:
        path = storage.join(out, name)
        if storage.is_file(path):
            raise click.UsageError(
                f"{path} exists, and zerodce did not write it: move it away, choose another folder for the results, "
                "or replace it with --overwrite"
            )


def _refuse_other_source(out: str, source: str, moved: Listing | None, overwrite: bool) -> None:
    remembered = _read(out, _SOURCE).get("source")
    if not isinstance(remembered, str):  # a folder without source.json: run.json has the name as it was typed
        remembered = _read(out, "run.json").get("photos")
        if not isinstance(remembered, str):
            return
        if storage.is_local(remembered) and not os.path.isabs(remembered):
            parts = [part for part in os.path.normpath(remembered).split(os.sep) if part not in (".", "..")]
            if source.split(os.sep)[len(source.split(os.sep)) - len(parts) :] == parts:
                return
        else:
            remembered = source_of(remembered)
    if remembered != source and moved is not None:
        _refuse_other_photos(out, source, moved)
    elif remembered != source:
        way = (
            " (images lie beside its photos, so --overwrite is no way)"
            if overwrite
            else ", or replace them with --overwrite"
        )
        raise click.UsageError(
            f"{out} holds the results of {remembered}, not of {source}: choose another folder{way}. If the photos have "
            "only moved, go on with --same-archive"
        )


def _refuse_other_photos(out: str, source: str, moved: Listing) -> None:
    """Raises click.UsageError if a finished photo is missing among these, or has another size or time."""
    done = [record for record in Journal(storage.join(storage.absolute(out), _JOURNAL)).read().values() if record.row]
    found = {entry.path: entry for entry in moved.entries}
    differences = []
    for record in sorted(done, key=lambda record: record.path):
        entry = found.get(record.path)
        if entry is None:
            differences.append(f"{record.path} is missing")
        elif entry.size != record.size:
            differences.append(f"{record.path} has {entry.size} bytes, and had {record.size}")
        elif abs(entry.mtime - record.mtime) > TIME_SLACK:
            times = (time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(each)) for each in (entry.mtime, record.mtime))
            differences.append("{} has the time {} (UTC), and had {}".format(record.path, *times))
    if differences:
        raise click.UsageError(
            f"{source} is not the archive that {out} belongs to: {len(differences)} of {len(done)} finished photos "
            f"differ, such as: {differences[0]}"
        )


def _read(out: str, name: str) -> dict[str, Any]:
    """The JSON object in a file; empty if the file has none."""
    try:
        content = json.loads(storage.read(storage.join(out, name)))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
