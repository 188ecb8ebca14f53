"""The folders of a job: the photos in its input; an output that is apart from it, writable and ours alone."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import click
import filelock

from pipelines import storage
from pipelines.photos import is_photo

STATE = ".zerodce"
"""The folder in OUT for what a job needs until it is finished, or for the next run; each job has its own part of it."""

_MARKS = {
    "enhance": (f"{STATE}/journal", f"{STATE}/plan", "metrics.csv"),
    "preprocess": (f"{STATE}/preprocess", "manifest.json"),
    "train": (f"{STATE}/train", "checkpoints/state.npz"),
}


class OutputError(Exception):
    """Nothing can be written any more, such as on a full disk: the job ends, and goes on another time."""


class Listing(NamedTuple):
    """The photos of a folder, sorted by path, and the number of its other files."""

    folder: str
    entries: list[storage.Entry]
    ignored: int


def find(path: str) -> Listing:
    """Lists the photos of a folder, or one photo.

    Raises:
        click.UsageError: There is nothing to enhance.
    """
    try:
        storage.reach(path)
        if storage.is_file(path):
            folder, name = storage.split(path)
            entries = [storage.stat(folder, name)]
        else:
            if not storage.exists(path):
                raise click.UsageError(f"{path} does not exist: name a folder of photos, or one photo")
            folder, entries = storage.absolute(path), list(storage.walk(path))
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    if not entries:
        raise click.UsageError(f"{path} is empty: name a folder of photos")
    found = sorted((entry for entry in entries if is_photo(entry.path)), key=lambda entry: entry.path)
    if not found:
        raise click.UsageError(f"{path} holds no photos, only {len(entries)} other file(s)")
    return Listing(folder, found, len(entries) - len(found))


def refuse_overlap(source: str, out: str) -> None:
    """Raises click.UsageError if one folder lies in the other, so that outputs never become inputs.

    Args:
        source: A folder, or one file: a folder beside that is apart from it.
        out: Folder of the results.
    """
    if storage.is_local(source) != storage.is_local(out):
        return
    if storage.is_local(source):
        first, second = (os.path.join(os.path.realpath(path), "") for path in (source, out))
    else:
        first, second = (path.rstrip("/") + "/" for path in (source, out))
    if first.startswith(second) or second.startswith(first):
        raise click.UsageError(f"{source} and {out} overlap: choose an output folder outside the photos")


def refuse_other_job(out: str, job: str) -> None:
    """Raises click.UsageError if a folder holds what another job than this one left there."""
    for other, marks in _MARKS.items():
        if other != job and any(storage.exists(storage.join(out, mark)) for mark in marks):
            raise click.UsageError(f"{out} holds what `zerodce {other}` left: choose another folder")


def refuse_links_out(out: str, names: Iterable[str]) -> None:
    """Raises click.UsageError if what a job writes or deletes in a folder lies elsewhere, behind a symbolic link.

    Args:
        out: Folder of the results, which may itself be a link.
        names: Folders in it, relative with `/`; those that are not there are all right.
    """
    if not storage.is_local(out):
        return
    root = os.path.realpath(out)
    for name in names:
        path = storage.join(out, name)
        if not Path(target := os.path.realpath(path)).is_relative_to(root):
            raise click.UsageError(f"{path} is a link that leads to {target}: remove it, or choose another folder")


def is_writable(out: str) -> bool:
    """Whether the folder of the results is still there and takes a small file."""
    probe = storage.join(out, f"{STATE}/writable")
    try:
        if storage.is_local(out) and not storage.exists(storage.join(out, STATE)):
            return False
        storage.write(probe, b"yes")
        storage.delete([probe])
    except OSError:
        return False
    return True


@contextlib.contextmanager
def lock(out: str) -> Iterator[None]:
    """Makes the folder of the results and holds its lock, which a killed process gives back.

    Raises:
        click.UsageError: Its folder of state is a link that leads elsewhere.
        click.ClickException: The folder cannot be written, or another process works on it.
    """
    refuse_links_out(out, [STATE])
    state = storage.join(out, STATE)
    probe = storage.join(state, "writable")
    held = filelock.FileLock(storage.join(state, "lock"))
    try:
        storage.write(probe, b"yes")  # Beam cannot write an empty file to S3
        storage.delete([probe])
        if storage.is_local(out):  # an object store has no locks
            held.acquire(timeout=0)
    except filelock.Timeout:
        raise click.ClickException(f"another process is working on {out}: wait for it, or choose another") from None
    except OSError as error:
        raise click.ClickException(f"{out} cannot be written ({error.strerror or error}): choose another") from error
    try:
        yield
    finally:
        held.release()
