"""The losses. None needs a reference. Each is a mean, which does not grow with the batch or the image.

Images are floats (batch, height, width, 3) in [0, 1], maps floats (batch, height, width, 24) in [-1, 1].
Every function returns a scalar >= 0. The four terms of the paper (Guo et al., CVPR 2020, section 3.3)
follow its released code. `zerodce.training.writeup` holds the faulty variants of the project's first write-up.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from keras import KerasTensor, ops

from zerodce.recipes import Recipe
from zerodce.training import teacher, writeup


def color_constancy(enhanced: KerasTensor) -> KerasTensor:
    """Grey-world deviation: sqrt of the summed fourth powers of the channel means' differences (eq. 6)."""
    mean = ops.mean(enhanced, axis=(1, 2))
    red, green, blue = mean[:, 0], mean[:, 1], mean[:, 2]
    fourth = (red - green) ** 4 + (red - blue) ** 4 + (green - blue) ** 4
    # the root of an exact zero (a grey image) has an infinite gradient
    return ops.mean(ops.sqrt(ops.maximum(fourth, 1e-12)))


def exposure(enhanced: KerasTensor, level: float = 0.6, patch: int | None = 16) -> KerasTensor:
    """Mean squared distance of the brightness of each patch from `level` (eq. 5; squared, as released).

    Args:
        enhanced: Images, at least `patch` pixels high and wide.
        level: The well-exposed brightness, in [0, 1].
        patch: Side of the non-overlapping patches in pixels; a remainder at the border is left out. If None,
            the whole image is one patch.
    """
    grey = ops.mean(enhanced, axis=3, keepdims=True)
    if patch is None:
        patches = ops.mean(grey, axis=(1, 2))
    else:
        patches = ops.average_pool(grey, patch, patch, data_format="channels_last")
    return ops.mean((patches - level) ** 2)


def illumination_smoothness(maps: KerasTensor) -> KerasTensor:
    """Mean squared step between neighbouring curve parameters, summed over maps, times 2 (eq. 7, as released)."""
    vertical = ops.mean((maps[:, 1:] - maps[:, :-1]) ** 2, axis=(0, 1, 2))
    horizontal = ops.mean((maps[:, :, 1:] - maps[:, :, :-1]) ** 2, axis=(0, 1, 2))
    return 2 * ops.sum(vertical + horizontal)


def spatial_consistency(image: KerasTensor, enhanced: KerasTensor) -> KerasTensor:
    """Mean squared change of the contrast between each 4x4 region and its four neighbours (eq. 4).

    As in the released code, everything outside the image is black.
    """

    def regions(x: KerasTensor) -> KerasTensor:
        return ops.average_pool(ops.mean(x, axis=3, keepdims=True), 4, 4, data_format="channels_last")

    change = regions(image) - regions(enhanced)
    padded = ops.pad(change, ((0, 0), (1, 1), (1, 1), (0, 0)))
    neighbours = (padded[:, 1:-1, :-2], padded[:, 1:-1, 2:], padded[:, :-2, 1:-1], padded[:, 2:, 1:-1])
    return ops.mean(sum((change - neighbour) ** 2 for neighbour in neighbours))


def ssim(image: KerasTensor, enhanced: KerasTensor) -> KerasTensor:
    """1 - structural similarity to the input, over RGB (`keras.ops.image.ssim`, maximum value 1)."""
    return 1 - ops.mean(ops.image.ssim(image, enhanced, max_val=1.0, data_format="channels_last"))


def total_variation(enhanced: KerasTensor) -> KerasTensor:
    """Mean absolute step between neighbouring pixels, downwards plus to the right."""
    vertical = ops.mean(ops.abs(enhanced[:, 1:] - enhanced[:, :-1]))
    horizontal = ops.mean(ops.abs(enhanced[:, :, 1:] - enhanced[:, :, :-1]))
    return vertical + horizontal


def fusion(images: KerasTensor, enhanced: KerasTensor, light: KerasTensor, share: float) -> KerasTensor:
    """Mean squared distance from the image's own target at a light: `training.teacher.target`."""
    return ops.mean((enhanced - teacher.target(images, light, share)) ** 2)


class Loss(NamedTuple):
    """An entry of `LOSSES`.

    Attributes:
        of: The loss of a recipe for images and their outputs of `ZeroDCE.call`, a scalar >= 0.
        always: Whether every recipe has a column for it in `history.csv`, with 0 if its weight is 0.
    """

    of: Callable[[Recipe, KerasTensor, Mapping[str, KerasTensor]], KerasTensor]
    always: bool = True


LOSSES = {
    "color_constancy": Loss(lambda recipe, images, made: color_constancy(made["enhanced"])),
    "exposure": Loss(
        lambda recipe, images, made: exposure(made["enhanced"], recipe.exposure_level, recipe.exposure_patch)
    ),
    "illumination_smoothness": Loss(
        lambda recipe, images, made: (
            writeup.illumination_smoothness if recipe.writeup_terms else illumination_smoothness
        )(made["maps"])
    ),
    "spatial_consistency": Loss(
        lambda recipe, images, made: (writeup.spatial_consistency if recipe.writeup_terms else spatial_consistency)(
            images, made["enhanced"]
        )
    ),
    "ssim": Loss(lambda recipe, images, made: ssim(images, made["enhanced"])),
    "total_variation": Loss(
        lambda recipe, images, made: (writeup.total_variation if recipe.writeup_terms else total_variation)(
            made["enhanced"]
        )
    ),
    "fusion": Loss(
        lambda recipe, images, made: fusion(images, made["enhanced"], made["light"], recipe.fusion_share), always=False
    ),
}
"""The losses by name. The field of `Recipe` with this name is the weight. A new loss is an entry and a field."""


def used_by(recipe: Recipe) -> list[str]:
    """Names of the losses that a recipe tracks."""
    return [name for name, loss in LOSSES.items() if loss.always or getattr(recipe, name)]
