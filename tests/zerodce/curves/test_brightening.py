"""The curves: by hand, against SciPy's interpolation, and the same for tiles, types and channels."""

import colorsys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from zerodce.curves import tones
from zerodce.curves.brightening import HUE, HUE_KEPT, SATURATION, brighten, surroundings
from zerodce.curves.tones import apply_curves


def same_everywhere(strengths: np.ndarray | float) -> np.ndarray:
    """One cell, one channel: a strength, or one for each of 256 brightnesses."""
    return np.broadcast_to(np.float64(strengths), 256).reshape(1, 1, 256, 1)


def random_tables(rng: np.random.Generator, rows: int, columns: int, channels: int, least: float = 0) -> np.ndarray:
    """Tables of random strengths at the knots, as `zerodce.curves.tones` makes them."""
    return tones.tables(rng.uniform(least, 1, (rows, columns, tones.KNOTS, channels)))


def risen(value: float, strength: float) -> float:
    for _ in range(8):
        value += strength * (value - value**2)
    return value


def test_two_iterations_by_hand() -> None:
    image = np.full((1, 1, 1, 3), 0.5, np.float32)
    maps = np.array([-1, 0, 1, -1, 0, 0.5], np.float32).reshape(1, 1, 1, 6)
    # red: 0.5 + 0.25 = 0.75, then 0.75 + 0.1875; green stays; blue: 0.5 - 0.25 = 0.25, then 0.25 - 0.5 * 0.1875
    np.testing.assert_allclose(np.ravel(apply_curves(image, maps)), [0.9375, 0.5, 0.15625], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_one_dark_pixel_by_hand(dtype: type) -> None:
    """A strength of 1 makes 1 - (1 - v)**256 of v; brightness, here 2 of 255, says which strength it is."""
    strengths = np.zeros(256)
    strengths[2] = 1
    unit = np.iinfo(dtype).max // 255
    photo = np.array([2, 1, 0], dtype).reshape(1, 1, 3) * dtype(unit)
    expected = [255 * unit * (1 - (1 - v / 255) ** 256) for v in (2, 1, 0)]
    np.testing.assert_allclose(brighten(photo, same_everywhere(strengths))[0, 0], expected, atol=0.51 * unit**0.25)
    photo[..., 0] = 3 * unit  # now the strength is that of 3
    np.testing.assert_array_equal(brighten(photo, same_everywhere(strengths)), photo)


def test_a_bright_saturated_pixel_by_hand() -> None:
    """It goes 0.65 of the way from the curves to a colour of its own hue, and less pale than they make it.

    There the largest channel follows the curve, the smallest goes half of the way from where the curve has it to
    the ratio that it had, 80 / 200, and the middle one keeps its place: (140 - 80) / 120 is a half.
    """
    photo = np.array([200, 140, 80], np.uint8).reshape(1, 1, 3)
    top, middle, least = (255 * risen(v / 255, 0.2) for v in (200, 140, 80))
    bottom = 0.5 * least + 0.5 * 0.4 * top
    assert middle > (top + bottom) / 2 + 20
    found = brighten(photo, same_everywhere(0.2))[0, 0]
    expected = 0.35 * np.array([top, middle, least]) + 0.65 * np.array([top, (top + bottom) / 2, bottom])
    np.testing.assert_allclose(found, expected, atol=1)


def smoothstep(value: np.ndarray, start: float, end: float) -> np.ndarray:
    share = np.clip((value - start) / (end - start), 0, 1)
    return 3 * share**2 - 2 * share**3


def by_scipy(photo: np.ndarray, tables: np.ndarray) -> np.ndarray:
    """What `brighten` promises, from SciPy's trilinear interpolation of the tables at full size."""
    levels = np.iinfo(photo.dtype).max
    image = photo / levels
    height, width, channels = photo.shape
    rows, columns, count, parts = tables.shape
    brightness = image.max(axis=2)
    down = (np.arange(height) + 0.5) * rows / height - 0.5
    across = (np.arange(width) + 0.5) * columns / width - 0.5
    places = [*np.meshgrid(down, across, indexing="ij"), brightness * (count - 1)]
    strengths = [ndimage.map_coordinates(tables[..., c], places, order=1, mode="nearest") for c in range(parts)]
    enhanced = np.stack([image[..., c] for c in range(channels)])
    for _ in range(8):
        enhanced += np.stack([strengths[min(c, parts - 1)] for c in range(channels)]) * (enhanced - enhanced**2)
    if channels == 3:
        least = image.min(axis=2)
        saturation = 1 - least / np.maximum(brightness, 1e-9)
        keep = HUE_KEPT * smoothstep(brightness, *HUE[:2]) * smoothstep(saturation, *HUE[2:])
        place = (image - least[..., np.newaxis]) / np.maximum(brightness - least, 1e-9)[..., np.newaxis]
        bottom, top = enhanced.min(axis=0), enhanced.max(axis=0)
        bottom += SATURATION * (top * least / np.maximum(brightness, 1e-9) - bottom)
        kept = bottom + (top - bottom) * np.moveaxis(place, 2, 0)
        enhanced += keep * (kept - enhanced)
    return np.moveaxis(np.floor(np.clip(enhanced, 0, 1) * levels + 0.5), 0, 2)


@settings(max_examples=40)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 1100),
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    shape=st.sampled_from([(1, 1), (3, 1), (3, 3)]),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    seed=st.integers(0, 2**16),
)
def test_brighten_equals_interpolating_the_tables_first(
    height: int, width: int, rows: int, columns: int, shape: tuple[int, int], dtype: type, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    levels = np.iinfo(dtype).max
    photo = rng.integers(0, levels + 1, (height, width, shape[0]), dtype=dtype)
    tables = rng.uniform(-1, 1, (rows, columns, 256, shape[1]))
    before = photo.copy()
    enhanced = brighten(photo, tables)
    assert enhanced.dtype == dtype
    assert np.abs(enhanced - by_scipy(photo, tables)).max() <= (1 if levels == 255 else 12)
    np.testing.assert_array_equal(photo, before)


@pytest.mark.parametrize("shape", [(1, 1, 256, 3), (2, 1, 256, 1), (1, 3, 256, 1)])
def test_the_path_of_8_bits_is_that_of_all_photos(shape: tuple[int, ...]) -> None:
    """All brightnesses and many colours; tables of more cells or channels, all alike, are not looked up."""
    rng = np.random.default_rng(4)
    photo = rng.integers(0, 256, (300, 700, 3), dtype=np.uint8)
    photo[:100] //= 8
    photo[100:150, :, 1:] //= 16
    for least in (-1, 0):
        tables = random_tables(rng, 1, 1, 1, least)
        looked_up = brighten(photo, tables).astype(int)
        computed = brighten(photo, np.broadcast_to(tables, shape))
        assert np.abs(looked_up - computed).max() <= 1
        assert np.mean(looked_up != computed) < 0.01


def test_sixteen_bits_keep_their_depth() -> None:
    photo = np.linspace(0, 65535, 3 * 50 * 40).reshape(50, 40, 3).astype(np.uint16)
    tables = same_everywhere(0.4)
    enhanced = brighten(photo, tables)
    assert enhanced.dtype == np.uint16
    assert np.abs(enhanced.astype(float) - by_scipy(photo, tables)).max() <= 2
    assert len(np.unique(enhanced)) > 4000


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.004, 0.02]), st.sampled_from([(1, 1), (2, 3)]))
def test_gradients_stay_gradients(seed: int, floor: float, cells: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    grid = rng.uniform(-1, 1, (1, 1, tones.KNOTS, 1)) * np.ones((*cells, 1, 1))
    grey = np.arange(256, dtype=np.uint8).reshape(1, 256, 1)
    enhanced = brighten(np.repeat(grey, 3, axis=2), tones.tables(grid, floor)).astype(int)
    assert np.diff(enhanced, axis=1).min() >= 0
    # two loops: float32 sums in another order round a value near a half the other way
    np.testing.assert_allclose(enhanced[..., :1], brighten(grey, tones.tables(grid, floor)), atol=1)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.004, 0.02]))
def test_gradients_of_16_bits_stay_gradients(seed: int, floor: float) -> None:
    """Of strengths that fall or rise gently, as networks give them."""
    rng = np.random.default_rng(seed)
    grid = np.linspace(*rng.uniform(0, 0.6, 2), tones.KNOTS).reshape(1, 1, -1, 1)
    grey = np.arange(65536, dtype=np.uint16).reshape(1, -1, 1)
    assert np.diff(brighten(grey, tones.tables(grid, floor)).astype(int), axis=1).min() >= -1


@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 3), st.sampled_from([1, 3]))
def test_no_strengths_clip_what_was_not(seed: int, rows: int, columns: int, channels: int) -> None:
    """A largest channel below 247 stays below 251, whatever the strengths at the knots."""
    rng = np.random.default_rng(seed)
    grid = np.where(rng.random((rows, columns, tones.KNOTS, channels)) < 0.5, 1, rng.uniform(-1, 1))
    photo = rng.integers(0, 247, (40, 50, 3), dtype=np.uint8)
    photo[:10] = np.maximum(photo[:10], 230)
    photo[0, :, 0] = 246
    enhanced = brighten(photo, tones.tables(grid))
    assert enhanced.max() < 251
    deep = brighten(photo * np.uint16(257), tones.tables(grid))
    assert deep.max() < 251 * 257


def rotation(before: list[int], after: list[int]) -> float:
    """The difference of two hues in degrees."""
    turned = colorsys.rgb_to_hsv(*after)[0] - colorsys.rgb_to_hsv(*before)[0]
    return abs((turned + 0.5) % 1 - 0.5) * 360


@given(st.integers(0, 2**32 - 1))
def test_hue_of_what_is_bright_and_saturated_is_kept(seed: int) -> None:
    """It turns by less than six tenths of what the curves alone would turn it."""
    rng = np.random.default_rng(seed)
    tables = random_tables(rng, 1, 1, 1) * rng.uniform(0.1, 0.5)
    colours = rng.integers(0, 247, (1, 200, 3))
    colours[..., 0] = rng.integers(128, 247, 200)
    vivid = colours.min(axis=2) <= 0.5 * colours.max(axis=2)
    strengths = np.interp(colours.max(axis=2), np.arange(256), tables.ravel())[..., np.newaxis]
    curves = 65535 * tones.tone(colours / 255, strengths)
    for photo, rounding in ((colours.astype(np.uint8), 2), (colours.astype(np.uint16) * 257, 0.05)):
        enhanced = brighten(photo, tables)
        for before, after, curve in zip(photo[vivid].tolist(), enhanced[vivid].tolist(), curves[vivid], strict=True):
            if max(after) - min(after) > 0.2 * max(after):  # of what is left of less, rounding alone turns the hue
                assert rotation(before, after) < 0.6 * rotation(before, curve.tolist()) + rounding


def test_grey_stays_grey() -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8).reshape(1, 256, 1), 3, axis=2)
    for cells in ((1, 1), (2, 2)):
        enhanced = brighten(grey, random_tables(np.random.default_rng(0), *cells, 1))
        assert (enhanced != grey).any()
        np.testing.assert_array_equal(enhanced[..., :2], enhanced[..., 1:])


def test_an_edge_has_no_halo() -> None:
    """Each side comes out as flat as it went in, even where the strengths of light and shade differ widely."""
    photo = np.full((64, 96, 3), 12, np.uint8)
    photo[:, 48:] = 180
    strengths = np.linspace(0.9, 0.02, 256)
    for tables in (same_everywhere(strengths), np.broadcast_to(same_everywhere(strengths), (4, 4, 256, 1))):
        enhanced = brighten(photo, tables)
        assert np.unique(enhanced[:, :48]).size == 1
        assert np.unique(enhanced[:, 48:]).size == 1
        for side, level in ((0, 12), (-1, 180)):
            assert enhanced[0, side, 0] == round(255 * risen(level / 255, strengths[level]))


@pytest.mark.parametrize("shape", [(1, 1, 256, 1), (3, 9, 256, 3), (1, 1, 16, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_zero_tables_change_nothing(shape: tuple[int, ...], dtype: type) -> None:
    photo = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (33, 600, 3), dtype=dtype)
    np.testing.assert_array_equal(brighten(photo, np.zeros(shape)), photo)


@pytest.mark.parametrize("cells", [(1, 1), (4, 6)])
def test_a_view_that_is_not_contiguous_is_brightened_alike(cells: tuple[int, int]) -> None:
    photo = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    tables = random_tables(np.random.default_rng(2), *cells, 3 if cells != (1, 1) else 1)
    turned = brighten(np.rot90(photo), np.rot90(tables))
    assert np.abs(np.rot90(turned, -1).astype(int) - brighten(photo, tables)).max() <= 1


@pytest.mark.parametrize(
    ("photo", "tables", "error"),
    [
        (np.zeros((2, 2, 3), np.float32), np.zeros((1, 1, 256, 1)), TypeError),
        (np.zeros((2, 2), np.uint8), np.zeros((1, 1, 256, 1)), ValueError),
        (np.zeros((2, 2, 4), np.uint8), np.zeros((1, 1, 256, 1)), ValueError),
        (np.zeros((2, 2, 3), np.uint8), np.zeros((1, 1, 256)), ValueError),
        (np.zeros((2, 2, 3), np.uint8), np.zeros((1, 1, 256, 2)), ValueError),
        (np.zeros((2, 2, 1), np.uint8), np.zeros((1, 1, 256, 3)), ValueError),
    ],
)
def test_what_does_not_fit_is_refused(photo: np.ndarray, tables: np.ndarray, error: type[Exception]) -> None:
    with pytest.raises(error):
        brighten(photo, tables)


def lit_scene(seed: int) -> np.ndarray:
    """Blobs of light of many sizes before a dark ground, with colours and grain; uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:150, 0:210]
    image = np.full((150, 210, 3), 0.02)
    for _ in range(12):
        distance = ((y - rng.uniform(0, 150)) ** 2 + (x - rng.uniform(0, 210)) ** 2) / rng.uniform(5, 60) ** 2
        image += rng.uniform(0, 0.4, 3) * np.exp(-distance)[..., np.newaxis]
    return np.rint(255 * np.clip(image + rng.normal(0, 0.03, image.shape), 0, 1)).astype(np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_strength_of_the_surroundings_by_numpy(dtype: type, channels: int) -> None:
    photo = lit_scene(1)[..., :channels].astype(dtype) * (np.iinfo(dtype).max // 255)
    levels, strengths = np.iinfo(dtype).max, np.linspace(0.5, 0.05, 256)
    around = surroundings(cv2.resize(lit_scene(1), (70, 50), interpolation=cv2.INTER_AREA))
    found = brighten(photo, same_everywhere(strengths), around).astype(float)
    slope, offset = np.moveaxis(cv2.resize(around, (210, 150), interpolation=cv2.INTER_LINEAR), 2, 0)
    brightness = photo.max(axis=2) / levels
    own, other = (
        tones.tone(brightness, np.interp(at, np.linspace(0, 1, 256), strengths))
        for at in (brightness, (slope * np.sqrt(brightness) + offset) ** 2)
    )
    lift = np.minimum(other, np.maximum(tones.highest(brightness), own)) / np.maximum(own, 1e-6)
    assert lift.min() < 0.95
    assert lift.max() > 1.015
    expected = brighten(photo.astype(np.uint16) * (65535 // levels), same_everywhere(strengths)) / 65535
    difference = np.abs(found - levels * expected * lift[..., np.newaxis])
    assert difference.max() < 1.5 * levels / 255  # strengths are read at 256 steps of the root
    assert difference.mean() < 0.35 * levels / 255


def test_surroundings_of_what_is_flat_are_flat() -> None:
    around = surroundings(np.full((60, 90, 3), 64, np.uint8))
    np.testing.assert_allclose(around[..., 0], 0, atol=1e-4)
    np.testing.assert_allclose(around[..., 1], np.sqrt(64 / 255), atol=1e-4)


def test_surroundings_of_an_edge_by_hand() -> None:
    """Roots 0 and 1 have a variance of a quarter in its middle: slope 0.25**2 / (0.25**2 + 0.002**2), averaged."""
    photo = np.zeros((128, 128, 3), np.uint8)
    photo[:, 64:] = 255
    around = surroundings(photo)
    share = np.arange(1, 17) / 17  # of the window of 17 that is white, in the columns from the edge on
    variances = share * (1 - share)
    slopes = np.concatenate([[0], variances**2 / (variances**2 + 0.002**2), [0]])
    np.testing.assert_allclose(around[64, 63, 0], np.mean(slopes[1:18]), atol=0.005)
    assert np.abs(around[:, :40]).max() < 1e-4
    np.testing.assert_allclose(around[:, 90:], [[[0, 1]]] * np.ones((128, 38, 1)), atol=1e-4)


def test_an_edge_has_no_halo_by_its_surroundings() -> None:
    """Beside an edge between night and a lit window each side stays within five steps of what it is far from it."""
    photo = np.full((96, 144, 3), 12, np.uint8)
    photo[:, 72:] = 180
    enhanced = brighten(photo, same_everywhere(np.linspace(0.6, 0.02, 256)), surroundings(photo)).astype(int)
    assert np.abs(enhanced[:, :72] - enhanced[:1, :1]).max() <= 5
    assert np.abs(enhanced[:, 72:] - enhanced[:1, -1:]).max() <= 5


def test_gradients_stay_smooth_by_their_surroundings() -> None:
    """A sky from 5 to 250 of 255: in 16 bits nowhere darker to the right, without bands; in 8 by one step at most."""
    sky = np.tile(np.linspace(5, 250, 800) / 255, (100, 1))[..., np.newaxis].repeat(3, axis=2)
    around = surroundings(cv2.resize(np.rint(255 * sky).astype(np.uint8), (128, 16), interpolation=cv2.INTER_AREA))
    tables = tones.tables(np.linspace(0.6, 0.05, tones.KNOTS).reshape(1, 1, -1, 1))
    deep = brighten(np.rint(65535 * sky).astype(np.uint16), tables, around)[50, :, 0].astype(int)
    steps = np.diff(deep)
    assert steps.min() >= 0
    assert np.abs(np.diff(steps)).max() < 120  # half a step of 255
    eight = brighten(np.rint(255 * sky).astype(np.uint8), tables, around)[50, :, 0].astype(int)
    assert np.diff(eight).min() >= -1
    assert np.abs(eight - deep / 257).max() < 6  # half a step of the input


def test_surroundings_are_for_one_cell() -> None:
    with pytest.raises(ValueError, match="differ by place"):
        brighten(lit_scene(0), same_everywhere(0.2) * np.ones((2, 2, 1, 1)), surroundings(lit_scene(0)))
