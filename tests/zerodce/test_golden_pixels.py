"""Golden pixels: six rendered scenes of 64x64, one of each kind, and what the shipped version makes of them.

A change of looks is seen here. Where it is meant, raise `zerodce.REVISION`;
`python -m tests.zerodce.test_golden_pixels` writes the pictures anew: input, natural and bright, side by side.
"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zerodce
from benchmarks.scenes import balls, photograph, render
from zerodce.applying.looks import Look

SIDE = 64
GOLDEN = Path(__file__).with_name("golden")
LOOKS: tuple[Look, ...] = ("natural", "bright")


def scenes() -> dict[str, np.ndarray]:
    """The inputs by kind, uint8 (64, 64, 3)."""
    still = render(balls(7), SIDE, SIDE)
    unlit = np.minimum(still, 0.7)  # without its lamp
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    sky = (rows < 0.55 - 0.2 * columns)[..., np.newaxis]
    city = 0.002 + 0.6 * (np.random.default_rng(4).random((SIDE, SIDE, 1)) > 0.97) * (rows > 0.5)[..., np.newaxis]
    return {
        "dim": photograph(unlit, 0.03, 1),
        "lamp": photograph(still, 0.06, 2),
        "night": photograph(city * np.array([1.0, 0.7, 0.3]), 1.0, 3),
        "backlit": photograph(np.where(sky, np.array([0.6, 0.75, 1.0]), 0.06 * unlit), 1.0, 4),
        "flat": photograph(0.03 + 0.35 * unlit, 1.0, 5),
        "daylight": photograph(np.minimum(unlit * 1.2 + 0.05, 1), 1.0, 6),
    }


def written(name: str) -> dict[str, np.ndarray]:
    with Image.open(GOLDEN / f"{name}.png") as picture:
        parts = np.split(np.asarray(picture), len(LOOKS) + 1, axis=1)
    return dict(zip(("input", *LOOKS), parts, strict=True))


@pytest.fixture(scope="module")
def rendered() -> dict[str, np.ndarray]:
    return scenes()


@pytest.mark.parametrize("name", ["dim", "lamp", "night", "backlit", "flat", "daylight"])
def test_a_scene_comes_out_as_it_did(rendered: dict[str, np.ndarray], name: str) -> None:
    golden = written(name)
    np.testing.assert_allclose(golden["input"].astype(int), rendered[name], atol=1)
    for look in LOOKS:
        enhanced = zerodce.enhance(golden["input"], look=look).astype(int)
        assert np.abs(enhanced - golden[look]).max() <= 1, look


def test_each_kind_gets_what_it_should() -> None:
    """Dim, and with a small lamp: all the light. Night: as it is. Backlit: the sky stays. Daylight: nothing."""
    means = {name: {part: pixels.mean() / 255 for part, pixels in written(name).items()} for name in scenes()}
    for name in ("dim", "lamp"):
        assert means[name]["natural"] > means[name]["input"] + 0.3
    assert means["night"]["natural"] < means["night"]["input"] + 0.02
    assert means["night"]["bright"] > means["night"]["input"] + 0.1
    backlit = written("backlit")
    assert np.abs(backlit["natural"][:8].astype(int) - backlit["input"][:8]).mean() < 4
    assert backlit["natural"][-16:].mean() > 1.1 * backlit["input"][-16:].mean()
    assert means["flat"]["natural"] > means["flat"]["input"]
    daylight = written("daylight")
    for look in LOOKS:
        np.testing.assert_array_equal(daylight[look], daylight["input"])


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name, scene in scenes().items():
        strip = [scene, *(zerodce.enhance(scene, look=look) for look in LOOKS)]
        Image.fromarray(np.concatenate(strip, axis=1)).save(GOLDEN / f"{name}.png", optimize=True)
