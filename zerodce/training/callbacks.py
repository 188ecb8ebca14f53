"""Keras callbacks of a training run: state on disk, averaged weights, kept models, NaN, samples."""

import contextlib
import csv
import dataclasses
import json
import math
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np

from zerodce.recipes import Recipe
from zerodce.training import plots
from zerodce.training.losses import LOSSES
from zerodce.training.model import ZeroDCE, loss_columns

Monitor = Literal["total_loss", "psnr", "ssim"]

SAVE_SECONDS = 10.0
"""Least time between two saved states within an epoch, in seconds."""

TEMPORARY_NAME = re.compile(r"\.zerodce-tmp-\d+-.+")
"""The name of a file that is being written; a kill leaves it behind."""


class TrainingError(Exception):
    """The run cannot go on. The message names the fix."""


class StopOnNaN(keras.callbacks.Callback):
    """Raises `TrainingError` at the first loss that is NaN or infinite, before anything of that step is saved.

    Keras' `TerminateOnNaN` only asks training to stop: the callbacks after it would still save the broken weights.
    """

    def __init__(self, progress: "Progress") -> None:
        super().__init__()
        self.progress = progress

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if logs and not math.isfinite(logs["total_loss"]):
            raise TrainingError(
                f"the loss is no longer a number in epoch {self.progress.epoch + 1}, step {self.progress.step + 1}; "
                "train anew with a lower --learning-rate"
            )


class WeightAverage(keras.callbacks.Callback):
    """An exponential moving average of the weights. The averaged weights are validated and kept.

    Scores vary from step to step; the average of many steps is stable. The momentum rises with the number of steps n as
    (1 + n) / (10 + n), up to `momentum`, like `tf.train.ExponentialMovingAverage`. So the random start does not weigh
    on a short run, as it does with Keras' `use_ema`.

    Args:
        momentum: Final momentum, in [0, 1); 0 keeps the weights as they are.
    """

    def __init__(self, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.weights: list[np.ndarray] = []

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        if not self.weights:
            self.weights = self.model.network.get_weights()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        model = self.model
        steps = int(model.optimizer.iterations)
        momentum = min(self.momentum, (1 + steps) / (10 + steps))
        current = model.network.get_weights()
        self.weights = [
            (momentum * average + (1 - momentum) * weight).astype(weight.dtype)
            for average, weight in zip(self.weights, current, strict=True)
        ]

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Gives the model the averaged weights inside the block."""
        network = self.model.network
        weights = network.get_weights()
        network.set_weights(self.weights)
        try:
            yield
        finally:
            network.set_weights(weights)


@dataclasses.dataclass(frozen=True)
class Identity:
    """What must be the same when a run is resumed.

    Attributes:
        recipe: Fields of the recipe.
        settings: Fields of the settings that change what is trained.
        data: Description of the training data.
    """

    recipe: dict[str, Any]
    settings: dict[str, Any]
    data: dict[str, Any]

    def check(self, stored: dict[str, Any]) -> None:
        """Raises `TrainingError`, which names the first difference, if a stored run differs."""
        for group, mine in dataclasses.asdict(self).items():
            theirs = stored[group]
            for key in mine | theirs:
                if mine.get(key) != theirs.get(key):
                    raise TrainingError(
                        f"the run was started with {key} = {theirs.get(key)}, not {mine.get(key)} ({group}); "
                        "resume it with the same options and data, or start anew with --overwrite"
                    )


class Progress(keras.callbacks.Callback):
    """The state of a run: epoch, step and history, and the file from which it goes on after a kill.

    The file holds weights, averaged weights, optimizer and metrics, so a resumed run equals a run that was
    never killed. It is written, atomically, at the end of every epoch and every few seconds.

    Args:
        path: Path of the file.
        history_path: Path of `history.csv`.
        identity: Identity of the run. A file of another run is refused.
        average: Averaged weights, a part of the state.
        steps: Number of steps of an epoch.
    """

    def __init__(
        self,
        path: Path,
        history_path: Path,
        identity: Identity,
        average: WeightAverage,
        steps: int,
    ) -> None:
        super().__init__()
        self.path = path
        self.history_path = history_path
        self.identity = identity
        self.average = average
        self.steps = steps
        self.epoch = 0
        self.step = 0
        self.seconds = 0.0
        self.rows: list[dict[str, float]] = []
        self._metrics: list[np.ndarray] = []
        self._last = self._saved = time.monotonic()

    def restore(self, model: ZeroDCE) -> None:
        """Loads the state into this object and a compiled model.

        Raises:
            TrainingError: The file is missing, damaged, or of another run.
        """
        try:
            with np.load(self.path) as file:
                state = json.loads(str(file["state"]))
                arrays = {name: list(_numbered(file, name)) for name in ("model", "optimizer", "metrics", "average")}
            self.identity.check(state["identity"])
            model.optimizer.build(model.trainable_variables)
            for variables, values in (
                (model.network.variables, arrays["model"]),
                (model.optimizer.variables, arrays["optimizer"]),
            ):
                for variable, value in zip(variables, values, strict=True):
                    variable.assign(value)
            self.average.weights = arrays["average"]
            self._metrics = arrays["metrics"]
            self.epoch, self.step = int(state["epoch"]), int(state["step"])
            self.seconds, self.rows = float(state["seconds"]), [dict(row) for row in state["rows"]]
        except FileNotFoundError:
            raise TrainingError(
                f"there is no run to go on with: {self.path} does not exist; leave --resume out to start one"
            ) from None
        except TrainingError:
            raise
        except Exception as error:  # whatever lies there
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise TrainingError(
                f"{self.path} cannot be read as the state of a run ({reason}); start anew with --overwrite"
            ) from None

    def save(self) -> None:
        """Writes the state."""
        model = self.model
        state = {
            "identity": dataclasses.asdict(self.identity),
            "epoch": self.epoch,
            "step": self.step,
            "seconds": self.seconds,
            "rows": self.rows,
        }
        arrays = {
            "model": model.network.variables,
            "optimizer": model.optimizer.variables,
            "metrics": model.metrics_variables,
            "average": self.average.weights,
        }
        numbered = {
            f"{name}/{index}": keras.ops.convert_to_numpy(value)
            for name, values in arrays.items()
            for index, value in enumerate(values)
        }
        with replacing(self.path) as temporary, temporary.open("wb") as file:
            np.savez(file, state=np.array(json.dumps(state)), **numbered)
        self._saved = time.monotonic()

    def best_epoch(self, monitor: Monitor) -> int:
        """Index of the best epoch by validation, the earliest of equals; without validation, of the last epoch."""
        values = [row.get(f"val_{monitor}", math.nan) for row in self.rows]
        if not np.isfinite(values).any():
            return len(values) - 1
        return int(np.nanargmin(values) if monitor == "total_loss" else np.nanargmax(values))

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._last = self._saved = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if self.step:  # resumed within the epoch: Keras has just reset its metrics
            for variable, value in zip(self.model.metrics_variables, self._metrics, strict=True):
                variable.assign(value)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.step += 1
        self._count_time()
        # the last step of an epoch is followed by validation: save before it, or at the end of the epoch
        if self.step < self.steps and time.monotonic() - self._saved >= SAVE_SECONDS:
            self.save()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._count_time()
        self.rows.append({"epoch": epoch + 1, **(logs or {})})
        self.epoch, self.step = epoch + 1, 0
        write_history(self.history_path, self.rows)
        self.save()

    def _count_time(self) -> None:
        now = time.monotonic()
        self.seconds += now - self._last
        self._last = now


class ModelCheckpoints(keras.callbacks.Callback):
    """Validates and keeps the averaged weights: `last.keras`, and `best.keras` by validation.

    Keras' `ModelCheckpoint` saves the last step's weights, not their average, and forgets the best when resumed.

    Args:
        folder: Folder of the two files.
        recipe: Recipe of the model.
        average: Averaged weights, which are kept.
        progress: State of the run, with the earlier epochs; comes after this callback in the list.
        monitor: Measure that decides: the total loss (lowest), or PSNR or SSIM against references (highest).
    """

    def __init__(
        self, folder: Path, recipe: Recipe, average: WeightAverage, progress: Progress, monitor: Monitor
    ) -> None:
        super().__init__()
        self.folder = folder
        self.recipe = recipe
        self.average = average
        self.progress = progress
        self.monitor = monitor
        self._swapped = contextlib.ExitStack()

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        self._swapped.enter_context(self.average.in_place())

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        self._swapped.close()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = logs or {}
        key = f"val_{self.monitor}"
        if key in logs and not math.isfinite(logs[key]):
            raise TrainingError(
                f"validation after epoch {epoch + 1} gave {key} = {logs[key]}; train anew with a lower --learning-rate"
            )
        sign = 1 if self.monitor == "total_loss" else -1
        earlier = [sign * row[key] for row in self.progress.rows if key in row]
        self._save("last.keras")
        if key not in logs or not earlier or sign * logs[key] < min(earlier):
            self._save("best.keras")

    def _save(self, name: str) -> None:
        """Saves as float32, for any training dtype, and without the optimizer: 390 kB."""
        model = ZeroDCE(self.recipe, dtype="float32")
        model.network.set_weights(self.average.weights)
        with replacing(self.folder / name) as temporary:
            model.save(temporary)


class StopAfterBest(keras.callbacks.Callback):
    """Stops training when the best epoch is `patience` epochs back.

    Keras' `EarlyStopping` counts epochs in memory, so a resumed run would count from 0. This one reads the history.
    """

    def __init__(self, progress: Progress, monitor: Monitor, patience: int) -> None:
        super().__init__()
        self.progress = progress
        self.monitor = monitor
        self.patience = patience

    @property
    def due(self) -> bool:
        """Whether training is to stop."""
        rows = self.progress.rows
        return bool(rows) and len(rows) - 1 - self.progress.best_epoch(self.monitor) >= self.patience

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if self.due:
            self.model.stop_training = True


class Samples(keras.callbacks.Callback):
    """Every few epochs, draws a strip for some images: input, autocontrast, enhanced, and the reference if any.

    Args:
        folder: Folder of `epoch-0010.png` and so on.
        images: Float (count, height, width, 3) in [0, 1].
        references: Like `images`; all black where there is none.
        average: Averaged weights, which draw the strips.
        every: Number of epochs between two strips. The first and the last epoch have one too.
    """

    def __init__(
        self, folder: Path, images: np.ndarray, references: np.ndarray | None, average: WeightAverage, every: int
    ) -> None:
        super().__init__()
        self.folder = folder
        self.images = images
        self.references = references
        self.average = average
        self.every = every

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        number = epoch + 1
        if number % self.every and number not in (1, self.params["epochs"]):
            return
        with self.average.in_place():
            enhanced = keras.ops.convert_to_numpy(self.model(self.images)["enhanced"])
        with replacing(self.folder / f"epoch-{number:04d}.png") as temporary:
            plots.sample_strips(temporary, self.images, enhanced, self.references)


def write_history(path: Path, rows: list[dict[str, float]]) -> None:
    """Writes `history.csv`: a row for each epoch, with its number, its losses, and the validation measures.

    Keras' `CSVLogger` appends: a kill leaves half a row, and a resumed epoch is listed twice. This replaces the file.
    """
    losses = loss_columns(LOSSES)
    names = ["epoch", *losses, *(f"val_{name}" for name in (*losses, "psnr", "ssim"))]
    columns = [name for name in names if name in rows[-1]]
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, with its suffix, which replaces `path` if the block raises nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".zerodce-tmp-{os.getpid()}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _numbered(file: Any, name: str) -> Iterator[np.ndarray]:
    index = 0
    while f"{name}/{index}" in file:
        yield file[f"{name}/{index}"]
        index += 1
