"""Speed of training, beside the Keras example's loop on the same files in the same run.

    python -m benchmarks.train speed --images lol/our485/low
    python -m benchmarks.train quality --images sice --pairs lol

`speed`: images/s of an epoch at 256x256, batch 32: from shards, with one batch held in memory, and by the loop of
https://keras.io/examples/vision/zero_dce/ (decode, resize, its train step, float32). That loop gets correct losses,
and oneDNN instead of XLA, because it is faster. The three take turns, so other load affects them alike.

`quality`: seconds of training until the mean PSNR over the pairs first reaches the goal. The pairs are only scored,
never trained on, and scoring is not counted.
"""

import argparse
import dataclasses
import functools
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import rich.console
import rich.markdown
import tensorflow as tf
from click.testing import CliRunner

from pipelines import evaluate, photos
from pipelines.cli import preprocess
from pipelines.train import open_splits
from zerodce.curves.tones import apply_curves
from zerodce.networks.dce_net import dce_net
from zerodce.recipes import FUSION, PAPER, SIX, Recipe
from zerodce.training import losses
from zerodce.training import run as training
from zerodce.training.callbacks import WeightAverage
from zerodce.training.model import ZeroDCE

SIZE, BATCH = 256, 32
EXAMPLE_BATCH = 16

FAST = training.TrainingSettings(batch_size=16, learning_rate=1e-3, average=0.99, seed=1, epochs=1000)
FAST_SIZE = 64
"""The fastest way to quality: small images (a step costs a sixteenth), a higher rate, averaged weights."""


class KerasExample:
    """The Keras example's loop: its network and start, its four losses with correct kernels and axes."""

    def __init__(self, files: list[str], batch_size: int, seed: int = 1) -> None:
        keras.utils.set_random_seed(seed)
        self.network = dce_net(initial_stddev=None, dtype="float32")
        self.optimizer = keras.optimizers.Adam(1e-4)
        self.dataset = (
            tf.data.Dataset.from_tensor_slices(files)
            .shuffle(len(files), seed=seed)
            .map(self._load, num_parallel_calls=tf.data.AUTOTUNE)
            .batch(batch_size, drop_remainder=True)
        )

    @staticmethod
    def _load(path: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
        return tf.image.resize(tf.ensure_shape(image, (None, None, 3)), (SIZE, SIZE)) / 255.0

    @tf.function
    def step(self, images: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            maps = self.network(images)
            enhanced = apply_curves(images, maps)
            loss = (
                PAPER.color_constancy * losses.color_constancy(enhanced)
                + PAPER.exposure * losses.exposure(enhanced)
                + PAPER.illumination_smoothness * losses.illumination_smoothness(maps)
                + PAPER.spatial_consistency * losses.spatial_consistency(images, enhanced)
            )
        variables = self.network.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    def train(self) -> Iterator[None]:
        """Trains without end; yields after every step."""
        for _ in itertools.count():
            for images in self.dataset:
                self.step(images).numpy()
                yield

    def enhance(self, image: np.ndarray) -> np.ndarray:
        """Enhances a float image (height, width, 3) with the weights so far."""
        return np.asarray(apply_curves(image[np.newaxis], self.network(image[np.newaxis])))[0]


class Ours:
    """This project's steps: from shards, with its optimizer, precision and averaged weights."""

    def __init__(
        self, batches: tf.data.Dataset, settings: training.TrainingSettings, steps: int, recipe: Recipe = SIX
    ) -> None:
        keras.utils.set_random_seed(settings.seed)
        self.model = ZeroDCE(recipe, dtype=settings.dtype)
        training.compile_model(self.model, settings.learning_rate, settings.schedule, steps)
        self.average = WeightAverage(settings.average)
        self.average.set_model(self.model)
        self.average.on_train_begin()
        self.batches = batches

    def train(self) -> Iterator[None]:
        """Trains until the batches end; yields after every step."""
        for images in self.batches:
            self.model.train_on_batch(images)
            self.average.on_train_batch_end(0)
            yield

    def enhance(self, image: np.ndarray) -> np.ndarray:
        """Enhances a float image (height, width, 3) with the averaged weights so far."""
        with self.average.in_place():
            return np.asarray(self.model(image[np.newaxis])["enhanced"])[0]


def shards(images: Path, size: int, folder: Path) -> Path:
    """Makes a data set of the images, all for training."""
    out = folder / f"shards-{size}"
    arguments = [str(images), str(out), "--size", str(size), "--split", "train=1.0"]
    result = CliRunner().invoke(preprocess, arguments, catch_exceptions=False)
    if result.exit_code:
        raise RuntimeError(result.output)
    return out


def speed(arguments: argparse.Namespace, folder: Path) -> str:
    """Images/s of each way (median of the rounds), and the ratios of each round."""
    files = [str(path) for path in sorted(arguments.images.rglob("*")) if photos.is_photo(path.name)]
    count = len(files)
    dtype = training.fastest_dtype()
    settings = training.TrainingSettings(batch_size=BATCH, epochs=1000, dtype=dtype)
    data, _, _ = open_splits(shards(arguments.images, SIZE, folder), BATCH, settings.seed)
    stream = training.batches(data, settings, 0, 0)
    full = stream.filter(lambda batch: tf.shape(batch)[0] == BATCH)
    held = tf.data.Dataset.from_tensors(next(iter(full))).cache().repeat()
    ways: dict[str, Iterator[None]] = {
        f"zerodce train --recipe six, from shards ({dtype})": Ours(full, settings, 1).train(),
        f"the same with the batch held in memory ({dtype})": Ours(held, settings, 1).train(),
        "the Keras example's loop (float32)": KerasExample(files, BATCH).train(),
        f"zerodce train, the recipe of the shipped weights ({dtype})": Ours(full, settings, 1, FUSION).train(),
    }
    for way in ways.values():  # compile and warm up
        next(way)
        next(way)
    measured: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            for _ in range(arguments.steps):
                next(way)
            measured[name].append(arguments.steps * BATCH / (time.perf_counter() - started))
    ours, memory, example, shipped = measured.values()
    rows = [f"| {name} | {statistics.median(rates):.2f} |" for name, rates in measured.items()]
    beside_memory, beside_example, shipped_beside_example = (
        statistics.median(a / b for a, b in zip(one, other, strict=True))
        for one, other in ((ours, memory), (ours, example), (shipped, example))
    )
    return "\n".join(
        [
            f"{count} images, {arguments.rounds} rounds of {arguments.steps} steps each, {os.cpu_count()} cores\n",
            "| an epoch at 256x256, batch 32 | images/s |\n|---|---|",
            *rows,
            f"\nsix: {beside_example:.2f} times the example, {beside_memory:.3f} of the speed from memory; the recipe "
            f"of the shipped weights: {shipped_beside_example:.2f} times the example",
        ]
    )


@dataclasses.dataclass(frozen=True)
class Reached:
    """Seconds and steps of training until the goal or the cap, and the PSNR then."""

    seconds: float
    steps: int
    psnr: float
    goal: bool


def until_quality(train: Iterator[None], score: Callable[[], float], goal: float, cap: float, every: float) -> Reached:
    """Trains until the score reaches the goal. Scores every few seconds of training; scoring is not counted."""
    seconds, looked = 0.0, 0.0
    steps, value = 0, -np.inf
    while seconds < cap:
        started = time.perf_counter()
        next(train)
        seconds += time.perf_counter() - started
        steps += 1
        if seconds - looked >= every:
            looked, value = seconds, score()
            if value >= goal:
                return Reached(seconds, steps, value, True)
    return Reached(seconds, steps, score(), False)


def quality(arguments: argparse.Namespace, folder: Path) -> str:
    """Seconds until the goal for each seed, and the ratio of the medians."""
    pairs = [
        tuple(evaluate.read_image(path).astype(np.float32) / 255 for path in (pair.low, pair.reference))
        for pair in evaluate.lol_pairs(str(arguments.pairs))
    ]

    def psnr_of(enhance: Callable[[np.ndarray], np.ndarray]) -> float:
        errors = [np.mean((np.clip(enhance(low), 0, 1) - reference) ** 2) for low, reference in pairs]
        return float(np.mean([-10 * np.log10(error) for error in errors]))

    started = time.perf_counter()
    source = shards(arguments.images, FAST_SIZE, folder)
    prepared = time.perf_counter() - started
    files = [str(path) for path in sorted(arguments.images.rglob("*")) if photos.is_photo(path.name)]
    results: dict[str, list[Reached]] = {"zerodce": [], "the Keras example's loop": []}
    for seed in range(1, arguments.seeds + 1):
        settings = dataclasses.replace(FAST, seed=seed, dtype=training.fastest_dtype())
        data, _, _ = open_splits(source, settings.batch_size, seed)
        runs: dict[str, Any] = {
            "zerodce": Ours(training.batches(data, settings, 0, 0), settings, 1),
            "the Keras example's loop": KerasExample(files, EXAMPLE_BATCH, seed),
        }
        for name, run in runs.items():
            score = functools.partial(psnr_of, run.enhance)
            found = until_quality(run.train(), score, arguments.goal, arguments.cap, arguments.every)
            results[name].append(found)
            print(f"seed {seed}, {name}: {found}", flush=True)
    rows = []
    for name, reached in results.items():
        seconds = ", ".join(f"{'' if run.goal else '> '}{run.seconds:.0f}" for run in reached)
        steps = ", ".join(str(run.steps) for run in reached)
        rows.append(f"| {name} | {seconds} | {steps} | {', '.join(f'{run.psnr:.2f}' for run in reached)} |")
    ours, example = (statistics.median(r.seconds for r in reached) for reached in results.values())
    capped = "at most " * any(not r.goal for r in results["the Keras example's loop"])
    return "\n".join(
        [
            f"{len(pairs)} pairs to {arguments.goal} dB, {data.count} images, cap {arguments.cap:.0f} s, "
            f"{os.cpu_count()} cores; the shards took another {prepared:.0f} s, once\n",
            "| | seconds by seed | steps | PSNR then |\n|---|---|---|---|",
            *rows,
            f"\n{capped}{ours / example:.3f} of the time of the example (medians)",
        ]
    )


def main() -> None:
    """Runs one benchmark and prints its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    fast = commands.add_parser("speed", help="images/s of an epoch")
    fast.add_argument("--images", type=Path, required=True, help="folder of images to train on")
    fast.add_argument("--rounds", type=int, default=5)
    fast.add_argument("--steps", type=int, default=3, help="of each way in a round")
    good = commands.add_parser("quality", help="seconds until a PSNR")
    good.add_argument("--images", type=Path, required=True, help="folder of images to train on")
    good.add_argument("--pairs", type=Path, required=True, help="LoL folder, whole or partial, to look at")
    good.add_argument("--goal", type=float, default=17.0, help="dB")
    good.add_argument("--cap", type=float, default=1200, help="seconds of training after which a run is given up")
    good.add_argument("--every", type=float, default=2, help="seconds of training between two looks")
    good.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = {"speed": speed, "quality": quality}[arguments.command](arguments, Path(folder))
    rich.console.Console().print(rich.markdown.Markdown(text))


if __name__ == "__main__":
    main()
