"""The way of a photo through a tone network: what the model makes of it at every pixel, at any size; what stays."""

import dataclasses
import itertools
from unittest import mock

import cv2
import keras
import numpy as np
import pytest

import zerodce
from benchmarks.scenes import balls, grain, photograph, render
from zerodce.applying import looks
from zerodce.applying.enhancement import Enhancer
from zerodce.applying.noise import estimate_noise
from zerodce.curves import tones
from zerodce.curves.brightening import brighten, surroundings
from zerodce.curves.tones import apply_curves
from zerodce.images import metrics
from zerodce.images.pixels import small_copy
from zerodce.inference.model import CurveModel
from zerodce.recipes import FUSION, SIX
from zerodce.training.model import ZeroDCE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model() -> ZeroDCE:
    """As it starts: its strengths differ from knot to knot and from photo to photo."""
    keras.utils.set_random_seed(5)
    return ZeroDCE(FUSION)


@pytest.fixture(scope="module")
def light() -> np.ndarray:
    """Linear light of a scene: (400, 600, 3)."""
    return render(balls(7), 600, 400)


def by_the_model(model: ZeroDCE, photo: np.ndarray) -> np.ndarray:
    image = photo.astype(np.float32)[np.newaxis] / np.iinfo(photo.dtype).max
    return np.asarray(model(np.repeat(image, 3 // image.shape[3], axis=3))["enhanced"])[0][..., : photo.shape[2]]


def grey_of(light: np.ndarray) -> np.ndarray:
    """A dark photo without noise: uint8 (400, 600, 1)."""
    encoded = np.clip(0.06 * light.mean(axis=2, keepdims=True), 0, 1) ** (1 / 2.2)
    return np.rint(255 * encoded).astype(np.uint8)


@pytest.mark.parametrize("curve_size", [96, 128, 256, "auto", "full"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_small_copy_gives_what_the_model_makes_of_the_photo(
    model: ZeroDCE, light: np.ndarray, monkeypatch: pytest.MonkeyPatch, curve_size: object, channels: int, dtype: type
) -> None:
    """Grey, so that no hue is kept, and at a factor of 1: within 0.1 dB of the model's own, and 36 dB beside it."""
    monkeypatch.setattr("zerodce.applying.enhancement.find_factor", lambda *arguments, **named: 1.0)
    photo = np.repeat(grey_of(light), channels, axis=2).astype(dtype) * dtype(np.iinfo(dtype).max // 255)
    wanted = by_the_model(model, photo)
    assert wanted.mean() > photo.mean() / np.iinfo(dtype).max + 0.1
    enhanced = Enhancer(model, curve_size, denoise="off", look="bright")(photo)
    assert enhanced.dtype == dtype
    assert enhanced.shape == photo.shape
    found = enhanced / np.iinfo(dtype).max
    reference = np.clip(light.mean(axis=2, keepdims=True), 0, 1) ** (1 / 2.2)
    psnr, own = (-10 * np.log10(np.mean((made - reference) ** 2)) for made in (found, wanted))
    assert abs(psnr - own) < 0.1
    assert -10 * np.log10(np.mean((found - wanted) ** 2)) > 36


def test_tiles_of_full_mode_are_the_whole_image(light: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that sees its neighbours, on 3 x 3 tiles; without the pixels around a tile, seams would show."""
    keras.utils.set_random_seed(5)
    model = ZeroDCE(dataclasses.replace(SIX, initial_stddev=0.15))
    monkeypatch.setattr("zerodce.applying.enhancement.TILE", 64)
    photo = photograph(light, 0.05, 1)[100:250, 200:370]
    enhancer = Enhancer(model, "full", denoise="off", look="bright")
    (curves,) = enhancer.estimate([small_copy(photo, 128)])
    image = photo[np.newaxis] / np.float32(255)
    maps = np.clip(np.asarray(model.network(image)) * curves.strength, -1, 1)
    wanted = np.rint(255 * np.asarray(apply_curves(image, maps))[0])

    def farthest() -> float:
        return float(np.abs(enhancer.apply(photo, curves) - wanted).max())

    assert farthest() <= 1
    monkeypatch.setattr("zerodce.applying.enhancement.HALO", 0)
    assert farthest() > 20


def test_full_mode_of_a_grey_photo_is_the_mean_of_the_channels() -> None:
    """Curves of red, green and blue of their own: -0.5, -0.3 and -0.1 in each of eight iterations."""
    maps = np.tile(np.float32([-0.5, -0.3, -0.1]), 8)
    model = CurveModel(
        dataclasses.replace(SIX, well_exposed=None), False, lambda image: np.broadcast_to(maps, (*image.shape[:2], 24))
    )
    photo = np.full((40, 50, 1), 30, np.uint8)
    enhancer = Enhancer(model, "full", denoise="off", look="bright")
    (curves,) = enhancer.estimate([small_copy(photo, 128)])
    expected = np.mean([tones.tone(30 / 255, strength * curves.strength) for strength in (0.5, 0.3, 0.1)])
    np.testing.assert_allclose(enhancer.apply(photo, curves), 255 * expected, atol=1)


def test_the_curves_are_those_of_the_knots_times_the_factor(model: ZeroDCE, light: np.ndarray) -> None:
    small = np.ascontiguousarray(photograph(light, 0.05, 1)[::4, ::4])
    for exposure in (0.2, "auto"):
        (curves,) = Enhancer(model, exposure=exposure, look="bright").estimate([small])
        amount = np.full((1, 1, 1, 1), looks.light(small, "bright").amount, np.float32)
        strengths = np.asarray(model.network.predict_on_batch([small[np.newaxis].astype(np.float32) / 255, amount]))[0]
        assert curves.grid.shape == (1, 1, tones.KNOTS, 1)
        np.testing.assert_allclose(curves.grid.ravel(), np.rint(strengths * 256) / 256 * curves.strength, atol=1e-6)
        made = brighten(small, tones.tables(curves.grid), surroundings(small))
        assert made.mean() / 255 == pytest.approx(curves.exposure, abs=1e-6)


def test_photos_estimated_together_come_out_as_each_alone(model: ZeroDCE, light: np.ndarray) -> None:
    smalls = [
        np.ascontiguousarray(photograph(light * by, 0.05, 1)[::step, ::step]) for by in (0.5, 2) for step in (4, 5)
    ]
    enhancer = Enhancer(model)
    for small, curves in zip(smalls, enhancer.estimate(smalls), strict=True):
        (alone,) = enhancer.estimate([small])
        np.testing.assert_array_equal(curves.grid, alone.grid)


def test_the_noise_of_black_is_held_back(model: ZeroDCE) -> None:
    """A black sky over a dim window: what is no brighter than its noise stays, and most of the glow is gone."""
    noise = np.dstack([grain(1, (512, 512), seed) for seed in range(3)])
    photo = np.clip(np.rint(noise), 0, 255).astype(np.uint8)
    photo[448:, 448:] = 3
    floor = estimate_noise(photo).floor()
    assert 0.4 < floor < 1
    enhancer = Enhancer(model, denoise="off", look="bright")
    (curves,) = enhancer.estimate([cv2.resize(photo, (128, 128), interpolation=cv2.INTER_AREA)])
    without, enhanced = brighten(photo, tones.tables(curves.grid)), enhancer.apply(photo, curves)
    assert without.mean() > 5 * photo.mean()
    assert enhanced.mean() < 0.4 * without.mean()
    below = photo.max(axis=2) <= floor
    assert below.mean() > 0.3
    np.testing.assert_array_equal(enhanced[below], photo[below])


def test_noise_is_estimated_only_where_something_needs_it(
    model: ZeroDCE, light: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimate = mock.Mock(wraps=estimate_noise)
    monkeypatch.setattr("zerodce.applying.enhancement.estimate_noise", estimate)
    photo = np.repeat(grey_of(light), 3, axis=2)
    (curves,) = Enhancer(model, look="bright").estimate([small_copy(photo, 128)])
    assert curves.noise_gain.any()
    day = dataclasses.replace(curves, held=0.0)
    night = dataclasses.replace(curves, held=0.5)
    for denoise, of_photo, times in (("off", day, 0), ("auto", day, 1), ("off", night, 1)):
        estimate.reset_mock()
        Enhancer(model, denoise=denoise, look="bright").apply(photo, of_photo)
        assert estimate.call_count == times


@pytest.mark.parametrize("recipe", [FUSION, SIX], ids=lambda recipe: recipe.name)
@pytest.mark.parametrize("shape", [(300, 400, 3), (80, 90, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_well_exposed_photo_is_the_same(recipe: zerodce.Recipe, shape: tuple[int, ...], dtype: type) -> None:
    """Every pixel of it, noise and all, in an array of its own."""
    photo = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)
    enhanced = Enhancer(ZeroDCE(recipe))(photo)
    np.testing.assert_array_equal(enhanced, photo)
    assert not np.shares_memory(enhanced, photo)


@pytest.mark.parametrize("look", ["natural", "bright"])
@pytest.mark.parametrize("step", [(10, 150), (20, 120), (8, 40), (15, 60), (30, 90), (60, 140), (5, 250)])
def test_an_edge_has_no_halo(look: looks.Look, step: tuple[int, int]) -> None:
    """Each side of a step from dark to bright comes out flat but for five steps of 255, right up to the edge."""
    photo = np.full((300, 400, 3), step[0], np.uint8)
    photo[:, 250:] = step[1]
    for denoise in ("off", "auto"):
        enhanced = zerodce.enhance(photo, denoise=denoise, look=look)
        assert np.ptp(enhanced[:, :250]) <= 5
        assert np.ptp(enhanced[:, 250:]) <= 5


@pytest.mark.parametrize("look", ["natural", "bright"])
@pytest.mark.parametrize("recipe", [FUSION, SIX], ids=lambda recipe: recipe.name)
def test_strength_is_a_scale_from_the_original_up(light: np.ndarray, look: looks.Look, recipe: zerodce.Recipe) -> None:
    """0 is the original; no pixel of any channel is darker at more; 2 is brighter than 1."""
    keras.utils.set_random_seed(5)
    model = ZeroDCE(dataclasses.replace(recipe, initial_stddev=None))
    if recipe is SIX:  # whose maps are of both signs at the start
        kernel, bias = model.network.get_layer("maps").get_weights()
        model.network.get_layer("maps").set_weights([kernel * 0, bias - 0.3])
    for photo in (photograph(light, 0.05, 1), photograph(np.minimum(light, 0.7), 0.02, 1)):
        made = [
            Enhancer(model, strength=strength, look=look, denoise="off")(photo).astype(int)
            for strength in (0, 0.25, 0.5, 1, 1.5, 2)
        ]
        np.testing.assert_array_equal(made[0], photo)
        for less, more in itertools.pairwise(made):
            assert (more - less).min() >= -1  # rounding of the channel that is kept in hue
            assert (more - less).mean() >= 0
        assert made[3].mean() > made[1].mean() > photo.mean()
        assert made[5].mean() > made[3].mean() + 1


def test_nothing_that_was_not_clipped_is(model: ZeroDCE, light: np.ndarray) -> None:
    photo = photograph(light, 0.1, 3)
    for options in ({}, {"look": "bright"}, {"look": "bright", "exposure": 1.0}, {"strength": 2.0}):
        enhanced = Enhancer(model, denoise="off", **options)(photo)
        assert enhanced.mean() > photo.mean() + 5
        assert metrics.newly_clipped(photo, enhanced) == 0


@pytest.mark.parametrize(
    "option",
    [
        {"curve_size": "ful"},
        {"curve_size": 0},
        {"exposure": 2.0},
        {"denoise": "on"},
        {"strength": 2.1},
        {"look": "dim"},
    ],
)
def test_options_out_of_range_are_refused(model: ZeroDCE, option: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=repr(next(iter(option.values())))):
        Enhancer(model, **option)


def test_the_shipped_model_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    zerodce.enhance(np.full((8, 8, 3), 9, np.uint8))
    monkeypatch.setattr("zerodce.pretrained.load_pretrained", lambda: pytest.fail("loaded again"))
    zerodce.enhance(np.full((8, 8, 3), 9, np.uint8))
