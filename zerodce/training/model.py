"""`ZeroDCE`: the network, its curves and its losses as one Keras model that trains with `fit`."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import keras
from keras import KerasTensor, ops

from zerodce.networks import ARCHITECTURES
from zerodce.networks.layout import LAYOUT
from zerodce.recipes import FUSION, Recipe
from zerodce.training import losses

TOTAL = "total_loss"


def loss_columns(names: Iterable[str]) -> list[str]:
    """The names of the total and of some losses in logs and in `history.csv`."""
    return [TOTAL, *map(column, names)]


def column(loss: str) -> str:
    """The name of a loss in logs and in `history.csv`."""
    return f"{loss}_loss"


@keras.saving.register_keras_serializable("zerodce")
class ZeroDCE(keras.Model):
    """Zero-reference deep curve estimation (Guo et al., CVPR 2020).

    It learns from images alone: `fit(images)`. A data set may also give references, as
    `(images, references)` or `(images, references, weights)`. They never enter a loss. PSNR and SSIM
    against them are tracked, with the weights (0 if an image has no reference)::

        model = zerodce.ZeroDCE()
        model.compile(optimizer=keras.optimizers.Adam(1e-4, clipnorm=0.1))
        model.fit(dataset, validation_data=validation, epochs=100)
        enhanced = model(images)["enhanced"]

    Args:
        recipe: The loss weights and switches, a `Recipe` or its fields as a dict.
        **kwargs: As in `keras.Model`. `dtype="mixed_bfloat16"` is the policy of the network; images,
            curves and losses stay float32.
    """

    def __init__(self, recipe: Recipe | dict[str, Any] = FUSION, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)  # images stay float32 under every policy
        self.recipe = recipe if isinstance(recipe, Recipe) else Recipe(**recipe)
        self.architecture = ARCHITECTURES[self.recipe.architecture]
        self.network = self.architecture.build(self.recipe.initial_stddev, self.dtype_policy)
        tracked = loss_columns(losses.used_by(self.recipe))
        self.loss_trackers = {name: keras.metrics.Mean(name=name) for name in tracked}
        self.reference_trackers = {name: keras.metrics.Mean(name=name) for name in ("psnr", "ssim")}
        self.built = True  # the network was built with its weights

    def call(self, images: KerasTensor, training: bool | None = None) -> dict[str, KerasTensor]:
        """Enhances images as in training: by the curves, without the noise filter and the look of a photo.

        Args:
            images: Float (batch, height, width, 3) in [0, 1].
            training: Whether this is a training step.

        Returns:
            `maps`, float (batch, height, width, 24) in [-1, 1], `enhanced`, images like the input, and further
            inputs of the losses from the network's architecture (`zerodce.networks`).
        """
        images = ops.cast(images, "float32")
        return self.architecture.train(self.network, images, self.strength(images), training)

    def strength(self, images: KerasTensor) -> KerasTensor:
        """The factor of the network's maps for each image, from the image's mean brightness.

        DCE-Net sees 15x15 pixels, so it cannot tell the shadows of a good photo from a dark photo. The mean
        can. The factor falls from 1 for black to 0 at the recipe's `well_exposed`.

        Args:
            images: Float (batch, height, width, 3) in [0, 1], not crops: a crop has another mean.

        Returns:
            Float (batch,) in [0, 1].
        """
        mean = ops.mean(ops.cast(images, "float32"), axis=(1, 2, 3))
        level = self.recipe.well_exposed
        return ops.ones_like(mean) if level is None else ops.relu(1 - mean / level)

    def loss_terms(self, images: KerasTensor, outputs: dict[str, KerasTensor]) -> dict[str, KerasTensor]:
        """The losses times their weights in the recipe: scalars that add up to the total, without those of weight 0.

        Args:
            images: As `call` takes them.
            outputs: The result of `call`.
        """
        weights = {name: getattr(self.recipe, name) for name in losses.LOSSES}
        return {
            name: weight * losses.LOSSES[name].of(self.recipe, images, outputs)
            for name, weight in weights.items()
            if weight
        }

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> KerasTensor:
        """The recipe's total for images `x` and their outputs of `call`; updates the trackers of its parts."""
        del y, sample_weight, training  # zero-reference: a reference never enters the loss
        images = ops.cast(x, "float32")
        terms = self.loss_terms(images, y_pred)
        total = sum(terms.values())
        batch_size = ops.shape(images)[0]
        self.loss_trackers[TOTAL].update_state(total, sample_weight=batch_size)
        for name, term in terms.items():
            self.loss_trackers[column(name)].update_state(term, sample_weight=batch_size)
        return total

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """The losses so far and, if references `y` were given, PSNR in dB and SSIM against them."""
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
