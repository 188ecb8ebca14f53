"""`ZeroDCE`: the network, its curves and its losses as one Keras model that trains with `fit`."""

import dataclasses
from typing import Any

import keras
from keras import KerasTensor, ops

from zerodce.curves.tensors import apply_strengths
from zerodce.curves.tones import ITERATIONS, apply_curves
from zerodce.networks import ARCHITECTURES
from zerodce.networks.layout import CHANNELS, LAYOUT
from zerodce.training import losses, writeup
from zerodce.training.recipes import FUSION, Recipe
from zerodce.training.teacher import even_strength

TERMS = (
    "color_constancy",
    "exposure",
    "illumination_smoothness",
    "spatial_consistency",
    "ssim",
    "total_variation",
)
"""The six losses that every recipe tracks."""

LOSS_NAMES = ("total_loss", *(f"{term}_loss" for term in TERMS))
FUSION_LOSS = "fusion_loss"
"""The seventh, of recipes that use it."""


@keras.saving.register_keras_serializable("zerodce")
class ZeroDCE(keras.Model):
    """Zero-reference deep curve estimation (Guo et al., CVPR 2020).

    It learns from images alone: `fit(images)`. Where the data set also gives references, as
    `(images, references)` or `(images, references, weights)`, they never enter a loss; PSNR and SSIM
    against them are tracked, with the weights (0 where an image has no reference).

        model = zerodce.ZeroDCE()
        model.compile(optimizer=keras.optimizers.Adam(1e-4, clipnorm=0.1))
        model.fit(dataset, validation_data=validation, epochs=100)
        enhanced = model(images)["enhanced"]

    Args:
        recipe: The loss weights and switches, a `Recipe` or its fields as a dict.
        **kwargs: Those of `keras.Model`; `dtype="mixed_bfloat16"` is the network's policy, while images,
            curves and losses stay float32.
    """

    def __init__(self, recipe: Recipe | dict[str, Any] = FUSION, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)  # images stay float32 under every policy
        self.recipe = recipe if isinstance(recipe, Recipe) else Recipe(**recipe)
        self.network = ARCHITECTURES[self.recipe.architecture](self.recipe.initial_stddev, self.dtype_policy)
        self.loss_trackers = {name: keras.metrics.Mean(name=name) for name in LOSS_NAMES}
        if self.recipe.fusion:
            self.loss_trackers[FUSION_LOSS] = keras.metrics.Mean(name=FUSION_LOSS)
        self.reference_trackers = {name: keras.metrics.Mean(name=name) for name in ("psnr", "ssim")}
        self.built = True  # the network was built with its weights

    @property
    def sees_whole(self) -> bool:
        """Whether the network looks at the whole photo, and gives strengths at knots instead of maps."""
        return self.recipe.architecture == "tone_net"

    def call(self, images: KerasTensor, training: bool | None = None) -> dict[str, KerasTensor]:
        """Enhances images.

        Args:
            images: Float (batch, height, width, 3) in [0, 1].
            training: A network that sees the whole photo learns at every light: the images of a batch then get from a
                part of their even strength to all of it, in even steps. Else each image gets all.

        Returns:
            `maps`, float (batch, height, width, 24) in [-1, 1], and `enhanced`, images like the input; of a network
            that sees the whole photo also `light`, float (batch, 1, 1, 1): what `training.teacher.target` is to use.
        """
        images = ops.cast(images, "float32")
        if not self.sees_whole:
            maps = ops.cast(self.network(images, training=training), "float32")
            maps = maps * self.strength(images)[:, None, None, None]
            return {"maps": maps, "enhanced": apply_curves(images, maps)}
        light = even_strength(images)
        if training:
            count = ops.shape(images)[0]
            parts = (ops.cast(ops.arange(count), "float32") + 1) / ops.cast(count, "float32")
            light = light * parts[:, None, None, None]
        around, enhanced = apply_strengths(images, self.network([images, light], training=training))
        return {"maps": ops.repeat(-around, CHANNELS * ITERATIONS, axis=3), "enhanced": enhanced, "light": light}

    def strength(self, images: KerasTensor) -> KerasTensor:
        """The factor of the network's maps for each image, from the image's mean brightness.

        The network sees 15x15 pixels, so it cannot tell the shadows of a good photo from a dark photo. This
        can: it falls from 1 for black to 0 at the recipe's `well_exposed`.

        Args:
            images: Float (batch, height, width, 3) in [0, 1], whole ones: a crop has another mean.

        Returns:
            Float (batch,) in [0, 1].
        """
        mean = ops.mean(ops.cast(images, "float32"), axis=(1, 2, 3))
        level = self.recipe.well_exposed
        return ops.ones_like(mean) if level is None else ops.relu(1 - mean / level)

    def loss_terms(self, images: KerasTensor, outputs: dict[str, KerasTensor]) -> dict[str, KerasTensor]:
        """The losses times their weights in the recipe, scalars that add up to the total; none whose weight is 0.

        Args:
            images: As `call` takes them.
            outputs: What it returned.
        """
        recipe = self.recipe
        variant = writeup if recipe.writeup_terms else losses
        maps, enhanced = outputs["maps"], outputs["enhanced"]
        terms = {
            "color_constancy": lambda: losses.color_constancy(enhanced),
            "exposure": lambda: losses.exposure(enhanced, recipe.exposure_level, recipe.exposure_patch),
            "illumination_smoothness": lambda: variant.illumination_smoothness(maps),
            "spatial_consistency": lambda: variant.spatial_consistency(images, enhanced),
            "ssim": lambda: losses.ssim(images, enhanced),
            "total_variation": lambda: variant.total_variation(enhanced),
            "fusion": lambda: losses.fusion(images, enhanced, outputs["light"], recipe.fusion_share),
        }
        return {name: getattr(recipe, name) * term() for name, term in terms.items() if getattr(recipe, name)}

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> KerasTensor:
        """The recipe's total for images `x` and what `call` made of them; updates the trackers of its parts."""
        del y, sample_weight, training  # zero-reference: a reference never enters the loss
        images = ops.cast(x, "float32")
        terms = self.loss_terms(images, y_pred)
        total = sum(terms.values())
        batch_size = ops.shape(images)[0]
        self.loss_trackers["total_loss"].update_state(total, sample_weight=batch_size)
        for name, term in terms.items():
            self.loss_trackers[f"{name}_loss"].update_state(term, sample_weight=batch_size)
        return total

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """The losses so far and, where references `y` were given, PSNR in dB and SSIM against them."""
        results = {name: tracker.result() for name, tracker in self.loss_trackers.items()}
        if y is not None:
            enhanced = ops.clip(y_pred["enhanced"], 0, 1)
            y = ops.cast(y, "float32")
            error = ops.maximum(ops.mean((y - enhanced) ** 2, axis=(1, 2, 3)), 1e-10)
            self.reference_trackers["psnr"].update_state(-10 * ops.log10(error), sample_weight)
            self.reference_trackers["ssim"].update_state(
                ops.image.ssim(y, enhanced, max_val=1.0, data_format=LAYOUT), sample_weight
            )
            results |= {name: tracker.result() for name, tracker in self.reference_trackers.items()}
        return results

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """All trackers, so that Keras resets them at the start of every epoch and evaluation."""
        return [*self.loss_trackers.values(), *self.reference_trackers.values()]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "recipe": dataclasses.asdict(self.recipe)}
