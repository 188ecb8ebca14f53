"""The shipped weights. MODEL_CARD.md beside this file has their training data, purpose and limits."""

from typing import TYPE_CHECKING

from zerodce.inference.model import SHIPPED

if TYPE_CHECKING:
    from zerodce.training.model import ZeroDCE


def load_pretrained() -> "ZeroDCE":
    """Loads the shipped model, a `ZeroDCE` ready for `model(images)["enhanced"]`: to train it further, say.

    Enhancing does not need it; it reads the same file without Keras (`zerodce.inference`).

    Raises:
        ImportError: Keras or TensorFlow is not installed.
    """
    import keras

    from zerodce.training import model  # noqa: F401  (registers the class with Keras)

    return keras.saving.load_model(SHIPPED, compile=False)
