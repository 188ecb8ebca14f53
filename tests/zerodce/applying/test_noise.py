"""What is measured beside noise of known strength, width and tone; what texture passes for."""

import numpy as np
import pytest
from skimage import data as samples

import zerodce
from benchmarks import scenes
from benchmarks.scenes import grain
from zerodce.applying.noise import MOST, SIZES, TONES, Noise, estimate_noise

TO_RGB = np.linalg.inv([[0.299, 0.587, 0.114], [0.4998, -0.4185, -0.0813], [-0.1686, -0.3311, 0.4997]])


def inside_patches(noise: np.ndarray) -> np.ndarray:
    """Root mean square, at each size, inside patches of 8 x 8 whose plane was fitted by NumPy and taken out."""
    y, x = np.mgrid[:8, :8]
    plane = np.stack([np.ones(64), x.ravel(), y.ravel()], axis=1)
    found = []
    for _ in range(SIZES):
        patches = noise.reshape(noise.shape[0] // 8, 8, -1, 8).swapaxes(1, 2).reshape(-1, 64).T
        residual = np.linalg.lstsq(plane, patches, rcond=None)[1]
        found.append(np.sqrt(np.mean(residual) / 61))
        noise = noise.reshape(noise.shape[0] // 2, 2, -1, 2).mean(axis=(1, 3))
    return np.array(found)


def flat(planes: np.ndarray, dtype: type = np.uint8) -> np.ndarray:
    """A photo of Y, Cr and Cb in steps of 1/255."""
    unit = np.iinfo(dtype).max / 255
    return np.rint(np.clip(planes @ TO_RGB.T, 0, 255) * unit).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("sigma", [1.5, 3])
@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_grain_of_every_width_is_measured_at_every_size(width, sigma, dtype):
    noise = sigma * grain(width, (1024, 1024))
    unit = np.iinfo(dtype).max / 255
    photo = np.rint((60 + noise) * unit).astype(dtype)[..., np.newaxis]
    measured = estimate_noise(photo).deviations[..., 0]
    true = inside_patches(noise)
    for size in range(SIZES):
        # low quantiles of few independent grains lie low; 8 bits add a noise of 0.29
        assert 0.5 * true[size] - 0.1 < measured[size, 4] < 1.15 * true[size] + 0.1
    if width == 1:  # white noise of any strength is believed
        np.testing.assert_allclose(measured[:, 4], sigma / 2.0 ** np.arange(SIZES), rtol=0.15, atol=0.05)


@pytest.mark.parametrize("width", [2, 4, 8])
def test_coloured_blotches_are_found_in_their_plane_alone(width):
    planes = np.full((1024, 1024, 3), (80.0, 0, 0))
    planes[..., 2] += 3 * grain(width, (1024, 1024))
    measured = estimate_noise(flat(planes, np.uint16)).deviations[:, 4]
    true = inside_patches(planes[..., 2])
    assert np.all((0.5 * true < measured[:, 2]) & (measured[:, 2] < 1.15 * true))
    assert measured[:, :2].max() < 0.1


def test_noise_is_measured_for_each_tone():
    levels, sigmas = (4, 9, 20, 50, 130), (1.0, 1.4, 2.1, 3.0, 4.0)
    photo = np.concatenate(
        [level + sigma * grain(1, (256, 1024), level) for level, sigma in zip(levels, sigmas, strict=True)]
    )
    photo = np.rint(np.clip(photo, 0, 255) * 257).astype(np.uint16)[..., np.newaxis]
    measured = estimate_noise(photo).deviations
    np.testing.assert_allclose(measured[0, 2:, 0], sigmas, rtol=0.15)
    np.testing.assert_allclose(measured[1, 2:, 0], np.array(sigmas) / 2, rtol=0.2)
    # no patch of these tones: borrowed from the nearest that has some
    np.testing.assert_allclose(measured[0, :2, 0], measured[0, 2, 0])


def test_a_slope_and_edges_are_no_noise():
    y, x = np.mgrid[:512, :512]
    photo = 40 + 0.2 * x + 0.1 * y
    photo[:, 200:] += 60
    photo[300:] *= 0.5
    assert estimate_noise(np.rint(photo * 257).astype(np.uint16)[..., np.newaxis]).deviations.max() < 0.1


@pytest.mark.parametrize("sigma", [6, 12])
def test_strong_white_noise_is_believed(sigma):
    photo = np.clip(128 + sigma * grain(1, (400, 600)), 0, 255).astype(np.uint8)[..., np.newaxis]
    measured = estimate_noise(photo).deviations[:, -1, 0]
    np.testing.assert_allclose(measured, sigma / 2.0 ** np.arange(SIZES), rtol=0.2)


@pytest.mark.parametrize(
    ("name", "most"), [("rocket", 1), ("camera", 1.5), ("brick", 1.5), ("gravel", MOST), ("grass", MOST)]
)
def test_texture_is_hardly_taken_for_noise(name, most):
    photo = getattr(samples, name)()
    photo = photo.reshape(*photo.shape[:2], -1)
    assert estimate_noise(photo).deviations.max() <= most


@pytest.mark.slow
def test_rendered_scenes_are_clean_and_their_shot_noise_is_found():
    light = scenes.render(scenes.balls(7), 768, 512)
    linear = np.clip(light * 0.06, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    clean = estimate_noise(np.rint(encoded * 65535).astype(np.uint16)).deviations
    noisy = estimate_noise(scenes.photograph(light, 0.06, 7)).deviations
    assert clean[..., 0].max() < 0.5
    assert noisy[0, 4, 0] > 3 * clean[0, 4, 0]


@pytest.mark.parametrize(
    "photo",
    [
        np.zeros((200, 200, 3), np.uint8),
        np.full((200, 200, 1), 255, np.uint8),
        np.random.default_rng(0).integers(0, 255, (63, 900, 3), np.uint8),
    ],
)
def test_a_clipped_or_tiny_photo_has_no_noise_that_can_be_known(photo):
    noise = estimate_noise(photo)
    assert not noise.deviations.any()
    assert noise.floor() == pytest.approx(12**-0.5)  # what rounding leaves


@pytest.mark.parametrize("width", [1, 4, 8])
def test_the_floor_is_the_noise_of_the_shadows(width):
    photo = np.full((1024, 1024), 120.0)
    photo[:512] = 20
    photo += np.where(photo < 60, 3, 6) * grain(width, photo.shape)
    floor = estimate_noise(np.rint(photo).astype(np.uint8)[..., np.newaxis]).floor()
    assert 0.7 * 3 < floor < 1.15 * 3


def test_the_map_of_tones_interpolates_between_them():
    deviations = np.zeros((SIZES, len(TONES), 1), np.float32)
    deviations[0, :, 0] = np.arange(len(TONES))
    luminance = np.float32([[0, 20, 35, 50, 255]])
    np.testing.assert_allclose(Noise(deviations, luminance).local()[0, ..., 0], [[0, 4, 4.5, 5, 6]])


def test_coding_adds_up_as_variances():
    noise = Noise(np.full((SIZES, len(TONES), 3), 3, np.float32), np.ones((1, 1), np.float32))
    assert noise.with_coding().deviations[0, 0, 0] == pytest.approx(np.hypot(3, 1))


@pytest.mark.parametrize("shape", [(1, 3000, 3), (3000, 1, 3), (2, 5000, 1), (1, 1, 3), (3, 9000, 3)])
def test_strips_have_a_noise_too(shape: tuple[int, int, int]) -> None:
    """Longer than wide by more than 1,600 times: of rows or columns far apart there would be none."""
    photo = np.random.default_rng(0).integers(0, 60, shape, dtype=np.uint8)
    noise = estimate_noise(photo)
    assert noise.luminance.size
    assert np.isfinite(noise.luminance).all()
    assert zerodce.enhance(photo if shape[2] == 3 else photo[..., 0]).shape == shape[: 2 + (shape[2] == 3)]
