"""Training: the batches, the files, going on after a kill, and when it stops."""

import csv
import dataclasses
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from zerodce.recipes import FUSION, PAPER, SIX
from zerodce.training import plots
from zerodce.training import run as training
from zerodce.training.callbacks import Identity, Progress, StopAfterBest, TrainingError, WeightAverage
from zerodce.training.losses import LOSSES
from zerodce.training.model import ZeroDCE
from zerodce.training.run import TrainingImages, TrainingSettings

pytestmark = pytest.mark.slow

COUNT, SIZE = 10, 24
SETTINGS = TrainingSettings(recipe=SIX, epochs=3, batch_size=4, learning_rate=1e-3)


IMAGES = np.random.default_rng(0).integers(0, 80, (COUNT, SIZE, SIZE, 3), dtype=np.uint8)
"""Ten dark images; the last batch of four is half full."""


def in_memory(images: np.ndarray, batch_size: int) -> TrainingImages:
    """Images to train on, shuffled by the number of the epoch."""
    data = tf.data.Dataset.from_tensor_slices(images)

    def one_epoch(number: tf.Tensor) -> tf.data.Dataset:
        return data.shuffle(len(images), seed=1 + number, reshuffle_each_iteration=False).batch(batch_size)

    return TrainingImages(len(images), lambda step: tf.data.Dataset.range(10**6).flat_map(one_epoch).skip(step))


@pytest.fixture(scope="module")
def train() -> TrainingImages:
    return in_memory(IMAGES, SETTINGS.batch_size)


@pytest.fixture(scope="module")
def validation() -> tf.data.Dataset:
    """Three dark images with references, one of which is missing."""
    images = np.random.default_rng(1).uniform(0, 0.3, (3, SIZE, SIZE, 3)).astype(np.float32)
    weights = np.array([1, 0, 1], np.float32)
    references = images * 2.5 * weights[:, None, None, None]
    return tf.data.Dataset.from_tensor_slices((images, references, weights)).batch(2)


@pytest.fixture(scope="module")
def unbroken(
    train: TrainingImages, validation: tf.data.Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, training.Result]:
    """What a run that nothing disturbs leaves."""
    out = tmp_path_factory.mktemp("unbroken")
    return out, training.fit(train, validation, out, SETTINGS)


def history(out: Path) -> list[dict[str, float]]:
    with (out / "history.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


class Kill(keras.callbacks.Callback):
    """Ends the run within a step, as a signal does."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.left = step

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


# what a run leaves


def test_files(unbroken: tuple[Path, training.Result]) -> None:
    out, result = unbroken
    assert {path.name for path in out.iterdir()} == {
        "model.keras", "history.csv", "losses.png", "checkpoints", "samples", "tensorboard"
    }  # fmt: skip
    assert {path.name for path in (out / "checkpoints").iterdir()} == {"best.keras", "last.keras", "state.npz"}
    assert sorted(path.name for path in (out / "samples").iterdir()) == [f"epoch-000{n}.png" for n in (1, 2, 3)]
    assert list((out / "tensorboard").rglob("events*"))
    assert (result.epochs, result.steps, result.images) == (3, 3, 30)
    with Image.open(out / "losses.png") as picture:
        assert picture.size == (1600, 700)


def test_history(unbroken: tuple[Path, training.Result]) -> None:
    out, result = unbroken
    rows = history(out)
    losses = ["total_loss", *(f"{name}_loss" for name in LOSSES if name != "fusion")]
    assert list(rows[0]) == ["epoch", *losses, *(f"val_{name}" for name in losses), "val_psnr", "val_ssim"]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[2]["val_total_loss"] < rows[0]["val_total_loss"]
    best = min(rows, key=lambda row: row["val_total_loss"])
    assert result.best["epoch"] == best["epoch"]


def test_the_model_is_the_best_by_validation_and_float32(
    unbroken: tuple[Path, training.Result], validation: tf.data.Dataset
) -> None:
    out, result = unbroken
    model = keras.saving.load_model(out / "model.keras")
    assert isinstance(model, ZeroDCE)
    assert model.recipe == SIX
    assert model.compute_dtype == "float32"
    training.compile_model(model, 1e-4)
    measured = model.evaluate(validation, return_dict=True, verbose=0)
    for name, value in measured.items():
        assert value == pytest.approx(result.best[f"val_{name}"], rel=1e-4)


def test_without_validation_the_last_epoch_is_kept(train: TrainingImages, tmp_path: Path) -> None:
    result = training.fit(train, None, tmp_path, dataclasses.replace(SETTINGS, epochs=2, average=0.0))
    (_, last) = history(tmp_path)
    assert list(last) == ["epoch", *(f"{name}_loss" for name in ("total", *LOSSES) if name != "fusion")]
    assert result.best["epoch"] == 2
    models = [keras.saving.load_model(tmp_path / name) for name in ("model.keras", "checkpoints/last.keras")]
    for weight, expected in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(weight, expected)
    assert not (tmp_path / "samples").exists()


def test_a_run_of_the_fusion_recipe(train: TrainingImages, validation: tf.data.Dataset, tmp_path: Path) -> None:
    result = training.fit(train, validation, tmp_path, dataclasses.replace(SETTINGS, recipe=FUSION))
    rows = history(tmp_path)
    losses = ["total_loss", *(f"{name}_loss" for name in LOSSES)]
    assert list(rows[0]) == ["epoch", *losses, *(f"val_{name}" for name in losses), "val_psnr", "val_ssim"]
    assert all(row["total_loss"] == row["fusion_loss"] > 0 for row in rows)
    assert rows[2]["total_loss"] < rows[0]["total_loss"]
    model = keras.saving.load_model(tmp_path / "model.keras")
    assert model.recipe == FUSION
    assert model.network.name == "tone_net"
    training.compile_model(model, 1e-4)
    measured = model.evaluate(validation, return_dict=True, verbose=0)
    for name, value in measured.items():
        assert value == pytest.approx(result.best[f"val_{name}"], rel=1e-4)
    with Image.open(tmp_path / "losses.png") as picture:  # five columns: one picture more
        assert picture.size == (1600, 700)


# going on after a kill


@pytest.mark.parametrize("step", [3, 5], ids=["at the end of epoch 1", "in epoch 2"])
def test_a_killed_run_goes_on_as_if_nothing_had_been(
    train: TrainingImages,
    validation: tf.data.Dataset,
    unbroken: tuple[Path, training.Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: int,
) -> None:
    monkeypatch.setattr("zerodce.training.callbacks.SAVE_SECONDS", 0)
    with pytest.raises(KeyboardInterrupt):
        training.fit(train, validation, tmp_path, SETTINGS, callbacks=[Kill(step)])
    steps_left = Kill(10**6)
    training.fit(train, validation, tmp_path, SETTINGS, resume=True, callbacks=[steps_left])
    # the state of the step before the end of an epoch is the last one before its validation
    assert 10**6 - steps_left.left == 9 - (step - 1 if step % 3 == 0 else step)
    for row, expected in zip(history(tmp_path), history(unbroken[0]), strict=True):
        assert row == pytest.approx(expected, rel=1e-4, abs=1e-7)
    model, expected_model = (keras.saving.load_model(out / "model.keras") for out in (tmp_path, unbroken[0]))
    differences = [abs(a - b).mean() for a, b in zip(model.get_weights(), expected_model.get_weights(), strict=True)]
    assert max(differences) < 1e-5  # a step of the optimizer moves a weight by about 1e-3


def test_a_finished_run_can_be_made_longer(
    train: TrainingImages, validation: tf.data.Dataset, unbroken: tuple[Path, training.Result], tmp_path: Path
) -> None:
    training.fit(train, validation, tmp_path, dataclasses.replace(SETTINGS, epochs=1))
    result = training.fit(train, validation, tmp_path, SETTINGS, resume=True)
    assert result.epochs == 3
    for row, expected in zip(history(tmp_path), history(unbroken[0]), strict=True):
        assert row == pytest.approx(expected, rel=1e-4, abs=1e-7)
    again = training.fit(train, validation, tmp_path, SETTINGS, resume=True)
    assert again == result  # nothing was left to do


def test_a_run_is_not_resumed_as_another(
    train: TrainingImages, validation: tf.data.Dataset, unbroken: tuple[Path, training.Result]
) -> None:
    out, _ = unbroken
    slower = dataclasses.replace(SETTINGS, learning_rate=1e-5)
    with pytest.raises(TrainingError, match=r"started with learning_rate = 0.001, not 1e-05 \(settings\)"):
        training.fit(train, validation, out, slower, resume=True)
    with pytest.raises(TrainingError, match=r"started with name = six, not paper \(recipe\)"):
        training.fit(train, validation, out, dataclasses.replace(SETTINGS, recipe=PAPER), resume=True)
    with pytest.raises(TrainingError, match=r"started with train = None, not 5 \(data\)"):
        training.fit(train, validation, out, SETTINGS, data={"train": 5}, resume=True)


def write_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b"PK\x03\x04 cut short"),
        lambda path: path.touch(),
        lambda path: path.write_text("text"),
        lambda path: np.savez(path, weights=np.zeros(3)),
        lambda path: np.savez(path, state=np.array("{}")),
        lambda path: np.savez(path, state=np.array("[1]")),
        lambda path: np.savez(path, state=np.array([{}], dtype=object)),
        write_array,
        lambda path: path.mkdir(),
    ],
    ids=["cut short", "empty", "text", "other arrays", "no fields", "a list", "pickled", "one array", "a folder"],
)
def test_a_damaged_or_foreign_state_is_refused(
    train: TrainingImages, tmp_path: Path, write: Callable[[Path], object]
) -> None:
    (tmp_path / "checkpoints").mkdir()
    write(tmp_path / "checkpoints" / "state.npz")
    with pytest.raises(TrainingError, match=r"state\.npz cannot be read") as refusal:
        training.fit(train, None, tmp_path, SETTINGS, resume=True)
    assert "\n" not in str(refusal.value)


def test_without_a_state_there_is_nothing_to_resume(train: TrainingImages, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"state\.npz does not exist; leave --resume out"):
        training.fit(train, None, tmp_path, SETTINGS, resume=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("junk", [b"", b"junk", None])
def test_a_best_model_that_is_none_is_not_handed_out(
    train: TrainingImages, unbroken: tuple[Path, training.Result], tmp_path: Path, junk: bytes | None
) -> None:
    out = tmp_path / "out"
    shutil.copytree(unbroken[0], out)
    shipped = (out / "model.keras").read_bytes()
    if junk is None:
        (out / "checkpoints" / "best.keras").unlink()
    else:
        (out / "checkpoints" / "best.keras").write_bytes(junk)
    with pytest.raises(TrainingError, match=r"best\.keras is not the model that the run kept"):
        training.fit(train, None, out, dataclasses.replace(SETTINGS, epochs=4), resume=True)
    assert (out / "model.keras").read_bytes() == shipped
    assert len(history(out)) == 3


# the batches


def test_without_augmentation_the_batches_are_those_that_are_given(train: TrainingImages) -> None:
    plain = dataclasses.replace(SETTINGS, flip=False)
    stream = training.batches(train, plain, 0, 0).take(6)
    for batch, images in zip(stream, train.batches(0), strict=False):
        np.testing.assert_allclose(batch, np.asarray(images) / np.float32(255), atol=1e-6)
    assert [len(batch) for batch in stream] == [4, 4, 2] * 2


@pytest.mark.parametrize(("epoch", "step"), [(0, 2), (1, 0), (2, 1)])
def test_batches_depend_on_epoch_and_step_alone(train: TrainingImages, epoch: int, step: int) -> None:
    settings = dataclasses.replace(SETTINGS, crop=16)
    first = 3 * epoch + step
    whole = list(training.batches(train, settings, 0, 0).take(9).as_numpy_iterator())
    rest = list(training.batches(train, settings, epoch, step).take(9 - first).as_numpy_iterator())
    for batch, expected in zip(rest, whole[first:], strict=True):
        np.testing.assert_array_equal(batch, expected)


def test_an_image_is_cropped_in_every_epoch_in_another_place() -> None:
    settings = TrainingSettings(batch_size=4, crop=10)
    train = TrainingImages(4, lambda step: tf.data.Dataset.from_tensors(IMAGES[:4]).repeat())
    first, second = training.batches(train, settings, 0, 0).take(2).as_numpy_iterator()
    assert all(not np.array_equal(one, other) for one, other in zip(first, second, strict=True))


def test_channels_are_exchanged_whole() -> None:
    image = np.full((SIZE, SIZE, 3), (10, 20, 30), np.uint8)
    settings = TrainingSettings(batch_size=64, shuffle_channels=True)
    train = in_memory(np.stack([image] * 64), settings.batch_size)
    batch = next(training.batches(train, settings, 0, 0).as_numpy_iterator())
    batch = np.rint(batch * 255).astype(int)
    assert {tuple(row) for row in batch[:, 0, 0]} == set(itertools.permutations((10, 20, 30)))
    np.testing.assert_array_equal(batch, np.broadcast_to(batch[:, :1, :1], batch.shape))


def test_another_seed_gives_other_crops(train: TrainingImages) -> None:
    first, second = (
        next(training.batches(train, dataclasses.replace(SETTINGS, seed=seed, crop=16), 0, 0).as_numpy_iterator())
        for seed in (1, 2)
    )
    assert not np.array_equal(first, second)


def test_crops_and_flips_are_parts_of_the_image() -> None:
    """Of an image whose pixels say where they are: red counts columns, green rows."""
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    image = np.stack([x, y, 0 * x], axis=-1).astype(np.uint8)
    settings = TrainingSettings(batch_size=8, crop=10)
    train = in_memory(np.stack([image] * 16), settings.batch_size)
    lefts, tops, flips = set(), set(), set()
    for batch in training.batches(train, settings, 0, 0).take(8).as_numpy_iterator():
        assert batch.shape == (8, 10, 10, 3)
        for crop in np.rint(batch * 255).astype(int):
            columns, rows = crop[0, :, 0], crop[:, 0, 1]
            step = columns[1] - columns[0]
            np.testing.assert_array_equal(columns, columns[0] + step * np.arange(10))
            np.testing.assert_array_equal(rows, rows[0] + np.arange(10))
            flips.add(int(step))
            lefts.add(int(columns.min()))
            tops.add(int(rows[0]))
    assert flips == {1, -1}
    assert len(lefts) > 5
    assert len(tops) > 5
    assert max(lefts | tops) <= SIZE - 10


# when it stops


def test_nan_stops_the_run_with_a_clear_word_and_keeps_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zerodce.training.callbacks.SAVE_SECONDS", 0)
    images = np.full((4, SIZE, SIZE, 3), 0.2, np.float32)
    images[2, 0, 0, 0] = np.nan
    with pytest.raises(TrainingError, match=r"no longer a number in epoch 1, step \d; .*lower --learning-rate"):
        training.fit(in_memory(images, 1), None, tmp_path, dataclasses.replace(SETTINGS, batch_size=1))
    assert not list(tmp_path.rglob("*.keras"))


def test_early_stopping(train: TrainingImages, validation: tf.data.Dataset, tmp_path: Path) -> None:
    """With weights that hardly move the wrong way: no epoch is better than the first by PSNR."""
    settings = dataclasses.replace(SETTINGS, epochs=9, learning_rate=0.0, patience=2, average=0.0, monitor="psnr")
    result = training.fit(train, validation, tmp_path, settings)
    assert result.epochs == 3
    assert result.best["epoch"] == 1
    again = training.fit(train, validation, tmp_path, settings, resume=True)
    assert again.epochs == 3


def rows_of(**columns: list[float]) -> list[dict[str, float]]:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


@pytest.fixture
def progress(tmp_path: Path) -> Progress:
    return Progress(tmp_path / "state.npz", tmp_path / "h.csv", Identity({}, {}, {}), WeightAverage(0), 1)


def test_the_best_epoch(progress: Progress) -> None:
    progress.rows = rows_of(val_total_loss=[3.0, 1.0, 1.0, 2.0], val_psnr=[10.0, 9.0, 14.0, 14.0])
    assert progress.best_epoch("total_loss") == 1
    assert progress.best_epoch("psnr") == 2
    assert progress.best_epoch("ssim") == 3  # never measured: the last


@pytest.mark.parametrize(("patience", "due"), [(1, True), (2, True), (3, False)])
def test_patience_counts_from_the_best_epoch(progress: Progress, patience: int, due: bool) -> None:
    progress.rows = rows_of(val_total_loss=[3.0, 1.0, 2.0, 2.0])
    assert StopAfterBest(progress, "total_loss", patience).due is due


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop": 25}, "--crop 25 is larger than the images, 24x24"),
        ({"monitor": "psnr"}, "--monitor psnr needs validation images with references"),
    ],
)
def test_what_cannot_be_done_is_said(
    train: TrainingImages, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        training.fit(train, None, tmp_path, dataclasses.replace(SETTINGS, **change))
    assert not list(tmp_path.iterdir())


# the optimizer, the average and the pictures


def test_optimizer_of_the_recipe_and_the_cosine() -> None:
    model = ZeroDCE(PAPER)
    training.compile_model(model, 0.2, "cosine", steps=10)
    assert model.optimizer.clipnorm == PAPER.clipnorm
    assert model.optimizer.weight_decay == PAPER.weight_decay
    schedule = model.optimizer._learning_rate
    assert [float(schedule(step)) for step in (0, 5, 10)] == pytest.approx([0.2, 0.1, 0], abs=1e-6)


def test_the_average_of_weights() -> None:
    """After n steps the momentum is (1 + n) / (10 + n): 2/11 after the first, 3/12 after the second."""
    model = ZeroDCE()
    training.compile_model(model, 1e-3)
    average = WeightAverage(0.999)
    average.set_model(model)

    def step(number: int, value: float) -> None:
        model.optimizer.iterations.assign(number)
        model.network.set_weights([np.full_like(weight, value) for weight in model.network.get_weights()])
        average.on_train_batch_end(0)

    model.network.set_weights([np.zeros_like(weight) for weight in model.network.get_weights()])
    average.on_train_begin()
    step(1, 1.0)
    step(2, 5.0)
    expected = 3 / 12 * (9 / 11) + 9 / 12 * 5
    assert all(weight == pytest.approx(expected, rel=1e-5) for weight in average.weights)
    with average.in_place():
        assert model.network.get_weights()[0].flat[0] == pytest.approx(expected, rel=1e-5)
    assert model.network.get_weights()[0].flat[0] == 5


def test_sample_strips_show_the_images_side_by_side(tmp_path: Path) -> None:
    images = np.stack([np.full((SIZE, SIZE, 3), value, np.float32) for value in (0.2, 0.4)])
    references = images * 2
    references[1] = 0
    plots.sample_strips(tmp_path / "strip.png", images, images + 0.1, references)
    with Image.open(tmp_path / "strip.png") as picture:
        pixels = np.asarray(picture)
    middle = SIZE // 2
    columns = [index * (SIZE + 4) + middle for index in range(4)]
    first, second = 16 + middle, (16 + SIZE + 4) + 16 + middle
    assert [pixels[first, column, 0] for column in (columns[0], columns[2], columns[3])] == [51, 76, 102]
    assert [pixels[second, column, 0] for column in (columns[0], columns[2], columns[3])] == [102, 128, 255]


@pytest.fixture
def cpu_flags(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def set_flags(flags: str) -> None:
        monkeypatch.setattr(Path, "read_text", lambda *_, **__: f"flags : fpu {flags}\n")
        monkeypatch.setattr(Path, "exists", lambda *_: True)

    return set_flags


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("avx512f avx512_bf16", "mixed_bfloat16"), ("amx_bf16 amx_tile", "mixed_bfloat16"), ("avx2", "float32")],
)
def test_bfloat16_where_the_processor_has_it(cpu_flags: Callable[[str], None], flags: str, expected: str) -> None:
    cpu_flags(flags)
    assert training.fastest_dtype() == expected
