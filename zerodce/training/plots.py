"""Pictures of a training run and of a comparison: loss curves, and images side by side."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw

from zerodce.images.pixels import autocontrast, to_uint8
from zerodce.training.losses import LOSSES
from zerodce.training.model import loss_columns

_MARGIN, _HEADING = 4, 16  # pixels


def loss_curves(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """Draws the losses over the epochs, train and validation, and PSNR if it was measured.

    Args:
        path: A PNG file.
        rows: Rows of `history.csv`.
    """
    figure = Figure(figsize=(16, 7), layout="constrained")
    losses = [name for name in loss_columns(LOSSES) if name in rows[-1]]
    columns = math.ceil((len(losses) + 1) / 2)
    axes = figure.subplots(2, columns).ravel()
    epochs = [row["epoch"] for row in rows]
    marker = "o" if len(rows) == 1 else None
    for axis, name in zip(axes, losses, strict=False):
        axis.plot(epochs, [row[name] for row in rows], marker=marker, label="train")
        if f"val_{name}" in rows[-1]:
            axis.plot(epochs, [row[f"val_{name}"] for row in rows], marker=marker, label="validation")
        axis.set_title(name.replace("_", " "))
    axes[0].legend()
    for axis in axes[len(losses) : -1]:
        axis.axis("off")
    if "val_psnr" in rows[-1]:
        axes[-1].plot(epochs, [row["val_psnr"] for row in rows], marker=marker, color="C1")
        axes[-1].set_title("PSNR against the references (dB)")
    else:
        axes[-1].axis("off")
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axis in axes[columns:]:
        axis.set_xlabel("epoch")
    figure.savefig(path, dpi=100, format="png")


def sample_strips(path: Path, images: np.ndarray, enhanced: np.ndarray, references: np.ndarray | None) -> None:
    """Draws a row for each image: input, autocontrast, enhanced, and the reference if there is one.

    Args:
        path: A PNG file.
        images, enhanced: Float (count, height, width, 3) in [0, 1].
        references: Like `images`, or None; all black for an image without one.
    """
    rows = []
    for index, image in enumerate(to_uint8(images)):
        row = {"input": image, "autocontrast": autocontrast(image), "enhanced": to_uint8(enhanced[index])}
        if references is not None and references[index].any():
            row["reference"] = to_uint8(references[index])
        rows.append(row)
    sheet(path, rows)


def sheet(path: Path, rows: Sequence[dict[str, np.ndarray]], titles: Sequence[str] = ()) -> None:
    """Draws images side by side, with their names above.

    Args:
        path: A PNG file.
        rows: uint8 (height, width, 3) images by name, all of one size in a row.
        titles: Titles above the rows; none if empty.
    """
    width = max(sum(image.shape[1] + _MARGIN for image in row.values()) for row in rows)
    heights = [next(iter(row.values())).shape[0] + _HEADING + (_HEADING if titles else 0) + _MARGIN for row in rows]
    picture = Image.new("RGB", (width, sum(heights)), "white")
    draw = ImageDraw.Draw(picture)
    top = 0
    for index, (row, height) in enumerate(zip(rows, heights, strict=True)):
        left, below = 0, top
        if titles:
            draw.text((2, top + 2), titles[index], fill="black")
            below += _HEADING
        for name, image in row.items():
            draw.text((left + 2, below + 2), name, fill="dimgray")
            picture.paste(Image.fromarray(image), (left, below + _HEADING))
            left += image.shape[1] + _MARGIN
        top += height
    picture.save(path, "PNG")
