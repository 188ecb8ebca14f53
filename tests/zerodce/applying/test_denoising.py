import dataclasses

import numpy as np
import pytest
from skimage import data as samples
from skimage.restoration import estimate_sigma

import zerodce
from benchmarks import scenes
from zerodce.applying import denoising
from zerodce.applying.enhancement import Enhancer
from zerodce.applying.noise import estimate_noise
from zerodce.inference.model import CurveModel
from zerodce.kernels import grain
from zerodce.recipes import SIX


def noisy(level: float, sigma: float, shape: tuple[int, ...], dtype: type = np.uint8) -> np.ndarray:
    values = np.random.default_rng(1).normal(level, sigma, shape)
    unit = np.iinfo(dtype).max / 255
    return np.rint(np.clip(values, 0, 255) * unit).astype(dtype)


def model(*parameters: float) -> CurveModel:
    """The same curve everywhere."""
    maps = np.zeros((8, 3), np.float32)
    maps[: len(parameters)] = np.reshape(parameters, (-1, 1))
    recipe = dataclasses.replace(SIX, well_exposed=None)
    return CurveModel(recipe, False, lambda image: np.broadcast_to(maps.reshape(24), (*image.shape[:2], 24)))


@pytest.mark.parametrize("shape", [(300, 400, 3), (301, 403)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("sigma", [3, 10])
def test_flat_grey_comes_out_with_a_third_of_its_noise_and_its_mean(shape, dtype, sigma):
    image = noisy(120, sigma, shape, dtype)
    kept = image.copy()
    filtered = zerodce.denoise(image)
    np.testing.assert_array_equal(image, kept)
    assert filtered.shape == image.shape
    assert filtered.dtype == dtype
    unit = np.iinfo(dtype).max / 255
    assert filtered.std() / unit < 0.36 * sigma
    assert abs(filtered.mean() - image.mean()) / unit < 0.1


def test_float_images_come_out_as_float():
    image = (noisy(120, 8, (128, 128, 3)) / 255).astype(np.float32)
    filtered = zerodce.denoise(image)
    assert filtered.dtype == np.float32
    assert filtered.std() < 0.4 * image.std()


def test_more_strength_takes_out_more():
    image = noisy(120, 6, (200, 200, 3))
    spreads = [zerodce.denoise(image, strength).std() for strength in (0, 0.5, 1, 2)]
    assert spreads[0] == image.std()
    assert not np.shares_memory(zerodce.denoise(image, 0), image)
    assert spreads == sorted(spreads, reverse=True)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(np.float64) - b) ** 2)))


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """A rendered scene without noise: uint8 (512, 768, 3)."""
    linear = np.clip(scenes.render(scenes.balls(23), 768, 512) * 0.3, 0, 1)
    return np.rint(255 * linear ** (1 / 2.2)).astype(np.uint8)


@pytest.mark.parametrize(("width", "gain"), [(1, 6), (2, 4), (4, 2), (8, 1)])
def test_grain_of_every_width_is_taken_out(scene, width, gain):
    noise = np.dstack([3 * scenes.grain(width, scene.shape[:2], seed) for seed in range(3)])
    image = np.clip(np.rint(scene + noise), 0, 255).astype(np.uint8)
    assert psnr(zerodce.denoise(image), scene) > psnr(image, scene) + gain


@pytest.mark.parametrize(("width", "gain"), [(2, 4), (4, 3.5), (8, 1.5)])
def test_coloured_blotches_are_taken_out(scene, width, gain):
    blotches = 3 * scenes.grain(width, scene.shape[:2])[..., np.newaxis] * [1.4, -0.7, 0]  # Cr alone
    image = np.clip(np.rint(scene + blotches), 0, 255).astype(np.uint8)
    filtered = zerodce.denoise(image)
    assert psnr(filtered, scene) > psnr(image, scene) + gain


def test_noise_that_grows_with_the_tone_is_taken_out_of_each_tone(scene):
    luminance = scene.mean(axis=2, keepdims=True)
    image = scene + np.random.default_rng(0).normal(size=scene.shape) * (1 + luminance / 25)
    image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    filtered = zerodce.denoise(image)
    for low, high in ((8, 40), (40, 90), (90, 180)):
        tone = ((luminance >= low) & (luminance < high))[..., 0]
        assert psnr(filtered[tone], scene[tone]) > psnr(image[tone], scene[tone]) + 4


@pytest.mark.parametrize("name", ["rocket", "astronaut", "chelsea", "coffee", "camera", "brick"])
def test_textured_photos_are_hardly_filtered(name):
    photo = getattr(samples, name)()
    assert psnr(zerodce.denoise(photo), photo) > 42


def test_a_clean_scene_is_hardly_filtered(scene):
    assert psnr(zerodce.denoise(scene), scene) > 50


def test_a_clean_image_keeps_its_pixels():
    y, x = np.mgrid[0:256, 0:320]
    image = np.dstack([x * 0.6 + 20, y * 0.7 + 10, (x + y) * 0.3]).astype(np.uint8)
    assert np.abs(zerodce.denoise(image).astype(int) - image).max() <= 1


def test_edges_and_texture_above_the_noise_keep_their_contrast():
    sigma = 4
    clean = np.full((256, 256, 3), 60.0)
    clean[:, 128:] = 160
    stripes = np.where(np.arange(64) // 4 % 2, 40, 0)
    clean[96:160, 32:96] += stripes[:, np.newaxis]
    image = np.clip(clean + np.random.default_rng(2).normal(0, sigma, clean.shape), 0, 255).astype(np.uint8)
    filtered = zerodce.denoise(image).astype(np.float32)
    assert filtered[:, 130:140].mean() - filtered[:, 116:126].mean() == pytest.approx(100, abs=2)
    bright, dark = (filtered[100:156, 36:92][:, stripes[4:60] == value].mean() for value in (40, 0))
    assert bright - dark > 0.9 * 40
    flat = np.s_[180:240, 20:100]
    assert filtered[flat].std() < 0.4 * image[flat].std()


def test_edges_of_colour_do_not_bleed():
    image = np.zeros((64, 64, 3), np.float64)
    image[:, :32], image[:, 32:] = (200, 60, 60), (60, 60, 200)
    image = np.clip(image + np.random.default_rng(2).normal(0, 4, image.shape), 0, 255).astype(np.uint8)
    filtered = zerodce.denoise(image).astype(np.float32)
    assert filtered[8:56, 34:36].mean(axis=(0, 1)) == pytest.approx([60, 60, 200], abs=6)


def test_amplification_is_that_of_the_curve():
    # lights are compressed: nothing is amplified
    tables = np.full((1, 1, 256, 1), 0.1)
    shade = denoising.amplification(np.full((4, 4, 3), 2, np.uint8), tables)
    np.testing.assert_allclose(shade, np.sqrt(slope_at(2 / 255, 0.1) ** 2 - 1), atol=2e-3)
    np.testing.assert_array_equal(denoising.amplification(np.full((4, 4, 3), 204, np.uint8), tables), 0)
    assert slope_at(204 / 255, 0.1) < 1


def slope_at(value: float, strength: float) -> float:
    """Of eight iterations, by the chain rule: each has 1 + s - 2 s v."""
    slope = 1.0
    for _ in range(8):
        slope *= 1 + strength - 2 * strength * value
        value += strength * (value - value**2)
    return slope


def test_strengths_that_rise_with_brightness_amplify_more():
    """The slope of v + s (v - v**2) eight times, s depending on v, by finite differences."""
    brightness = np.linspace(0, 1, 256)
    tables = (0.3 * brightness).reshape(1, 1, 256, 1)
    ends = []
    for value in (49 / 255, 53 / 255):
        strength = 0.3 * value
        for _ in range(8):
            value += strength * (value - value**2)
        ends.append(value)
    slope = (ends[1] - ends[0]) / (4 / 255)
    assert slope > slope_at(0.2, 0.06) + 0.3
    noise_gain = denoising.amplification(np.full((4, 4, 3), 51, np.uint8), tables)
    np.testing.assert_allclose(noise_gain, np.sqrt(slope**2 - 1), atol=2e-3)
    assert not denoising.amplification(np.full((4, 4, 3), 51, np.uint8), 0 * tables).any()


def striped(dtype: type, channels: int = 3) -> np.ndarray:
    photo = noisy(90, 15, (700, 333, channels), dtype)
    photo[::9] //= 2
    return photo


@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 3), (np.uint16, 3), (np.uint8, 1)])
def test_rows_come_out_as_those_of_the_whole(dtype, channels):
    """To the bit, wherever a part begins and ends, and whatever lies 32 rows beyond it."""
    photo = striped(dtype, channels)
    unit, wide = np.float32(255 / np.iinfo(dtype).max), np.int16 if dtype == np.uint8 else np.int32
    variances = np.random.default_rng(0).uniform(0, 2000, (4, 45, 22, channels)).astype(np.float32)

    def filtered(start: int, stop: int, seen: int) -> np.ndarray:
        rows = photo.reshape(700, -1).copy()
        rows[: max(16 * start - seen, 0)], rows[16 * stop + seen :] = 77, 77
        sizes = tuple(np.full((4, 32 >> size, channels, 168 >> size), np.nan, np.float32) for size in range(4))
        grain.smooth_rows(rows, start, stop, unit, variances, np.empty((4, channels, 168), wide), sizes)
        return rows[16 * start : 16 * stop]

    whole = filtered(0, 44, 0)
    assert np.abs(whole - photo.reshape(700, -1).astype(int)).mean() * unit > 2
    for start, stop in ((0, 1), (0, 44), (1, 3), (17, 30), (40, 44), (43, 44)):
        np.testing.assert_array_equal(filtered(start, stop, 32), whole[16 * start : 16 * stop])


def test_the_line_of_the_guided_filter():
    """By the formula, far from all edges: columns of 0 and 200 keep all but n / (v + n) of their contrast."""
    photo = np.tile(np.uint8([0, 0, 0, 0, 200, 200, 200, 200]), (256, 32))[..., np.newaxis].copy()
    variances = np.zeros((4, 17, 17, 1), np.float32)
    variances[0] = 5000
    sizes = tuple(np.empty((4, 32 >> size, 1, 128 >> size), np.float32) for size in range(4))
    original = photo.astype(np.float64).reshape(256, 256)
    grain.smooth_rows(photo.reshape(256, -1), 0, 16, np.float32(1), variances, np.empty((4, 1, 128), np.int16), sizes)
    half = original[::2, ::2]  # whose own filter, of variance 0, changes nothing
    windows = sum(np.roll(half, shift, axis=1) for shift in (-1, 0, 1)) / 3
    variance = windows * 200 - windows**2  # of values that are 0 or 200
    loss = 5000 / (variance + 5000)

    def doubled(plane: np.ndarray) -> np.ndarray:
        enlarged = np.empty((plane.shape[0], 2 * plane.shape[1]))
        enlarged[:, ::2] = 0.75 * plane + 0.25 * np.roll(plane, 1, axis=1)
        enlarged[:, 1::2] = 0.75 * plane + 0.25 * np.roll(plane, -1, axis=1)
        return np.repeat(enlarged, 2, axis=0)

    expected = original - doubled(loss) * original + doubled(loss * half)
    inner = np.s_[:, 16:-16]
    np.testing.assert_array_equal(photo[..., 0][inner], np.rint(np.clip(expected, 0, 255))[inner])


def test_rows_that_are_not_lifted_are_left_out_without_a_seam(monkeypatch):
    photo = striped(np.uint8)
    noise = estimate_noise(photo)
    noise_gain = np.full((700, 1), 2.0)
    noise_gain[200:500] = 0
    calls = []
    smooth_rows = grain.smooth_rows

    def counted(photo: np.ndarray, start: int, stop: int, *others: object) -> None:
        calls.append((start, stop))
        smooth_rows(photo, start, stop, *others)

    monkeypatch.setattr(grain, "smooth_rows", counted)
    parts = denoising.smooth(photo.copy(), noise, noise_gain)
    assert len(calls) == 2
    np.testing.assert_array_equal(parts[224:480], photo[224:480])
    monkeypatch.setattr(denoising, "NEGLIGIBLE", 0)
    np.testing.assert_array_equal(denoising.smooth(photo.copy(), noise, noise_gain), parts)
    assert calls[2:] == [(0, 44)]


def test_a_photo_is_filtered_in_place():
    photo = noisy(90, 15, (100, 120, 3))
    noise, everywhere = estimate_noise(photo), np.ones((1, 1))
    before = photo.copy()
    assert denoising.smooth(photo, noise, everywhere) is photo
    assert photo.std() < 0.4 * before.std()
    turned = np.rot90(before)
    upright = denoising.smooth(np.ascontiguousarray(turned), noise, everywhere)
    np.testing.assert_array_equal(denoising.smooth(turned, noise, everywhere), upright)


def test_strength_0_is_off_and_auto_is_1():
    photo = noisy(30, 3, (180, 240, 3))
    constant = model(-0.9, -0.9, -0.9)
    results = {
        denoise: Enhancer(constant, denoise=denoise, look="bright")(photo) for denoise in ("off", 0, "auto", 1.0)
    }
    np.testing.assert_array_equal(results["off"], results[0])
    np.testing.assert_array_equal(results["auto"], results[1.0])
    assert results["auto"].std() < 0.5 * results["off"].std()


def test_lifted_shadows_are_cleaned_and_lamps_are_not():
    photo = noisy(25, 2, (256, 256, 3))
    photo[:, 128:] = noisy(205, 2, (256, 128, 3))
    curves = Enhancer(model(-0.9, -0.9, -0.9), exposure=0.7, denoise="off", look="bright")
    enhancer = Enhancer(model(-0.9, -0.9, -0.9), exposure=0.7, look="bright")
    before, after = curves(photo), enhancer(photo)
    shadow, lamp = np.s_[:, :96], np.s_[:, 160:]
    assert after[shadow].std() < 0.4 * before[shadow].std()
    np.testing.assert_array_equal(after[lamp], before[lamp])


def test_a_photo_that_is_not_lifted_is_not_filtered():
    photo = noisy(140, 12, (128, 128, 3))
    np.testing.assert_array_equal(Enhancer(model(-0.5, -0.5))(photo), photo)


@pytest.mark.parametrize("channels", [3, 1])
def test_full_mode_and_16_bits_are_filtered_too(channels):
    photo = noisy(30, 3, (150, 100, channels), np.uint16)
    for curve_size in ("full", 256):
        off, auto = (
            Enhancer(model(-0.9, -0.9), curve_size, denoise=denoise, look="bright")(photo)
            for denoise in ("off", "auto")
        )
        assert auto.dtype == np.uint16
        assert auto.std() < 0.6 * off.std()
        assert abs(auto.mean() - off.mean()) < 0.002 * 65535


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"\(height, width, 3\)"):
        zerodce.denoise(np.zeros((4, 4, 4), np.uint8))
    with pytest.raises(TypeError, match="int32"):
        zerodce.denoise(np.zeros((4, 4), np.int32))
    with pytest.raises(ValueError, match="0 or more"):
        zerodce.denoise(np.zeros((4, 4), np.uint8), -1)


@pytest.mark.slow
def test_dark_pairs_gain_in_psnr_and_ssim(data):
    from PIL import Image

    from zerodce.images.metrics import psnr, ssim
    from zerodce.pretrained import load_pretrained

    shipped = load_pretrained()
    off, auto = Enhancer(shipped, denoise="off"), Enhancer(shipped)
    for name in ("eval15/{}/493", "our485/{}/9"):
        low, high = (
            np.asarray(Image.open(data / "lol" / f"{name.format(part)}.png").convert("RGB")) for part in ("low", "high")
        )
        noisy_result, result = off(low), auto(low)
        assert psnr(result, high) > psnr(noisy_result, high)
        assert ssim(result, high) > ssim(noisy_result, high) + 0.05
        assert np.mean(estimate_sigma(result, channel_axis=2)) < 0.5 * np.mean(
            estimate_sigma(noisy_result, channel_axis=2)
        )
