"""The folders of a job: lists the photos of the input, and checks and locks the folder of results."""

import contextlib
import fnmatch
import os
import posixpath
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import click
import filelock

from pipelines import lists, storage
from pipelines.photos import is_ignored, is_photo
from pipelines.sorted_map import SortedMap

STATE = ".zerodce"
"""The folder in OUT with the state of a job. Each command uses its own part of it."""

_MARKS = {
    "enhance": (f"{STATE}/journal", f"{STATE}/plan", "metrics.csv"),
    "preprocess": (f"{STATE}/preprocess", "manifest.json"),
    "train": (f"{STATE}/train", "checkpoints/state.npz"),
}


class OutputError(Exception):
    """Nothing can be written any more, such as on a full disk. The job ends; a later run goes on."""


class InputError(Exception):
    """The folder of the originals can no longer be read: its disk is gone, or its store does not work. The job ends."""


class Listing(NamedTuple):
    """The photos of a folder, sorted by path, and the number of other files by extension."""

    folder: str
    entries: Collection[storage.Entry]
    ignored_by_extension: Mapping[str, int]

    @property
    def ignored(self) -> int:
        """The number of other files."""
        return sum(self.ignored_by_extension.values())


def find(
    path: str,
    unreadable: dict[str, str] | None = None,
    exclude: Sequence[str] = (),
    files: str | None = None,
    may_be_empty: bool = False,
    written: Callable[[], Collection[str]] = frozenset,
) -> Listing:
    """Lists the photos of a folder, or one photo.

    Args:
        path: A folder, or a file.
        unreadable: Gets the reason for every photo and folder that cannot be read, by relative path. If None, such a
            photo is listed with size 0, so that reading it fails later; the first such folder raises an error.
        exclude: Patterns of `fnmatch` for the relative paths of ignored files and folders.
        files: A list of photos of the folder, as `pipelines.lists` reads it; None for all of them.
        may_be_empty: Whether a folder without photos is no error.
        written: Gives the relative paths of the images that a command wrote beside photos. They count as other files.
            It is called when all files are listed, so that it knows what another process wrote meanwhile.

    Raises:
        click.UsageError: There are no photos, or the path or the list cannot be read.
    """
    others: dict[str, OSError | None] = {}
    try:
        storage.reach(path)
        if storage.is_file(path):
            folder, name = storage.split(path)
            entries: Iterable[storage.Entry] = [storage.stat(folder, name)]
        else:
            refuse_lost_link(path)
            if not storage.exists(path):
                raise click.UsageError(f"{path} does not exist: name a folder of photos, or one photo")
            folder = storage.absolute(path)
            entries = storage.walk(path, others) if files is None else lists.entries(path, files, others)
        found, extensions = _photos(entries, exclude)
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    reasons = {
        name: error.strerror or str(error)
        for name, error in sorted(others.items())
        if error and not _is_excluded(name, exclude)
        if files or not is_ignored(f"{name}/")  # the name may be a folder
        if files or is_photo(name) or not isinstance(error, FileNotFoundError)  # a broken link is not a folder
    }
    for name in written():
        if found.discard(name):
            extensions[_extension(name)] += 1
    count = len(found) + extensions.total() + len(others)
    if not count and not may_be_empty:
        raise click.UsageError(f"{files or path} is empty: name a {'list' if files else 'folder'} of photos")
    fatal = [name for name in reasons if not (found or may_be_empty) or (unreadable is None and not is_photo(name))]
    if fatal:
        raise click.UsageError(f"{storage.join(path, fatal[0])} cannot be read: {reasons[fatal[0]]}")
    if not found and not may_be_empty:
        raise click.UsageError(f"{path} holds no photos, only {count} other file(s)")
    if unreadable is not None:
        unreadable |= reasons
    else:
        found.update((name, storage.Entry(name, 0, 0.0)) for name in reasons)
    extensions.update(_extension(name) for name in others if name not in reasons)
    return Listing(folder, found.values(), dict(sorted(extensions.items())))


def _photos(entries: Iterable[storage.Entry], exclude: Sequence[str]) -> tuple[SortedMap[storage.Entry], Counter[str]]:
    """The photos among files, by path, and the number of the others by extension."""
    photos: SortedMap[storage.Entry] = SortedMap(storage.Entry.fields, storage.Entry.of)
    extensions: Counter[str] = Counter()

    def pairs() -> Iterator[tuple[str, storage.Entry]]:
        for entry in entries:
            if is_photo(entry.path) and not _is_excluded(entry.path, exclude):
                yield entry.path, entry
            else:
                extensions[_extension(entry.path)] += 1

    photos.update(pairs())
    return photos, extensions


def _extension(path: str) -> str:
    return posixpath.splitext(path)[1].lower()


def _is_excluded(path: str, patterns: Sequence[str]) -> bool:
    """Whether a pattern matches a path, or a folder above it."""
    if not patterns:
        return False
    parts = path.split("/")
    above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    return any(fnmatch.fnmatchcase(each, pattern.rstrip("/")) for pattern in patterns for each in above)


def refuse_overlap(source: str, out: str) -> None:
    """Raises click.UsageError if one folder lies in the other, so that outputs never become inputs.

    Args:
        source: A folder, or one file. A folder beside a file does not overlap with it.
        out: Folder of the results.
    """
    if storage.is_local(source) != storage.is_local(out):
        return
    lies_in = _lies_in if storage.is_local(source) else _starts_with
    if lies_in(source, out) or lies_in(out, source):
        raise click.UsageError(f"{source} and {out} overlap: choose an output folder outside the photos")


def _starts_with(path: str, folder: str) -> bool:
    return f"{path.rstrip('/')}/".startswith(f"{folder.rstrip('/')}/")


def _lies_in(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies in it. Compares device and inode, because a folder can have several names."""
    path = os.path.realpath(path)
    if not os.path.exists(folder):
        return Path(path).is_relative_to(os.path.realpath(folder))
    above = filter(os.path.exists, map(str, (path, *Path(path).parents)))
    return any(os.path.samefile(parent, folder) for parent in above)


def refuse_other_job(out: str, job: str) -> None:
    """Raises click.UsageError if a folder holds files of another job."""
    for other, marks in _MARKS.items():
        if other != job and any(storage.exists(storage.join(out, mark)) for mark in marks):
            raise click.UsageError(f"{out} holds files of `zerodce {other}`: choose another folder")


def refuse_links_out(out: str, names: Iterable[str]) -> None:
    """Raises click.UsageError if a folder that a job writes to leads out of the results through a symbolic link.

    Args:
        out: Folder of the results, which may itself be a link.
        names: Folders in it, relative with `/`. They need not exist.
    """
    if not storage.is_local(out):
        return
    root = os.path.realpath(out)
    for name in names:
        path = storage.join(out, name)
        if not Path(target := os.path.realpath(path)).is_relative_to(root):
            raise click.UsageError(f"{path} is a link that leads to {target}: remove it, or choose another folder")


def what_failed(error: OSError, out: str) -> str:
    """The text of a system error. It says whether a file could not be read or the folder could not be written.

    Args:
        error: The error.
        out: Folder of the results.
    """
    path, reason = error.filename, error.strerror or error
    if isinstance(path, str) and not _starts_with(storage.absolute(path), storage.absolute(out)):
        return f"{path} cannot be read ({reason})"
    return f"{out} cannot be written ({reason})"


def refuse_lost_link(path: str) -> None:
    """Raises click.UsageError if a path is a broken link, or a link to itself."""
    if storage.is_local(path) and os.path.islink(path) and not os.path.exists(path):
        raise click.UsageError(f"{path} is a link that leads nowhere: remove it, or name another path")


def is_writable(out: str) -> bool:
    """Whether the folder of results still exists and a small file can be written into it."""
    probe = storage.join(out, f"{STATE}/writable")
    try:
        if storage.is_local(out) and not storage.exists(storage.join(out, STATE)):
            return False
        storage.write(probe, b"yes")
        storage.delete([probe])
    except OSError:
        return False
    return True


def check_readable(folder: str, error: Exception) -> None:
    """Tells an error of one file from that of its whole folder, whose disk is gone or whose store does not work.

    Args:
        folder: The folder of the originals, or of the references.
        error: Why a file of it could not be read.

    Raises:
        InputError: The folder cannot be read any more either.
    """
    try:
        if storage.is_local(folder):
            with os.scandir(folder) as entries:
                next(entries, None)
        else:
            storage.reach(folder)
    except OSError:
        raise InputError(f"{folder} ({getattr(error, 'strerror', None) or error})") from error


def folds_case(out: str) -> bool:
    """Whether `a.jpg` and `A.JPG` are one file in the folder of results. Its file `lock` has to exist."""
    return storage.is_local(out) and storage.exists(storage.join(out, f"{STATE}/LOCK"))


@contextlib.contextmanager
def lock(out: str, signs: Sequence[str] = (), local: bool = True) -> Iterator[Callable[[], bool]]:
    """Makes the folder of results and holds its lock: on a disk a file lock, on an object store a lease.

    The system releases the lock of a killed process. A lease expires.

    Args:
        out: The folder of results.
        signs: Folders below it into which a job on a cluster writes while it works.
        local: Whether the job ends with this process.

    Yields:
        Says whether the lock is still held.

    Raises:
        click.UsageError: Its state folder is a link that leads out of it.
        click.ClickException: The folder cannot be written, or another process works on it.
    """
    refuse_lost_link(out)
    refuse_links_out(out, [STATE, f"{STATE}/lock"])
    state = storage.join(out, STATE)
    probe = storage.join(state, "writable")
    with contextlib.ExitStack() as stack:
        try:
            storage.write(probe, b"yes")
            storage.delete([probe])
            is_held = stack.enter_context(_held(out, signs, local))
        except filelock.Timeout:
            raise click.ClickException(f"another process is working on {out}: wait for it, or choose another") from None
        except OSError as error:
            raise click.ClickException(
                f"{out} cannot be written ({error.strerror or error}): choose another"
            ) from error
        yield is_held


def is_locked(out: str) -> bool:
    """Whether a command works on a folder of results now. Changes nothing in it."""
    if storage.is_local(out):
        path = storage.join(out, f"{STATE}/lock")
        if not storage.exists(path):
            return False
        try:
            with filelock.FileLock(path, timeout=0):
                return False
        except filelock.Timeout:
            return True
    try:
        entry = storage.stat(storage.join(out, STATE), "lease.json")
    except FileNotFoundError:
        return False
    from pipelines import lease

    return time.time() - entry.mtime < lease.EXPIRED_SECONDS


@contextlib.contextmanager
def _held(out: str, signs: Sequence[str], local: bool) -> Iterator[Callable[[], bool]]:
    if storage.is_local(out):
        with filelock.FileLock(storage.join(out, f"{STATE}/lock"), timeout=0):
            yield lambda: True
    elif out.startswith("hdfs://"):  # has neither locks nor conditional puts
        yield lambda: True
    else:
        from pipelines import lease

        path = storage.join(out, f"{STATE}/lease.json")
        with lease.held(path, [storage.join(out, sign) for sign in signs], local) as is_held:
            yield is_held
