"""The list of `--keep-original`: the photos of which the owner wants the original. The report page writes it."""

from collections.abc import Collection, Iterable

import click

from pipelines import storage
from tfrecord_tools.records import printable


def read_list(path: str) -> frozenset[str]:
    """The relative paths in a list: one a line. Blank lines do not count, nor do comments, which begin with #.

    A path may begin with `./`, so that the name of a photo may begin with #.

    Args:
        path: The list, in UTF-8. Bytes that are no UTF-8 are kept, as in names of files.

    Raises:
        click.UsageError: It cannot be read.
    """
    try:
        content = storage.read(path)
    except OSError as error:
        raise click.UsageError(f"--keep-original: {path} cannot be read: {error.strerror or error}") from None
    lines = (line.removesuffix("\r") for line in content.decode("utf-8-sig", "surrogateescape").split("\n"))
    return frozenset(line.removeprefix("./") for line in lines if line.strip() and not line.startswith("#"))


def warn_of_missing(path: str, kept: Collection[str], found: Iterable[str]) -> None:
    """Prints one line if paths of a list are not found.

    Args:
        path: The list.
        kept: The paths in it.
        found: The paths of all photos.
    """
    if missing := sorted(set(kept).difference(found)):
        more = f", nor are {len(missing) - 1} more" if len(missing) > 1 else ""
        message = f"Warning: --keep-original: {missing[0]} in {path} is no photo that was found{more}"
        click.echo(printable(message), err=True)
