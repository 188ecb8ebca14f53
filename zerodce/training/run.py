"""Training: from data sets to a model, its history, its checkpoints and pictures of both."""

import dataclasses
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from zerodce.recipes import FUSION, Recipe
from zerodce.training import plots
from zerodce.training.callbacks import (
    Identity,
    ModelCheckpoints,
    Monitor,
    Progress,
    Samples,
    StopAfterBest,
    StopOnNaN,
    TrainingError,
    WeightAverage,
    replacing,
    write_history,
)
from zerodce.training.model import ZeroDCE

_SAMPLES = 4


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """How to train. Defaults are those of the write-up if it names one.

    Attributes:
        recipe: Losses, initial weights and gradient bounds.
        epochs: Largest number of passes over the training images.
        batch_size: Number of images of a step.
        learning_rate: Learning rate of Adam at the start.
        schedule: Course of the learning rate: "constant", or "cosine", which falls to 0 at the last step.
        seed: Seed, from 1, of the initial weights, the order of the images, flips and crops.
        flip: Whether images are mirrored left to right at random.
        shuffle_channels: Whether red, green and blue are exchanged at random. Otherwise the colour that is
            darkest in most photos would be brightened most in all of them.
        crop: Side in pixels of a random square to train on; None for the whole image.
        average: Final momentum, in [0, 1), of the weight average that is validated and kept; 0 for none.
        monitor: Measure that picks the best epoch: the total loss, or PSNR or SSIM against validation references.
        patience: Training stops after this number of epochs without a better one; None for never.
        dtype: Policy of the network, "float32" or "mixed_bfloat16".
    """

    recipe: Recipe = FUSION
    epochs: int = 100
    batch_size: int = 32
    learning_rate: float = 1e-4
    schedule: Literal["constant", "cosine"] = "constant"
    seed: int = 1
    flip: bool = True
    shuffle_channels: bool = False
    crop: int | None = None
    average: float = 0.999
    monitor: Monitor = "total_loss"
    patience: int | None = None
    dtype: Literal["float32", "mixed_bfloat16"] = "float32"


@dataclasses.dataclass(frozen=True)
class TrainingImages:
    """The images to train on.

    Attributes:
        count: Number of images, all in each epoch.
        batches: `batches(step)` gives the batches of `TrainingSettings.batch_size` images from a step of the run on:
            of all epochs, without end, each epoch in an order of its own, its last batch smaller if need be. uint8, or
            float in [0, 1], (batch, height, width, 3). A batch must not depend on where reading began.
    """

    count: int
    batches: Callable[[int], tf.data.Dataset]


@dataclasses.dataclass(frozen=True)
class Result:
    """The outcome of a run.

    Attributes:
        epochs: Number of finished epochs.
        steps: Number of steps of an epoch.
        images: Number of images trained on, over all epochs.
        seconds: Training time, validation included, over all sessions of the run.
        best: Row of `history.csv` of the epoch whose weights are in `model.keras`.
    """

    epochs: int
    steps: int
    images: int
    seconds: float
    best: dict[str, float]


def fit(
    train: TrainingImages,
    validation: tf.data.Dataset | None,
    out: Path,
    settings: TrainingSettings = TrainingSettings(),
    *,
    data: Mapping[str, Any] | None = None,
    resume: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Result:
    """Trains a `ZeroDCE` from random weights.

    Writes into `out`: `model.keras` (the best by validation; without validation the last), `history.csv`,
    `losses.png`, `samples/`, `tensorboard/`, and in `checkpoints/` the best and last model and the state to resume.

    Args:
        train: Images of one size.
        validation: Batches of float images in [0, 1], or of `(images, references, weights)`; not empty.
        out: Folder on a local disk, created if it does not exist.
        settings: Recipe, and how to train with it.
        data: Description of the training data; a resumed run must have the same.
        resume: Go on from the state in `out`, with the result of an uninterrupted run. Only `epochs` may differ.
        callbacks: Further callbacks; they get an epoch's logs from Keras unchanged.

    Raises:
        TrainingError: There is no image to train on, images are smaller than the crop, or a loss became NaN. Or the
            state or the best model to resume from is missing, damaged or of another run.
    """
    _check(train, validation, settings)
    steps = math.ceil(train.count / settings.batch_size)
    checkpoints = out / "checkpoints"
    average = WeightAverage(settings.average)
    comparable = dataclasses.asdict(settings)
    recipe = comparable.pop("recipe")
    if settings.schedule == "constant":  # otherwise the rate of every step depends on them
        del comparable["epochs"]
    identity = Identity(recipe, comparable, dict(data or {}))
    progress = Progress(checkpoints / "state.npz", out / "history.csv", identity, average, steps)

    keras.utils.set_random_seed(settings.seed)
    model = ZeroDCE(settings.recipe, dtype=settings.dtype)
    compile_model(model, settings.learning_rate, settings.schedule, settings.epochs * steps)
    if resume:
        progress.restore(model)
        if progress.rows:  # fail before hours of training
            _check_kept(checkpoints / "best.keras", settings.recipe)
    early = StopAfterBest(progress, settings.monitor, settings.patience or settings.epochs)
    following = [
        StopOnNaN(progress),
        average,
        *_samples(validation, out, settings, average),
        ModelCheckpoints(checkpoints, settings.recipe, average, progress, settings.monitor),
        progress,
        early,
        keras.callbacks.TensorBoard(out / "tensorboard", write_graph=False),
        *callbacks,
    ]
    # An interrupted epoch has fewer steps left, but `fit` takes one number of steps for all its epochs.
    while progress.epoch < settings.epochs and not early.due and not model.stop_training:
        model.fit(
            batches(train, settings, progress.epoch, progress.step),
            validation_data=validation,
            initial_epoch=progress.epoch,
            epochs=progress.epoch + 1 if progress.step else settings.epochs,
            steps_per_epoch=steps - progress.step,
            callbacks=following,
            shuffle=False,
            verbose=0,
        )

    write_history(out / "history.csv", progress.rows)
    _check_kept(checkpoints / "best.keras", settings.recipe)
    with replacing(out / "model.keras") as temporary:
        shutil.copyfile(checkpoints / "best.keras", temporary)
    with replacing(out / "losses.png") as temporary:
        plots.loss_curves(temporary, progress.rows)
    best = progress.rows[progress.best_epoch(settings.monitor)]
    return Result(progress.epoch, steps, progress.epoch * train.count, round(progress.seconds, 3), best)


def compile_model(
    model: ZeroDCE, learning_rate: float, schedule: Literal["constant", "cosine"] = "constant", steps: int = 1
) -> None:
    """Compiles a model with Adam and the settings of its recipe.

    Args:
        model: The model.
        learning_rate: Learning rate at the start.
        schedule: As in `TrainingSettings`.
        steps: Number of steps after which a cosine reaches 0.
    """
    rate: Any = learning_rate
    if schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    optimizer = keras.optimizers.Adam(rate, clipnorm=model.recipe.clipnorm, weight_decay=model.recipe.weight_decay)
    # on a CPU, TensorFlow's own kernels (oneDNN) are faster than XLA for this network
    on_cpu = keras.backend.backend() == "tensorflow" and not tf.config.list_physical_devices("GPU")
    model.compile(optimizer=optimizer, jit_compile=False if on_cpu else "auto")


def batches(train: TrainingImages, settings: TrainingSettings, epoch: int, step: int) -> tf.data.Dataset:
    """The training batches from a step of an epoch on, flipped and cropped by the seed.

    A batch depends only on the seed, the epoch and the step, not on where reading began.

    Args:
        train: As `fit` takes it.
        settings: As `fit` takes them.
        epoch: Epoch of the first batch, from 0.
        step: Step of the first batch, from 0.

    Returns:
        Batches, float32 (batch, height, width, 3) in [0, 1], without end; the last one of an epoch may be smaller.
    """
    steps = math.ceil(train.count / settings.batch_size)
    first = epoch * steps + step

    def augment(index: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
        seed = tf.stack([tf.cast(settings.seed, tf.int64), index])
        if settings.crop:
            image = tf.image.stateless_random_crop(image, (settings.crop, settings.crop, 3), seed)
        if settings.flip:
            image = tf.image.stateless_random_flip_left_right(image, seed)
        if settings.shuffle_channels:
            image = tf.gather(image, tf.random.experimental.stateless_shuffle(tf.range(3), seed), axis=-1)
        return tf.image.convert_image_dtype(image, tf.float32)

    def augment_batch(number: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        begin = number // steps * train.count + number % steps * settings.batch_size  # images trained on before
        indices = begin + tf.range(tf.shape(images, tf.int64)[0])
        spec = tf.TensorSpec((settings.crop, settings.crop, 3) if settings.crop else images.shape[1:], tf.float32)
        return tf.map_fn(lambda each: augment(*each), (indices, images), fn_output_signature=spec)

    stream = train.batches(first).enumerate(first)
    return stream.map(augment_batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def _check_kept(path: Path, recipe: Recipe) -> None:
    """Raises `TrainingError` if a file is not a model of this recipe."""
    try:
        model = keras.saving.load_model(path, compile=False)
        reason = "" if isinstance(model, ZeroDCE) and model.recipe == recipe else "another model"
    except Exception as error:  # whatever lies there
        reason = str(error).split("\n", 1)[0]
    if reason:
        raise TrainingError(f"{path} is not the model that the run kept ({reason}); start anew with --overwrite")


def fastest_dtype() -> Literal["float32", "mixed_bfloat16"]:
    """bfloat16 if the processor multiplies it natively: x86 with AVX512-BF16 or AMX, or a GPU."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    native = "avx512_bf16" in flags or "amx_bf16" in flags or tf.config.list_physical_devices("GPU")
    return "mixed_bfloat16" if native else "float32"


def _check(train: TrainingImages, validation: tf.data.Dataset | None, settings: TrainingSettings) -> None:
    """Raises `TrainingError` if the settings do not fit the data."""
    if train.count <= 0:
        raise TrainingError("there is no image to train on")
    _, height, width, _ = train.batches(0).element_spec.shape
    if settings.crop and settings.crop > min(height, width):
        raise TrainingError(f"--crop {settings.crop} is larger than the images, {width}x{height}")
    if settings.monitor != "total_loss" and not (validation and isinstance(validation.element_spec, tuple)):
        raise TrainingError(f"--monitor {settings.monitor} needs validation images with references")


def _samples(
    validation: tf.data.Dataset | None, out: Path, settings: TrainingSettings, average: WeightAverage
) -> list[keras.callbacks.Callback]:
    """A callback that draws strips of the first validation images, about ten times a run."""
    if validation is None:
        return []
    images, references, weights = keras.utils.unpack_x_y_sample_weight(next(iter(validation)))
    images = np.asarray(images)[:_SAMPLES]
    if references is not None:
        references = np.asarray(references)[:_SAMPLES] * np.asarray(weights)[:_SAMPLES, None, None, None]
    return [Samples(out / "samples", images, references, average, math.ceil(settings.epochs / 10))]
