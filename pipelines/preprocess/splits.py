"""Assigns images to splits and shards. The result depends only on the names of the images."""

import dataclasses
import hashlib
import itertools
import math
import os
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from pipelines.layouts import LOL, Layout
from pipelines.tables import TableError, from_csv
from tfrecord_tools.manifest import SPLIT_NAME

DEFAULT_FRACTIONS = {"train": 0.8, "val": 0.1, "test": 0.1}
_WHOLE_TRAIN, _WHOLE_VAL = 400, 85  # images, of the 485 in LoL's whole training folder


class SplitError(ValueError):
    """The images cannot be assigned as requested. The message names the cause."""


@dataclasses.dataclass(frozen=True)
class Assignment:
    """The split of every image.

    Attributes:
        splits: Keys of each split, in the order of their records.
        rule: The rule, in words.
    """

    splits: dict[str, list[str]]
    rule: str


def stable_hash(key: str) -> int:
    """A 64-bit number that depends only on the key."""
    return int.from_bytes(hashlib.sha256(os.fsencode(key)).digest()[:8], "big")


def check_unique(keys: Iterable[str]) -> None:
    """Raises SplitError if two names differ only in their Unicode normal form, because they would be the same key."""
    seen: dict[str, str] = {}
    for key in keys:
        first = seen.setdefault(unicodedata.normalize("NFC", key), key)
        if first != key:
            raise SplitError(f"{first!a} and {key!a} are the same name; rename one of them")


def split_lol(keys: Collection[str], train_count: int) -> Assignment:
    """The LoL rule: `our485/low` in sorted order is train up to `train_count`, then val. `eval15/low` is test.

    A partial folder with at most `train_count` images is divided 400:85, as the whole folder is.
    """
    ours = sorted(key for key in keys if LOL.split(key) == "train")
    test = [key for key in keys if LOL.split(key) == "test"]
    rule = f"our485/low in sorted order: the first {train_count} train, the rest val; eval15/low test"
    if len(ours) <= train_count:
        train_count = round(len(ours) * _WHOLE_TRAIN / (_WHOLE_TRAIN + _WHOLE_VAL))
        rule = (
            f"our485/low in sorted order: it holds only {len(ours)} images, so they are divided "
            f"{_WHOLE_TRAIN}:{_WHOLE_VAL} as in the whole set: the first {train_count} train, the rest val; "
            "eval15/low test"
        )
    return _ordered({"train": ours[:train_count], "val": ours[train_count:], "test": test}, rule)


def split_by_folders(keys: Collection[str], layout: Layout) -> Assignment:
    """The splits that the folders of a layout stand for. Images in no such folder are for training.

    If nothing is for validation, the training scenes of each folder are divided 400:85 in sorted order, as LoL's are:
    neighbours are often alike. The images of a scene stay together.
    """
    splits: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for key in keys:
        splits[layout.split(key) or "train"].append(key)
    if splits["val"]:
        return _ordered(splits, "train, val and test as in the data set")
    scenes: dict[str, set[str]] = {}
    for key in splits["train"]:
        scenes.setdefault(layout.folder(key), set()).add(layout.scene(key))
    training = set()
    for found in scenes.values():
        training.update(sorted(found)[: round(len(found) * _WHOLE_TRAIN / (_WHOLE_TRAIN + _WHOLE_VAL))])
    splits["val"] = [key for key in splits["train"] if layout.scene(key) not in training]
    splits["train"] = [key for key in splits["train"] if layout.scene(key) in training]
    rule = (
        "test as in the data set; each folder of training images in sorted order, divided "
        f"{_WHOLE_TRAIN}:{_WHOLE_VAL} into train and val"
    )
    return _ordered(splits, rule)


def parse_fractions(text: str) -> dict[str, float]:
    """Fractions by split, from `train=0.8,val=0.1,test=0.1`.

    Raises:
        SplitError: The text has another form, or the fractions do not add up to 1.
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


def split_by_hash(
    keys: Iterable[str], fractions: Mapping[str, float], scene: Callable[[str], str] | None = None
) -> Assignment:
    """Assigns each key by its hash alone, so that images added later do not move others.

    Args:
        keys: Names of the images.
        fractions: Fraction of each split.
        scene: Gives the scene of an image, if the images of a scene have to stay together. Its hash counts then.
    """
    names = list(fractions)
    bounds = [sum(list(fractions.values())[: i + 1]) * 2**64 for i in range(len(names))]
    bounds[-1] = math.inf
    splits: dict[str, list[str]] = {name: [] for name in names}
    for key in keys:
        value = stable_hash(scene(key) if scene else key)
        splits[next(name for name, bound in zip(names, bounds, strict=True) if value < bound)].append(key)
    hashed = "scene" if scene else "name"
    listed = ", ".join(f"{name} {fraction:g}" for name, fraction in fractions.items())
    rule = f"by the SHA-256 of the {hashed}: {listed}"
    return _ordered(splits, rule)


def read_split_file(content: bytes) -> dict[str, str]:
    """The split of each key, from a CSV with the columns `path` and `split`.

    Raises:
        SplitError: A column is missing, the name of a split is invalid, or a path is listed with two splits.
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
            raise SplitError(f"line {line}: {key} is already in {listed[key]}")
    return listed


def split_by_list(keys: Collection[str], listed: Mapping[str, str]) -> Assignment:
    """Assigns images as a split file says. Images that it does not name are left out."""
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
    """Sorts the keys of each split by hash, so that the stored order is already shuffled."""
    by_hash = {split: sorted(keys, key=lambda key: (stable_hash(key), key)) for split, keys in splits.items()}
    return Assignment(by_hash, rule)


def into_shards(split: str, keys: Sequence[str], shard_records: int) -> dict[str, list[str]]:
    """The keys of each shard, by its name. There are as few shards as possible. Their sizes differ by at most one."""
    count = math.ceil(len(keys) / shard_records)
    bounds = [len(keys) * index // count for index in range(count + 1)] if count else []
    return {
        f"{split}-{index:05d}-of-{count:05d}.tfrecord": list(keys[start:end])
        for index, (start, end) in enumerate(itertools.pairwise(bounds))
    }
