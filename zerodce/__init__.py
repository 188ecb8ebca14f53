"""Zero-DCE: brightens dark photos with curves that a small network estimates. Arrays in, arrays out.

    image = zerodce.enhance(image)      # a NumPy array, uint8, uint16 or float
    model = zerodce.load_pretrained()   # a ZeroDCE, a keras.Model

`enhance` and `denoise` do not use Keras. The other names import it at their first use.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

REVISION = 2
"""Increases with every change of the enhanced pixels. A folder of results never mixes two revisions."""

_HOMES = {
    "ZeroDCE": "zerodce.training.model",
    "Recipe": "zerodce.recipes",
    "RECIPES": "zerodce.recipes",
    "denoise": "zerodce.applying.denoising",
    "enhance": "zerodce.applying.enhancement",
    "load_pretrained": "zerodce.pretrained",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'zerodce' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
