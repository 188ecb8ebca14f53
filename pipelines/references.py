"""Finds the reference, a well-exposed image, of each dark image: by name, or by a list of pairs."""

import posixpath
import re
from collections.abc import Callable, Collection, Iterable, Sequence

import click

from pipelines import storage
from pipelines.tables import TableError, from_csv

_LIGHT_WORD = re.compile(r"^(low|dark|input|normal|high|bright|target)[-_ ]?(?=\d)", re.IGNORECASE)


class AmbiguousReferenceError(ValueError):
    """Two references match one image. The message names them."""


def match_references(
    keys: Iterable[str], references: Sequence[str], compared: Callable[[str], str] = str
) -> dict[str, str]:
    """The reference of each key that has one.

    First choice: a reference with the same relative path. Second: the same path with another extension. Third: the
    same path without the extension and without a word for dark or bright before the name (`low00001.png` and
    `normal00001.png` of LoL v2).

    Args:
        keys: Paths of the images.
        references: Paths of the references.
        compared: Gives what is compared of a path, in the form of a path.

    Raises:
        AmbiguousReferenceError: Two references match one image.
    """
    by_path: dict[str, list[str]] = {}
    by_stem: dict[str, list[str]] = {}
    by_bare_stem: dict[str, list[str]] = {}
    for reference in references:
        path = compared(reference)
        by_path.setdefault(path, []).append(reference)
        by_stem.setdefault(posixpath.splitext(path)[0], []).append(reference)
        by_bare_stem.setdefault(_bare_stem(path), []).append(reference)
    matched = {}
    for key in keys:
        path = compared(key)
        candidates = by_path.get(path) or by_stem.get(posixpath.splitext(path)[0])
        candidates = candidates or by_bare_stem.get(_bare_stem(path), [])
        if len(candidates) > 1:
            first, second = sorted(candidates)[:2]
            raise AmbiguousReferenceError(f"{first} and {second} are both a reference of {key}; remove one of them")
        if candidates:
            matched[key] = candidates[0]
    return matched


def _bare_stem(path: str) -> str:
    """A path without its extension, and without a word for dark or bright before its name."""
    folder, name = posixpath.split(posixpath.splitext(path)[0])
    return posixpath.join(folder, _LIGHT_WORD.sub("", name) or name)


def no_match(keys: Sequence[str], references: Sequence[str]) -> str:
    """The message for references that match no image, with an example of each name."""
    if not references:
        return "the folder of references holds no image"
    return (
        f"none of the {len(references)} references has the name of an image: an image is called {min(keys)}, a "
        f"reference {min(references)}"
    )


def read_list(path: str, what: str, columns: tuple[str, str]) -> list[tuple[int, str, str]]:
    """The lines of a CSV file with two columns: line number, and both values.

    Args:
        path: The CSV file.
        what: Name of the listed things, in the plural.
        columns: Names of the columns. Each line needs a value in both.

    Raises:
        click.UsageError: It is not such a file, or lists nothing.
    """
    needed = f"it needs the columns {','.join(columns)}, and each row needs a value in both"
    try:
        lines = [(line, row[columns[0]], row[columns[1]]) for line, row in from_csv(storage.read(path), columns)]
        if not lines:
            raise TableError(needed)
        for line, *values in lines:
            if not all(values):
                raise TableError(f"line {line}: {needed}")
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    except TableError as error:
        raise click.UsageError(f"{path} does not list {what}: {error}") from None
    return lines


def read_pairs(path: str) -> list[tuple[int, str, str]]:
    """The pairs that a CSV file with the columns `low` and `ref` lists.

    Returns:
        Line number, path of the dark image, and path of its reference.

    Raises:
        click.UsageError: It is not such a file, lists nothing, or lists a dark image twice.
    """
    pairs = read_list(path, "pairs", ("low", "ref"))
    lines: dict[str, int] = {}
    for line, low, _ in pairs:
        if lines.setdefault(low, line) != line:
            raise click.UsageError(f"{path}, line {line}: {low} already has a reference in line {lines[low]}")
    return pairs


def match_pairs(
    path: str, keys: Collection[str], references: Collection[str], is_left_out: Callable[[str], bool]
) -> dict[str, str]:
    """The reference of each key, from a CSV file with the columns `low` and `ref`. Keys without one are left out.

    Args:
        path: The CSV file.
        keys: Paths of the images.
        references: Paths of the images that may be a reference.
        is_left_out: Says whether an image exists but is left out on purpose. The line of such an image is ignored.

    Raises:
        click.UsageError: As for `read_pairs`, or the file names an image or a reference that does not exist.
    """
    matched = {}
    known, known_references = set(keys), set(references)
    for line, low, reference in read_pairs(path):
        if low not in known and not is_left_out(low):
            raise click.UsageError(f"{path}, line {line}: {low} is not among the images")
        if reference not in known_references:
            raise click.UsageError(f"{path}, line {line}: {reference} is not among the references")
        if low in known:
            matched[low] = reference
    return matched
