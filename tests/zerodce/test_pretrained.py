"""The shipped weights: they brighten what is dark, leave what is not, and keep the quality they are shipped for."""

import csv
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import zerodce
from zerodce.images.metrics import psnr
from zerodce.inference.model import SHIPPED
from zerodce.recipes import FUSION

pytestmark = pytest.mark.slow

LOL_PAIRS = (("our485", 2), ("our485", 5), ("our485", 6), ("our485", 9), ("eval15", 493), ("eval15", 547))


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return zerodce.load_pretrained()


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def curves_alone(model: keras.Model, image: np.ndarray) -> np.ndarray:
    """What the model makes of an image, without denoising or exposure control, as uint8."""
    enhanced = model(image[np.newaxis] / np.float32(255))["enhanced"]
    return np.rint(np.asarray(enhanced)[0] * 255).astype(np.uint8)


def test_the_file_holds_the_tone_network_and_no_optimizer(model: keras.Model) -> None:
    assert model.recipe == FUSION
    assert model.network.name == "tone_net"
    assert SHIPPED.stat().st_size < 400_000
    assert not hasattr(model, "optimizer") or model.optimizer is None


def test_a_dark_image_becomes_bright_and_stays_in_range(model: keras.Model) -> None:
    y, x = np.mgrid[0:96, 0:128] / 128
    dark = np.stack([0.10 * x, 0.12 * y, 0.15 * x * y], axis=-1)[np.newaxis].astype(np.float32)
    enhanced = np.asarray(model(dark)["enhanced"])
    assert dark.mean() < 0.05
    assert enhanced.mean() > 3 * dark.mean()
    assert enhanced.min() >= 0
    assert enhanced.max() <= 1


def test_black_stays_black_and_white_white(model: keras.Model) -> None:
    image = np.zeros((1, 64, 64, 3), np.float32)
    image[:, 28:36, 28:36] = 1
    np.testing.assert_allclose(model(image)["enhanced"], image, atol=1e-6)


def test_brighter_stays_brighter(model: keras.Model) -> None:
    ramp = np.tile(np.linspace(0, 0.3, 256, dtype=np.float32)[None, None, :, None], (1, 32, 1, 3))
    enhanced = np.asarray(model(ramp)["enhanced"])[0, 16].mean(axis=-1)
    assert (np.diff(enhanced) > 0).all()


def test_better_than_a_gamma_on_the_lol_pairs(model: keras.Model, data: Path) -> None:
    scores = {"model": [], "gamma": []}
    for folder, number in LOL_PAIRS:
        low, high = (read(data / "lol" / folder / side / f"{number}.png") for side in ("low", "high"))
        gamma = np.rint(255 * (low / 255) ** 0.4).astype(np.uint8)
        for name, image in (("model", curves_alone(model, low)), ("gamma", gamma)):
            ssim = tf.image.ssim(tf.constant(image), tf.constant(high), max_val=255)
            scores[name].append((psnr(image, high), float(ssim)))
    model_psnr, model_ssim = np.mean(scores["model"], axis=0)
    gamma_psnr, _ = np.mean(scores["gamma"], axis=0)
    assert gamma_psnr == pytest.approx(15.24, abs=0.02)
    assert model_psnr >= 18.0
    assert model_ssim >= 0.61  # with its noise; what is shipped takes it out
    shipped = [zerodce.enhance(read(data / "lol" / folder / "low" / f"{number}.png")) for folder, number in LOL_PAIRS]
    highs = [read(data / "lol" / folder / "high" / f"{number}.png") for folder, number in LOL_PAIRS]
    assert np.mean([psnr(image, high) for image, high in zip(shipped, highs, strict=True)]) >= 21.0
    assert (
        np.mean([float(tf.image.ssim(image, high, max_val=255)) for image, high in zip(shipped, highs, strict=True)])
        >= 0.815
    )


def test_a_well_exposed_photo_is_left_as_it_is(model: keras.Model, data: Path) -> None:
    photos = [read(data / "sice" / "images" / f"{number}.jpg") for number in (16, 40, 60, 117)]
    assert all(0.4 <= photo.mean() / 255 <= 0.6 for photo in photos)
    for photo in photos:
        for enhanced in (curves_alone(model, photo), zerodce.enhance(photo, model=model)):
            assert abs(enhanced.mean() - photo.mean()) / 255 <= 0.05
            assert psnr(enhanced, photo) >= 25


def test_no_held_out_image_was_trained_on() -> None:
    docs = Path(__file__).parents[2] / "docs"

    def rows(name: str) -> list[dict[str, str]]:
        with (docs / name).open(newline="") as file:
            return list(csv.DictReader(file))

    split = {row["path"]: row["split"] for row in rows("training-split.csv")}
    pairs = {image for row in rows("held-out-pairs.csv") for image in row.values()}
    brackets = {row["image"] for row in rows("held-out-brackets.csv")}
    assert list(split.values()).count("train") == 581
    assert (len(pairs), len(brackets)) == (107 + 35, 248)
    assert {split.get(image) for image in pairs | brackets} == {"val", None}  # none: not dark, in neither split
