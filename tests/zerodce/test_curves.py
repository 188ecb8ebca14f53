"""The curves: by hand, against TensorFlow's resize, and the same for tiles, types and channels."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from zerodce.curves import apply_curves, brighten, merge_channels


def test_two_iterations_by_hand() -> None:
    image = np.full((1, 1, 1, 3), 0.5, np.float32)
    maps = np.array([-1, 0, 1, -1, 0, 0.5], np.float32).reshape(1, 1, 1, 6)
    # red: 0.5 + 0.25 = 0.75, then 0.75 + 0.1875; green stays; blue: 0.5 - 0.25 = 0.25, then 0.25 - 0.5 * 0.1875
    np.testing.assert_allclose(np.ravel(apply_curves(image, maps)), [0.9375, 0.5, 0.15625], rtol=1e-6)


def resized_first(photo: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """What `brighten` promises, computed by TensorFlow at full size."""
    levels = np.iinfo(photo.dtype).max
    full = tf.image.resize(maps[np.newaxis], photo.shape[:2])
    image = tf.constant(photo[np.newaxis].astype(np.float64) / levels, tf.float32)
    return np.floor(np.clip(apply_curves(image, full)[0].numpy(), 0, 1) * levels + 0.5)


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 1100),
    map_height=st.integers(1, 40),
    map_width=st.integers(1, 40),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**16),
)
def test_brighten_equals_resizing_the_maps_first(
    height: int, width: int, map_height: int, map_width: int, channels: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    photo = rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
    maps = rng.uniform(-1, 1, (map_height, map_width, 8 * channels)).astype(np.float32)
    before = photo.copy()
    enhanced = brighten(photo, maps)
    assert enhanced.dtype == np.uint8
    assert np.abs(enhanced - resized_first(photo, maps)).max() <= 1
    np.testing.assert_array_equal(photo, before)


def test_sixteen_bits_keep_their_depth() -> None:
    photo = np.linspace(0, 65535, 3 * 50 * 40).reshape(50, 40, 3).astype(np.uint16)
    maps = np.full((5, 4, 24), -0.4, np.float32)
    enhanced = brighten(photo, maps)
    assert enhanced.dtype == np.uint16
    assert np.abs(enhanced.astype(float) - resized_first(photo, maps)).max() <= 2
    assert len(np.unique(enhanced)) > 4000


def test_zero_maps_change_nothing() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (33, 600, 3), dtype=np.uint8)
    np.testing.assert_array_equal(brighten(photo, np.zeros((3, 9, 24), np.float32)), photo)


def test_a_view_that_is_not_contiguous_is_brightened_alike() -> None:
    photo = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    maps = np.random.default_rng(2).uniform(-1, 1, (4, 6, 24)).astype(np.float32)
    turned = brighten(np.rot90(photo), np.rot90(maps))
    assert np.abs(np.rot90(turned, -1).astype(int) - brighten(photo, maps)).max() <= 1


def test_channels_merge_to_their_mean() -> None:
    maps = np.arange(6, dtype=np.float32).reshape(1, 1, 6)
    np.testing.assert_array_equal(merge_channels(maps), [[[1, 4]]])


@pytest.mark.parametrize(
    ("photo", "maps", "error"),
    [
        (np.zeros((2, 2, 3), np.float32), np.zeros((1, 1, 24)), TypeError),
        (np.zeros((2, 2), np.uint8), np.zeros((1, 1, 24)), ValueError),
        (np.zeros((2, 2, 3), np.uint8), np.zeros((1, 1, 8)), ValueError),
    ],
)
def test_what_does_not_fit_is_refused(photo: np.ndarray, maps: np.ndarray, error: type[Exception]) -> None:
    with pytest.raises(error):
        brighten(photo, maps)
