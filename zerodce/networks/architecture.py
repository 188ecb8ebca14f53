"""The interface of a network in Keras: what training needs of it."""

from typing import Any, Protocol

import keras
from keras import KerasTensor


class Architecture(Protocol):
    """One kind of network. A new kind is one such class and one entry of `zerodce.networks.ARCHITECTURES`.

    Enhancing runs it on NumPy if `zerodce.inference.networks.FORWARD` has its forward pass, and on Keras otherwise.

    Attributes:
        sees_whole: Whether the network looks at the whole photo. Then it takes the light of the photo as an input and
            gives curve strengths by brightness. Otherwise it gives curve-parameter maps, one for each pixel.
    """

    sees_whole: bool

    def build(self, initial_stddev: float | None = None, dtype: Any = None) -> keras.Model:
        """Builds the network.

        Args:
            initial_stddev: Standard deviation of the initial kernels; None for Glorot uniform.
            dtype: Policy of the layers, such as "mixed_bfloat16"; None for Keras' global policy.
        """

    def train(
        self, network: keras.Model, images: KerasTensor, strength: KerasTensor, training: bool | None
    ) -> dict[str, KerasTensor]:
        """The inputs of the losses for images: backend-neutral ops, through which gradients flow.

        Args:
            network: Result of `build`.
            images: Float (batch, height, width, 3) in [0, 1].
            strength: Float (batch,) in [0, 1]: the share of the curves that each image gets (`ZeroDCE.strength`).
            training: Whether this is a training step.

        Returns:
            At least `maps`, float (batch, height, width, 24) in [-1, 1], and `enhanced`, images like the input.
        """
