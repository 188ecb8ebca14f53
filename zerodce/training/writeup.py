"""The write-up's variants of three losses, including its faults, so that its result can be reproduced.

Shapes and ranges are those of `zerodce.training.losses`. Only the `original` recipe should use them.
"""

import numpy as np
from keras import KerasTensor, ops

# Intended as four 3x3 kernels (left, right, up, down). But a convolution reads the shape (1, 3, 1, 3) as height 1,
# width 3, one channel in and three out. So they never compare a pixel with those above and below.
_KERNELS = np.array(
    [
        [[[[0, 0, 0]], [[-1, 1, 0]], [[0, 0, 0]]]],
        [[[[0, 0, 0]], [[0, 1, -1]], [[0, 0, 0]]]],
        [[[[0, -1, 0]], [[0, 1, 0]], [[0, 0, 0]]]],
        [[[[0, 0, 0]], [[0, 1, 0]], [[0, -1, 0]]]],
    ],
    np.float32,
)


def spatial_consistency(image: KerasTensor, enhanced: KerasTensor) -> KerasTensor:
    """Spatial consistency with the wrongly shaped kernels: it punishes any brightening."""

    def regions(x: KerasTensor) -> KerasTensor:
        return ops.average_pool(ops.mean(x, axis=3, keepdims=True), 4, 4, data_format="channels_last")

    before, after = regions(image), regions(enhanced)
    terms = (
        (ops.conv(before, kernel, padding="same") - ops.conv(after, kernel, padding="same")) ** 2 for kernel in _KERNELS
    )
    return ops.mean(sum(terms))


def illumination_smoothness(maps: KerasTensor) -> KerasTensor:
    """Illumination smoothness divided by (width - 1) * maps and width * (maps - 1): too strong, and size-dependent."""
    batch, _, width, channels = ops.shape(maps)
    vertical = ops.sum((maps[:, 1:] - maps[:, :-1]) ** 2)
    horizontal = ops.sum((maps[:, :, 1:] - maps[:, :, :-1]) ** 2)
    count_h = ops.cast((width - 1) * channels, maps.dtype)
    count_w = ops.cast(width * (channels - 1), maps.dtype)
    return 2 * (vertical / count_h + horizontal / count_w) / ops.cast(batch, maps.dtype)


def total_variation(enhanced: KerasTensor) -> KerasTensor:
    """Total variation as a sum over batch, pixels and channels: about 1e4 times every other term."""
    vertical = ops.sum(ops.abs(enhanced[:, 1:] - enhanced[:, :-1]))
    horizontal = ops.sum(ops.abs(enhanced[:, :, 1:] - enhanced[:, :, :-1]))
    return vertical + horizontal
