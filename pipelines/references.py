"""Which well-exposed image belongs to which dark one, by nothing but their names: in any folder, and in LoL's."""

import posixpath
from collections.abc import Iterable, Sequence

LOL_OURS, LOL_EVAL = "our485/low/", "eval15/low/"


class AmbiguousReferenceError(ValueError):
    """Two references fit one image; the message names them."""


def match_references(keys: Iterable[str], references: Sequence[str]) -> dict[str, str]:
    """The reference of each key that has one: the same relative path, else the same but for the extension.

    Raises:
        AmbiguousReferenceError: Two references fit one image.
    """
    exact = set(references)
    by_stem: dict[str, list[str]] = {}
    for reference in references:
        by_stem.setdefault(posixpath.splitext(reference)[0], []).append(reference)
    matched = {}
    for key in keys:
        candidates = [key] if key in exact else by_stem.get(posixpath.splitext(key)[0], [])
        if len(candidates) > 1:
            first, second = sorted(candidates)[:2]
            raise AmbiguousReferenceError(f"{first} and {second} are both a reference of {key}; remove one of them")
        if candidates:
            matched[key] = candidates[0]
    return matched


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
