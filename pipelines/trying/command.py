"""The command `zerodce try`: reads the photos, makes the previews, and writes the page."""

import os
from collections.abc import Sequence

import click
import cv2

from pipelines import photos, progress, storage
from pipelines.enhance.settings import EnhanceSettings
from pipelines.trying.page import MARK, Tried, write_page
from pipelines.trying.previews import CHOICES, previews
from tfrecord_tools.records import printable


def try_settings(paths: Sequence[str], out: str) -> int:
    """The command `zerodce try`.

    Args:
        paths: The photos.
        out: Path of the page.

    Returns:
        The exit code: 0 all photos are on the page, 1 some could not be read.

    Raises:
        click.UsageError: The page would replace a file that this command did not write.
        click.ClickException: The page cannot be written.
    """
    refuse_foreign(out)
    cv2.setNumThreads(1)  # the versions of a photo are made side by side
    tried, failures = [], []
    for path in progress.track(paths, "photos", len(paths)):
        try:
            tried.append(try_photo(path))
        except photos.PhotoError as error:
            failures.append({"name": printable(path), "error": error.message})
            click.echo(printable(f"{path}: {error.message}"), err=True)
    try:
        storage.write(out, write_page(CHOICES, tried, failures))
    except OSError as error:
        raise click.ClickException(f"{out} cannot be written ({error.strerror or error}): choose another") from error
    click.echo(printable(f"{len(tried)} photos, {len(failures)} failed: {out}"))
    return 1 if failures else 0


def refuse_foreign(out: str) -> None:
    """Raises click.UsageError if there is a file or folder that is no page of this command."""
    if not storage.exists(out):
        return
    if not storage.is_file(out) or MARK not in storage.read(out)[:400]:
        raise click.UsageError(f"{out} exists, and is no page of `zerodce try`: choose another name with --out")


def try_photo(path: str) -> Tried:
    """Reads a photo and makes its previews.

    Raises:
        PhotoError: It cannot be read or enhanced.
    """
    try:
        if storage.exists(path) and not storage.is_file(path):
            raise photos.PhotoError("read", "it is no file: name the photos in it")
        content = storage.read(path, EnhanceSettings.max_bytes)
    except OSError as error:
        raise photos.PhotoError("read", photos.described(error)) from error
    folder = storage.split(path)[0]
    return Tried(printable(path), folder, previews(content, os.path.basename(path)))
