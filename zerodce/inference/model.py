"""A trained model as enhancing uses it: its recipe, and the forward pass of its network."""

import dataclasses
import functools
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from zerodce.curves import tones
from zerodce.inference.networks import FORWARD
from zerodce.recipes import Recipe

SHIPPED = Path(__file__).parents[1] / "pretrained" / "zerodce.keras"
"""The shipped weights; `zerodce/pretrained/MODEL_CARD.md` describes them."""

CELLS = 8
"""The bilateral grid fitted to the maps of a small copy has this many cells along each side of the photo."""

_CLASS = "zerodce>ZeroDCE"
_ORDER = ("conv2d", "dense", "conv1d")
"""The kinds of layers in the order in which the networks have them. A file sorts its layers by name."""


@dataclasses.dataclass(frozen=True)
class CurveModel:
    """A trained model that only enhances.

    Attributes:
        recipe: How it was trained.
        sees_whole: Whether the network looks at the whole photo. Then it takes the light of the photo as an input and
            gives curve strengths by brightness. Otherwise it gives curve-parameter maps, one for each pixel.
        forward: The network. It takes an image, float32 (height, width, 3) in [0, 1], and, if it sees the whole photo,
            the light in [0, 1]. It gives float32 strengths (KNOTS,) in [0, 1], or maps (height, width, 24) in [-1, 1].
        weights: The weights of the network, in the order of its layers; empty if Keras runs it.
    """

    recipe: Recipe
    sees_whole: bool
    forward: Callable[..., np.ndarray]
    weights: tuple[np.ndarray, ...] = ()

    @classmethod
    def read(cls, content: bytes) -> "CurveModel":
        """Reads a `.keras` file that `zerodce train` wrote, of any Keras backend.

        Args:
            content: Content of the file.

        Raises:
            ValueError: It is no such file, its weights are not those of its network, or some are not finite numbers.
        """
        try:
            archive = zipfile.ZipFile(io.BytesIO(content))
        except zipfile.BadZipFile as error:
            raise ValueError("it is no .keras file") from error
        try:
            config = json.loads(archive.read("config.json"))
            stored = archive.read("model.weights.h5")
        except (KeyError, ValueError, zipfile.BadZipFile) as error:
            raise ValueError(f"it is a damaged .keras file: {error}") from error
        if config.get("registered_name") != _CLASS:
            raise ValueError(f"it holds a {config.get('class_name')}, not a ZeroDCE")
        try:
            recipe = Recipe(**config["config"]["recipe"])
        except KeyError:
            raise ValueError("it holds no recipe") from None
        except TypeError as error:
            raise ValueError(f"its recipe is not one of this version: {error}") from error
        try:
            with h5py.File(io.BytesIO(stored)) as file:
                weights = _weights(file)
        except (OSError, KeyError) as error:
            raise ValueError(f"its weights cannot be read: {error}") from error
        return cls.with_weights(recipe, weights)

    @classmethod
    def with_weights(cls, recipe: Recipe, weights: Sequence[np.ndarray]) -> "CurveModel":
        """A model of a recipe's network, with weights in the order of its layers.

        Raises:
            ValueError: The network has no forward pass here, or other weights; or some are not finite numbers.
        """
        if recipe.architecture not in FORWARD:
            raise ValueError(
                f"NumPy has no forward pass of its network {recipe.architecture!r}: install 'zerodce[train]', and use "
                "--backend tensorflow"
            )
        network = FORWARD[recipe.architecture]
        if (found := tuple(array.shape for array in weights)) != network.shapes:
            raise ValueError(f"its weights have the shapes {found}, those of {recipe.architecture} {network.shapes}")
        _check_finite(weights)
        weights = [np.ascontiguousarray(array, np.float32) for array in weights]
        return cls(recipe, network.sees_whole, functools.partial(network.run, weights), tuple(weights))

    @classmethod
    def of(cls, model: Any) -> "CurveModel":
        """The model itself, or what enhancing needs of a `ZeroDCE`: a copy of its weights.

        Args:
            model: A `CurveModel` or a `ZeroDCE`.
        """
        if isinstance(model, cls):
            return model
        if model.recipe.architecture in FORWARD:
            return cls.with_weights(model.recipe, model.network.get_weights())
        return cls.on_keras(model)

    @classmethod
    def on_keras(cls, model: Any) -> "CurveModel":
        """A `ZeroDCE` whose network Keras runs, with its backend.

        Raises:
            ValueError: Some of its weights are not finite numbers.
        """
        _check_finite(model.network.get_weights())

        def forward(image: np.ndarray, *light: float) -> np.ndarray:
            inputs = [image[np.newaxis], *(np.full((1, 1, 1, 1), each, np.float32) for each in light)]
            return np.asarray(model.network(inputs if light else inputs[0], training=False), np.float32)[0]

        return cls(model.recipe, model.architecture.sees_whole, forward)

    def grid(self, image: np.ndarray, amount: float) -> np.ndarray:
        """The curve strengths of a photo, from its small copy.

        Args:
            image: Float32 (height, width, 3) in [0, 1].
            amount: The light of the photo, in [0, 1], for a network that sees the whole photo; otherwise a factor.

        Returns:
            Float64 (rows, columns, `zerodce.curves.tones.KNOTS`, 1 or 3): strengths by place and brightness.
        """
        if self.sees_whole:
            return self.forward(image, amount).astype(np.float64)[np.newaxis, np.newaxis, :, np.newaxis]
        return tones.grid_of(image, self.forward(image) * np.float32(amount), CELLS)

    def strength(self, mean: float) -> float:
        """The factor on the network's maps for a photo of a mean: `ZeroDCE.strength`.

        Args:
            mean: Mean of the photo over pixels and channels, in [0, 1].
        """
        level = self.recipe.well_exposed
        return 1.0 if level is None else max(0.0, 1 - mean / level)


def _check_finite(weights: Sequence[np.ndarray]) -> None:
    if not all(np.isfinite(array).all() for array in weights):
        raise ValueError("some of its weights are not finite numbers")


def _weights(file: h5py.File) -> list[np.ndarray]:
    """Kernel and bias of each layer of a file, in the order of the layers: conv2d, conv2d_1 ..., dense, conv1d ..."""
    layers = file["layers/functional/layers"]

    def place(name: str) -> tuple[int, int]:
        kind, _, number = name.partition("_")
        if kind not in _ORDER or not (number or "0").isdigit():
            raise ValueError(f"NumPy has no layer {name!r}: install 'zerodce[train]', and use --backend tensorflow")
        return _ORDER.index(kind), int(number or 0)

    names = sorted((name for name, layer in layers.items() if len(layer.get("vars", ()))), key=place)
    return [layers[name]["vars"][part][()] for name in names for part in ("0", "1")]


@functools.cache
def shipped() -> CurveModel:
    """The shipped model, read once in a process."""
    return CurveModel.read(SHIPPED.read_bytes())
