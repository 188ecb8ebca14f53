from types import SimpleNamespace

import numpy as np
import pytest
from skimage import data as samples
from skimage.restoration import estimate_sigma

import zerodce
from benchmarks import scenes
from benchmarks.scenes import grain
from zerodce import denoising
from zerodce.enhancement import Enhancer
from zerodce.noise import estimate_noise


def noisy(level: float, sigma: float, shape: tuple[int, ...], dtype: type = np.uint8) -> np.ndarray:
    values = np.random.default_rng(1).normal(level, sigma, shape)
    unit = np.iinfo(dtype).max / 255
    return np.rint(np.clip(values, 0, 255) * unit).astype(dtype)


def model(*parameters: float) -> SimpleNamespace:
    """Stands in for a ZeroDCE: the same curve everywhere."""
    maps = np.zeros((8, 3), np.float32)
    maps[: len(parameters)] = np.reshape(parameters, (-1, 1))
    return SimpleNamespace(
        network=SimpleNamespace(
            name="dce_net", predict_on_batch=lambda images: np.broadcast_to(maps.reshape(24), (*images.shape[:3], 24))
        ),
        strength=lambda images: np.ones(1),
    )


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
    noise = np.dstack([3 * grain(width, scene.shape[:2], seed) for seed in range(3)])
    image = np.clip(np.rint(scene + noise), 0, 255).astype(np.uint8)
    assert psnr(zerodce.denoise(image), scene) > psnr(image, scene) + gain


@pytest.mark.parametrize(("width", "gain"), [(2, 4), (4, 3.5), (8, 1.5)])
def test_coloured_blotches_are_taken_out(scene, width, gain):
    blotches = 3 * grain(width, scene.shape[:2])[..., np.newaxis] * [1.4, -0.7, 0]  # Cr alone
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


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_bands_show_no_seams(dtype, monkeypatch):
    photo = noisy(90, 15, (700, 333, 3), dtype)
    photo[::9] //= 2
    noise = estimate_noise(photo)
    noise_gain = np.random.default_rng(0).uniform(0, 2, (30, 14))
    monkeypatch.setattr(denoising, "BAND", 10_000)
    whole = denoising.smooth(photo, noise, noise_gain)
    for band in (32, 64, 256):
        monkeypatch.setattr(denoising, "BAND", band)
        np.testing.assert_array_equal(denoising.smooth(photo, noise, noise_gain), whole)


def test_strength_0_is_off_and_auto_is_1():
    photo = noisy(30, 3, (180, 240, 3))
    results = {
        denoise: Enhancer(model(-0.9, -0.9, -0.9), denoise=denoise)(photo) for denoise in ("off", 0, "auto", 1.0)
    }
    np.testing.assert_array_equal(results["off"], results[0])
    np.testing.assert_array_equal(results["auto"], results[1.0])
    assert results["auto"].std() < 0.5 * results["off"].std()


def test_lifted_shadows_are_cleaned_and_lamps_are_not():
    photo = noisy(25, 2, (256, 256, 3))
    photo[:, 128:] = noisy(205, 2, (256, 128, 3))
    curves = Enhancer(model(-0.9, -0.9, -0.9), exposure=0.7, denoise="off")
    enhancer = Enhancer(model(-0.9, -0.9, -0.9), exposure=0.7)
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
        off, auto = (Enhancer(model(-0.9, -0.9), curve_size, denoise=denoise)(photo) for denoise in ("off", "auto"))
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


def test_dark_pairs_gain_in_psnr_and_ssim(data):
    from PIL import Image

    from zerodce.metrics import psnr, ssim
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
