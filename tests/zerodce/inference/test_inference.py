"""The forward passes on NumPy beside those of Keras, with random weights; and what a model file may hold."""

import dataclasses
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zerodce.inference import layers
from zerodce.inference.model import SHIPPED, CurveModel, shipped
from zerodce.recipes import FUSION, RECIPES, SIX
from zerodce.training.model import ZeroDCE

ROOT = Path(__file__).parents[3]
sides = st.integers(1, 20)


def values(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(0, 1, shape).astype(np.float32)


@given(sides, sides, st.integers(1, 4), st.integers(1, 3), st.sampled_from([1, 3]))
@settings(max_examples=25, deadline=None)
def test_a_convolution_is_that_of_keras(height: int, width: int, channels: int, stride: int, taps: int) -> None:
    image, kernel, bias = values(height, width, channels), values(taps, taps, channels, 5), values(5)
    expected = keras.ops.conv(image[None], kernel, stride, "same", data_format="channels_last") + bias
    np.testing.assert_allclose(layers.conv2d(image, kernel, bias, stride), np.asarray(expected)[0], atol=2e-5)


def test_a_convolution_along_a_sequence_is_that_of_keras() -> None:
    sequence, kernel, bias = values(16, 7), values(3, 7, 5), values(5)
    expected = keras.ops.conv(sequence[None], kernel, 1, "same", data_format="channels_last") + bias
    np.testing.assert_allclose(layers.conv1d(sequence, kernel, bias), np.asarray(expected)[0], atol=2e-5)


@pytest.mark.parametrize("shape", [(40, 60), (300, 200), (128, 128), (1, 500)])
def test_scaling_is_that_of_keras(shape: tuple[int, int]) -> None:
    image = values(*shape, 3)
    expected = keras.layers.Resizing(128, 128, antialias=True, data_format="channels_last")(image[None])
    np.testing.assert_allclose(layers.resize(image, 128), np.asarray(expected)[0], atol=2e-5)


@pytest.mark.parametrize("factor", [2, 8])
def test_enlarging_and_halving_are_those_of_keras(factor: int) -> None:
    image = values(8, 6, 5)
    enlarged = keras.layers.UpSampling2D(factor, interpolation="bilinear", data_format="channels_last")(image[None])
    np.testing.assert_allclose(layers.enlarge(image, factor), np.asarray(enlarged)[0], atol=1e-5)
    halved = keras.layers.AveragePooling2D(2, data_format="channels_last")(image[None])
    np.testing.assert_allclose(layers.halve(image), np.asarray(halved)[0], atol=1e-6)


def trained(recipe: Any, dtype: str = "float32") -> ZeroDCE:
    """A model with random weights, biases among them."""
    keras.utils.set_random_seed(3)
    model = ZeroDCE(dataclasses.replace(recipe, initial_stddev=0.1), dtype=dtype)
    model.network.set_weights([weight + values(*weight.shape) / 30 for weight in model.network.get_weights()])
    return model


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
@pytest.mark.parametrize("shape", [(128, 96), (60, 70), (7, 300)])
def test_a_saved_model_gives_what_keras_gives(recipe: Any, shape: tuple[int, int], tmp_path: Path) -> None:
    model = trained(recipe)
    model.save(tmp_path / "model.keras")
    image = np.random.default_rng(4).uniform(0, 0.4, (*shape, 3)).astype(np.float32)
    inputs = (image, 0.4) if model.architecture.sees_whole else (image,)
    expected = CurveModel.on_keras(model)
    for found in (CurveModel.read((tmp_path / "model.keras").read_bytes()), CurveModel.of(model)):
        assert found.recipe == model.recipe
        np.testing.assert_allclose(found.forward(*inputs), expected.forward(*inputs), atol=5e-6)
        np.testing.assert_allclose(found.grid(image, 0.4), expected.grid(image, 0.4), atol=1e-4)
        mean = float(image.mean())
        assert found.strength(mean) == pytest.approx(float(model.strength(image[None])[0]), abs=1e-6)
        assert found.strength(0.9) == pytest.approx(float(model.strength(np.full((1, 1, 1, 3), 0.9))[0]), abs=1e-6)


@pytest.mark.bfloat16
def test_a_model_trained_in_bfloat16_is_applied_in_float32(tmp_path: Path) -> None:
    mixed, exact = trained(FUSION, "mixed_bfloat16"), trained(FUSION)
    mixed.save(tmp_path / "model.keras")
    image = np.full((40, 40, 3), 0.1, np.float32)
    found = CurveModel.read((tmp_path / "model.keras").read_bytes()).forward(image, 0.3)
    np.testing.assert_allclose(found, CurveModel.of(exact).forward(image, 0.3), atol=1e-6)


def test_a_copy_of_a_model_stays_as_it_is_when_that_is_trained_further() -> None:
    model = trained(FUSION)
    copy = CurveModel.of(model)
    image = np.full((40, 40, 3), 0.1, np.float32)
    before = copy.forward(image, 0.3)
    model.network.set_weights([weight * 0 for weight in model.network.get_weights()])
    np.testing.assert_array_equal(copy.forward(image, 0.3), before)
    assert CurveModel.of(copy) is copy


def changed(change: Callable[[dict[str, Any]], None] | None = None, **files: bytes | None) -> bytes:
    """The shipped file with another configuration, other files in it, or without some."""
    content = io.BytesIO()
    with zipfile.ZipFile(SHIPPED) as source, zipfile.ZipFile(content, "w") as target:
        for name in source.namelist():
            held: bytes | None = source.read(name)
            if name == "config.json" and change:
                config = json.loads(held)
                change(config)
                held = json.dumps(config).encode()
            held = files.get(name.replace(".", "_"), held)
            if held is not None:
                target.writestr(name, held)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is no .keras file"),
        (b"no zip", "it is no .keras file"),
        (SHIPPED.read_bytes()[:-3000], "it is no .keras file"),
        (SHIPPED.read_bytes()[:3000] + bytes(100) + SHIPPED.read_bytes()[3100:], "it is a damaged .keras file"),
        (changed(model_weights_h5=None), "it is a damaged .keras file: .*model.weights.h5"),
        (changed(config_json=b"{"), "it is a damaged .keras file"),
        (changed(model_weights_h5=b"no hdf5"), "its weights cannot be read"),
        (changed(lambda config: config.update(registered_name="Model", class_name="Model")), "it holds a Model, not a"),
        (changed(lambda config: config["config"]["recipe"].update(architecture="dce_net")), "its weights have"),
        (
            changed(lambda config: config["config"]["recipe"].update(architecture="unet")),
            r"no forward pass of its network 'unet': install 'zerodce\[train\]', and use --backend tensorflow",
        ),
        (changed(lambda config: config["config"].pop("recipe")), "it holds no recipe"),
        (changed(lambda config: config["config"]["recipe"].update(new=1)), "its recipe"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_said(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        CurveModel.read(content)


def test_the_shipped_model_needs_neither_keras_nor_tensorflow() -> None:
    """In a process of its own, in which neither can be imported."""
    code = (
        "import sys\n"
        "for name in ('keras', 'tensorflow', 'jax', 'torch', 'matplotlib'):\n"
        "    sys.modules[name] = None\n"
        "import numpy as np, zerodce\n"
        "photo = np.tile(np.arange(60, dtype=np.uint8)[:, None, None], (1, 80, 3))\n"
        "print(zerodce.enhance(photo).mean() > photo.mean() + 5)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == "True\n"


def test_the_shipped_model_is_read_once() -> None:
    assert shipped() is shipped()
    assert shipped().recipe == FUSION
    assert SIX.architecture == "dce_net"
