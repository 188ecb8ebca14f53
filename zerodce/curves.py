"""The light-enhancement curves: as backend-neutral ops for training, and compiled for photos of any size.

One iteration is `x + r * (x**2 - x)` with a parameter r in [-1, 1] for each pixel and channel (Guo et al., CVPR
2020, equation 3, with the sign of the released code): r < 0 brightens, and [0, 1] stays [0, 1].
"""

import numpy as np
from keras import KerasTensor


def apply_curves(images: KerasTensor, maps: KerasTensor) -> KerasTensor:
    """Applies curves to images of the maps' size.

    Args:
        images: Float (batch, height, width, channels) in [0, 1].
        maps: Float (batch, height, width, channels * iterations) in [-1, 1], iteration after iteration.

    Returns:
        The enhanced images, shaped and ranged as `images`.
    """
    channels = images.shape[-1]
    for start in range(0, maps.shape[-1], channels):
        images = images + maps[..., start : start + channels] * (images * images - images)
    return images


def brighten(photo: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Applies maps of any size to a photo of any size, as if the maps were resized to it first.

    The maps are interpolated bilinearly between pixel centres (as `tf.image.resize` and OpenCV do) inside
    the loop that uses them: no full-size map is ever held. Releases the GIL.

    Args:
        photo: uint8 or uint16 (height, width, channels), the full range of its type. Not changed.
        maps: Float (map height, map width, channels * iterations) in [-1, 1].

    Returns:
        The enhanced photo, shaped as `photo` and rounded to its type.

    Raises:
        TypeError: The photo is of another type.
        ValueError: The shapes do not fit each other.
    """
    from zerodce.kernel import apply_rows

    if photo.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"a photo is uint8 or uint16, not {photo.dtype}")
    if photo.ndim != 3 or maps.ndim != 3 or maps.shape[2] % photo.shape[2]:
        raise ValueError(f"maps of shape {maps.shape} do not fit a photo of shape {photo.shape}")
    height, width, _ = maps.shape
    channels = photo.shape[2]
    parameters = np.ascontiguousarray(maps.reshape(height, width, -1, channels).transpose(2, 0, 1, 3), np.float32)
    photo = np.ascontiguousarray(photo)
    enhanced = np.empty_like(photo)
    rows = (len(photo), -1)  # channels side by side: the loops run over plain vectors
    apply_rows(photo.reshape(rows), parameters, enhanced.reshape(rows), float(np.iinfo(photo.dtype).max))
    return enhanced


def merge_channels(maps: np.ndarray, channels: int = 3) -> np.ndarray:
    """The maps of a one-channel photo: the channels' mean, (height, width, channels * n) -> (height, width, n)."""
    height, width, _ = maps.shape
    return maps.reshape(height, width, -1, channels).mean(axis=3)
