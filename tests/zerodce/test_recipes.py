"""The recipes: what each weighs, and that a model keeps its own through saving and loading."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest

from zerodce.recipes import FUSION, ORIGINAL, PAPER, RECIPES, SIX, Recipe
from zerodce.training.losses import LOSSES
from zerodce.training.model import ZeroDCE

TERMS = [name for name in LOSSES if name != "fusion"]


def weights(recipe: Recipe) -> dict[str, float]:
    return {term: getattr(recipe, term) for term in TERMS}


def test_recipes_are_found_by_their_names() -> None:
    assert list(RECIPES) == ["fusion", "six", "paper", "original"]
    assert all(recipe.name == name for name, recipe in RECIPES.items())


def test_default_uses_all_six_losses_as_means() -> None:
    assert all(weight > 0 for weight in weights(SIX).values())
    assert not SIX.writeup_terms


def test_paper_is_the_released_code() -> None:
    assert weights(PAPER) == {
        "color_constancy": 5,
        "exposure": 10,
        "illumination_smoothness": 200,
        "spatial_consistency": 1,
        "ssim": 0,
        "total_variation": 0,
    }
    assert (PAPER.exposure_level, PAPER.exposure_patch) == (0.6, 16)
    assert (PAPER.initial_stddev, PAPER.clipnorm, PAPER.weight_decay) == (0.02, 0.1, 1e-4)
    assert PAPER.well_exposed is None
    assert not PAPER.writeup_terms


def test_original_is_the_writeup() -> None:
    assert weights(ORIGINAL) == {
        "color_constancy": 5,
        "exposure": 10,
        "illumination_smoothness": 200,
        "spatial_consistency": 1,
        "ssim": 1,
        "total_variation": 0.1,
    }
    assert (ORIGINAL.exposure_level, ORIGINAL.exposure_patch) == (0.6, 16)
    assert (ORIGINAL.initial_stddev, ORIGINAL.clipnorm, ORIGINAL.weight_decay) == (None, None, None)
    assert ORIGINAL.well_exposed is None
    assert ORIGINAL.writeup_terms


def test_fusion_is_the_tone_network_and_the_one_loss() -> None:
    assert not any(weights(FUSION).values())
    assert (FUSION.architecture, FUSION.fusion) == ("tone_net", 1)
    assert 0 < FUSION.fusion_share < 1
    assert FUSION.well_exposed is None  # the network itself knows
    assert FUSION.clipnorm is None


@pytest.mark.parametrize("recipe", [SIX, PAPER, ORIGINAL], ids=lambda recipe: recipe.name)
def test_all_others_are_the_network_of_the_paper_without_that_loss(recipe: Recipe) -> None:
    assert (recipe.architecture, recipe.fusion) == ("dce_net", 0)
    assert ZeroDCE(recipe).network.count_params() == 79_416


def test_curves_act_the_less_the_brighter_the_whole_photo() -> None:
    recipe = dataclasses.replace(SIX, well_exposed=0.4)
    images = np.ones((4, 16, 16, 3), np.float32) * np.float32([0, 0.1, 0.4, 0.7])[:, None, None, None]
    images[1, :8] *= 2  # mean 0.15 of bright and dark halves
    np.testing.assert_allclose(ZeroDCE(recipe).strength(images), [1, 1 - 0.15 / 0.4, 0, 0], atol=1e-6)
    np.testing.assert_array_equal(ZeroDCE(PAPER).strength(images), [1, 1, 1, 1])


def test_the_maps_are_those_of_the_network_times_the_strength() -> None:
    model = ZeroDCE(dataclasses.replace(SIX, well_exposed=0.5))
    images = np.random.default_rng(2).uniform(0, 0.5, (2, 16, 16, 3)).astype(np.float32)
    images[1] = 0.6  # well exposed
    output = model(images)
    factor = 1 - images[0].mean() / 0.5
    np.testing.assert_allclose(output["maps"][0], model.network(images)[0] * factor, atol=1e-6)
    np.testing.assert_array_equal(output["enhanced"][1], images[1])


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_recipe_tracks_its_losses_and_they_add_up(recipe: Recipe) -> None:
    model = ZeroDCE(recipe)
    model.compile(optimizer="sgd")
    images = np.random.default_rng(0).uniform(0, 0.3, (3, 128, 128, 3)).astype(np.float32)
    logs = model.evaluate(images, batch_size=2, verbose=0, return_dict=True)
    parts = {name.removesuffix("_loss"): value for name, value in logs.items() if name != "total_loss"}
    assert parts.keys() == {*TERMS, *(["fusion"] if recipe.fusion else [])}
    assert sum(parts.values()) == pytest.approx(logs["total_loss"], rel=1e-4)
    assert {term for term, part in parts.items() if part == 0} == {
        term for term, weight in weights(recipe).items() if not weight
    }


def test_a_saved_model_keeps_its_recipe(tmp_path: Path) -> None:
    recipe = dataclasses.replace(PAPER, name="mine", exposure_level=0.55)
    model = ZeroDCE(recipe)
    images = np.random.default_rng(1).uniform(size=(1, 24, 40, 3)).astype(np.float32)
    before = model(images)["enhanced"]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    assert loaded.recipe == recipe
    np.testing.assert_allclose(loaded(images)["enhanced"], before, atol=1e-6)
