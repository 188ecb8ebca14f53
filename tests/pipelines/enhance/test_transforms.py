"""The Beam transforms' own decisions."""

import types

import numpy as np
import pytest

from pipelines.enhance.transforms import batch_share


@pytest.mark.parametrize(
    ("size", "share"),
    [((1, 1), 1), ((3000, 1000), 1), ((3000, 2000), 2), ((4000, 3000), 4), ((6000, 4000), 8), ((12000, 4000), 16)],
)
def test_large_photos_take_more_places_of_a_batch(size: tuple[int, int], share: int) -> None:
    """Eight places hold 24 megapixels."""
    pixels = np.broadcast_to(np.uint8(0), (size[1], size[0], 3))
    prepared = types.SimpleNamespace(photo=types.SimpleNamespace(pixels=pixels))
    assert batch_share(prepared) == share  # type: ignore[arg-type]
