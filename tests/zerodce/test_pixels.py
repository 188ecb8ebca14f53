"""Floats to 8 bits."""

import numpy as np

from zerodce import pixels


def test_floats_are_clipped_and_rounded() -> None:
    values = np.array([-0.1, 0.0, 0.4 / 255, 0.6 / 255, 0.5, 254.6 / 255, 1.0, 7.0])
    assert pixels.to_uint8(values).tolist() == [0, 0, 0, 1, 128, 255, 255, 255]
