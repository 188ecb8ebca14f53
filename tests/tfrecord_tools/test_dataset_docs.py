"""What docs/dataset.md shows works as it stands there."""

import json
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from record_samples import pixels

import tfrecord_tools
from pipelines.cli import main
from tfrecord_tools import Manifest, croissant

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "dataset.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def code(words: str) -> str:
    """The one block of code with these words."""
    (block,) = [block for block in PYTHON if words in block]
    return block


def run(words: str) -> dict:
    """What a block of code defines."""
    names: dict = {"tfrecord_tools": tfrecord_tools}
    exec(code(words), names)
    return names


@pytest.fixture
def shards(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the page calls so."""
    dataset.rename(dataset.with_name("shards"))
    monkeypatch.chdir(dataset.parent)
    monkeypatch.setattr("pipelines.cli.silence_libraries", lambda: None)  # standard error is not the command's to take
    return dataset.with_name("shards")


def test_load_and_plain_tensorflow_read_the_same_images(shards: Path) -> None:
    pytest.importorskip("tensorflow")
    expected = sorted(pixels(index).tobytes() for index in range(10))
    for words in ("for images in dataset:  # float32", "import tensorflow"):
        (batch,) = run(words)["dataset"].as_numpy_iterator()
        assert batch.dtype == np.float32
        assert sorted(image.tobytes() for image in np.rint(batch * 255).astype(np.uint8)) == expected


def test_every_worker_of_pytorch_reads_its_part(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Tensor:
        def __init__(self, values: np.ndarray) -> None:
            self.values = values

        def permute(self, *axes: int) -> np.ndarray:
            return self.values.transpose(axes)

    workers = [types.SimpleNamespace(id=index, num_workers=3) for index in range(3)]
    data = types.SimpleNamespace(
        IterableDataset=object, DataLoader=lambda *_, **__: None, get_worker_info=lambda: workers.pop(0)
    )
    torch = types.SimpleNamespace(utils=types.SimpleNamespace(data=data), from_numpy=Tensor)
    monkeypatch.setitem(sys.modules, "torch", torch)
    names = run("import torch")
    read = [list(names["Images"]()) for _ in range(3)]
    assert [len(part) for part in read] == [4, 3, 3]
    np.testing.assert_array_equal(read[1][2], pixels(7).transpose(2, 0, 1) / 255)


def test_load_goes_on_at_a_step(shards: Path) -> None:
    """The set has one batch of 32, so step 1000 is the first of epoch 1000, and the block reads that one."""
    pytest.importorskip("tensorflow")
    (batch,) = run("start=step")["dataset"].as_numpy_iterator()
    options: dict = {"batch_size": 32, "shuffle": True, "seed": 1}
    (expected,) = tfrecord_tools.load("shards", "train", start=1001, **options).as_numpy_iterator()
    np.testing.assert_array_equal(batch, expected)


@pytest.fixture
def exported(shards: Path) -> None:
    """The folders that the commands of the page write."""
    lines = re.findall(r"^zerodce (records export shards .* --to .*)$", PAGE, re.MULTILINE)
    assert len(lines) == 3
    for line in lines:
        done = CliRunner().invoke(main, line.split())
        assert done.exit_code == 0, done.output


@pytest.mark.usefixtures("exported")
def test_datasets_of_hugging_face_reads_parquet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    names = run("import datasets")
    assert [(row["filename"], row["reference"] is not None) for row in names["photos"]] == [
        (f"low/{index}.png", index % 3 == 0) for index in range(10)
    ]
    np.testing.assert_array_equal(names["image"], pixels(0))
    np.testing.assert_array_equal(names["photos"][9]["reference"], pixels(9)[::-1])
    validation = datasets.load_dataset("shards-parquet", split="validation")
    assert [row["filename"] for row in validation] == [f"low/{index}.png" for index in range(10, 15)]


@pytest.mark.usefixtures("exported")
def test_webdataset_reads_tar_files() -> None:
    pytest.importorskip("webdataset")
    read = list(run("import webdataset")["photos"])
    for index, (image, fields) in enumerate(read):
        np.testing.assert_array_equal(image, pixels(index))
        assert fields["filename"] == f"low/{index}.png"
    assert len(read) == 10


def test_mlcroissant_reads_the_description(shards: Path) -> None:
    pytest.importorskip("mlcroissant")
    content = (shards / "manifest.json").read_bytes()
    (shards / "croissant.json").write_text(croissant.describe(Manifest.from_json(content), content))
    row = run("import mlcroissant")["row"]
    assert (row["shards/name"], row["shards/records"]) == (b"val-00000-of-00001.tfrecord", 5)


def test_the_manifest_shown_has_the_fields_of_a_real_one(shards: Path) -> None:
    (example,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    shown, real = json.loads(example), json.loads((shards / "manifest.json").read_text())
    assert shown.keys() == real.keys()
    for part in ("image", "counts", "sources", "features"):
        assert shown[part].keys() == real[part].keys()
    assert shown["splits"]["train"]["shards"][0].keys() == real["splits"]["train"]["shards"][0].keys()
    with pytest.raises(ValueError, match="contradict"):  # it is shortened to one split
        Manifest.from_json(example)
