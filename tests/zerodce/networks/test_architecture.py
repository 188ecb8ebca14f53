"""A network is one class and one entry, a loss one entry and one field: both are enough to train, save and enhance."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from zerodce.applying.enhancement import enhance
from zerodce.curves import tones
from zerodce.networks import ARCHITECTURES
from zerodce.recipes import FUSION, SIX
from zerodce.training.losses import LOSSES, Loss
from zerodce.training.model import ZeroDCE


class OneStrength:
    """One strength for all photos, the sigmoid of one weight."""

    sees_whole = True

    def build(self, initial_stddev: float | None = None, dtype: Any = None) -> keras.Model:
        image, light = keras.Input((None, None, 3)), keras.Input((1, 1, 1))
        flat = keras.layers.Reshape((1,))(light)
        made = keras.layers.Dense(1, "sigmoid", use_bias=False, kernel_initializer="ones", name="one")(flat)
        return keras.Model([image, light], ops.repeat(made, tones.KNOTS, axis=1))

    def train(self, network: keras.Model, images: Any, strength: Any, training: bool | None) -> dict[str, Any]:
        strengths = network([images, ops.ones((ops.shape(images)[0], 1, 1, 1))])[:, None, None, :1]
        return {
            "maps": ops.broadcast_to(-strengths, (*ops.shape(images)[:3], 24)),
            "enhanced": tones.tone(images, strengths),
        }


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 0.1, (2, 32, 48, 3)).astype(np.float32)


def test_a_third_network_trains_is_saved_and_enhances(
    images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ARCHITECTURES, "one", OneStrength())
    model = ZeroDCE(dataclasses.replace(SIX, architecture="one", well_exposed=None))
    model.compile(optimizer=keras.optimizers.Adam(0.1))
    before = float(model.network.get_weights()[0][0, 0])
    model.fit(images, epochs=2, verbose=0)
    after = float(model.network.get_weights()[0][0, 0])
    assert before == 1
    assert after != before
    model.save(tmp_path / "one.keras")
    loaded = keras.saving.load_model(tmp_path / "one.keras", compile=False)
    photo = (images[0] * 255).astype(np.uint8)
    enhanced = enhance(photo, model=loaded, denoise="off", look="bright")
    assert enhanced.mean() > 2 * photo.mean()


def test_a_new_loss_is_tracked_weighed_and_saved(images: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the mean of the maps' squares, in the place of the fusion."""
    squares = Loss(lambda recipe, images, made: ops.mean(made["maps"] ** 2), always=False)
    monkeypatch.setitem(LOSSES, "fusion", squares)
    model = ZeroDCE(dataclasses.replace(FUSION, fusion=2.0))
    model.compile(optimizer="sgd")
    logs = model.evaluate(images, verbose=0, return_dict=True)
    expected = 2 * np.mean(np.asarray(model(images)["maps"]) ** 2)
    assert expected > 0
    assert logs["fusion_loss"] == logs["total_loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("dtype", ["float32", pytest.param("mixed_bfloat16", marks=pytest.mark.bfloat16)])
def test_every_network_is_built_saved_and_trains(name: str, dtype: str, tmp_path: Path) -> None:
    """What each of them has to hold: float32 answers in their range under every policy, the same after loading."""
    architecture = ARCHITECTURES[name]
    keras.utils.set_random_seed(1)
    network = architecture.build(0.02, dtype)
    image = np.random.default_rng(1).uniform(0, 0.2, (40, 64, 3)).astype(np.float32)
    inputs = [image[None], np.full((1, 1, 1, 1), 0.4, np.float32)] if architecture.sees_whole else image[None]
    answer = np.asarray(network(inputs))
    assert answer.dtype == np.float32
    assert np.abs(answer).max() <= 1
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(np.asarray(loaded(inputs)), answer)
    made = architecture.train(network, ops.convert_to_tensor(image[None]), ops.ones((1,)), False)
    assert np.asarray(made["maps"]).shape == (1, 40, 64, 24)
    assert np.asarray(made["enhanced"]).dtype == np.float32
