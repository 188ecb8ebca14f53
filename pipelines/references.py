"""Which well-exposed image belongs to which dark one: by their names, in any folder and in LoL's, or by a list."""

import posixpath
import re
from collections.abc import Callable, Collection, Iterable, Sequence

import click

from pipelines import storage
from pipelines.tables import TableError, from_csv

_LIGHT_WORD = re.compile(r"^(low|dark|input|normal|high|bright|target)[-_ ]?(?=\d)", re.IGNORECASE)

LOL_OURS, LOL_EVAL = "our485/low/", "eval15/low/"


class AmbiguousReferenceError(ValueError):
    """Two references fit one image; the message names them."""


def match_references(keys: Iterable[str], references: Sequence[str]) -> dict[str, str]:
    """The reference of each key that has one.

    It has the same relative path; else the same but for the extension; else the same as well but for a word in front of
    the name that tells dark from bright (`low00001.png` and `normal00001.png` of LoL v2).

    Raises:
        AmbiguousReferenceError: Two references fit one image.
    """
    exact = set(references)
    by_stem: dict[str, list[str]] = {}
    by_bare_stem: dict[str, list[str]] = {}
    for reference in references:
        by_stem.setdefault(posixpath.splitext(reference)[0], []).append(reference)
        by_bare_stem.setdefault(_bare_stem(reference), []).append(reference)
    matched = {}
    for key in keys:
        candidates = [key] if key in exact else by_stem.get(posixpath.splitext(key)[0], [])
        candidates = candidates or by_bare_stem.get(_bare_stem(key), [])
        if len(candidates) > 1:
            first, second = sorted(candidates)[:2]
            raise AmbiguousReferenceError(f"{first} and {second} are both a reference of {key}; remove one of them")
        if candidates:
            matched[key] = candidates[0]
    return matched


def _bare_stem(path: str) -> str:
    """A path without its extension, and without a word in front of its name that tells dark from bright."""
    folder, name = posixpath.split(posixpath.splitext(path)[0])
    return posixpath.join(folder, _LIGHT_WORD.sub("", name) or name)


def no_match(keys: Sequence[str], references: Sequence[str]) -> str:
    """What to say where no reference belongs to any image, with an example of each name."""
    if not references:
        return "the folder of references holds no image"
    return (
        f"none of the {len(references)} references has the name of an image: the images are called as {min(keys)}, the "
        f"references as {min(references)}"
    )


def is_lol(keys: Iterable[str]) -> bool:
    """Whether these are the files of the LoL data set."""
    return any(key.startswith(LOL_OURS) for key in keys)


def is_lol_image(key: str) -> bool:
    """Whether a file of the LoL data set is one of its dark images."""
    return key.startswith((LOL_OURS, LOL_EVAL))


def is_lol_reference(key: str) -> bool:
    """Whether a file of the LoL data set is one of its well-exposed images."""
    return key.startswith(("our485/high/", "eval15/high/"))


def match_lol_references(keys: Iterable[str], references: Sequence[str]) -> dict[str, str]:
    """The image of the same name under `high` of each key that has one."""
    as_low = {reference.replace("/high/", "/low/", 1): reference for reference in references}
    return {key: as_low[low] for key, low in match_references(keys, list(as_low)).items()}


def read_list(path: str, what: str, columns: tuple[str, str]) -> list[tuple[int, str, str]]:
    """The lines of a CSV file with two columns: number of the line, and the values.

    Args:
        path: The CSV file.
        what: Name of what it lists, in the plural.
        columns: Names of the columns; each line needs a value in both.

    Raises:
        click.UsageError: It is not such a file, or lists nothing.
    """
    needed = f"it needs the columns {','.join(columns)} and a value of both in a row"
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
        Number of the line, path of the dark image, and path of its reference.

    Raises:
        click.UsageError: It is not such a file, lists nothing, or lists a dark image twice.
    """
    pairs = read_list(path, "pairs", ("low", "ref"))
    lines: dict[str, int] = {}
    for line, low, _ in pairs:
        if lines.setdefault(low, line) != line:
            raise click.UsageError(f"{path}, line {line}: {low} has its reference in line {lines[low]} already")
    return pairs


def match_pairs(
    path: str, keys: Collection[str], references: Collection[str], is_left_out: Callable[[str], bool]
) -> dict[str, str]:
    """The reference of each key that has one in a CSV file with the columns `low` and `ref`.

    Args:
        path: The CSV file.
        keys: Paths of the images.
        references: Paths of what may be a reference.
        is_left_out: Whether an image is none of the keys because something else leaves it out; its line counts not.

    Raises:
        click.UsageError: As `read_pairs`, or it names an image or a reference that is not there.
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
