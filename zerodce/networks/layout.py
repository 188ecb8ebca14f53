"""Shared by the networks: the layout of images in memory, and the initial weights."""

from typing import Any

import keras

LAYOUT = "channels_last"
"""The layout of images in memory. Every layer names it, because a user's keras.json may prefer another."""

CHANNELS = 3


def initializer(stddev: float | None) -> Any:
    """Initial kernels from N(0, stddev); Glorot uniform if stddev is None."""
    return "glorot_uniform" if stddev is None else keras.initializers.RandomNormal(stddev=stddev)
