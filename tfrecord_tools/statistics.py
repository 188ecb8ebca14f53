"""Brightness and size of the images of a data set: histograms of each split, as numbers and as a picture."""

import dataclasses
import io
import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import ImageStat

from tfrecord_tools.decoding import decode
from tfrecord_tools.reading import open_dataset, read_records
from tfrecord_tools.records import Record, StoredImage

BRIGHTNESS_EDGES = np.linspace(0, 1, 33)
_SIZE_BINS = 32


@dataclasses.dataclass
class Measured:
    """Values of one kind of image in a split, one entry for each image.

    Attributes:
        brightness: Mean over pixels and channels, in [0, 1].
        kilobytes: Sizes of the encoded images.
        sizes: Number of images by `WIDTHxHEIGHT`.
    """

    brightness: list[float] = dataclasses.field(default_factory=list)
    kilobytes: list[float] = dataclasses.field(default_factory=list)
    sizes: Counter[str] = dataclasses.field(default_factory=Counter)

    def add(self, image: StoredImage, brightness: float) -> None:
        """Adds an image."""
        self.brightness.append(brightness)
        self.kilobytes.append(len(image.encoded) / 1000)
        self.sizes[f"{image.width}x{image.height}"] += 1

    def summary(self, kilobyte_edges: np.ndarray) -> dict[str, Any]:
        """The values, for JSON."""
        return {
            "images": len(self.brightness),
            "sizes": dict(self.sizes.most_common()),
            "brightness": _describe(self.brightness, BRIGHTNESS_EDGES),
            "kilobytes": _describe(self.kilobytes, kilobyte_edges),
        }


def _describe(values: list[float], edges: np.ndarray) -> dict[str, Any]:
    return {
        "mean": float(np.mean(values)),
        "smallest": min(values),
        "median": float(np.median(values)),
        "largest": max(values),
        "edges": edges.tolist(),
        "counts": np.histogram(values, edges)[0].tolist(),
    }


def brightness(image: StoredImage) -> float:
    """Mean over pixels and channels, in [0, 1].

    Raises:
        DatasetError: The image cannot be decoded.
    """
    return float(np.mean(ImageStat.Stat(decode(image)).mean)) / 255


def measure(folder: str | Path, workers: int | None = None) -> dict[str, dict[str, Measured]]:
    """Measures every image of a data set.

    Args:
        folder: Folder that `zerodce preprocess` wrote.
        workers: Number of images decoded at a time; one for each core if None.

    Returns:
        By split, the values of `image`, and of `reference` if there are any. Splits without records are left out.

    Raises:
        DatasetError: The folder is not a complete data set, or an image cannot be decoded.
    """
    manifest = open_dataset(folder)
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        return {split: _measure_split(folder, split, pool) for split in manifest.splits if manifest.records(split)}


def _measure_split(folder: str | Path, split: str, pool: ThreadPoolExecutor) -> dict[str, Measured]:
    measured: dict[str, Measured] = {}
    for batch in _batches(folder, split):
        images = [("image", record.image) for record in batch]
        images += [("reference", record.reference) for record in batch if record.reference]
        for (kind, image), value in zip(images, pool.map(brightness, (image for _, image in images)), strict=True):
            measured.setdefault(kind, Measured()).add(image, value)
    return measured


def _batches(folder: str | Path, split: str, size: int = 256) -> Iterator[list[Record]]:
    batch: list[Record] = []
    for record in read_records(folder, split):
        batch.append(record)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def summarize(measured: dict[str, dict[str, Measured]]) -> dict[str, Any]:
    """The result of `measure`, for JSON: means, extremes and histograms with the same edges everywhere."""
    edges = kilobyte_edges(measured)
    return {split: {kind: values.summary(edges) for kind, values in kinds.items()} for split, kinds in measured.items()}


def kilobyte_edges(measured: dict[str, dict[str, Measured]]) -> np.ndarray:
    """Edges of the histogram of file sizes, for all splits."""
    largest = max(max(values.kilobytes) for kinds in measured.values() for values in kinds.values())
    return np.linspace(0, largest, _SIZE_BINS + 1)


def plot(measured: dict[str, dict[str, Measured]], encoding: str) -> bytes:
    """The histograms as a PNG: a row for each split, brightness on the left and file size on the right.

    Args:
        measured: Result of `measure`.
        encoding: Encoding of the stored images, for the label.
    """
    figure = Figure(figsize=(10, 0.6 + 2.4 * len(measured)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(measured), 2, squeeze=False, sharex="col")
    colors = {"image": "#33475b", "reference": "#e8a33d"}
    edges = kilobyte_edges(measured)
    for (split, kinds), (left, right) in zip(measured.items(), axes, strict=True):
        for kind, values in kinds.items():
            label = f"{kind}s ({len(values.brightness):,})"
            left.hist(values.brightness, BRIGHTNESS_EDGES, color=colors[kind], alpha=0.8, label=label)
            right.hist(values.kilobytes, edges, color=colors[kind], alpha=0.8, label=label)
        left.set_ylabel(f"{split}: images")
        left.legend(frameon=False)
    axes[-1][0].set_xlabel("mean brightness, 0 black to 1 white")
    axes[-1][1].set_xlabel(f"size of the {encoding.upper()} in kB")
    for axis in axes.flat:
        axis.yaxis.get_major_locator().set_params(integer=True)
        axis.spines[["top", "right"]].set_visible(False)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    return content.getvalue()
