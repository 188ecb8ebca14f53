"""Which image goes to which split and shard: a function of nothing but the names."""

import dataclasses
import hashlib
import itertools
import math
import os
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence

from pipelines.references import LOL_EVAL, LOL_OURS
from pipelines.tables import TableError, from_csv
from tfrecord_tools.manifest import SPLIT_NAME

DEFAULT_FRACTIONS = {"train": 0.8, "val": 0.1, "test": 0.1}
_WHOLE_TRAIN, _WHOLE_VAL = 400, 85  # of the 485 images of the whole LoL training folder


class SplitError(ValueError):
    """The images cannot be assigned as asked; the message names the culprit."""


@dataclasses.dataclass(frozen=True)
class Assignment:
    """Split of every image.

    Attributes:
        splits: Keys of each split, in the order of their records.
        rule: The rule, in words.
    """

    splits: dict[str, list[str]]
    rule: str


def stable_hash(key: str) -> int:
    """A 64-bit number that depends on nothing but the key."""
    return int.from_bytes(hashlib.sha256(os.fsencode(key)).digest()[:8], "big")


def check_unique(keys: Iterable[str]) -> None:
    """Refuses two files whose names differ only in how Unicode composes their letters: they would be one key."""
    seen: dict[str, str] = {}
    for key in keys:
        first = seen.setdefault(unicodedata.normalize("NFC", key), key)
        if first != key:
            raise SplitError(f"{first!a} and {key!a} are the same name; rename one of them")


def split_lol(keys: Collection[str], train_count: int) -> Assignment:
    """The LoL rule: `our485/low` in sorted order, the first `train_count` train, the rest val; `eval15/low` test.

    A partial folder of no more than `train_count` images is divided 400:85, as the whole one is.
    """
    ours = sorted(key for key in keys if key.startswith(LOL_OURS))
    test = [key for key in keys if key.startswith(LOL_EVAL)]
    rule = f"our485/low in sorted order: the first {train_count} train, the rest val; eval15/low test"
    if len(ours) <= train_count:
        train_count = round(len(ours) * _WHOLE_TRAIN / (_WHOLE_TRAIN + _WHOLE_VAL))
        rule = (
            f"our485/low in sorted order: it holds only {len(ours)} images, so they are divided "
            f"{_WHOLE_TRAIN}:{_WHOLE_VAL} as in the whole set: the first {train_count} train, the rest val; "
            "eval15/low test"
        )
    return _ordered({"train": ours[:train_count], "val": ours[train_count:], "test": test}, rule)


def parse_fractions(text: str) -> dict[str, float]:
    """Fractions by split, from `train=0.8,val=0.1,test=0.1`.

    Raises:
        SplitError: It does not read so, or the fractions do not add up to 1.
    """
    fractions: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = map(str.strip, part.partition("="))
        try:
            fraction = float(number)
        except ValueError:
            fraction = -1.0
        if not SPLIT_NAME.fullmatch(name) or not 0 <= fraction < math.inf:
            raise SplitError(f"{part!r} is not NAME=FRACTION; write train=0.8,val=0.1,test=0.1")
        if name in fractions:
            raise SplitError(f"split {name} is named twice")
        fractions[name] = fraction
    if not math.isclose(sum(fractions.values()), 1, abs_tol=1e-6):
        raise SplitError(f"the fractions add up to {sum(fractions.values()):g}, not to 1")
    return fractions


def split_by_hash(keys: Iterable[str], fractions: Mapping[str, float]) -> Assignment:
    """Assigns each key by its hash alone: images that are added later move no other image."""
    names = list(fractions)
    bounds = [sum(list(fractions.values())[: i + 1]) * 2**64 for i in range(len(names))]
    bounds[-1] = math.inf
    splits: dict[str, list[str]] = {name: [] for name in names}
    for key in keys:
        value = stable_hash(key)
        splits[next(name for name, bound in zip(names, bounds, strict=True) if value < bound)].append(key)
    rule = "by the SHA-256 of the name: " + ", ".join(f"{name} {fraction:g}" for name, fraction in fractions.items())
    return _ordered(splits, rule)


def read_split_file(content: bytes) -> dict[str, str]:
    """Split by key, from a CSV with the columns `path` and `split`.

    Raises:
        SplitError: A column is missing, a split has no proper name, or a path is listed with two splits.
    """
    try:
        rows = from_csv(content, ("path", "split"))
    except TableError as error:
        raise SplitError(str(error)) from None
    listed: dict[str, str] = {}
    for line, row in rows:
        key, split = row["path"].strip(), row["split"].strip()
        if not SPLIT_NAME.fullmatch(split):
            raise SplitError(f"line {line}: {split!r} is not the name of a split")
        if listed.setdefault(key, split) != split:
            raise SplitError(f"line {line}: {key} is in {listed[key]} already")
    return listed


def split_by_list(keys: Collection[str], listed: Mapping[str, str]) -> Assignment:
    """Assigns as a split file says; images it does not name are left out."""
    present = set(keys)
    missing = [key for key in listed if key not in present]
    if missing:
        raise SplitError(f"it names {len(missing)} files that are not among the images, first {missing[0]}")
    if not listed:
        raise SplitError("it names no image")
    splits: dict[str, list[str]] = {split: [] for split in listed.values()}
    for key, split in listed.items():
        splits[split].append(key)
    return _ordered(splits, "as listed in the split file")


def _ordered(splits: dict[str, list[str]], rule: str) -> Assignment:
    """By hash within a split, so that reading in order is already shuffled."""
    by_hash = {split: sorted(keys, key=lambda key: (stable_hash(key), key)) for split, keys in splits.items()}
    return Assignment(by_hash, rule)


def into_shards(split: str, keys: Sequence[str], shard_records: int) -> dict[str, list[str]]:
    """Consecutive keys by name of the shard, as few shards as possible, their sizes differing by one at most."""
    count = math.ceil(len(keys) / shard_records)
    bounds = [len(keys) * index // count for index in range(count + 1)] if count else []
    return {
        f"{split}-{index:05d}-of-{count:05d}.tfrecord": list(keys[start:end])
        for index, (start, end) in enumerate(itertools.pairwise(bounds))
    }
