"""What a photo teaches about itself, beside OpenCV's exposure fusion of the same versions."""

import cv2
import numpy as np
import pytest
from keras import ops

from zerodce.curves import tensors
from zerodce.curves.exposure import WELL_EXPOSED
from zerodce.curves.tones import tone
from zerodce.images.metrics import psnr
from zerodce.training import losses, teacher


def scenes(height: int, width: int, count: int = 2, level: float = 0.12) -> np.ndarray:
    """Dark images with edges, colours and lamps: float32 (count, height, width, 3) of a mean near `level`."""
    rng = np.random.default_rng(height * width)
    images = []
    for _ in range(count):
        noise = rng.random((height, width, 3))
        image = cv2.GaussianBlur(noise, (0, 0), 2)
        image = (image - image.min()) / np.ptp(image) * rng.uniform(0.5, 1.5, 3)
        image[height // 3 :, : width // 2] *= 0.3
        image *= level / image.mean()
        image[: height // 8, : width // 8] = 0.8
        images.append(image)
    return np.clip(images, 0, 1).astype(np.float32)


def flat(*levels: float) -> np.ndarray:
    return np.float32(levels).reshape(-1, 1, 1, 1) * np.ones((1, 16, 16, 3), np.float32)


def even(images: np.ndarray) -> np.ndarray:
    return np.asarray(tensors.even_strength(images))


@pytest.mark.parametrize("size", [(64, 64), (63, 97), (128, 128), (37, 50)])
def test_the_fusion_is_that_of_opencv(size: tuple[int, int]) -> None:
    """Mertens with the weight of exposedness alone; OpenCV takes the versions rounded to 8 bits."""
    images = scenes(*size)
    strength = even(images)
    fused = np.asarray(teacher.own_fusion(images, ops.convert_to_tensor(strength)))
    assert fused.shape == images.shape
    for image, own, result in zip(images, strength, fused, strict=True):
        versions = [
            np.rint(255 * tone(image, np.minimum(factor * own, 1))).astype(np.uint8) for factor in teacher.VERSIONS
        ]
        merged = np.clip(cv2.createMergeMertens(0, 0, 1).process(versions), 0, 1)
        assert np.abs(merged - versions[2] / 255).mean() > 0.01  # there is something to fuse
        assert psnr(np.rint(255 * result).astype(np.uint8), np.rint(255 * merged).astype(np.uint8)) > 45


def test_what_is_black_does_not_make_the_rest_brighter() -> None:
    """A lit half of 0.1 becomes 0.465, whether the other half is lit alike or black to a step of 255."""
    lit = flat(0.1)
    night = lit.copy()
    night[:, :8] = 1 / 255
    assert float(even(night)[0, 0, 0, 0]) == pytest.approx(float(even(lit)[0, 0, 0, 0]), abs=0.002)
    assert float(tone(0.1, even(night)[0, 0, 0, 0])) == pytest.approx(0.465, abs=0.005)
    half_lit = lit.copy()
    half_lit[:, :8] = 3 / 255  # dark, but lit: it counts
    assert float(even(half_lit)[0, 0, 0, 0]) > float(even(night)[0, 0, 0, 0]) + 0.05


def test_equal_versions_fuse_to_themselves() -> None:
    images = scenes(40, 56)
    fused = teacher.own_fusion(images, ops.zeros((2, 1, 1, 1)))
    np.testing.assert_allclose(fused, images, atol=1e-5)


@pytest.mark.parametrize("level", [0.05, 0.15])
def test_flat_versions_are_weighed_by_how_well_they_are_exposed(level: float) -> None:
    """exp(-(v - 0.5)^2 / (2 0.2^2)) for each of three channels (section 3.1 of the paper)."""
    fused = teacher.own_fusion(flat(level), ops.full((1, 1, 1, 1), 0.2))
    values = np.array([tone(level, min(factor * 0.2, 1)) for factor in teacher.VERSIONS])
    weights = np.exp(-3 * (values - 0.5) ** 2 / (2 * 0.2**2))
    np.testing.assert_allclose(fused, (weights * values).sum() / weights.sum(), atol=1e-4)


def test_the_even_strength_reaches_its_mean() -> None:
    """0.465; 0.05 + 8 m of a night scene; m + 1.5 (0.4 - m) of what is nearly bright enough."""
    levels = (0.02, 0.05, 0.1, 0.2, 0.28, 0.38)
    aims = [0.21, 0.45, 0.465, 0.465, 0.46, 0.41]
    strength = even(flat(*levels))
    assert strength.shape == (len(levels), 1, 1, 1)
    reached = tone(np.float64(levels), strength.ravel().astype(np.float64))
    np.testing.assert_allclose(reached, aims, atol=0.004)
    images = scenes(64, 64)
    means = np.asarray(tone(images, even(images)))[:, ::2, ::2].mean(axis=(1, 2, 3))
    np.testing.assert_allclose(means, 0.465, atol=0.004)


def test_the_even_strength_is_bounded() -> None:
    np.testing.assert_allclose(even(flat(0.0, 0.001)), tensors.MAX_EVEN, atol=0.001)


def test_a_well_exposed_image_stays_as_it_is() -> None:
    assert WELL_EXPOSED == 0.4
    images = np.concatenate([flat(0.401, 0.5, 1.0), np.clip(scenes(16, 16, 1) + 0.4, 0, 1)])
    strength = even(images)
    np.testing.assert_array_equal(strength, 0)
    np.testing.assert_allclose(teacher.target(images, strength, 0.65), images, atol=1e-5)
    assert even(flat(0.39))[0] > 0


def test_the_target_is_a_mixture() -> None:
    images = scenes(48, 64)
    strength = tensors.even_strength(images)
    evenly, fused = np.asarray(tone(images, strength)), np.asarray(teacher.own_fusion(images, strength))
    assert np.abs(evenly - fused).mean() > 0.01
    np.testing.assert_allclose(teacher.target(images, strength, 0.0), evenly, atol=1e-6)
    np.testing.assert_allclose(teacher.target(images, strength, 1.0), fused, atol=1e-6)
    np.testing.assert_allclose(teacher.target(images, strength, 0.25), 0.25 * fused + 0.75 * evenly, atol=1e-6)


def test_the_loss_is_the_mean_squared_distance_from_the_target() -> None:
    images = scenes(32, 32)
    light = even(images) / 2
    target = np.asarray(teacher.target(images, light, 0.5))
    assert float(losses.fusion(images, target, light, 0.5)) == pytest.approx(0, abs=1e-10)
    assert float(losses.fusion(images, target + 0.1, light, 0.5)) == pytest.approx(0.01, rel=1e-4)
