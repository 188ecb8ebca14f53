"""Exposure fusion beside OpenCV called by hand, and which shots of a series count."""

import cv2
import numpy as np
import pytest

from zerodce.images import fusion


def series(count: int, size: int = 40) -> list[np.ndarray]:
    """A picture at rising exposures."""
    picture = np.random.default_rng(0).random((size, size + 8, 3))
    picture = cv2.GaussianBlur(picture, (0, 0), 3)
    return [np.rint(255 * np.clip(picture * 2.0**stop, 0, 1)).astype(np.uint8) for stop in np.linspace(-4, 2, count)]


def by_hand(images: list[np.ndarray]) -> np.ndarray:
    merged = cv2.createMergeMertens(1, 1, 1).process(images)
    return np.rint(np.clip(merged, 0, 1) * 255).astype(np.uint8)


def test_equal_exposures_fuse_to_themselves() -> None:
    (image,) = series(1)
    np.testing.assert_allclose(fusion.fuse([image] * 3), image / 255, atol=1e-4)
    np.testing.assert_array_equal(fusion.bracket_reference([image]), image)


@pytest.mark.parametrize(("first", "second"), [(0, 100), (100, 128), (30, 245)])
def test_two_flat_exposures_are_weighed_by_how_well_they_are_exposed(first: int, second: int) -> None:
    """Weight exp(-(v - 0.5)^2 / (2 0.2^2)) for each of the three channels (section 3.1 of the paper)."""
    values = np.array([first, second]) / 255
    weights = np.exp(-3 * (values - 0.5) ** 2 / (2 * 0.2**2))
    flat = [np.full((32, 32, 3), value, np.uint8) for value in (first, second)]
    expected = (weights * values).sum() / weights.sum()
    np.testing.assert_allclose(fusion.fuse(flat, 0, 0, 1), expected, atol=1e-4)
    np.testing.assert_allclose(fusion.fuse(flat, 0, 0, 0), values.mean(), atol=1e-4)


def test_the_result_stays_in_range() -> None:
    """Black and white noise, which the pyramid overshoots."""
    random = np.random.default_rng(0)
    exposures = [random.choice(np.array([0, 255], np.uint8), (48, 64, 3)) for _ in range(3)]
    raw = cv2.createMergeMertens(1, 1, 1).process(exposures)
    assert raw.min() < 0
    assert raw.max() > 1
    fused = fusion.fuse(exposures)
    assert fused.min() == 0
    assert fused.max() == 1


@pytest.mark.parametrize(
    ("count", "used"),
    [
        (2, [0, 1]),
        (9, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (10, [0, 1, 2, 3, 4, 6, 7, 8, 9]),  # steps of 9/8: the middle one is 4.5, which rounds to the even 4
        (15, [0, 2, 4, 5, 7, 9, 10, 12, 14]),  # steps of 14/8: 1.75, 3.5, 5.25, 7, 8.75, 10.5, 12.25
    ],
)
def test_the_reference_of_a_series(count: int, used: list[int]) -> None:
    images = series(count)
    reference = fusion.bracket_reference(images)
    assert reference.dtype == np.uint8
    np.testing.assert_array_equal(reference, by_hand([images[i] for i in used]))
