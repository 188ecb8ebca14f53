"""Strengths by brightness: tones and back, tables that no photo can be spoilt by, and grids read from maps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zerodce.curves import tensors, tones
from zerodce.curves.brightening import brighten
from zerodce.curves.tones import (
    KNOT_BOUND,
    KNOT_BRIGHTNESS,
    KNOTS,
    apply_curves,
    grid_of,
    highest,
    strength_for,
    tables,
    tone,
)

LEVELS = np.linspace(0, 1, 256)


def test_a_tone_by_hand() -> None:
    """A strength of 1 squares what is missing to 1, eight times; 0 changes nothing; -1 squares the value."""
    np.testing.assert_allclose(tone(np.float64([0.01, 0.5]), 1.0), [1 - 0.99**256, 1], rtol=1e-12)
    np.testing.assert_array_equal(tone(LEVELS, 0.0), LEVELS)
    np.testing.assert_allclose(tone(LEVELS, -1.0), LEVELS**256, atol=1e-12)


@given(st.floats(0.01, 0.95), st.floats(-1, 1))
def test_the_strength_of_a_tone_is_the_one_that_made_it(brightness: float, strength: float) -> None:
    made = tone(brightness, strength)
    found = strength_for(np.array([brightness]), np.array([made]))
    assert tone(brightness, found[0]) == pytest.approx(made, abs=1e-6)
    if 0.001 < made < 0.999:  # else other strengths make as good as the same tone
        assert found[0] == pytest.approx(strength, abs=1e-4)


def test_what_cannot_be_reached_is_the_strongest() -> None:
    np.testing.assert_allclose(strength_for(np.array([0.001, 0.5]), np.array([0.9, 0.0])), [1, -1], atol=1e-6)


def test_strengths_are_those_of_a_bisection_in_numpy() -> None:
    generator = np.random.default_rng(3)
    brightness, wanted = generator.random((2, 40, 25))
    low, high = -np.ones_like(wanted), np.ones_like(wanted)
    for _ in range(24):
        middle = (low + high) / 2
        made = brightness
        for _ in range(8):
            made = made + middle * (made - made * made)
        low, high = np.where(made < wanted, middle, low), np.where(made < wanted, high, middle)
    np.testing.assert_array_equal(strength_for(brightness, wanted), low)


def test_highlights_stay_below_their_bound() -> None:
    bound = highest(LEVELS)
    assert np.all(np.diff(bound) > 0)
    assert np.all(bound >= LEVELS)
    assert (bound[0], bound[-1]) == (0.92, 1)
    assert 255 * bound[246] < 250.5  # not clipped before, not clipped after
    assert np.all((KNOT_BOUND >= 0) & (KNOT_BOUND <= 1))
    made = tone(KNOT_BRIGHTNESS, KNOT_BOUND)
    reached = KNOT_BOUND < 1 - 1e-6
    np.testing.assert_allclose(made[reached], highest(KNOT_BRIGHTNESS)[reached], atol=1e-5)
    assert np.all(made[~reached] < highest(KNOT_BRIGHTNESS)[~reached])


def test_weights_of_knots_by_hand() -> None:
    """The roots of 0, 0.04 and 0.25 are 0, 3 and 7.5 fifteenths."""
    weights = np.asarray(tones.knot_weights(np.float32([0, 0.04, 0.25, 1])))
    expected = np.zeros((4, KNOTS))
    expected[0, 0] = expected[1, 3] = expected[3, 15] = 1
    expected[2, 7] = expected[2, 8] = 0.5
    np.testing.assert_allclose(weights, expected, atol=1e-5)


def test_strengths_are_read_between_knots_by_numpy() -> None:
    rng = np.random.default_rng(0)
    images = rng.random((2, 5, 7, 3), np.float32)
    strengths = rng.random((2, KNOTS), np.float32)
    read = np.asarray(tensors.read(images, strengths))
    roots = np.sqrt(images.max(axis=3))
    expected = np.stack(
        [np.interp(root, np.linspace(0, 1, KNOTS), own) for root, own in zip(roots, strengths, strict=True)]
    )
    np.testing.assert_allclose(read[..., 0], expected, atol=1e-5)


def test_tables_hold_the_strengths_between_the_knots() -> None:
    """Where neither bound nor order acts: gentle strengths, the less the brighter."""
    grid = 0.2 * np.random.default_rng(1).random((2, 3, KNOTS, 3)) * (1 - KNOT_BRIGHTNESS)[:, np.newaxis]
    grid = np.sort(grid, axis=2)[:, :, ::-1] * 0.3
    found = tables(grid)
    assert found.shape == (2, 3, 256, 3)
    for place in np.ndindex(2, 3):
        for channel in range(3):
            expected = np.interp(np.sqrt(LEVELS), np.linspace(0, 1, KNOTS), grid[*place, :, channel])
            np.testing.assert_allclose(found[*place, :250, channel], expected[:250], atol=1e-6)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0, 0.004, 0.02, 0.05]),
    st.sampled_from([1, 3]),
    st.sampled_from([0.1, 0.5, 1, 3]),
)
def test_tables_are_monotone_and_bounded(seed: int, floor: float, channels: int, largest: float) -> None:
    grid = np.random.default_rng(seed).uniform(-largest, largest, (2, 2, KNOTS, channels))
    found = tables(grid, floor)
    assert np.abs(found).max() <= 1
    made = tone(LEVELS[:, np.newaxis], found)
    assert np.diff(made, axis=2).min() >= -1e-5
    assert np.all(made <= highest(LEVELS)[:, np.newaxis] + 1e-9)
    assert np.all(made[:, :, floor >= LEVELS] <= LEVELS[floor >= LEVELS, np.newaxis] + 1e-9)


def test_strengths_beyond_one_are_cut() -> None:
    grid = np.random.default_rng(0).uniform(-3, 3, (1, 1, KNOTS, 1))
    np.testing.assert_array_equal(tables(grid), tables(np.clip(grid, -1, 1)))


def test_the_floor_holds_back_noise_and_nothing_above_twelve_times_as_much() -> None:
    grid = np.full((1, 1, KNOTS, 1), 0.1)
    floor = 10 / 255
    held, free = tables(grid, floor)[0, 0, :, 0], tables(grid)[0, 0, :, 0]
    np.testing.assert_array_equal(held[:11], 0)
    assert held[65] == pytest.approx(0.05)  # half-way
    np.testing.assert_allclose(held[120:], free[120:], atol=1e-6)
    assert np.all(np.diff(held[10:121]) > 0)


@given(st.floats(-0.6, 0.9), st.sampled_from([1, 3, 8]), st.integers(0, 2**16))
def test_constant_maps_are_one_strength_everywhere(strength: float, size: int, seed: int) -> None:
    image = np.random.default_rng(seed).uniform(0.02, 0.6, (13, 17, 3)).astype(np.float32)
    grid = grid_of(image, np.full((13, 17, 24), -strength, np.float32), size)
    assert grid.shape == (size, size, KNOTS, 3)
    np.testing.assert_allclose(grid, strength, atol=2e-3)


def test_channels_and_places_have_strengths_of_their_own() -> None:
    """Left 0.1, 0.2, 0.3 for red, green, blue, right half of it: far from the border cells know only their own."""
    image = np.full((32, 64, 3), 0.2, np.float32)
    maps = np.empty((32, 64, 8, 3), np.float32)
    maps[:, :32], maps[:, 32:] = (-0.1, -0.2, -0.3), (-0.05, -0.1, -0.15)
    grid = grid_of(image, maps.reshape(32, 64, 24), 8)
    knot = np.abs(KNOT_BRIGHTNESS - 0.2).argmin()
    np.testing.assert_allclose(grid[:, 0, knot], np.broadcast_to([0.1, 0.2, 0.3], (8, 3)), atol=0.01)
    np.testing.assert_allclose(grid[:, -1, knot], np.broadcast_to([0.05, 0.1, 0.15], (8, 3)), atol=0.01)


def test_light_and_shade_of_one_cell_have_strengths_of_their_own() -> None:
    image = np.full((16, 16, 3), 0.05, np.float32)
    image[::2, ::2] = 0.5
    maps = np.where(image.max(axis=2, keepdims=True) > 0.1, -0.05, -0.4) * np.ones(24)
    grid = grid_of(image, maps, 1)[0, 0, :, 0]
    found = np.interp(np.sqrt([0.05, 0.5]), np.linspace(0, 1, KNOTS), grid)
    np.testing.assert_allclose(found, [0.4, 0.05], atol=0.02)


def test_a_small_image_has_no_more_cells_than_pixels() -> None:
    assert grid_of(np.full((1, 3, 3), 0.2), np.full((1, 3, 24), -0.2), 8).shape == (1, 3, KNOTS, 3)


def test_smooth_maps_are_applied_nearly_as_they_are() -> None:
    """Of a kind that DCE-Net gives: of each iteration its own, stronger in the dark, changing over the image."""
    y, x = np.mgrid[0:96, 0:128] / 128
    image = (0.28 * x * y + 0.02)[..., np.newaxis] * np.float32([1, 0.9, 0.8])  # too grey to keep a hue
    iterations = -np.linspace(0.5, 0.1, 24)
    maps = (0.8 - 0.5 * image.max(axis=2, keepdims=True)) * (1 - 0.2 * x[..., np.newaxis]) * iterations
    expected = np.asarray(apply_curves(image[np.newaxis], maps[np.newaxis].astype(np.float32)))[0]
    enhanced = brighten(np.rint(image * 65535).astype(np.uint16), tables(grid_of(image, maps, 8))) / 65535
    assert np.sqrt(np.mean((expected - image) ** 2)) > 0.15
    assert np.sqrt(np.mean((enhanced - expected) ** 2)) < 0.005
    assert np.abs(enhanced - expected).max() < 0.03
