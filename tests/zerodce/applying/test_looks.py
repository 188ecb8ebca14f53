"""How much light a photo wants: by hand on pictures of a few tones, and by property on any."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from zerodce.applying import looks
from zerodce.applying.looks import Ramp
from zerodce.curves import tensors
from zerodce.curves.tones import KNOT_BRIGHTNESS, KNOTS, tone

SIZE = (96, 128)


def picture(*parts: tuple[float, int]) -> np.ndarray:
    """Stripes of grey, each a share of the width and a level: uint8 (96, 128, 3)."""
    columns = np.concatenate([np.full(round(share * SIZE[1]), level) for share, level in parts])
    return np.repeat(np.tile(columns.astype(np.uint8), (SIZE[0], 1))[..., np.newaxis], 3, axis=2)


def textured(small: np.ndarray, part: np.ndarray, contrast: float = 0.5) -> np.ndarray:
    """The picture with a chequered pattern in a part of it."""
    pattern = 1 + contrast * ((np.indices(small.shape[:2]).sum(axis=0) // 2 % 2) * 2 - 1)
    made = small * np.where(part, pattern, 1)[..., np.newaxis]
    return np.rint(made).clip(0, 255).astype(np.uint8)


def knot(level: int) -> int:
    return int(np.abs(KNOT_BRIGHTNESS - level / 255).argmin())


def test_a_ramp_by_hand() -> None:
    """3 t^2 - 2 t^3 at a quarter of the way is 0.15625."""
    np.testing.assert_allclose(Ramp(0.2, 0.6).at(np.array([0, 0.2, 0.3, 0.4, 0.6, 1])), [0, 0, 0.15625, 0.5, 1, 1])
    assert Ramp(1, 3).towards(Ramp(2, 7), 0.5) == (1.5, 5)


@pytest.mark.parametrize(("level", "aim"), [(2, 0.08 + 16 / 255), (10, 0.08 + 80 / 255), (20, 0.505), (45, 0.505)])
def test_a_dim_photo_gets_all_of_the_light(level: int, aim: float) -> None:
    light = looks.light(picture((1, level)), "natural")
    assert tone(level / 255, light.amount) == pytest.approx(aim, abs=0.005)
    np.testing.assert_array_equal(light.shares, 1)
    np.testing.assert_array_equal(light.added, 0)
    assert light.most == pytest.approx(aim)
    assert (light.held, light.steepest) == (0, 30)


def test_bright_is_the_even_strength_of_the_teacher() -> None:
    """The same rule, found by a histogram here and by pixels there."""
    random = np.random.default_rng(0)
    for level in (4, 20, 60, 100, 130):
        small = random.gamma(2, level / 2, (*SIZE, 3)).clip(0, 255).astype(np.uint8)
        expected = float(np.ravel(tensors.even_strength(small[np.newaxis].astype(np.float32) / 255))[0])
        assert looks.light(small, "bright").amount == pytest.approx(expected, abs=0.01)


def test_a_black_sky_stays_and_what_has_detail_below_it_opens() -> None:
    """Half a smooth sky of 12, a third of textured ground of 40, and lamps of 220."""
    small = picture((0.5, 12), (0.4375, 40), (0.0625, 220))
    ground = small[..., 0] == 40
    light = looks.light(textured(small, ground), "natural")
    assert light.held == 1
    assert light.amount > 0.01
    assert light.shares[knot(12)] < 0.1
    assert light.shares[knot(40)] > 0.9
    assert light.shares[knot(240)] < 0.3


def test_without_texture_the_ground_stays_too() -> None:
    light = looks.light(picture((0.5, 4), (0.4375, 12), (0.0625, 220)), "natural")
    assert light.shares[: knot(12) + 1].max() < 0.1


def test_shadows_open_part_of_the_way() -> None:
    """40 % textured shadow of 25, the rest at 180: the root of their mean goes 0.36 of the way to that of 0.2."""
    small = picture((0.40625, 25), (0.59375, 100))
    shadow = small[..., 0] == 25
    small[..., :][~shadow] = 180
    small = textured(small, shadow, 0.2)
    light = looks.light(small, "natural")
    before = small[shadow].mean() / 255
    wanted = (before**0.5 + 0.36 * (0.2**0.5 - before**0.5)) ** 2
    # the mean is above 0.4 and the photo backlit: shadows need no more area than in a dark one
    assert small.mean() / 255 > 0.4
    assert tone(small[shadow] / 255, light.amount).mean() == pytest.approx(wanted, abs=0.004)


def test_a_well_exposed_photo_gets_nothing() -> None:
    random = np.random.default_rng(1)
    for small in (picture((0.05, 20), (0.95, 120)), picture((1, 110)), picture((0.5, 90), (0.5, 140))):
        assert looks.light(small, "natural").nothing
    smooth = cv2.GaussianBlur(random.normal(120, 400, (*SIZE, 3)).astype(np.float32), (0, 0), 6)
    assert looks.light(smooth.clip(40, 250).astype(np.uint8), "natural").nothing


def test_a_flat_photo_gets_midtones() -> None:
    """From 60 to 200, mean 0.33: nothing at its blacks, most in between."""
    light = looks.light(picture((0.3, 50), (0.5, 75), (0.2, 160)), "natural")
    assert light.amount == pytest.approx(0, abs=0.01)
    assert light.added[knot(35)] < 0.001
    assert light.added.max() == pytest.approx(0.03, abs=0.02)
    assert light.added[0] == light.added[-1] == 0


@given(arrays(np.uint8, (12, 16, 3)), st.sampled_from(["natural", "bright"]))
def test_every_photo_gets_something_in_range(small: np.ndarray, look: looks.Look) -> None:
    light = looks.light(small, look)
    assert 0 <= light.amount <= tensors.MAX_EVEN
    for values in (light.shares, light.added):
        assert values.shape == (KNOTS,)
        assert np.all((values >= 0) & (values <= 1))
    assert 0 <= light.held <= 1
    assert light.steepest >= 2.2


def test_photos_that_are_nearly_alike_get_nearly_the_same() -> None:
    """A series of exposures of one scene, in small steps: no jump from one to the next."""
    random = np.random.default_rng(2)
    scene = random.gamma(0.7, 0.3, (*SIZE, 3))
    amounts, means = [], []
    for exposure in np.geomspace(0.05, 2, 300):
        small = np.rint(255 * np.clip(scene * exposure, 0, 1) ** (1 / 2.2)).astype(np.uint8)
        light = looks.light(small, "natural")
        amounts.append(light.amount)
        means.append(float((light.shares + light.added).mean()))
    assert np.abs(np.diff(amounts)).max() < 0.02
    assert np.abs(np.diff(means)).max() < 0.1
