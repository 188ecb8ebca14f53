"""The command `zerodce train`: trains a model on a data-set folder with `zerodce.training.run.fit`."""

import contextlib
import dataclasses
import datetime
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import keras
import tensorflow as tf
from rich.progress import TextColumn

import tfrecord_tools
from pipelines import folders, progress, storage, versions
from tfrecord_tools.manifest import FILENAME
from tfrecord_tools.records import printable
from zerodce.training import run as training
from zerodce.training.callbacks import TEMPORARY_NAME, TrainingError
from zerodce.training.run import TrainingImages, TrainingSettings

_LIST = f"{folders.STATE}/train/files.json"
_FOLDERS = ("checkpoints", "samples", "tensorboard", "tensorboard/train", "tensorboard/validation")
_NAMED = (
    *("model.keras", "history.csv", "losses.png", "run.json"),
    *("checkpoints/best.keras", "checkpoints/last.keras", "checkpoints/state.npz"),
)
_SAMPLE = "samples/epoch-{:04d}.png"
_FILE = re.compile(
    "|".join(map(re.escape, _NAMED))
    + r"|samples/epoch-\d{4,}\.png|tensorboard/(train|validation)/events\.out\.tfevents\.[^/]+"
)


class RunFiles(keras.callbacks.Callback):
    """The list of files that runs wrote into a folder. Only listed files are replaced or deleted.

    A name is added to the list before its file is written. TensorBoard chooses the names of its files itself, so these
    are added afterwards.

    Args:
        target: The folder. The caller holds its lock.

    Raises:
        TrainingError: The list is damaged.
    """

    def __init__(self, target: Path) -> None:
        super().__init__()
        self.target = target
        self.path = target / _LIST
        self.names = self._read()
        self.others = self.present() - self.names

    def _read(self) -> set[str]:
        try:
            return {name for name in json.loads(self.path.read_bytes()) if _FILE.fullmatch(name)}
        except FileNotFoundError:
            # an earlier version kept no list: if it left a state, the files are ours
            return self.present() if (self.target / "checkpoints/state.npz").exists() else set()
        except (ValueError, TypeError):
            raise TrainingError(f"{self.path} is damaged: choose another folder") from None

    def present(self) -> set[str]:
        """The files in the folder that have a name of a run's files."""
        return set(filter(_FILE.fullmatch, self._files()))

    def _files(self) -> list[str]:
        inside = [folder for folder in ("", *_FOLDERS) if (self.target / folder).is_dir()]
        return [os.path.join(folder, name) for folder in inside for name in os.listdir(self.target / folder)]

    def refuse_others(self) -> None:
        """Raises click.UsageError if the run would replace a file that no run wrote."""
        for name in sorted(self.others):
            if not name.startswith("tensorboard/"):  # TensorBoard never reuses a name
                raise click.UsageError(
                    f"{self.target / name} is not listed in {self.path}, so no run wrote it: move it away, or choose "
                    "another folder"
                )

    def discard(self) -> None:
        """Deletes the listed files, and folders that are then empty."""
        for name in self.names:
            (self.target / name).unlink(missing_ok=True)
        for folder in sorted(_FOLDERS, reverse=True):
            with contextlib.suppress(OSError):  # it is not empty
                (self.target / folder).rmdir()
        self.names = set()

    def begin(self) -> None:
        """Adds the files of every run to the list, and deletes temporary files of a killed run."""
        for name in self._files():
            if TEMPORARY_NAME.fullmatch(os.path.basename(name)) or storage.TEMPORARY_NAME.fullmatch(name):
                (self.target / name).unlink(missing_ok=True)
        self.add(_NAMED)

    def add(self, names: Iterable[str]) -> None:
        """Adds names to the list, and saves it."""
        if not self.names.issuperset(names):
            self.names.update(names)
            storage.write(str(self.path), json.dumps(sorted(self.names)).encode())

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self.add(self.present() - self.others)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.add([_SAMPLE.format(epoch + 1)])

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.add(self.present() - self.others)


class Terminal(keras.callbacks.Callback):
    """Shows the progress of training: a line for each epoch, and a bar on a terminal.

    Args:
        epochs: Number of epochs of the run.
        steps: Number of steps of an epoch.
        batch_size: Images a step.
    """

    def __init__(self, epochs: int, steps: int, batch_size: int) -> None:
        super().__init__()
        self.epochs = epochs
        self.steps = steps
        self.batch_size = batch_size
        self.bar = progress.bar(TextColumn("{task.fields[state]}"))
        self.task = self.bar.add_task("", total=epochs * steps, state="")
        self.first = 0
        self.started = time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.first = self.steps - self.params["steps"]  # not 0 in an epoch that is resumed
        self.started = time.monotonic()
        self.bar.update(self.task, description=f"epoch {epoch + 1}/{self.epochs}", completed=epoch * self.steps)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        step = self.first + batch + 1
        loss = (logs or {})["total_loss"]
        state = f"step {step}/{self.steps}, loss {loss:.4f}, {self._rate(batch + 1):.1f} images/s"
        self.bar.update(self.task, advance=1, state=state)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        rate = self._rate(self.params["steps"])
        text = f"epoch {epoch + 1}/{self.epochs}: {summary(logs or {})}, {rate:.1f} images/s"
        self.say(text)

    def say(self, text: str) -> None:
        """Prints a line. Training goes on if standard error cannot be written, such as on a full disk."""
        with contextlib.suppress(OSError):
            self.bar.console.print(text, highlight=False, soft_wrap=True)

    def _rate(self, steps: int) -> float:
        """Images a second in this epoch. The last batch counts as full, even if it is smaller."""
        return steps * self.batch_size / (time.monotonic() - self.started)


def _has_no_state_yet(target: Path) -> bool:
    """Whether a run was killed here before it saved a state. Then training starts again, with or without --resume."""
    return (target / _LIST).exists() and not any(
        (target / name).exists() for name in ("checkpoints/state.npz", "history.csv", "model.keras")
    )


def train(dataset: str, out: str, settings: TrainingSettings, *, resume: bool, overwrite: bool) -> int:
    """The command `zerodce train`.

    Args:
        dataset: Folder of the data set.
        out: Folder of the run.
        settings: How to train.
        resume: Whether to go on with the run in `out`.
        overwrite: Whether to delete it first.

    Returns:
        The exit code: 0 trained, 130 interrupted.

    Raises:
        click.UsageError: Wrong arguments.
        click.ClickException: A bad data set, an output that cannot be written, or a loss that is not a number.
    """
    source, target = Path(dataset), Path(out)
    begun = _has_no_state_yet(target)
    _refuse_bad_folders(dataset, out, resume=resume, overwrite=overwrite, begun=begun)
    resume = resume and not begun
    try:
        images, validation, data = open_splits(source, settings.batch_size, settings.seed)
        if settings.crop and settings.crop > min(data["width"], data["height"]):  # before anything in OUT changes
            raise TrainingError(f"--crop {settings.crop} is larger than the images, {data['width']}x{data['height']}")
        with folders.lock(out):
            files = RunFiles(target)
            files.refuse_others()
            if overwrite or begun:
                files.discard()
            files.begin()
            return run(images, validation, data, files, settings, resume)
    except (tfrecord_tools.DatasetError, TrainingError) as error:
        raise click.ClickException(str(error)) from None
    except tf.errors.ResourceExhaustedError:
        raise click.ClickException("not enough memory; train with a smaller --batch-size or with --crop") from None
    except tf.errors.OpError as error:
        reason = str(error.message).splitlines()[0]
        raise click.ClickException(
            f"reading {dataset} failed ({reason}); `zerodce records verify {dataset}` says where it is damaged"
        ) from None
    except OSError as error:
        raise click.ClickException(folders.what_failed(error, out)) from None


def _refuse_bad_folders(dataset: str, out: str, *, resume: bool, overwrite: bool, begun: bool) -> None:
    """Raises click.UsageError if the folders cannot be used as named."""
    if not (storage.is_local(dataset) and storage.is_local(out)):
        raise click.UsageError("train works on local folders: copy the data set here, and the model back")
    if not os.path.isdir(dataset):
        raise click.UsageError(f"{dataset} does not exist: name a folder that `zerodce preprocess` wrote")
    folders.refuse_overlap(dataset, out)
    if resume and overwrite:
        raise click.UsageError("--resume goes on with a run, --overwrite deletes it: choose one")
    target = Path(out)
    new = not (resume or overwrite or begun)
    if new and target.is_dir() and any(path.name != folders.STATE for path in target.iterdir()):
        raise click.UsageError(
            f"{out} is not empty: choose another folder, go on with --resume, or start again with --overwrite"
        )
    if resume and not begun and not (target / "checkpoints" / "state.npz").exists():
        raise click.UsageError(
            f"{out} holds no run to resume (there is no checkpoints/state.npz): leave out --resume to start one"
        )
    folders.refuse_other_job(out, "train")
    folders.refuse_links_out(out, [folders.STATE, f"{folders.STATE}/train", *_FOLDERS])


def open_splits(
    source: Path, batch_size: int, seed: int
) -> tuple[TrainingImages, tf.data.Dataset | None, dict[str, Any]]:
    """The training images, the validation batches, and the values that identify the data set.

    Raises:
        tfrecord_tools.DatasetError: The folder is not a complete data set.
    """
    manifest = tfrecord_tools.read_manifest(source)

    def batches(step: int) -> tf.data.Dataset:
        options: dict[str, Any] = {"batch_size": batch_size, "shuffle": True, "seed": seed, "dtype": "uint8"}
        return tfrecord_tools.load(source, "train", start=step, **options).repeat()

    batches(0)  # checks the folder
    held = {split: manifest.records(split) for split in manifest.splits}
    referenced = sum(shard.references for shard in manifest.splits.get("val", ()))
    validation = None
    if held.get("val"):
        validation = tfrecord_tools.load(source, "val", batch_size=batch_size, reference=referenced > 0)
    data = {
        "manifest_sha256": hashlib.sha256((source / FILENAME).read_bytes()).hexdigest(),
        "width": manifest.image["width"],
        "height": manifest.image["height"],
        "train": held["train"],
        "val": held.get("val", 0),
        "val_with_reference": referenced,
    }
    return TrainingImages(held["train"], batches), validation, data


def run(
    images: TrainingImages,
    validation: tf.data.Dataset | None,
    data: dict[str, Any],
    files: RunFiles,
    settings: TrainingSettings,
    resume: bool,
) -> int:
    """Trains, shows the progress, writes `run.json`, and returns the exit code."""
    target = files.target
    steps = -(-data["train"] // settings.batch_size)
    terminal = Terminal(settings.epochs, steps, settings.batch_size)
    terminal.say(
        f"{data['train']} images to train on, {data['val']} to validate ({data['val_with_reference']} with a "
        f"reference), {data['width']}x{data['height']}; recipe {settings.recipe.name}, {settings.dtype}"
    )
    try:
        with terminal.bar:
            result = training.fit(
                images, validation, target, settings, data=data, resume=resume, callbacks=[files, terminal]
            )
    except KeyboardInterrupt:
        click.echo("Interrupted: the same command with --resume goes on from here.", err=True)
        return 130
    rate = result.images / result.seconds
    chosen = dataclasses.asdict(settings)
    record = {
        "recipe": chosen.pop("recipe"),
        "settings": chosen,
        "data": data,
        "epochs": result.epochs,
        "steps_per_epoch": result.steps,
        "best": result.best,
        "seconds": result.seconds,
        "images_per_second": round(rate, 3),
        "backend": keras.backend.backend(),
        "versions": versions.of_training(),
    }
    storage.write(str(target / "run.json"), json.dumps(record, indent=2).encode() + b"\n")
    click.echo(
        f"{result.epochs} epochs in {datetime.timedelta(seconds=round(result.seconds))}, {rate:.1f} images/s; "
        f"kept epoch {result.best['epoch']}: {summary(result.best)}\n{printable(str(target / 'model.keras'))}"
    )
    return 0


def summary(row: dict[str, float]) -> str:
    """The measures of an epoch in one line."""
    names = {"total_loss": "loss", "val_total_loss": "val loss", "val_psnr": "val PSNR", "val_ssim": "val SSIM"}
    digits = {"val_psnr": 2}
    return ", ".join(f"{text} {row[name]:.{digits.get(name, 4)}f}" for name, text in names.items() if name in row)
