"""The shipped weights. MODEL_CARD.md beside this file has their training data, purpose and limits."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zerodce.training.model import ZeroDCE

PATH = Path(__file__).with_name("zerodce.keras")


def load_pretrained() -> "ZeroDCE":
    """Loads the shipped model, a `ZeroDCE` ready for `model(images)["enhanced"]`."""
    import keras

    from zerodce.training import model  # noqa: F401  (registers the class with Keras)

    return keras.saving.load_model(PATH, compile=False)
