"""Named ways to train: weights and switches of the losses, initial weights, bounds of the gradient."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One way to train, as data.

    Attributes:
        name: Its name for `--recipe`.
        color_constancy: Weight of that loss in the total. A weight of 0 leaves a loss out, here and below.
        exposure: Weight of the exposure loss.
        illumination_smoothness: Weight of the smoothness of the maps.
        spatial_consistency: Weight of the change of contrast between regions.
        ssim: Weight of the structural dissimilarity.
        total_variation: Weight of the total variation of the enhanced image.
        exposure_level: Aim of the exposure loss, a brightness in [0, 1].
        exposure_patch: Side in pixels of the patches of the exposure loss; None for the whole image.
        writeup_terms: Whether spatial consistency, illumination smoothness and total variation are computed with the
            faults of the project's first write-up (`zerodce.training.writeup`).
        well_exposed: Mean brightness in (0, 1] from which on a photo stays as it is. Curves act more on darker
            photos. If None, they act fully on every photo.
        initial_stddev: Standard deviation of the initial kernels; None for Glorot uniform.
        clipnorm: Largest norm of each gradient; None for no bound.
        weight_decay: Decoupled weight decay of Adam; None for none.
        architecture: Name of the network, one of `zerodce.networks.ARCHITECTURES`.
        fusion: Weight of the distance from an image's own target (`training.teacher`).
        fusion_share: Share, in [0, 1], of the image's own fusion in it; the rest is the image evenly brightened.
        learning_rate: Default learning rate of Adam at the start. The next three are defaults too.
        schedule: Course of the learning rate.
        average: Final momentum of the average of the weights.
        shuffle_channels: Whether red, green and blue are exchanged at random.
    """

    name: str
    color_constancy: float
    exposure: float
    illumination_smoothness: float
    spatial_consistency: float
    ssim: float
    total_variation: float
    exposure_level: float = 0.6
    exposure_patch: int | None = 16
    writeup_terms: bool = False
    well_exposed: float | None = None
    initial_stddev: float | None = 0.02
    clipnorm: float | None = 0.1
    weight_decay: float | None = None
    architecture: str = "dce_net"
    fusion: float = 0
    fusion_share: float = 0.5
    learning_rate: float = 1e-4
    schedule: Literal["constant", "cosine"] = "constant"
    average: float = 0.999
    shuffle_channels: bool = False


OF_RECIPE = ("learning_rate", "schedule", "average", "shuffle_channels")
"""The fields that are also in `zerodce.training.run.TrainingSettings`. A command may set them."""


SIX = Recipe(
    "six",
    color_constancy=0.5,
    exposure=10,
    illumination_smoothness=200,
    spatial_consistency=1,
    ssim=0.1,
    total_variation=0.1,
    exposure_level=0.41,
    exposure_patch=None,
    well_exposed=0.4,
)
PAPER = Recipe(
    "paper",
    color_constancy=5,
    exposure=10,
    illumination_smoothness=200,
    spatial_consistency=1,
    ssim=0,
    total_variation=0,
    weight_decay=1e-4,
)
ORIGINAL = Recipe(
    "original",
    color_constancy=5,
    exposure=10,
    illumination_smoothness=200,
    spatial_consistency=1,
    ssim=1,
    total_variation=0.1,
    writeup_terms=True,
    initial_stddev=None,
    clipnorm=None,
)
FUSION = Recipe(
    "fusion",
    color_constancy=0,
    exposure=0,
    illumination_smoothness=0,
    spatial_consistency=0,
    ssim=0,
    total_variation=0,
    initial_stddev=None,
    clipnorm=None,
    architecture="tone_net",
    fusion=1,
    fusion_share=0.6,
    learning_rate=2e-3,
    schedule="cosine",
    average=0.98,
    shuffle_channels=True,
)

RECIPES = {recipe.name: recipe for recipe in (FUSION, SIX, PAPER, ORIGINAL)}
