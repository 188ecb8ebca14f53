"""Every loss beside an independent computation: plain NumPy, `tf.image`, or numbers worked out by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from zerodce.recipes import ORIGINAL, PAPER
from zerodce.training import losses, writeup
from zerodce.training.model import ZeroDCE

SHAPES = [(1, 32, 48), (3, 64, 32)]
"""Batch, height, width: two sizes and two batch sizes."""


@pytest.fixture(params=SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def case(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, enhanced images and maps of one shape, at random, float32 as they come to the losses."""
    random = np.random.default_rng(sum(request.param))
    image = random.uniform(0, 0.4, (*request.param, 3))
    enhanced = np.clip(image * 2 + random.normal(0, 0.05, image.shape), 0, 1)
    maps = random.uniform(-1, 1, (*request.param, 24))
    return tuple(array.astype(np.float32) for array in (image, enhanced, maps))


def block_means(image: np.ndarray, side: int) -> np.ndarray:
    """(height, width, 3) -> means over colour and blocks, by slicing."""
    rows, columns = image.shape[0] // side, image.shape[1] // side
    return np.array(
        [
            [image[y * side : (y + 1) * side, x * side : (x + 1) * side].mean() for x in range(columns)]
            for y in range(rows)
        ]
    )


def numpy_color_constancy(enhanced: np.ndarray) -> float:
    values = []
    for image in enhanced.astype(np.float64):
        r, g, b = image[..., 0].mean(), image[..., 1].mean(), image[..., 2].mean()
        values.append(np.sqrt((r - g) ** 4 + (r - b) ** 4 + (g - b) ** 4))
    return float(np.mean(values))


def numpy_exposure(enhanced: np.ndarray, level: float, patch: int) -> float:
    blocks = np.stack([block_means(image, patch) for image in enhanced.astype(np.float64)])
    return float(np.mean((blocks - level) ** 2))


def numpy_illumination_smoothness(maps: np.ndarray) -> float:
    """As the released PyTorch code counts: steps summed over the maps, divided by the steps in one map."""
    batch, height, width, _ = maps.shape
    vertical = np.sum(np.diff(maps.astype(np.float64), axis=1) ** 2) / ((height - 1) * width)
    horizontal = np.sum(np.diff(maps.astype(np.float64), axis=2) ** 2) / (height * (width - 1))
    return 2 * (vertical + horizontal) / batch


def numpy_spatial_consistency(image: np.ndarray, enhanced: np.ndarray) -> float:
    values = []
    for before, after in zip(image.astype(np.float64), enhanced.astype(np.float64), strict=True):
        before, after = np.pad(block_means(before, 4), 1), np.pad(block_means(after, 4), 1)
        for y in range(1, before.shape[0] - 1):
            for x in range(1, before.shape[1] - 1):
                neighbours = [(y, x - 1), (y, x + 1), (y - 1, x), (y + 1, x)]
                values.append(sum(((before[y, x] - before[at]) - (after[y, x] - after[at])) ** 2 for at in neighbours))
    return float(np.mean(values))


def test_color_constancy(case: tuple[np.ndarray, ...]) -> None:
    _, enhanced, _ = case
    tinted = enhanced * np.float32([1, 0.7, 0.4])
    assert float(losses.color_constancy(tinted)) == pytest.approx(numpy_color_constancy(tinted), rel=1e-4)


@pytest.mark.parametrize(("level", "patch"), [(0.6, 16), (0.45, 8), (0.5, 32)])
def test_exposure(case: tuple[np.ndarray, ...], level: float, patch: int) -> None:
    _, enhanced, _ = case
    assert float(losses.exposure(enhanced, level, patch)) == pytest.approx(
        numpy_exposure(enhanced, level, patch), rel=1e-4
    )


def test_illumination_smoothness(case: tuple[np.ndarray, ...]) -> None:
    _, _, maps = case
    assert float(losses.illumination_smoothness(maps)) == pytest.approx(numpy_illumination_smoothness(maps), rel=1e-4)


def test_spatial_consistency(case: tuple[np.ndarray, ...]) -> None:
    image, enhanced, _ = case
    assert float(losses.spatial_consistency(image, enhanced)) == pytest.approx(
        numpy_spatial_consistency(image, enhanced), rel=1e-4
    )


def test_ssim(case: tuple[np.ndarray, ...]) -> None:
    image, enhanced, _ = case
    expected = 1 - np.mean(tf.image.ssim(image, enhanced, max_val=1.0))
    assert float(losses.ssim(image, enhanced)) == pytest.approx(expected, abs=1e-4)  # kernels differ with the CPU


def test_total_variation(case: tuple[np.ndarray, ...]) -> None:
    """Against `tf.image.total_variation`, a sum: with as many rows as columns it is the mean times the steps."""
    _, enhanced, _ = case
    square = tf.constant(enhanced[:, :32, :32])
    expected = np.mean(tf.image.total_variation(square)) / (31 * 32 * 3)
    assert float(losses.total_variation(square)) == pytest.approx(expected, rel=1e-4)


def test_all_are_means_over_the_batch(case: tuple[np.ndarray, ...]) -> None:
    image, enhanced, maps = (array[:1] for array in case)
    for one, many in (
        (losses.color_constancy(enhanced), losses.color_constancy(np.repeat(enhanced, 4, 0))),
        (losses.exposure(enhanced), losses.exposure(np.repeat(enhanced, 4, 0))),
        (losses.illumination_smoothness(maps), losses.illumination_smoothness(np.repeat(maps, 4, 0))),
        (
            losses.spatial_consistency(image, enhanced),
            losses.spatial_consistency(np.repeat(image, 4, 0), np.repeat(enhanced, 4, 0)),
        ),
        (losses.ssim(image, enhanced), losses.ssim(np.repeat(image, 4, 0), np.repeat(enhanced, 4, 0))),
        (losses.total_variation(enhanced), losses.total_variation(np.repeat(enhanced, 4, 0))),
    ):
        assert float(many) == pytest.approx(float(one), rel=1e-4)


def test_none_grows_with_the_image() -> None:
    """A checkerboard of 16-pixel squares, 64 and 128 pixels wide: the interior is the same, the borders fewer."""
    y, x = np.indices((128, 128)) // 16
    board = (x + y) % 2
    large = np.repeat((0.2 + 0.5 * board)[None, ..., None], 3, axis=3).astype(np.float32)
    small = large[:, :64, :64]
    maps = np.repeat(large, 8, axis=3)
    dark = np.float32(0.3)
    for term in (
        lambda x: losses.exposure(x),
        lambda x: losses.spatial_consistency(x * dark, x),
        lambda x: losses.ssim(x * dark, x),
        lambda x: losses.total_variation(x),
        lambda x: losses.illumination_smoothness(maps[:, : x.shape[1], : x.shape[2]]),
    ):
        assert float(term(large)) == pytest.approx(float(term(small)), rel=0.25)


def grey(values: list[list[float]], side: int = 1) -> np.ndarray:
    """One grey image, (1, rows * side, columns * side, 3), of squares with the values."""
    squares = np.kron(np.float32(values), np.ones((side, side), np.float32))
    return np.repeat(squares[None, ..., None], 3, axis=3)


def test_color_constancy_by_hand() -> None:
    red = np.zeros((1, 2, 2, 3), np.float32)
    red[..., 0] = 0.5  # differences of 0.5, 0.5 and 0: sqrt(2 * 0.5^4)
    assert float(losses.color_constancy(red)) == pytest.approx(np.sqrt(0.125), rel=1e-6)


def test_color_constancy_of_grey_has_a_finite_gradient() -> None:
    image = tf.Variable(grey([[0.3, 0.6]]))
    with tf.GradientTape() as tape:
        loss = losses.color_constancy(image)
    assert float(loss) == pytest.approx(0, abs=1e-5)
    assert np.isfinite(tape.gradient(loss, image)).all()


def test_exposure_by_hand() -> None:
    image = grey([[0.2, 0.6], [0.8, 0.6]], side=16)  # 0.4^2 + 0 + 0.2^2 + 0 over four patches
    assert float(losses.exposure(image, level=0.6)) == pytest.approx(0.05, rel=1e-5)


def test_exposure_of_the_whole_image_by_hand() -> None:
    bright, dark = grey([[0.2, 0.6], [0.8, 0.6]]), grey([[0.1, 0.3], [0.1, 0.3]])  # means 0.55 and 0.2
    images = np.concatenate([bright, dark])
    assert float(losses.exposure(images, level=0.5, patch=None)) == pytest.approx((0.05**2 + 0.3**2) / 2, rel=1e-5)


def test_exposure_leaves_out_a_remainder() -> None:
    image = np.concatenate([grey([[0.6]], side=16), np.zeros((1, 16, 9, 3), np.float32)], axis=2)
    assert float(losses.exposure(image, level=0.6)) == pytest.approx(0, abs=1e-10)


def test_illumination_smoothness_by_hand() -> None:
    maps = np.zeros((1, 2, 3, 2), np.float32)
    maps[0, 1, :, 0] = 0.5  # vertical: 3 of 3 steps of 0.5 in one map, 0.25; horizontal: none
    maps[0, :, 2, 1] = 1.0  # horizontal: 2 of 4 steps of 1 in the other, 0.5
    assert float(losses.illumination_smoothness(maps)) == pytest.approx(2 * (0.25 + 0.5), rel=1e-6)


def test_spatial_consistency_by_hand() -> None:
    before, after = grey([[0.1, 0.3]], side=4), grey([[0.2, 0.8]], side=4)
    # The change is -0.1 and -0.5. Each region has one neighbour, 0.4 away, and three outside, where nothing changes.
    expected = ((0.4**2 + 3 * 0.1**2) + (0.4**2 + 3 * 0.5**2)) / 2
    assert float(losses.spatial_consistency(before, after)) == pytest.approx(expected, rel=1e-5)


def test_spatial_consistency_compares_above_and_below() -> None:
    before, after = grey([[0.1], [0.3]], side=4), grey([[0.2], [0.8]], side=4)
    turned = losses.spatial_consistency(before.transpose(0, 2, 1, 3), after.transpose(0, 2, 1, 3))
    assert float(losses.spatial_consistency(before, after)) == pytest.approx(float(turned), rel=1e-6)


def test_total_variation_by_hand() -> None:
    image = grey([[0.0, 0.5], [0.25, 0.75]])  # down: 0.25, 0.25; right: 0.5, 0.5
    assert float(losses.total_variation(image)) == pytest.approx(0.75, rel=1e-6)


def test_ssim_of_an_image_with_itself_is_no_loss() -> None:
    image = np.random.default_rng(0).uniform(size=(2, 16, 16, 3)).astype(np.float32)
    assert float(losses.ssim(image, image)) == pytest.approx(0, abs=1e-6)


class WriteupSpatialConsistency(keras.losses.Loss):
    """The write-up's class, to the letter."""

    def __init__(self) -> None:
        super().__init__(reduction="none")
        self.left_kernel = tf.constant([[[[0, 0, 0]], [[-1, 1, 0]], [[0, 0, 0]]]], dtype=tf.float32)
        self.right_kernel = tf.constant([[[[0, 0, 0]], [[0, 1, -1]], [[0, 0, 0]]]], dtype=tf.float32)
        self.up_kernel = tf.constant([[[[0, -1, 0]], [[0, 1, 0]], [[0, 0, 0]]]], dtype=tf.float32)
        self.down_kernel = tf.constant([[[[0, 0, 0]], [[0, 1, 0]], [[0, -1, 0]]]], dtype=tf.float32)

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        original_mean = tf.reduce_mean(y_true, 3, keepdims=True)
        enhanced_mean = tf.reduce_mean(y_pred, 3, keepdims=True)
        original_pool = tf.nn.avg_pool2d(original_mean, ksize=4, strides=4, padding="VALID")
        enhanced_pool = tf.nn.avg_pool2d(enhanced_mean, ksize=4, strides=4, padding="VALID")
        d_original_left = tf.nn.conv2d(original_pool, self.left_kernel, strides=[1, 1, 1, 1], padding="SAME")
        d_original_right = tf.nn.conv2d(original_pool, self.right_kernel, strides=[1, 1, 1, 1], padding="SAME")
        d_original_up = tf.nn.conv2d(original_pool, self.up_kernel, strides=[1, 1, 1, 1], padding="SAME")
        d_original_down = tf.nn.conv2d(original_pool, self.down_kernel, strides=[1, 1, 1, 1], padding="SAME")
        d_enhanced_left = tf.nn.conv2d(enhanced_pool, self.left_kernel, strides=[1, 1, 1, 1], padding="SAME")
        d_enhanced_right = tf.nn.conv2d(enhanced_pool, self.right_kernel, strides=[1, 1, 1, 1], padding="SAME")
        d_enhanced_up = tf.nn.conv2d(enhanced_pool, self.up_kernel, strides=[1, 1, 1, 1], padding="SAME")
        d_enhanced_down = tf.nn.conv2d(enhanced_pool, self.down_kernel, strides=[1, 1, 1, 1], padding="SAME")
        d_left = tf.square(d_original_left - d_enhanced_left)
        d_right = tf.square(d_original_right - d_enhanced_right)
        d_up = tf.square(d_original_up - d_enhanced_up)
        d_down = tf.square(d_original_down - d_enhanced_down)
        return d_left + d_right + d_up + d_down


def writeup_illumination_smoothness(x: tf.Tensor) -> tf.Tensor:
    """The write-up's function, to the letter."""
    batch_size = tf.shape(x)[0]
    h_x = tf.shape(x)[1]
    w_x = tf.shape(x)[2]
    count_h = (tf.shape(x)[2] - 1) * tf.shape(x)[3]
    count_w = tf.shape(x)[2] * (tf.shape(x)[3] - 1)
    h_tv = tf.reduce_sum(tf.square(x[:, 1:, :, :] - x[:, : h_x - 1, :, :]))
    w_tv = tf.reduce_sum(tf.square(x[:, :, 1:, :] - x[:, :, : w_x - 1, :]))
    batch_size = tf.cast(batch_size, dtype=tf.float32)
    count_h = tf.cast(count_h, dtype=tf.float32)
    count_w = tf.cast(count_w, dtype=tf.float32)
    return 2 * (h_tv / count_h + w_tv / count_w) / batch_size


def test_writeup_variants_are_the_writeups(case: tuple[np.ndarray, ...]) -> None:
    image, enhanced, maps = case
    expected = np.mean(WriteupSpatialConsistency()(enhanced, image))
    assert float(writeup.spatial_consistency(image, enhanced)) == pytest.approx(expected, rel=1e-4)
    assert float(writeup.illumination_smoothness(maps)) == pytest.approx(
        float(writeup_illumination_smoothness(tf.constant(maps))), rel=1e-4
    )
    assert float(writeup.total_variation(enhanced)) == pytest.approx(
        float(tf.reduce_sum(tf.image.total_variation(tf.constant(enhanced)))), rel=1e-4
    )


def test_paper_recipe_totals_to_its_four_terms(case: tuple[np.ndarray, ...]) -> None:
    image, enhanced, maps = case
    terms = ZeroDCE(PAPER).loss_terms(image, {"maps": maps, "enhanced": enhanced})
    expected = (
        200 * numpy_illumination_smoothness(maps)
        + numpy_spatial_consistency(image, enhanced)
        + 5 * numpy_color_constancy(enhanced)
        + 10 * numpy_exposure(enhanced, 0.6, 16)
    )
    assert float(sum(terms.values())) == pytest.approx(expected, rel=1e-4)


def test_original_recipe_totals_to_the_writeups(case: tuple[np.ndarray, ...]) -> None:
    image, enhanced, maps = case
    terms = ZeroDCE(ORIGINAL).loss_terms(image, {"maps": maps, "enhanced": enhanced})
    expected = (
        200 * writeup_illumination_smoothness(tf.constant(maps))
        + tf.reduce_mean(WriteupSpatialConsistency()(enhanced, image))
        + 5 * numpy_color_constancy(enhanced)
        + 10 * numpy_exposure(enhanced, 0.6, 16)
        + tf.reduce_mean(1 - tf.image.ssim(image, enhanced, max_val=1.0))
        + 0.1 * tf.reduce_sum(tf.image.total_variation(tf.constant(enhanced)))
    )
    assert float(sum(terms.values())) == pytest.approx(float(expected), rel=1e-4)
