"""Layouts of data sets: which files are dark images, which are their references, and what split a folder stands for."""

import dataclasses
import posixpath
import re
from collections.abc import Collection, Iterable, Sequence

from pipelines.references import match_references

AUTO, PLAIN = "auto", "plain"
"""What `--layout` can be besides the name of a layout: find the layout; or take a folder as it is, all of it images."""

_SPLITS = {
    **dict.fromkeys(("our485", "train", "training", "training data", "dataset_part1"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("eval15", "test", "testing", "eval", "evaluation", "dataset_part2"), "test"),
    # the first digit of a scene of SID
    "0": "train",
    "1": "test",
    "2": "val",
}
_ABOVE = r"(?P<above>(?:[^/]+/)*?)"
_PART = r"(?:(?P<part>train|training|training data|val|valid|validation|test|testing|eval|evaluation)/)?"
_SCENE = r"(?P<scene>.+)"
_SID_NAME = r"/(?:[^/]+/)*(?P<scene>(?P<part>[012])\d{4})_\d+_[\d.]+s\.\w+"


@dataclasses.dataclass(frozen=True)
class Layout:
    """The folders and names of a data set. Both patterns match a whole relative path.

    Their groups: `scene` is equal for an image and its reference. `part` says the split, and `above` is the folders
    above; both may be missing.

    Attributes:
        name: Its name on the command line.
        images: Matches the paths of the dark images.
        references: Matches the paths of the references.
        where: Examples of both, for a message.
        others: Matches the paths of images that belong to the data set and are left out.
        shared: Whether several images have one reference, so that they have to stay in one split.
        recognized: Whether a folder that holds nothing else is certainly of this layout.
    """

    name: str
    images: re.Pattern[str]
    references: re.Pattern[str]
    where: tuple[str, str]
    others: re.Pattern[str] | None = None
    shared: bool = False
    recognized: bool = True

    def is_image(self, path: str) -> bool:
        """Whether a file is a dark image."""
        return bool(self.images.fullmatch(path))

    def is_reference(self, path: str) -> bool:
        """Whether a file is a reference."""
        return bool(self.references.fullmatch(path))

    def split(self, path: str) -> str:
        """The split that the folder of a file stands for, train, val or test; empty if it stands for none."""
        return _SPLITS[part.lower()] if (part := self._groups(path).get("part")) else ""

    def folder(self, path: str) -> str:
        """The part of the data set that a file lies in: the folders above those of dark images and references."""
        groups = self._groups(path)
        return posixpath.join(groups.get("above") or "", groups.get("part") or "")

    def scene(self, path: str) -> str:
        """The folder and the scene of a file. They are equal for an image and its reference, but for the extension."""
        return posixpath.join(self.folder(path), self._groups(path)["scene"] or "")

    def match(self, images: Iterable[str], references: Sequence[str]) -> dict[str, str]:
        """The reference of each image that has one.

        Args:
            images: Paths of dark images.
            references: Paths of references.

        Raises:
            AmbiguousReferenceError: Two references match one image.
        """
        return match_references(images, references, self.scene)

    def fits(self, paths: Collection[str]) -> bool:
        """Whether a folder holds nothing else than this layout, and both images and references."""
        return (
            all(self.is_image(path) or self.is_reference(path) or self._is_other(path) for path in paths)
            and any(map(self.is_image, paths))
            and any(map(self.is_reference, paths))
        )

    def _is_other(self, path: str) -> bool:
        return self.others is not None and bool(self.others.fullmatch(path))

    def _groups(self, path: str) -> dict[str, str | None]:
        match = self.images.fullmatch(path) or self.references.fullmatch(path)
        if match is None:
            raise ValueError(f"{path} has no place in the layout {self.name}")
        return match.groupdict()


def _any_case(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


LOL = Layout(
    "lol",
    re.compile(r"(?P<part>our485|eval15)/low/" + _SCENE),
    re.compile(r"(?P<part>our485|eval15)/high/" + _SCENE),
    ("our485/low/1.png", "our485/high/1.png"),
)
LAYOUTS = {
    layout.name: layout
    for layout in (
        LOL,
        Layout(
            "lol-v2",
            _any_case(_ABOVE + r"(?P<part>train|test)/low/" + _SCENE),
            _any_case(_ABOVE + r"(?P<part>train|test)/normal/" + _SCENE),
            ("Real_captured/Train/Low/low00001.png", "Real_captured/Train/Normal/normal00001.png"),
        ),
        Layout(
            "lsrw",
            _any_case(r"(?:[^/]+/)*?" + _PART + r"(?P<above>huawei|nikon)/low/" + _SCENE),
            _any_case(r"(?:[^/]+/)*?" + _PART + r"(?P<above>huawei|nikon)/high/" + _SCENE),
            ("Eval/Huawei/low/1.jpg", "Eval/Huawei/high/1.jpg"),
        ),
        Layout(
            "sice",
            _any_case(_ABOVE + r"(?:(?P<part>dataset_part[12])/)?(?P<scene>\d+)/[^/]+"),
            _any_case(_ABOVE + r"(?:(?P<part>dataset_part[12])/)?label/(?P<scene>\d+)\.\w+"),
            ("Dataset_Part1/1/1.JPG", "Dataset_Part1/Label/1.JPG"),
            shared=True,
        ),
        Layout(
            "sid",
            _any_case(_ABOVE + "short" + _SID_NAME),
            _any_case(_ABOVE + "long" + _SID_NAME),
            ("short/00001_00_0.1s.png", "long/00001_00_10s.png"),
            shared=True,
        ),
        Layout(
            "fivek",
            _any_case(_ABOVE + _PART + r"(?:raw|input)/" + _SCENE),
            _any_case(_ABOVE + _PART + r"(?:expert[-_ ]?)?c/" + _SCENE),
            ("input/a0001.jpg", "expertC/a0001.jpg"),
            others=_any_case(_ABOVE + _PART + r"(?:expert[-_ ]?)?[abde]/" + _SCENE),
        ),
        Layout(
            "pairs",
            _any_case(_ABOVE + _PART + r"(?:low|dark|input)/" + _SCENE),
            _any_case(_ABOVE + _PART + r"(?:high|normal|bright|target|gt)/" + _SCENE),
            ("input/1.png", "target/1.png"),
            recognized=False,
        ),
    )
}
"""The layouts by name. To add a layout, add an entry."""


def is_lol(paths: Iterable[str]) -> bool:
    """Whether these are the files of the LoL data set."""
    return any(LOL.is_image(path) and LOL.split(path) == "train" for path in paths)


def find_layout(paths: Collection[str]) -> Layout | None:
    """The layout of a folder; None if the folder is not certainly of a layout.

    Args:
        paths: Relative paths of its images.
    """
    if is_lol(paths):
        return LOL
    return next((layout for layout in LAYOUTS.values() if layout.recognized and layout.fits(paths)), None)
