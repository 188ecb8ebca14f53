"""`ZeroDCE` as a Keras model: what it tracks, what it learns from, what is saved, and other backends."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from zerodce.curves import tensors
from zerodce.recipes import FUSION, ORIGINAL, PAPER, RECIPES, SIX, Recipe
from zerodce.training import losses, teacher
from zerodce.training.losses import LOSSES
from zerodce.training.model import ZeroDCE

pytestmark = pytest.mark.slow


def dark_images(count: int, size: int = 32) -> np.ndarray:
    """Dark gradients of different colours, float32 in [0, 0.3]."""
    random = np.random.default_rng(count)
    y, x = np.mgrid[0:size, 0:size] / size
    colours = random.uniform(0.05, 0.3, (count, 2, 1, 1, 3))
    return (colours[:, 0] * x[..., None] + colours[:, 1] * y[..., None]).astype(np.float32) / 2


def compiled(recipe: Recipe = SIX, learning_rate: float = 1e-3, **options: object) -> ZeroDCE:
    keras.utils.set_random_seed(1)
    model = ZeroDCE(recipe, **options)
    model.compile(optimizer=keras.optimizers.Adam(learning_rate), jit_compile=False)
    return model


def distance(first: list[np.ndarray], second: list[np.ndarray]) -> float:
    """Mean absolute difference of weights: what rounding does to a few of them does not count."""
    return float(np.mean([np.abs(a - b).mean() for a, b in zip(first, second, strict=True)]))


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_the_weighted_terms_add_up_to_the_total_of_train_and_validation(recipe: Recipe) -> None:
    """Over batches of 4, 4 and 1 images, so that a mean over batches would differ."""
    model = compiled(recipe, learning_rate=1e-9)
    images = dark_images(9)
    history = model.fit(images, validation_data=(images[:5],), batch_size=4, shuffle=False, verbose=0).history
    names = ["total_loss", *(f"{loss}_loss" for loss in losses.used_by(recipe))]
    assert len(names) == (8 if recipe.fusion else 7)
    assert history.keys() == {*names, *(f"val_{name}" for name in names)}
    for prefix in ("", "val_"):
        parts = sum(history[f"{prefix}{name}"][0] for name in names[1:])
        assert history[f"{prefix}total_loss"][0] > 0
        assert history[f"{prefix}total_loss"][0] == pytest.approx(parts, rel=1e-4)
    unused = [term for term in LOSSES if f"{term}_loss" in names and getattr(recipe, term) == 0]
    assert all(history[f"{term}_loss"] == [0] for term in unused)


def test_means_count_every_image_alike() -> None:
    """The paper's terms are means over images, so batches of 4, 4 and 1 give what one of 9 does."""
    model = compiled(dataclasses.replace(PAPER, name="means", color_constancy=0, illumination_smoothness=0))
    images = dark_images(9)
    batched = model.evaluate(images, batch_size=4, return_dict=True, verbose=0)
    whole = model.evaluate(images, batch_size=9, return_dict=True, verbose=0)
    assert batched == pytest.approx(whole, rel=1e-4)


def test_training_brightens() -> None:
    model = compiled(dataclasses.replace(PAPER, name="exposure", exposure=10, illumination_smoothness=1), 1e-2)
    images = dark_images(8)
    before = np.asarray(model(images)["enhanced"]).mean()
    history = model.fit(images, batch_size=8, epochs=20, verbose=0).history["total_loss"]
    after = np.asarray(model(images)["enhanced"])
    assert history[-1] < 0.7 * history[0]
    assert after.mean() > before + 0.1
    assert after.min() >= 0
    assert after.max() <= 1


def test_the_fusion_loss_is_the_distance_from_what_the_images_teach() -> None:
    """Weighed by the recipe, and learnt from: a few steps bring the network nearer to it."""
    recipe = dataclasses.replace(FUSION, name="two", fusion=2, fusion_share=0.3)
    model = compiled(recipe, 3e-3)
    images = dark_images(4, 64)
    wanted = np.asarray(teacher.target(images, tensors.even_strength(images), 0.3))
    first = np.mean((np.asarray(model(images)["enhanced"]) - wanted) ** 2)
    assert model.evaluate(images, verbose=0, return_dict=True)["fusion_loss"] == pytest.approx(2 * first, rel=1e-3)
    model.fit(images, batch_size=4, epochs=30, verbose=0)
    assert np.mean((np.asarray(model(images)["enhanced"]) - wanted) ** 2) < 0.5 * first


def test_a_reference_never_enters_the_loss() -> None:
    images = dark_images(4)
    without, with_references = compiled(), compiled()
    without.train_on_batch(images)
    with_references.train_on_batch(images, 1 - images)
    start = compiled().get_weights()
    moved = distance(start, without.get_weights())
    assert moved > 5e-4
    assert distance(without.get_weights(), with_references.get_weights()) < 0.01 * moved


def test_psnr_and_ssim_against_references_that_some_images_lack() -> None:
    model = compiled()
    images = dark_images(5)
    references = np.clip(images * 3, 0, 1)
    weights = np.array([1, 0, 1, 1, 0], np.float32)
    dataset = tf.data.Dataset.from_tensor_slices((images, references * weights[:, None, None, None], weights))
    results = model.evaluate(dataset.batch(2), return_dict=True, verbose=0)
    enhanced = np.asarray(model(images)["enhanced"])
    known = weights > 0
    psnr = tf.image.psnr(enhanced[known], references[known], 1)
    ssim = tf.image.ssim(enhanced[known], references[known], 1)
    assert results["psnr"] == pytest.approx(float(np.mean(psnr)), abs=1e-3)
    assert results["ssim"] == pytest.approx(float(np.mean(ssim)), abs=1e-4)


def test_the_strength_falls_with_brightness() -> None:
    model = ZeroDCE(dataclasses.replace(SIX, well_exposed=0.4))
    images = np.stack([np.full((16, 16, 3), value, np.float32) for value in (0, 0.1, 0.4, 0.9)])
    np.testing.assert_allclose(model.strength(images), [1, 0.75, 0, 0], atol=1e-6)
    np.testing.assert_array_equal(ZeroDCE(PAPER).strength(images), [1, 1, 1, 1])


@pytest.mark.parametrize("recipe", [ORIGINAL, FUSION], ids=lambda recipe: recipe.name)
def test_saved_and_loaded_it_is_the_same_model(tmp_path: Path, recipe: Recipe) -> None:
    model = compiled(recipe)
    images = dark_images(2)
    model.train_on_batch(images)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, ZeroDCE)
    assert loaded.recipe == recipe
    for name, expected in model(images).items():
        np.testing.assert_array_equal(loaded(images)[name], expected)
    assert loaded.train_on_batch(images, return_dict=True) == pytest.approx(
        model.train_on_batch(images, return_dict=True), rel=1e-3
    )


@pytest.mark.bfloat16
def test_under_mixed_precision_images_keep_their_256_levels() -> None:
    """bfloat16 has 8 bits of mantissa: 0.7 would become 0.699 or 0.703."""
    model = compiled(dtype="mixed_bfloat16")
    model.network.set_weights([np.zeros_like(weight) for weight in model.network.get_weights()])
    images = np.full((1, 16, 16, 3), 0.7, np.float32)
    np.testing.assert_array_equal(model(images)["enhanced"], images)
    assert np.isfinite(model.train_on_batch(images, return_dict=True)["total_loss"])


@pytest.mark.parametrize("size", [(16, 40), (37, 53)])
def test_images_of_any_size(size: tuple[int, int]) -> None:
    images = np.zeros((2, *size, 3), np.float32)
    outputs = ZeroDCE()(images)
    assert outputs["maps"].shape == (2, *size, 24)
    assert outputs["enhanced"].shape == images.shape


ON_JAX = """
import sys
import numpy as np
import keras
from zerodce.training.model import ZeroDCE

model = keras.saving.load_model(sys.argv[2])
model.compile(optimizer=keras.optimizers.Adam(1e-3))
history = model.fit(np.load(sys.argv[1]), batch_size=2, shuffle=False, verbose=0).history
print(keras.backend.backend(), int(model.optimizer.iterations), history["total_loss"][0])
model.save(sys.argv[2])
"""


def test_two_steps_on_jax_are_two_steps_on_tensorflow(tmp_path: Path) -> None:
    """From the same weights; the model file moves between backends."""
    pytest.importorskip("jax", reason="the JAX backend is in the test extra")
    images, path = dark_images(4), tmp_path / "model.keras"
    np.save(tmp_path / "images.npy", images)
    model = compiled()
    start = model.get_weights()
    model.save(path)
    process = subprocess.run(
        [sys.executable, "-c", ON_JAX, tmp_path / "images.npy", path],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr
    backend, steps, loss = process.stdout.split()
    assert (backend, steps) == ("jax", "2")
    history = model.fit(images, batch_size=2, shuffle=False, verbose=0).history
    assert float(loss) == pytest.approx(history["total_loss"][0], rel=1e-4)
    trained = keras.saving.load_model(path, compile=False)
    assert distance(trained.get_weights(), model.get_weights()) < 0.05 * distance(start, model.get_weights())
