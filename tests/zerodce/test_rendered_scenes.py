"""The gates of quality on scenes that the project renders: they need no photos from elsewhere."""

import keras
import numpy as np
import pytest

import zerodce
from benchmarks.scenes import SCENES, balls, photograph, render
from zerodce.images import metrics

PROPER = 0.75
"""Exposure at which the scenes have the mean of a photo as it is metered, 0.33 to 0.36, the lamp apart."""


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return zerodce.load_pretrained()


@pytest.fixture(scope="module")
def light() -> dict[str, np.ndarray]:
    """Linear light of each scene, 300x200."""
    return {name: render(balls(seed), 300, 200) for name, (seed, _) in SCENES.items()}


@pytest.mark.parametrize("name", SCENES)
def test_better_than_the_input_and_more_alike_than_a_gamma(
    model: keras.Model, light: dict[str, np.ndarray], name: str
) -> None:
    seed, exposure = SCENES[name]
    dark, reference = photograph(light[name], exposure, seed), photograph(light[name], PROPER, seed + 100)
    gamma = np.rint((np.arange(256) / 255) ** 0.4 * 255).astype(np.uint8)[dark]
    enhanced = zerodce.enhance(dark, model=model)
    assert metrics.psnr(enhanced, reference) > metrics.psnr(dark, reference) + 1
    assert metrics.ssim(enhanced, reference) > metrics.ssim(gamma, reference)
    assert metrics.ssim(enhanced, reference) > 0.81


@pytest.mark.slow
def test_a_well_exposed_scene_stays_as_it_is(model: keras.Model, light: dict[str, np.ndarray]) -> None:
    for name, linear in light.items():
        photo = photograph(linear * (0.25 / linear.clip(0, 1).mean()), 1.0, 1)
        assert 0.4 < photo.mean() / 255 < 0.6, name
        assert metrics.psnr(zerodce.enhance(photo, model=model), photo) > 25, name
