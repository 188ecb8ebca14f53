"""The two steps of one photo, without Beam, beside the same from Python."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import zerodce
from pipelines import models
from pipelines.enhance.journal import Journal
from pipelines.enhance.options import enhance
from pipelines.enhance.photo import PhotoProcessor, Prepared
from pipelines.enhance.plan import Task
from pipelines.enhance.settings import EnhanceSettings


def processor(folder: Path, *options: str) -> PhotoProcessor:
    params = enhance.make_context("enhance", ["photos", "out", *options]).params
    settings = EnhanceSettings(**{name: value for name, value in params.items() if name not in ("photos", "out")})
    out = folder / "out"
    journal = Journal(str(out / "journal"))
    return PhotoProcessor(str(folder), str(out), models.read_model(None), settings, "digest", journal)


@pytest.mark.parametrize(("curve_size", "shape"), [("64", (43, 64, 3)), ("1024", (683, 1024, 3))])
def test_the_small_copy_has_the_size_asked_for(tmp_path: Path, curve_size: str, shape: tuple[int, int, int]) -> None:
    Image.fromarray(np.zeros((1000, 1500, 3), np.uint8)).save(tmp_path / "a.png")
    prepared = processor(tmp_path, "--curve-size", curve_size).prepare(Task("a.png", 1, 1.0, "a.png", "", True))
    assert isinstance(prepared, Prepared)
    assert prepared.small.shape == shape
    assert prepared.preview.shape == (533, 800, 3)


@pytest.mark.parametrize("curve_size", ["auto", "1000"])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_pixels_are_those_of_the_function(tmp_path: Path, curve_size: str, depth: type, channels: int) -> None:
    """A lossless photo, larger than a preview by no whole number, as the command and as `zerodce.enhance` leave it."""
    light = np.kron(np.random.default_rng(0).uniform(0.0, 0.2, (41, 53, channels)), np.ones((30, 30, 1)))
    noise = np.random.default_rng(1).normal(0, 0.01, light.shape)
    photo = np.rint(np.clip(light + noise, 0, 1) * np.iinfo(depth).max).astype(depth)
    cv2.imwrite(str(tmp_path / "a.png"), photo[..., ::-1])
    steps = processor(tmp_path, "--curve-size", curve_size)
    prepared = steps.prepare(Task("a.png", 1, 1.0, "a.png", "", True))
    assert isinstance(prepared, Prepared)
    record = steps.complete(prepared, steps.enhancer().estimate([prepared.small])[0]).record
    assert record is not None
    assert record.failure is None
    written = cv2.imread(str(tmp_path / "out/enhanced/a.png"), cv2.IMREAD_UNCHANGED)
    found = written.reshape(photo.shape)[..., ::-1]
    size = "auto" if curve_size == "auto" else int(curve_size)
    wanted = zerodce.enhance(photo, curve_size=size)
    assert wanted.mean() > 1.2 * photo.mean()
    assert found.dtype == depth
    np.testing.assert_array_equal(found, wanted)
