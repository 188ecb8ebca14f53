"""The stopwatch of the benchmarks: what it counts, and that the functions that it names are there."""

import io
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from benchmarks import gallery
from benchmarks.enhance import processor
from benchmarks.scenes import SCENES
from benchmarks.steps import Stopwatch
from pipelines import photos

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_time_of_a_step_inside_counts_for_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The outer step runs from 0 to 10, the inner one in it from 1 to 3 and from 4 to 8."""
    monkeypatch.setattr("time.thread_time", mock.Mock(side_effect=[0.0, 1.0, 3.0, 4.0, 8.0, 10.0]))
    stopwatch = Stopwatch()
    inner = stopwatch.timed("inner", lambda: None)
    stopwatch.timed("outer", lambda: (inner(), inner()))()
    assert stopwatch.seconds == {"inner": 6.0, "outer": 4.0}


def test_functions_of_all_steps_are_timed_while_watched() -> None:
    content = io.BytesIO()
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(content, "PNG")
    plain, stopwatch = photos.load, Stopwatch()
    with stopwatch.watching():
        assert photos.load(content.getvalue(), "a.png").pixels.shape == (4, 5, 3)
    assert photos.load is plain
    assert stopwatch.seconds.keys() == {"decode", "metadata"}
    assert min(stopwatch.seconds.values()) > 0


def test_the_processor_has_a_name() -> None:
    assert "cores of " in processor()


def test_the_gallery_is_made_by_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "WIDTH", 96)
    monkeypatch.setattr(gallery, "HEIGHT", 64)
    monkeypatch.setattr("sys.argv", ["gallery", str(tmp_path)])
    gallery.main()
    shipped = DOCS / "gallery"
    assert {path.name for path in shipped.iterdir()} == {path.name for path in tmp_path.iterdir()}
    assert max(path.stat().st_size for path in shipped.iterdir()) < 60_000
    for name in SCENES:
        for folder in (shipped, tmp_path):
            picture = np.asarray(Image.open(folder / f"{name}.jpg").convert("L"))
            taken, natural, bright = (picture[:, left : left + 300].mean() for left in (0, 308, 616))
            assert taken < 0.4 * natural
            assert taken < 0.4 * bright
