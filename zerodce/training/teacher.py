"""The training target of a dark photo: its own brightened versions, fused. It uses no other image.

PSENet uses a similar pseudo-truth (Nguyen et al., WACV 2023, arXiv 2210.00712). The fusion is that of Mertens, Kautz
and Van Reeth, "Exposure fusion" (Pacific Graphics 2007), with the weight of exposedness only.
"""

import math

from keras import KerasTensor, ops

from zerodce.curves.tones import tone

VERSIONS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
"""The versions that are fused, in multiples of the even strength."""

_SIGMA = 0.2  # of exposedness around 0.5, as in Mertens et al.


def own_fusion(images: KerasTensor, strength: KerasTensor) -> KerasTensor:
    """Exposure fusion of an image's own brightened versions: light and shade are both exposed as well as possible.

    Args:
        images: Float (batch, height, width, 3) in [0, 1]; height and width are known.
        strength: Float (batch, 1, 1, 1): the even strength, the version of factor 1.

    Returns:
        Images like the input.
    """
    count = len(VERSIONS)
    versions = ops.concatenate([tone(images, ops.minimum(factor * strength, 1.0)) for factor in VERSIONS], axis=0)
    weights = ops.exp(-ops.sum((versions - 0.5) ** 2, axis=3, keepdims=True) / (2 * _SIGMA**2)) + 1e-12
    total = ops.sum(_split(weights, count), axis=0)
    weights = weights / ops.concatenate([total] * count, axis=0)

    details = []
    for _ in range(int(math.log2(min(images.shape[1:3])))):
        smaller = _down(versions)
        detail = versions - _up(smaller, versions.shape)
        details.append(ops.sum(_split(detail * weights, count), axis=0))
        versions, weights = smaller, _down(weights)
    fused = ops.sum(_split(versions * weights, count), axis=0)
    for level in reversed(details):
        fused = _up(fused, level.shape) + level
    return ops.clip(fused, 0, 1)


def target(images: KerasTensor, light: KerasTensor, share: float) -> KerasTensor:
    """The target for images: their own fusion, mixed with the evenly brightened image.

    Args:
        images: Float (batch, height, width, 3) in [0, 1]; height and width are known.
        light: Float (batch, 1, 1, 1) in [0, 1]: the strength that brightens each evenly: its
            `even_strength`, or a part of it.
        share: Share of the fusion in the mixture, in [0, 1].

    Returns:
        Images like the input. No gradient flows through them.
    """
    return ops.stop_gradient(share * own_fusion(images, light) + (1 - share) * tone(images, light))


def _split(stacked: KerasTensor, count: int) -> KerasTensor:
    return ops.reshape(stacked, (count, -1, *stacked.shape[1:]))


def _down(images: KerasTensor) -> KerasTensor:
    """Half the size, smoothed by the binomial filter (1 4 6 4 1) / 16 (Burt and Adelson, 1983)."""
    for axis in (1, 2):
        length = images.shape[axis]
        if length == 2:  # `pad` cannot mirror so few: repeating gives the same
            padded = ops.concatenate([images] * 3, axis=axis)
        else:
            padded = ops.pad(images, [(2, 2) if i == axis else (0, 0) for i in range(4)], mode="reflect")
        taps = [_every_other(padded, axis, start, length) for start in range(5)]
        images = (taps[0] + taps[4] + 4 * (taps[1] + taps[3]) + 6 * taps[2]) / 16
    return images


def _up(images: KerasTensor, shape: tuple[int, ...]) -> KerasTensor:
    """Twice the size, or one less where `shape` is odd: zeros between the pixels, then the same filter, doubled."""
    for axis in (1, 2):
        length = images.shape[axis]
        first = _part(images, axis, min(1, length - 1), 1)  # as in OpenCV: mirror the start, repeat the end
        last = _part(images, axis, length - 1, 1)
        padded = ops.concatenate([first, images, last], axis=axis)
        before, here, after = (_part(padded, axis, start, length) for start in range(3))
        pair = ops.stack([(before + 6 * here + after) / 8, (here + after) / 2], axis=axis + 1)
        doubled = [-1, *images.shape[1:]]
        doubled[axis] = 2 * length
        images = _part(ops.reshape(pair, doubled), axis, 0, shape[axis])
    return images


def _part(images: KerasTensor, axis: int, start: int, length: int) -> KerasTensor:
    return images[:, start : start + length] if axis == 1 else images[:, :, start : start + length]


def _every_other(images: KerasTensor, axis: int, start: int, length: int) -> KerasTensor:
    return images[:, start : start + length : 2] if axis == 1 else images[:, :, start : start + length : 2]
