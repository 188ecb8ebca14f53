"""`zerodce train` as people use it: shards in, a model out; killed and resumed; and every mistake in one line."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from pipelines.cli import main
from pipelines.train import Terminal, open_splits
from zerodce.training.callbacks import replacing

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def shared_terminal() -> Iterator[None]:
    """The commands run in this process, whose standard error is not theirs to take."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.cli.silence_libraries", lambda: None)
        patch.setattr("pipelines.preprocess.options.silence_libraries", lambda: None)
        yield


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of twelve dark images, 32x32: nine to train on, three to validate, one of them with a reference."""
    folder = tmp_path_factory.mktemp("lol")
    random = np.random.default_rng(0)
    for number in range(12):
        pixels = random.integers(0, 70, (8, 8, 3), dtype=np.uint8)
        for side, scale in (("low", 1), ("high", 3)):
            path = folder / "our485" / side / f"{number:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            if side == "low" or number == 10:
                Image.fromarray(pixels * scale).resize((40, 30)).save(path)
    out = tmp_path_factory.mktemp("shards") / "lol"
    made = CliRunner().invoke(main, ["preprocess", str(folder), str(out), "--size", "32", "--train-count", "9"])
    assert made.exit_code == 0, made.output
    return out


OPTIONS = ("--epochs", 4, "--batch-size", 2, "--learning-rate", 1e-3, "--mixed-precision", "off")


@pytest.fixture(scope="module")
def trained(dataset: Path) -> Path:
    out = dataset.parent / "trained"
    result = run("train", dataset, out, *OPTIONS)
    assert result.exit_code == 0, result.output
    assert "9 images to train on, 3 to validate (1 with a reference), 32x32; recipe fusion, float32" in result.output
    assert "epoch 4/4: loss" in result.output
    assert f"{out / 'model.keras'}" in result.output
    return out


def history(out: Path) -> list[dict[str, float]]:
    with (out / "history.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_run_json_accounts_for_the_run(trained: Path) -> None:
    record = json.loads((trained / "run.json").read_text())
    assert record["recipe"]["name"] == "fusion"
    assert record["settings"]["learning_rate"] == 1e-3
    assert (record["epochs"], record["steps_per_epoch"]) == (4, 5)
    assert {name: record["data"][name] for name in ("train", "val", "val_with_reference")} == {
        "train": 9, "val": 3, "val_with_reference": 1
    }  # fmt: skip
    assert len(record["data"]["manifest_sha256"]) == 64
    assert record["images_per_second"] == pytest.approx(36 / record["seconds"], abs=1e-3)
    assert record["best"] == pytest.approx(history(trained)[record["best"]["epoch"] - 1])
    assert {"keras", "tensorflow", "zerodce"} <= record["versions"].keys()


def test_the_model_loads_and_brightens_what_it_was_trained_on(trained: Path) -> None:
    model = keras.saving.load_model(trained / "model.keras", compile=False)
    dark = np.full((1, 32, 32, 3), 0.1, np.float32)
    assert np.asarray(model(dark)["enhanced"]).shape == dark.shape


def test_killed_and_resumed_it_is_the_same_run(dataset: Path, trained: Path) -> None:
    out = dataset.parent / "killed"
    command = [sys.executable, "-m", "pipelines.cli", "train", dataset, out, *OPTIONS]
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 240
    while not (out / "checkpoints" / "state.npz").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with np.load(out / "checkpoints" / "state.npz") as state:
        kept = json.loads(str(state["state"]))["epoch"]
    refused = run("train", dataset, out, *OPTIONS)
    assert refused.exit_code == 2
    assert "go on with --resume, or start again with --overwrite" in refused.output
    resumed = run("train", dataset, out, *OPTIONS, "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert [f"epoch {number}/4" in resumed.output for number in (1, 2, 3, 4)] == [
        kept < number for number in (1, 2, 3, 4)
    ]
    assert len(history(out)) == 4
    for row, expected in zip(history(out), history(trained), strict=True):
        assert row == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_stopped_within_an_epoch_it_goes_on_at_the_next_step(
    dataset: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after 7 steps, of which the first epoch has 5."""
    steps: list[int] = []
    count_step = Terminal.on_train_batch_end

    def stop_at(number: int) -> None:
        def on_train_batch_end(self: Terminal, batch: int, logs: dict[str, float] | None = None) -> None:
            count_step(self, batch, logs)
            steps.append(batch)
            if len(steps) == number:
                raise KeyboardInterrupt

        monkeypatch.setattr(Terminal, "on_train_batch_end", on_train_batch_end)

    monkeypatch.setattr("zerodce.training.callbacks.SAVE_SECONDS", 0)
    stop_at(7)
    assert run("train", dataset, tmp_path / "out", *OPTIONS).exit_code == 130
    with np.load(tmp_path / "out/checkpoints/state.npz") as state:
        assert {name: json.loads(str(state["state"]))[name] for name in ("epoch", "step")} == {"epoch": 1, "step": 2}
    steps.clear()
    stop_at(0)
    assert run("train", dataset, tmp_path / "out", *OPTIONS, "--resume").exit_code == 0
    assert len(steps) == 4 * 5 - 7
    for row, expected in zip(history(tmp_path / "out"), history(trained), strict=True):
        assert row == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_from_a_step_on_training_gets_the_same_batches(dataset: Path) -> None:
    images, _, _ = open_splits(dataset, batch_size=2, seed=4)
    whole = [batch.tobytes() for batch in images.batches(0).take(15).as_numpy_iterator()]
    assert [batch.tobytes() for batch in images.batches(7).take(8).as_numpy_iterator()] == whole[7:]
    assert len(set(whole)) > 10


@pytest.mark.parametrize("option", [[], ["--resume"]])
def test_killed_before_its_first_state_it_starts_by_either_command(
    dataset: Path, trained: Path, tmp_path: Path, option: list[str]
) -> None:
    """Of such a run there is a list of files, and what TensorBoard had begun; a file of somebody else stays."""
    out = tmp_path / "out"
    (out / "tensorboard/train").mkdir(parents=True)
    (out / "tensorboard/train/events.out.tfevents.1").write_bytes(b"begun")
    (out / ".zerodce/train").mkdir(parents=True)
    (out / ".zerodce/train/files.json").write_text(json.dumps(["tensorboard/train/events.out.tfevents.1"]))
    (out / "notes.txt").write_text("mine")
    started = run("train", dataset, out, *OPTIONS, *option)
    assert started.exit_code == 0, started.output
    assert (out / "notes.txt").read_text() == "mine"
    assert not (out / "tensorboard/train/events.out.tfevents.1").exists()
    assert [row["epoch"] for row in history(out)] == [1, 2, 3, 4]


def test_interrupted_it_says_how_to_go_on(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("zerodce.training.run.fit", interrupted)
    result = run("train", dataset, tmp_path / "out")
    assert result.exit_code == 130
    assert "Interrupted: the same command with --resume goes on from here." in result.output


def test_overwrite_deletes_the_run_and_nothing_else(dataset: Path, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "checkpoints").mkdir(parents=True)
    for name in ("checkpoints/state.npz", "history.csv", "notes.txt"):
        (out / name).write_text("of an earlier run")
    result = run("train", dataset, out, "--epochs", 1, "--batch-size", 16, "--mixed-precision", "off", "--overwrite")
    assert result.exit_code == 0, result.output
    assert len(history(out)) == 1
    assert (out / "notes.txt").read_text() == "of an earlier run"


ONE_EPOCH = ("--epochs", 1, "--batch-size", 16, "--mixed-precision", "off")


def contents(out: Path) -> dict[str, bytes]:
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and not path.match(".zerodce/lock")
    }


def test_overwrite_deletes_what_runs_wrote_and_what_a_killed_one_was_writing(
    dataset: Path, trained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(trained, out)
    theirs = {
        "samples/mine.png",
        "checkpoints/mine/best.keras",
        "tensorboard/train/events.out.tfevents.1.x",
        "notes.txt",
    }
    for name in theirs:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("not to be deleted")
    for name in ("model.keras", "checkpoints/state.npz", "samples/epoch-0001.png"):
        replacing(out / name).__enter__().write_text("killed here")
    before = contents(out)
    assert sum("zerodce-tmp" in name for name in before) == 3
    result = run("train", dataset, out, *ONE_EPOCH, "--overwrite")
    assert result.exit_code == 0, result.output
    after = contents(out)
    assert len(history(out)) == 1
    assert {name: after[name] for name in theirs} == dict.fromkeys(theirs, b"not to be deleted")
    assert {name for name in after if name.startswith("samples/")} == {"samples/mine.png", "samples/epoch-0001.png"}
    assert not [name for name in after if "zerodce-tmp" in name]
    events = {name for name in before if name.startswith("tensorboard/")} - theirs
    assert len(events) == 2
    assert not events & after.keys()
    fresh = tmp_path / "fresh"
    assert run("train", dataset, fresh, *ONE_EPOCH).exit_code == 0
    assert (out / "model.keras").stat().st_size == (fresh / "model.keras").stat().st_size
    assert len(after) == len(contents(fresh)) + len(theirs)


def test_overwrite_leaves_folders_of_others_alone(dataset: Path, tmp_path: Path) -> None:
    theirs = (
        "samples/mine.png",
        "checkpoints/mine.bin",
        "tensorboard/train/events.out.tfevents.1.mine",
        "mine/model.keras",
    )
    for name in theirs:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("mine")
    assert run("train", dataset, tmp_path, *ONE_EPOCH, "--overwrite").exit_code == 0
    assert run("train", dataset, tmp_path, *ONE_EPOCH, "--overwrite").exit_code == 0
    assert [(tmp_path / name).read_text() for name in theirs] == ["mine"] * 4


@pytest.mark.parametrize("name", ["model.keras", "run.json", "checkpoints/best.keras", "samples/epoch-0001.png"])
def test_a_file_of_somebody_else_is_not_replaced(dataset: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    result = run("train", dataset, tmp_path, *ONE_EPOCH, "--overwrite")
    assert result.exit_code == 2
    assert f"{tmp_path / name} is not listed in " in result.output
    assert contents(tmp_path) == {name: b"mine"}


def test_the_list_of_files_names_no_others(dataset: Path, trained: Path, tmp_path: Path) -> None:
    out, mine = tmp_path / "out", tmp_path / "mine.txt"
    shutil.copytree(trained, out)
    mine.write_text("mine")
    listed = out / ".zerodce" / "train" / "files.json"
    names = set(json.loads(listed.read_text()))
    assert contents(out).keys() - {".zerodce/train/files.json"} <= names
    listed.write_text(json.dumps([*names, "../mine.txt", "notes.txt", str(mine)]))
    (out / "notes.txt").write_text("mine")
    assert run("train", dataset, out, *ONE_EPOCH, "--overwrite").exit_code == 0
    assert (mine.read_text(), (out / "notes.txt").read_text()) == ("mine", "mine")
    listed.write_text("{")
    result = run("train", dataset, out, *ONE_EPOCH, "--overwrite")
    assert result.exit_code == 1
    assert f"{listed} is damaged: choose another folder" in result.output
    assert (out / "model.keras").exists()


@pytest.mark.parametrize("folder", ["checkpoints", "samples", "tensorboard", ".zerodce"])
def test_no_link_is_followed_out_of_the_folder(dataset: Path, trained: Path, tmp_path: Path, folder: str) -> None:
    outside, out = tmp_path / "outside", tmp_path / "out"
    shutil.copytree(trained / folder, outside)
    shutil.copytree(trained, out)
    shutil.rmtree(out / folder)
    (out / folder).symlink_to(outside)
    before = contents(outside)
    for option in ("--overwrite", "--resume"):
        result = run("train", dataset, out, *OPTIONS, option)
        assert result.exit_code == 2
        assert f"{out / folder} is a link that leads to {outside}" in result.output
    assert contents(outside) == before


def test_resuming_without_a_state_changes_nothing(dataset: Path, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(trained, out)
    (out / "checkpoints" / "state.npz").unlink()
    before = contents(out)
    result = run("train", dataset, out, *OPTIONS, "--resume")
    assert result.exit_code == 2
    assert f"{out} holds no run to resume (there is no checkpoints/state.npz)" in result.output
    assert contents(out) == before
    assert run("train", dataset, tmp_path / "new", *OPTIONS, "--resume").exit_code == 2
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["checkpoints/state.npz", "checkpoints/best.keras"])
def test_a_damaged_run_is_not_resumed(dataset: Path, trained: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    shutil.copytree(trained, out)
    (out / name).write_bytes(b"")
    before = contents(out)
    result = run("train", dataset, out, *OPTIONS, "--resume")
    assert result.exit_code == 1
    (line,) = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert str(out / name) in line
    assert "start anew with --overwrite" in line
    assert contents(out) == before


def test_the_folder_of_another_command_is_refused(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("mine")
    result = run("train", dataset, tmp_path, *ONE_EPOCH, "--overwrite")
    assert result.exit_code == 2
    assert f"{tmp_path} holds files of `zerodce enhance`" in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("{tmp}/nowhere", "{tmp}/out"), 2, "nowhere does not exist: name a folder that `zerodce preprocess` wrote"),
        (("{tmp}", "{tmp}-out"), 1, "is not a finished data set: it has no manifest.json"),
        (("{data}", "{data}/out"), 2, "overlap"),
        (("{data}", "{tmp}/out", "--resume", "--overwrite"), 2, "choose one"),
        (("{data}", "s3://bucket/out"), 2, "train works on local folders"),
        (("{data}", "{tmp}/out", "--crop", "64"), 1, "--crop 64 is larger than the images, 32x32"),
        (("{data}", "/proc/out"), 1, "cannot be written"),
        (("{data}", "{tmp}/out", "--learning-rate", "0"), 2, "--learning-rate"),
    ],
)
def test_mistakes_are_one_line(
    dataset: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    result = run("train", *(part.format(tmp=tmp_path, data=dataset) for part in arguments))
    assert result.exit_code == code
    (line,) = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert message in line
    assert "Traceback" not in result.output


def test_a_mistake_changes_nothing_and_the_corrected_command_runs(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "checkpoints").mkdir(parents=True)
    earlier = ("train", dataset, out, "--overwrite", "--crop", 64)
    assert run(*earlier).exit_code == 1
    assert (out / "checkpoints").is_dir()
    options = ("--epochs", 1, "--batch-size", 16, "--mixed-precision", "off")
    new = tmp_path / "new"
    assert run("train", dataset, new, *options, "--crop", 64).exit_code == 1
    result = run("train", dataset, new, *options, "--crop", 16)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("fault", ["missing", "extra"])
def test_a_data_set_with_other_shards_is_refused(dataset: Path, tmp_path: Path, fault: str) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in dataset.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    shard = next(copy.glob("train-*.tfrecord"))
    if fault == "missing":
        shard.unlink()
    else:
        (copy / "train-00007-of-00008.tfrecord").write_bytes(shard.read_bytes())
    result = run("train", copy, tmp_path / "out")
    assert result.exit_code == 1
    assert ("is missing" if fault == "missing" else "is not in manifest.json") in result.output
    assert not (tmp_path / "out" / "model.keras").exists()
