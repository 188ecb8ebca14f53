"""The methods that are compared, and their scores, beside numbers by hand, Pillow and scikit-image."""

import math

import numpy as np
import pytest
from PIL import Image, ImageOps
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from zerodce.evaluating import evaluation


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(5, 90, (24, 32, 3), dtype=np.uint8)


def test_each_method(image: np.ndarray) -> None:
    images = evaluation.brightened(image, lambda photo: photo + 7)
    assert tuple(images) == evaluation.METHODS
    np.testing.assert_array_equal(images["input"], image)
    np.testing.assert_array_equal(images["autocontrast"], ImageOps.autocontrast(Image.fromarray(image)))
    np.testing.assert_array_equal(images["model"], image + 7)
    assert {each.dtype for each in images.values()} == {np.dtype(np.uint8)}


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (1, 28), (64, 147), (255, 255)])
def test_gamma(value: int, expected: int) -> None:
    """255 * (1 / 255) ** 0.4 = 27.78 and 255 * (64 / 255) ** 0.4 = 146.6."""
    images = evaluation.brightened(np.full((12, 12, 3), value, np.uint8), lambda photo: photo)
    assert (images["gamma"] == expected).all()


def test_scores_as_scikit_image(image: np.ndarray) -> None:
    reference = np.clip(image * 2.5, 0, 255).astype(np.uint8)
    scores = evaluation.score(evaluation.brightened(image, lambda photo: photo * 2), reference)
    assert tuple(scores) == evaluation.SCORES
    assert scores["psnr_model_db"] == pytest.approx(peak_signal_noise_ratio(reference, image * 2))
    ssim = structural_similarity(
        reference, image * 2, channel_axis=2, gaussian_weights=True, use_sample_covariance=False, data_range=255
    )
    assert scores["ssim_model"] == pytest.approx(ssim, abs=1e-4)
    assert scores["psnr_input_db"] < scores["psnr_model_db"]


def test_what_brightening_does_is_measured_against_the_input() -> None:
    """Of a flat dark image with two lights: one clips, the other turns from red (0 degrees) to yellow (60)."""
    image = np.full((32, 32, 3), 20, np.uint8)
    image[0, :2] = (200, 20, 20)
    after = image.copy()
    after[0, 0], after[0, 1] = (255, 80, 80), (200, 200, 20)
    scores = evaluation.score({**dict.fromkeys(evaluation.METHODS, image), "model": after}, image)
    assert scores["clipped_model"] == pytest.approx(1 / 1024)
    assert scores["hue_model_degrees"] == pytest.approx(30, abs=1e-3)
    assert scores["noise_model"] == 0
    assert (scores["clipped_input"], scores["hue_input_degrees"], scores["psnr_input_db"]) == (0, 0, math.inf)


def test_a_method_is_one_entry(monkeypatch: pytest.MonkeyPatch, image: np.ndarray) -> None:
    monkeypatch.setitem(evaluation.BASELINES, "negative", lambda photo: 255 - photo)
    np.testing.assert_array_equal(evaluation.brightened(image, lambda photo: photo)["negative"], 255 - image)


def test_mean_counts_every_image_alike() -> None:
    rows = [dict.fromkeys(evaluation.SCORES, value) for value in (10.0, 20.0, 60.0)]
    assert evaluation.mean(rows) == dict.fromkeys(evaluation.SCORES, 30.0)


def test_mean_leaves_out_what_was_not_measured() -> None:
    rows = [dict.fromkeys(evaluation.SCORES, value) for value in (10.0, 20.0, 60.0)]
    rows[2]["hue_model_degrees"] = math.nan
    for row in rows:
        row["noise_model"] = math.nan
    means = evaluation.mean(rows)
    assert means["hue_model_degrees"] == 15
    assert means["hue_gamma_degrees"] == 30
    assert math.isnan(means["noise_model"])
