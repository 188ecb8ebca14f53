"""The command `zerodce evaluate`: pairs of a dark and a well-exposed image in, a table of PSNR and SSIM out."""

import csv
import dataclasses
import io
import posixpath
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image
from rich import box, progress
from rich.console import Console
from rich.table import Table

from pipelines import folders, models, photos, references, storage
from zerodce import evaluation, plots
from zerodce.enhancement import Enhancer

SHOWN = 24
"""With more pairs than this, the terminal shows only the means; the CSV file has them all."""

SHEET_ROWS, SHEET_WIDTH = 12, 320
MEAN = "mean"


@dataclasses.dataclass(frozen=True)
class Pair:
    """A dark image and its reference.

    Attributes:
        name: The dark image's relative path.
        low: Path of the dark image.
        reference: Path of the well-exposed image.
        part: The part of the data set that it belongs to, such as `eval15`; empty where there are no parts.
    """

    name: str
    low: str
    reference: str
    part: str = ""


def evaluate(
    lol: str | None,
    *,
    pairs: str | None,
    out: str,
    model: str | None,
    **how: Any,
) -> int:
    """The command `zerodce evaluate`; its options, as `zerodce evaluate --help` explains them, are the arguments.

    Args:
        how: What `Enhancer` takes beside the model.

    Returns:
        The exit code: 0 all pairs were scored, 1 some could not be read, 130 interrupted.

    Raises:
        click.UsageError: Wrong arguments, or no pair.
        click.ClickException: A bad model, or an output that cannot be written.
    """
    if not pairs and not lol:
        raise click.UsageError("name the LoL folder, or a list with --pairs")
    if lol and not storage.exists(lol):
        raise click.UsageError(f"{lol} does not exist: name the LoL folder")
    if lol:
        folders.refuse_overlap(lol, out)
    found = listed_pairs(pairs, lol) if pairs else lol_pairs(str(lol))
    content = models.read_model(model)
    enhancer = models.check_model(lambda: models.load_enhancer(content, **how), model)
    try:
        rows, failures, sheet = score_all(found, enhancer)
    except KeyboardInterrupt:
        click.echo("Interrupted: nothing was written.", err=True)
        return 130
    for name, error in failures:
        click.echo(f"{name}: {error}", err=True)
    if not rows:
        raise click.ClickException(f"none of the {len(found)} pairs could be read")
    means = mean_rows(rows)
    show([*(rows if len(rows) <= SHOWN else []), *means])
    try:
        storage.write(storage.join(out, "evaluation.csv"), as_csv([*rows, *means]))
        storage.write(storage.join(out, "comparison.png"), draw(sheet))
    except OSError as error:
        raise click.ClickException(f"{out} cannot be written ({error.strerror or error}): choose another") from None
    click.echo(f"{len(rows)} pairs, {len(failures)} failed: {storage.join(out, 'evaluation.csv')}, comparison.png")
    return 1 if failures else 0


def lol_pairs(lol: str) -> list[Pair]:
    """The images of a LoL folder, whole or partial, that have a reference.

    Raises:
        click.UsageError: There is none.
    """
    folder, entries, _ = folders.find(lol)
    keys = [entry.path for entry in entries]
    low = [key for key in keys if references.is_lol_image(key)]
    matched = references.match_lol_references(low, [key for key in keys if references.is_lol_reference(key)])
    if not matched:
        raise click.UsageError(
            f"{lol} has no image in our485/low or eval15/low with one of the same name in high: "
            "name the LoL folder, or list the pairs of another in a CSV file for --pairs"
        )
    return [
        Pair(key, storage.join(folder, key), storage.join(folder, matched[key]), key.split("/", 1)[0])
        for key in low
        if key in matched
    ]


def listed_pairs(path: str, folder: str | None) -> list[Pair]:
    """The pairs that a CSV file with the columns `low` and `ref` lists.

    Args:
        path: The CSV file.
        folder: What its paths are relative to; if None, its own folder, or `images` beside it, wherever the first
            image is.

    Raises:
        click.UsageError: It is not such a file, or lists nothing.
    """
    try:
        lines = list(csv.DictReader(io.StringIO(storage.read(path).decode("utf-8-sig"), newline="")))
    except OSError as error:
        raise click.UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise click.UsageError(f"{path} is not a CSV file ({error})") from None
    if not lines or not all(line.get("low") and line.get("ref") for line in lines):
        raise click.UsageError(f"{path} does not list pairs: it needs the columns low,ref and a value of both in a row")
    own = posixpath.dirname(path)
    roots = [folder] if folder else [own, storage.join(own, "images")]
    root = next((root for root in roots if storage.exists(storage.join(root, lines[0]["low"]))), None)
    if root is None:
        raise click.UsageError(f"{lines[0]['low']} is not in {' or '.join(roots)}: name the folder of the images")
    return [Pair(line["low"], storage.join(root, line["low"]), storage.join(root, line["ref"])) for line in lines]


def score_all(
    pairs: Sequence[Pair], enhancer: Enhancer
) -> tuple[list[dict[str, Any]], list[tuple[str, str]], list[tuple[str, dict[str, np.ndarray]]]]:
    """Scores pairs, showing how far it is.

    Returns:
        A row for each pair that could be read; name and error of each that could not; name and small images of some,
        evenly spread, for the sheet.
    """
    rows: list[dict[str, Any]] = []
    failures, sheet = [], []
    drawn = {round(i * (len(pairs) - 1) / max(1, SHEET_ROWS - 1)) for i in range(SHEET_ROWS)}
    console = Console(stderr=True)
    shown = progress.track(pairs, "pairs", console=console, disable=not console.is_terminal, transient=True)
    for index, pair in enumerate(shown):
        try:
            image, reference = load(pair.low), load(pair.reference)
            if image.shape != reference.shape:
                sizes = [f"{shape[1]}x{shape[0]}" for shape in (image.shape, reference.shape)]
                raise photos.PhotoError("read", f"it is {sizes[0]}, its reference {sizes[1]}")
        except photos.PhotoError as error:
            failures.append((pair.name, error.message))
            continue
        images = evaluation.brightened(image, enhancer)
        rows.append({"path": pair.name, "part": pair.part, **evaluation.score(images, reference)})
        if index in drawn:
            small = {name: thumbnail(each) for name, each in {**images, "reference": reference}.items()}
            sheet.append((pair.name, small))
    return rows, failures, sheet


def load(path: str) -> np.ndarray:
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


def mean_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row of means for each part of the data set where there is more than one, and one for all."""
    parts = sorted({row["part"] for row in rows})
    groups = [(part, [row for row in rows if row["part"] == part]) for part in parts] if len(parts) > 1 else []
    return [
        {"path": f"{MEAN} of {len(group)}", "part": part, **evaluation.mean(group)}
        for part, group in [*groups, ("", list(rows))]
    ]


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Prints rows as a table."""
    table = Table(box=box.SIMPLE, padding=(0, 0, 0, 1), pad_edge=False)
    table.add_column("PSNR / SSIM", overflow="fold")
    for method in evaluation.METHODS:
        table.add_column(method, justify="right", no_wrap=True)
    for index, row in enumerate(rows):
        first_mean = row["path"].startswith(MEAN) and not rows[index - 1]["path"].startswith(MEAN)
        if index and first_mean:
            table.add_section()
        scores = (f"{row[f'psnr_{m}_db']:.2f} /{row[f'ssim_{m}']:6.3f}" for m in evaluation.METHODS)
        name = f"{row['path']} {row['part']}" if row["path"].startswith(MEAN) else row["path"]
        table.add_row(name.strip(), *scores)
    Console().print(table)


def as_csv(rows: Sequence[dict[str, Any]]) -> bytes:
    """Rows as a CSV file, scores to four digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()})
    return text.getvalue().encode("utf-8", "surrogateescape")


def thumbnail(image: np.ndarray) -> np.ndarray:
    """A copy of an image for the sheet."""
    small = Image.fromarray(image)
    small.thumbnail((SHEET_WIDTH, SHEET_WIDTH))
    return np.asarray(small)


def draw(sheet: Sequence[tuple[str, dict[str, np.ndarray]]]) -> bytes:
    """The sheet as a PNG file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "comparison.png"
        plots.sheet(path, [images for _, images in sheet], [name for name, _ in sheet])
        return path.read_bytes()
