"""The model in other runtimes, run by the scripts of the documentation: its pixels are those of zerodce."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

import zerodce
from pipelines import export
from zerodce.curves.brightening import brighten, surroundings
from zerodce.curves.tones import tables
from zerodce.exporting import targets
from zerodce.exporting.targets import TARGETS
from zerodce.images.pixels import small_copy
from zerodce.inference.model import SHIPPED, CurveModel, shipped
from zerodce.recipes import SIX

ROOT = Path(__file__).resolve().parents[2]
RUNTIMES = {"onnx": "ONNX Runtime", "litert": "LiteRT", "openvino": "OpenVINO", "savedmodel": "TensorFlow"}
SCRIPTS = dict(re.findall(r"### (.*?)\n```python\n(.*?)```", (ROOT / "docs" / "export.md").read_text(), re.DOTALL))
SIZES = {(301, 200): 0.3, (97, 31): 0.0}
"""Width and height of photos, and the light that each gets."""


def scene(width: int, height: int) -> np.ndarray:
    """A dark scene with a lamp, colours, edges and noise: uint8 (height, width, 3)."""
    rows, columns = np.mgrid[:height, :width] / max(width, height)
    lamp = np.exp(-((columns - 0.3) ** 2 + (rows - 0.2) ** 2) / 0.01)
    values = np.dstack([0.05 + 0.1 * columns, 0.04 + 0.1 * rows, 0.06 + 0.05 * (columns > 0.5)]) + lamp[..., None]
    values += np.random.default_rng(1).normal(0, 0.01, values.shape)
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def expected(image: np.ndarray, light: float) -> np.ndarray:
    """What zerodce makes of it: the network on the small copy, then the curves."""
    small = small_copy(image, 128)
    grid = np.rint(shipped().grid(small.astype(np.float32) / 255, light) * 256) / 256
    return brighten(image, tables(grid), surroundings(small))


def refused(model: Path | None, to: str, out: Path | None = None) -> tuple[int, str]:
    """Exit code and message of an export that is refused."""
    with pytest.raises(click.ClickException) as error:
        export.export(model and str(model), to, out and str(out), overwrite=False)
    return error.value.exit_code, error.value.message


@pytest.fixture(scope="module", params=list(TARGETS))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The name of a format, and a folder in which `zerodce export` has written the shipped model."""
    folder = tmp_path_factory.mktemp(request.param)
    command = [sys.executable, "-m", "pipelines.cli", "export", "--to", request.param]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    name = f"zerodce{TARGETS[request.param].suffix}"
    assert re.search(rf"^{name}, \d\.\d MB$", done.stdout, re.MULTILINE)
    return request.param, folder


@pytest.mark.slow
def test_the_script_of_each_runtime_gives_the_pixels_of_zerodce(exported: tuple[str, Path]) -> None:
    target, folder = exported
    for (width, height), light in SIZES.items():
        image = scene(width, height)
        Image.fromarray(image).save(folder / "photo.png")
        command = [sys.executable, "-c", SCRIPTS[RUNTIMES[target]], "photo.png", "bright.png", str(light)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        with Image.open(folder / "bright.png") as made:
            error = np.abs(np.asarray(made).astype(int) - expected(image, light))
        assert error.max() <= 1
        assert (error > 0).mean() < 0.01
        if not light:
            assert np.array_equal(expected(image, light), image)


@pytest.mark.slow
def test_the_file_says_which_model_it_is(exported: tuple[str, Path]) -> None:
    target, folder = exported
    if target == "onnx":
        import onnx

        found = {entry.key: entry.value for entry in onnx.load(folder / "zerodce.onnx").metadata_props}
    elif target == "savedmodel":
        found = json.loads((folder / "zerodce" / "assets" / targets.ABOUT).read_text())
    elif target == "openvino":
        import openvino

        model = openvino.Core().read_model(folder / "zerodce.xml")
        found = {name: model.get_rt_info(["zerodce", name]).value for name in ("zerodce", "model_sha256", "recipe")}
    else:
        return  # a .tflite file has no place for it
    digest = hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
    assert found == {"zerodce": zerodce.__version__, "model_sha256": digest, "recipe": "fusion"}


def test_what_exists_stays(tmp_path: Path) -> None:
    (path := tmp_path / "a.onnx").write_text("mine")
    message = f"{path} exists: choose another name, or replace it with --overwrite"
    assert refused(None, "onnx", path) == (2, message)
    assert path.read_text() == "mine"


def test_a_wrong_name_is_refused(tmp_path: Path) -> None:
    message = "the name of this format ends in .tflite: write model.onnx.tflite"
    assert refused(None, "litert", tmp_path / "model.onnx") == (2, message)


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    find = targets.importlib.util.find_spec
    monkeypatch.setattr(targets.importlib.util, "find_spec", lambda name: None if name == "tf2onnx" else find(name))
    assert refused(None, "onnx") == (1, "--to onnx needs tf2onnx: pip install 'zerodce[export]'")


def test_a_model_of_another_recipe_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CurveModel, "read", lambda content: CurveModel(SIX, False, np.copy))
    code, message = refused(None, "onnx", tmp_path / "a.onnx")
    assert code == 1
    assert "a model of the recipe 'six' sees parts of a photo and cannot be exported" in message
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (path := tmp_path / "model.keras").write_bytes(b"no model")
    message = f"{path} is not a model that `zerodce train` wrote (it is no .keras file)"
    assert refused(path, "savedmodel", tmp_path / "made") == (1, message)
    assert not (tmp_path / "made").exists()
