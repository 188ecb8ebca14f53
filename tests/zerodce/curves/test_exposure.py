import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from zerodce.applying.enhancement import Enhancer
from zerodce.curves.brightening import brighten
from zerodce.curves.exposure import AUTO_MAX_FACTOR, MAX_CHANGE, MAX_FACTOR, find_factor
from zerodce.curves.tones import KNOTS, tables
from zerodce.inference.model import CurveModel
from zerodce.recipes import SIX

pytestmark = pytest.mark.slow


def flat(level: int) -> np.ndarray:
    return np.full((6, 5, 3), level, np.uint8)


def curve(strength: float) -> np.ndarray:
    """The grid of one strength at every place and brightness."""
    return np.full((1, 1, KNOTS, 1), strength)


def risen(value: float, strength: float) -> float:
    for _ in range(8):
        value += strength * (value - value**2)
    return value


@pytest.mark.parametrize(("factor", "exposure"), [(f, risen(0.2, 0.2 * f)) for f in (1, 0.5, 0)])
def test_one_curve_arrives_at_the_value_aimed_at(exposure, factor):
    assert find_factor(flat(51), curve(0.2), exposure) == pytest.approx(factor, abs=0.01)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_grid_of_cells_and_channels_is_applied_as_it_is(channels):
    """Left half twice as strong as the right one, at a copy of two pixels: each sees the strength of its cell."""
    grid = np.full((1, 2, KNOTS, channels), 0.1)
    grid[:, 0] = 0.2
    aim = (risen(0.2, 0.2 * 0.75) + risen(0.2, 0.1 * 0.75)) / 2
    assert find_factor(np.full((1, 2, 3), 51, np.uint8), grid, aim) == pytest.approx(0.75, abs=0.01)


def test_the_factor_is_bounded_for_a_value_and_for_auto():
    grid = curve(0.05)  # 0.05 becomes 0.07: far from anything aimed at
    assert find_factor(flat(13), grid, 1.0) == MAX_FACTOR
    assert find_factor(flat(13), grid, "auto", pull=True) == AUTO_MAX_FACTOR


def test_auto_moves_a_dark_photo_part_of_the_way_to_the_middle():
    models = risen(0.2, 0.3)
    assert models > 0.7  # far beyond the middle
    arrived = risen(0.2, 0.3 * find_factor(flat(51), curve(0.3), "auto", pull=True))
    # a mean of 0.2 is half of what is well exposed: half of the way
    assert arrived == pytest.approx(models - 0.5 * (models - 0.45), abs=0.003)


def test_a_value_keeps_night_dark_even_if_the_model_does_not():
    assert risen(13 / 255, 1) > 0.99  # 1 - (1 - 0.051) ** 256: white
    arrived = risen(13 / 255, find_factor(flat(13), curve(1), 0.8))
    assert arrived == pytest.approx(0.05 + 8 * 13 / 255, abs=0.01)


def test_auto_leaves_the_mean_to_a_model_up_to_the_most_that_a_photo_may_reach():
    assert 0.5 < risen(26 / 255, 0.3) < 0.05 + 8 * 0.1  # beyond the middle
    assert find_factor(flat(26), curve(0.3), "auto") == 1
    assert find_factor(flat(13), curve(0.05), "auto") == 1
    arrived = risen(13 / 255, find_factor(flat(13), curve(1), "auto", most=0.3))
    assert arrived == pytest.approx(0.3, abs=0.01)


def test_auto_leaves_a_bright_photo_as_it_is():
    for level in (115, 160, 200, 250):
        assert find_factor(flat(level), curve(0.25), "auto", pull=True) < 0.01


@given(
    st.integers(0, 2**32 - 1),
    st.floats(0.42, 0.9),
    st.floats(0, 0.3),
    st.sampled_from(["auto", 0.0, 0.5, 1.0]),
    st.sampled_from([(1, 1, 1), (8, 8, 3)]),
)
def test_a_well_exposed_photo_stays_whatever_the_weights(seed, mean, spread, exposure, shape):
    random = np.random.default_rng(seed)
    small = np.clip(random.normal(mean * 255, spread * 255, (16, 16, 3)), 0, 255).astype(np.uint8)
    assume(small.mean() >= 0.4 * 255)
    grid = random.uniform(-1, 1, (*shape[:2], KNOTS, shape[2]))
    factor = find_factor(small, grid, exposure)
    sixteen = small.astype(np.uint16) * 257
    change = (brighten(sixteen, tables(grid * factor)).astype(float) - sixteen) / 65535
    assert np.sqrt((change**2).mean()) <= MAX_CHANGE + 1e-4


def test_photos_that_are_nearly_alike_come_out_nearly_alike():
    arrived = [
        risen(level / 255, 0.25 * find_factor(flat(level), curve(0.25), "auto", pull=True)) for level in range(256)
    ]
    steps = np.abs(np.diff(arrived)) * 255
    assert steps.max() <= (1 + 0.25 * AUTO_MAX_FACTOR) ** 8  # the slope of the curves themselves at black


def test_the_enhancer_reports_the_mean_of_what_it_returns():
    maps = np.tile(np.float32([-0.4] * 24), (32, 48, 1))
    model = CurveModel(dataclasses.replace(SIX, well_exposed=None), False, lambda image: maps)
    photo = np.random.default_rng(0).integers(0, 90, (32, 48, 3), dtype=np.uint8)
    for exposure in ("auto", 0.3, 0.4):
        enhancer = Enhancer(model, 48, exposure)
        (curves,) = enhancer.estimate([photo])
        assert enhancer.apply(photo, curves).mean() / 255 == pytest.approx(curves.exposure, abs=0.002)
        if exposure != "auto":
            assert curves.exposure == pytest.approx(exposure, abs=0.01)


def test_night_stays_night_and_daylight_stays_daylight(data):
    from zerodce.pretrained import load_pretrained

    enhancer = Enhancer(load_pretrained())
    nights = days = 0
    for path in sorted([*data.glob("dark/*/*"), *data.glob("photos/*.[jJ]*")]):
        with Image.open(path) as image:
            image.draft("RGB", (512, 512))
            image.thumbnail((256, 256), Image.Resampling.BILINEAR, reducing_gap=2.0)
            small = np.asarray(image.convert("RGB"))
        mean = small.mean() / 255
        if mean < 0.05:
            nights += 1
            assert enhancer.estimate([small])[0].exposure <= 0.05 + 8 * mean + 0.005, path
        elif 0.4 <= mean <= 0.6:
            days += 1
            enhanced = enhancer(small).astype(np.float32)
            assert abs(enhanced.mean() / 255 - mean) <= 0.05, path
            assert ((enhanced - small) ** 2).mean() <= 255**2 / 10**2.5, path
    assert nights >= 5
    assert days >= 20
