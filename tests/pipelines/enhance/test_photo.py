"""The two steps of one photo, without Beam."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines import models, storage
from pipelines.enhance.journal import Journal
from pipelines.enhance.photo import Done, PhotoProcessor, Prepared
from pipelines.enhance.plan import Task
from pipelines.enhance.settings import EnhanceSettings
from zerodce.images import pixels


def processor(folder: Path, settings: EnhanceSettings | None = None) -> PhotoProcessor:
    settings = settings or EnhanceSettings()
    out = folder / "out"
    journal = Journal(str(out / "journal"))
    return PhotoProcessor(str(folder), str(out), models.read_model(None), settings, journal)


@pytest.mark.parametrize(("curve_size", "shape"), [(64, (43, 64, 3)), (1024, (683, 1024, 3))])
def test_the_small_copy_has_the_size_asked_for(tmp_path: Path, curve_size: int, shape: tuple[int, int, int]) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (1000, 1500, 3)).astype(np.uint8)
    Image.fromarray(photo).save(tmp_path / "a.png", compress_level=0)
    prepared = processor(tmp_path, EnhanceSettings(curve_size=curve_size)).prepare(
        Task("a.png", 1, 1.0, "digest", "a.png", "", True)
    )
    assert isinstance(prepared, Prepared)
    assert prepared.small.shape == shape
    np.testing.assert_array_equal(prepared.small, pixels.small_copy(photo, curve_size))
    assert prepared.preview.shape == (533, 800, 3)


def test_metadata_that_an_encoder_cannot_take_is_a_note_in_the_row(tmp_path: Path) -> None:
    Image.fromarray(np.full((20, 30, 3), 40, np.uint8)).save(tmp_path / "a.png")
    one = processor(tmp_path)
    entry = storage.stat(str(tmp_path), "a.png")
    prepared = one.prepare(Task(entry.path, entry.size, entry.mtime, "digest", "a.png", "", False))
    assert isinstance(prepared, Prepared)
    broken = dataclasses.replace(prepared.photo.metadata, icc_profile=object())
    prepared.photo.metadata = broken
    done = one.complete(prepared, one.enhancer().estimate([prepared.small])[0])
    assert isinstance(done, Done)
    assert done.record is not None
    assert done.record.row is not None
    assert done.record.row["notes"].count("metadata could not be written and was dropped (") == 1
