"""The command `zerodce evaluate`: compares methods on dark images with references, and writes a table of scores."""

import dataclasses
import itertools
import posixpath
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image
from rich import box
from rich.table import Table
from rich.text import Text

from pipelines import folders, models, photos, progress, references, storage
from pipelines.layouts import LOL
from pipelines.settings import Application
from pipelines.tables import to_csv
from tfrecord_tools.records import printable
from zerodce.applying.enhancement import Enhancer
from zerodce.curves.exposure import WELL_EXPOSED
from zerodce.evaluating import evaluation
from zerodce.images import fusion, metrics
from zerodce.training import plots

SHOWN = 24
"""With more images than this, the terminal shows only the means. The CSV file has all images."""

PAIR_FOLDERS = (("input", "target"), ("low", "high"))
"""Names of the two folders in a folder of pairs: dark images, and their references."""

SHEET_ROWS, SHEET_WIDTH = 12, 320
MEAN = "mean"


@dataclasses.dataclass(frozen=True)
class Pair:
    """A dark image and its reference.

    Attributes:
        name: Relative path of the dark image.
        low: Path of the dark image.
        reference: Path of the well-exposed image.
        part: Part of the data set that it belongs to, such as `eval15`; empty if there are no parts.
    """

    name: str
    low: str
    reference: str
    part: str = ""

    def read(self) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Name, image and reference.

        Raises:
            photos.PhotoError: An image cannot be read, or the two differ in size.
        """
        image, reference = read_image(self.low), read_image(self.reference)
        if image.shape != reference.shape:
            raise photos.PhotoError("read", f"its size is {_size(image)}, that of its reference {_size(reference)}")
        yield self.name, image, reference


@dataclasses.dataclass(frozen=True)
class Bracket:
    """A scene shot at several exposures. Their exposure fusion is the reference of the dark shots.

    Attributes:
        scene: Name of the scene in the list.
        names: Relative paths of the images, in the order of the list.
        paths: Paths of the images.
        part: Always empty, because scenes are not parts of a data set.
    """

    scene: str
    names: tuple[str, ...]
    paths: tuple[str, ...]
    part: str = ""

    @property
    def name(self) -> str:
        return f"scene {self.scene}"

    def read(self) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Name, image and reference of each shot with a mean below `WELL_EXPOSED`.

        Raises:
            photos.PhotoError: An image cannot be read, or the images differ in size.
        """
        images = [read_image(path) for path in self.paths]
        for name, image in zip(self.names, images, strict=True):
            if image.shape != images[0].shape:
                raise photos.PhotoError("read", f"{name} is {_size(image)}, {self.names[0]} {_size(images[0])}")
        dark = [index for index, image in enumerate(images) if metrics.mean(image) < WELL_EXPOSED]
        if not dark:
            return
        reference = fusion.bracket_reference(images)
        for index in dark:
            yield self.names[index], images[index], reference


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateSettings(Application):
    """The options of `zerodce evaluate`.

    Attributes:
        pairs: Path of a list or a folder of pairs; None for the LoL layout.
        brackets: Path of a list of exposure series; None for pairs.
        out: Folder of the results.
        model: Path of a model file; None for the shipped one.
    """

    pairs: str | None
    brackets: str | None
    out: str
    model: str | None


def evaluate(lol: str | None, settings: EvaluateSettings) -> int:
    """The command `zerodce evaluate`.

    Args:
        lol: Folder of the images; None if a list says where they are.
        settings: The options.

    Returns:
        The exit code: 0 all images were scored, 1 some could not be read, 130 interrupted.

    Raises:
        click.UsageError: Wrong arguments, or no image.
        click.ClickException: A bad model, or an output that cannot be written.
    """
    pairs, brackets, out = settings.pairs, settings.brackets, settings.out
    if pairs and brackets:
        raise click.UsageError("--pairs and --brackets are two kinds of references: name one of them")
    if not (pairs or brackets or lol):
        raise click.UsageError("name the LoL folder, or a list with --pairs or --brackets")
    if lol and not storage.exists(lol):
        raise click.UsageError(f"{lol} does not exist: name the LoL folder")
    if lol:
        folders.refuse_overlap(lol, out)
    found: Sequence[Pair | Bracket]
    if brackets:
        found, kind = listed_brackets(brackets, lol), "scenes"
    else:
        kind = "pairs"
        if not pairs:
            found = lol_pairs(str(lol))
        elif storage.exists(pairs) and not storage.is_file(pairs):
            found = folder_pairs(pairs)
        else:
            found = listed_pairs(pairs, lol)
    content = models.read_model(settings.model)
    application = Application.of(settings)
    enhancer = models.check_model(lambda: models.load_enhancer(content, application), settings.model)
    try:
        rows, failures, sheet = score_all(found, enhancer, kind)
    except KeyboardInterrupt:
        click.echo("Interrupted: nothing was written.", err=True)
        return 130
    for name, error in failures:
        click.echo(printable(f"{name}: {error}"), err=True)
    if not rows:
        could = f"be read and has an image of a mean below {WELL_EXPOSED}" if brackets else "be read"
        raise click.ClickException(f"none of the {len(found)} {kind} could {could}")
    means = mean_rows(rows)
    show(rows, means)
    six_digits = [name for name in rows[0] if name.startswith("clipped")]
    try:
        storage.write(storage.join(out, "evaluation.csv"), to_csv(list(rows[0]), [*rows, *means], six_digits))
        storage.write(storage.join(out, "comparison.png"), draw(sheet))
    except OSError as error:
        raise click.ClickException(f"{out} cannot be written ({error.strerror or error}): choose another") from None
    counted = f"{len(rows)} dark images of {len(found) - len(failures)} scenes" if brackets else f"{len(rows)} pairs"
    place = printable(storage.join(out, "evaluation.csv"))
    click.echo(f"{counted}, {len(failures)} failed: {place}, comparison.png")
    return 1 if failures else 0


def lol_pairs(lol: str) -> list[Pair]:
    """The images of a LoL folder, whole or partial, that have a reference.

    Raises:
        click.UsageError: There is none.
    """
    folder, entries, _ = folders.find(lol)
    keys = [entry.path for entry in entries]
    low = list(filter(LOL.is_image, keys))
    matched = LOL.match(low, list(filter(LOL.is_reference, keys)))
    if not matched:
        raise click.UsageError(
            f"{lol} has no image in our485/low or eval15/low with a reference of the same name in high: "
            "name the LoL folder, or list the pairs of another folder in a CSV file for --pairs"
        )
    return [
        Pair(key, storage.join(folder, key), storage.join(folder, matched[key]), key.split("/", 1)[0])
        for key in low
        if key in matched
    ]


def folder_pairs(path: str) -> list[Pair]:
    """The pairs of a folder that contains two folders: dark images, and references with the same names.

    Raises:
        click.UsageError: There are no such folders, or no pair in them.
    """
    for dark, bright in PAIR_FOLDERS:
        if storage.exists(storage.join(path, dark)) and storage.exists(storage.join(path, bright)):
            break
    else:
        names = " nor ".join(f"{dark} and {bright}" for dark, bright in PAIR_FOLDERS)
        raise click.UsageError(f"{path} contains neither the folders {names}")
    low, high = (folders.find(storage.join(path, name)) for name in (dark, bright))
    keys = [entry.path for entry in low.entries]
    try:
        matched = references.match_references(keys, [entry.path for entry in high.entries])
    except references.AmbiguousReferenceError as error:
        raise click.UsageError(f"{path}: {error}") from None
    if not matched:
        raise click.UsageError(f"no image in {high.folder} has the name of an image in {low.folder}")
    return [Pair(key, storage.join(low.folder, key), storage.join(high.folder, matched[key])) for key in matched]


def listed_pairs(path: str, folder: str | None) -> list[Pair]:
    """The pairs that a CSV file with the columns `low` and `ref` lists.

    Args:
        path: The CSV file.
        folder: Folder that its paths are relative to. If None: the folder of the file, or `images` beside it; the one
            that has the first image.

    Raises:
        click.UsageError: It is not such a file, lists nothing, or lists an image twice.
    """
    pairs = references.read_pairs(path)
    root = folder_of_list(path, folder, pairs[0][2])
    return [Pair(low, storage.join(root, low), storage.join(root, reference)) for _, low, reference in pairs]


def listed_brackets(path: str, folder: str | None) -> list[Bracket]:
    """The scenes that a CSV file with the columns `scene` and `image` lists.

    Args:
        path: The CSV file. The images of a scene are in the order of the series.
        folder: As for `listed_pairs`.

    Raises:
        click.UsageError: It is not such a file, or lists nothing.
    """
    lines = references.read_list(path, "series of exposures", ("scene", "image"))
    root = folder_of_list(path, folder, lines[0][2])
    scenes: dict[str, list[str]] = {}
    for _, scene, image in lines:
        scenes.setdefault(scene, []).append(image)
    return [
        Bracket(scene, tuple(images), tuple(storage.join(root, image) for image in images))
        for scene, images in scenes.items()
    ]


def folder_of_list(path: str, folder: str | None, first: str) -> str:
    """The folder that the paths in a list are relative to.

    Args:
        path: The list.
        folder: The folder, if the user named one.
        first: Path of the first image in the list.

    Raises:
        click.UsageError: No possible folder has the first image.
    """
    own = posixpath.dirname(path)
    roots = [folder] if folder else [own, storage.join(own, "images")]
    root = next((root for root in roots if storage.exists(storage.join(root, first))), None)
    if root is None:
        raise click.UsageError(f"{first} is not in {' or '.join(roots)}: name the folder of the images")
    return root


def score_all(
    sources: Sequence[Pair | Bracket], enhancer: Enhancer, kind: str
) -> tuple[list[dict[str, Any]], list[tuple[str, str]], list[tuple[str, dict[str, np.ndarray]]]]:
    """Scores images against their references, and shows the progress.

    Args:
        sources: The pairs or exposure series.
        enhancer: Applies the model.
        kind: Name of the sources, in the plural.

    Returns:
        A row for each image that could be read; name and error of each source that could not be read; for the sheet,
        name and small images of some evenly spread sources.
    """
    rows: list[dict[str, Any]] = []
    failures, sheet = [], []
    drawn = {round(i * (len(sources) - 1) / max(1, SHEET_ROWS - 1)) for i in range(SHEET_ROWS)}
    for index, source in enumerate(progress.track(sources, kind, len(sources))):
        try:
            for name, image, reference in source.read():
                images = evaluation.brightened(image, enhancer)
                rows.append({"path": name, "part": source.part, **evaluation.score(images, reference)})
                if index in drawn:  # only the first image of a source
                    drawn.remove(index)
                    small = {each: sheet_copy(pixels) for each, pixels in {**images, "reference": reference}.items()}
                    sheet.append((name, small))
        except photos.PhotoError as error:
            failures.append((source.name, error.message))
    return rows, failures, sheet


def read_image(path: str) -> np.ndarray:
    """An image file as 8-bit RGB, upright.

    Raises:
        photos.PhotoError: It cannot be read.
    """
    try:
        content = storage.read(path)
    except OSError as error:
        raise photos.PhotoError("read", f"{path}: {error.strerror or error}") from None
    try:
        return np.asarray(photos.load(content, path).image.convert("RGB"))
    except photos.PhotoError as error:
        raise photos.PhotoError(error.stage, f"{path}: {error.message}") from None


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"


def mean_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of means: one for each part of the data set if there are several parts, and one over all images."""
    parts = sorted({row["part"] for row in rows})
    groups = [(part, [row for row in rows if row["part"] == part]) for part in parts] if len(parts) > 1 else []
    return [
        {"path": f"{MEAN} of {len(group)}", "part": part, **evaluation.mean(group)}
        for part, group in [*groups, ("", list(rows))]
    ]


def show(rows: Sequence[dict[str, Any]], means: Sequence[dict[str, Any]]) -> None:
    """Prints the PSNR of each method for each image, if there are few images, and a table of all means."""
    console = progress.Console()
    if len(rows) <= SHOWN:
        table = Table(box=box.SIMPLE, padding=(0, 0, 0, 1), pad_edge=False)
        table.add_column("PSNR in dB", overflow="fold")
        for method in evaluation.METHODS:
            table.add_column(method, justify="right", no_wrap=True)
        for row in rows:
            table.add_row(
                Text(printable(row["path"])), *(f"{row[f'psnr_{method}_db']:.2f}" for method in evaluation.METHODS)
            )
        console.print(table)
    table = Table(box=box.SIMPLE, padding=(0, 0, 0, 1), pad_edge=False)
    for column in ("", "method"):
        table.add_column(column, no_wrap=True)
    for heading in ("PSNR dB", "SSIM", "nearer", "clip %", "hue", "noise"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in means:
        names = itertools.chain([Text(f"{row['path']} {row['part']}".strip())], itertools.repeat(Text()))
        for name, method in zip(names, evaluation.METHODS, strict=False):
            psnr, ssim, nearer, clipped, hue, noise = (row[measure.format(method)] for measure in evaluation.MEASURES)
            count = sum(not row["part"] or each["part"] == row["part"] for each in rows)
            closer = "" if method == "input" else f"{round(nearer * count)} of {count}"
            scores = (f"{psnr:.2f}", f"{ssim:.3f}", closer, f"{100 * clipped:.2f}", f"{hue:.1f}", f"{noise:.1f}")
            table.add_row(name, method, *("-" if score == "nan" else score for score in scores))
        table.add_section()
    console.print(table)


def sheet_copy(image: np.ndarray) -> np.ndarray:
    """A small copy of an image for the sheet."""
    small = Image.fromarray(image)
    small.thumbnail((SHEET_WIDTH, SHEET_WIDTH))
    return np.asarray(small)


def draw(sheet: Sequence[tuple[str, dict[str, np.ndarray]]]) -> bytes:
    """The sheet as a PNG file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "comparison.png"
        plots.sheet(path, [images for _, images in sheet], [printable(name) for name, _ in sheet])
        return path.read_bytes()
