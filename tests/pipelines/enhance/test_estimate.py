"""What a run will take: drawn from its photos, said in one line, and refused where the disk has too little room."""

import collections
import json
import shutil
import sys
import time
from pathlib import Path

import click
import pytest

from pipelines import models
from pipelines.enhance import estimate, room
from pipelines.enhance.estimate import Estimate
from pipelines.enhance.journal import Journal
from pipelines.enhance.photo import PhotoProcessor
from pipelines.enhance.plan import EnhancePlan, Task
from pipelines.enhance.settings import EnhanceSettings
from tests.pipelines.enhance.test_enhance_job import dark
from tests.pipelines.jobs import enhance as run

GB = 10**9


def task(path: str, size: int) -> Task:
    return Task(path, size, 0.0, "", path, "", False)


def plan(out: Path, freed: tuple[int, int] = (0, 0), **options: object) -> EnhancePlan:
    settings = EnhanceSettings(**options)
    return EnhancePlan(str(out / "photos"), settings, [], 0, (), freed=list(freed))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(6):
        dark(seed).save(folder / f"{seed}.png")
    return folder


@pytest.fixture
def no_run_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "SMALL_COUNT", 1)
    monkeypatch.setattr(estimate, "AGAIN", 0.0)


def disk_with(free: int, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(free, 0, free))


def test_photos_are_drawn_by_their_size_and_formats_in_turn() -> None:
    tasks = [task("a.jpg", 10), task("b.jpg", 80), task("c.png", 10)]
    drawn = estimate.sample(tasks, 10)
    assert collections.Counter(task.path for task in drawn) == {"a.jpg": 1, "b.jpg": 8, "c.png": 1}
    assert drawn == estimate.sample(tasks[::-1], 10)
    assert {task.path for task in estimate.sample([task("e.jpg", 0)], 3)} == {"e.jpg"}


def test_small_runs_need_none() -> None:
    assert estimate.is_small([task("a.jpg", GB - 1)])
    assert not estimate.is_small([task("a.jpg", GB)])
    assert not estimate.is_small([task("a.jpg", 1)] * 1000)


def test_costs_of_each_byte_are_those_of_all_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the bytes grow to the double, a quarter shrinks to the half, and a quarter fails."""
    tasks = [task("a.jpg", 50), task("b.png", 25), task("c.tif", 25)]
    tried = {
        "a.jpg": estimate.Tried("a.jpg", 50, 100, 50, 5.0),
        "b.png": estimate.Tried("b.png", 25, 12.5, 0, 1.0),
        "c.tif": estimate.Tried("c.tif", 25, 0, 0, 0.0),
    }
    monkeypatch.setattr(estimate, "_try", lambda *args: tried)
    processor = type("Processor", (), {"settings": EnhanceSettings(workers=2)})
    found = estimate.estimate(processor, tasks)
    assert found == Estimate(round(112.5), 50, pytest.approx(3.0))
    monkeypatch.setattr(estimate, "_try", lambda *args: {})
    assert estimate.estimate(processor, tasks) is None


@pytest.mark.slow
def test_the_room_for_camera_photos_is_estimated_within_30_percent(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.estimate import of_photos

    monkeypatch.setattr(estimate, "SAMPLE", 4)
    monkeypatch.setattr(estimate, "AGAIN", 0.0)
    monkeypatch.setattr(estimate, "SECONDS", 120.0)  # on a busy machine too, all photos of the sample count
    out = tmp_path / "out"
    expected = of_photos(data / "photos", str(out))
    assert expected.seconds > 0
    assert not out.exists()
    assert run(data / "photos", out) == 0
    for size, parts in ((expected.enhanced, ["enhanced"]), (expected.others, ["autocontrast", "report"])):
        written = sum(path.stat().st_size for part in parts for path in (out / part).rglob("*") if path.is_file())
        assert 0.7 * written < size < 1.3 * written


@pytest.mark.slow
@pytest.mark.usefixtures("no_run_is_small")
def test_a_plan_says_room_and_time(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run(photos, out, "--dry-run", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["to_enhance"] == 6
    assert isinstance(said["seconds"], int)
    assert run(photos, out, "--json") == 0
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    written = [path for name in ("enhanced", "autocontrast", "report/thumbs") for path in (out / name).rglob("*.*")]
    assert first["event"] == "estimate"
    assert first["megabytes"] == said["megabytes"]
    assert first["megabytes"] == pytest.approx(sum(path.stat().st_size for path in written) / 1e6, rel=0.3, abs=0.05)
    assert run(photos, out, "--dry-run", "--overwrite") == 0
    assert "MB would be written, in about " in capsys.readouterr().out
    assert run(photos, out, "--overwrite") == 0
    assert "About 0 MB, in about " in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("no_run_is_small")
def test_a_disk_with_too_little_room_is_refused_with_both_numbers(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    disk_with(10, monkeypatch)
    for options in (["--dry-run"], []):
        with pytest.raises(click.UsageError, match=r"about 0 MB would be written, and the disk of .* has 0 MB free"):
            run(photos, out, *options)
    assert not (out / "enhanced").exists()
    assert run(photos, out, "--force") == 0


def test_what_is_replaced_gives_its_room_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk_with(3 * GB, monkeypatch)
    needed = Estimate(4 * GB, 2 * GB, 60.0)
    with pytest.raises(click.UsageError, match=r"about 6\.0 GB would be written, .* has 3\.0 GB free"):
        room.check(needed, plan(tmp_path), str(tmp_path / "out"))
    with pytest.raises(click.UsageError, match=r"about 3\.1 GB"):
        room.check(needed, plan(tmp_path, (2 * GB, 9 * GB // 10)), str(tmp_path / "out"))
    room.check(needed, plan(tmp_path, (2 * GB, GB)), str(tmp_path / "out"))
    room.check(needed, plan(tmp_path, force=True), str(tmp_path / "out"))
    room.check(needed, plan(tmp_path), "s3://bucket/out")
    room.check(None, plan(tmp_path), str(tmp_path / "out"))


def test_photos_beside_originals_need_room_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk_with(3 * GB, monkeypatch)
    with pytest.raises(click.UsageError, match=r"about 4\.0 GB would be written"):
        room.check(Estimate(4 * GB, 2 * GB, 1.0), plan(tmp_path, beside=True), "s3://bucket/out")


@pytest.mark.parametrize("end", ["exit 1", "exec sleep 60"])
def test_a_process_of_the_sample_that_ends_early_or_never_ends_only_the_estimate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\n{end}\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    monkeypatch.setattr(estimate, "_PATIENCE", 0.5)
    monkeypatch.setattr(estimate, "SECONDS", 0.5)
    journal = Journal(str(tmp_path / "journal"))
    processor = PhotoProcessor(
        str(tmp_path), str(tmp_path / "out"), models.read_model(None), EnhanceSettings(), journal
    )
    started = time.monotonic()
    assert estimate.estimate(processor, [task("a.jpg", 7)]) is None
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "0 seconds"),
        (89, "89 seconds"),
        (90, "2 minutes"),
        (5000, "83 minutes"),
        (9000, "2.5 hours"),
        (144e3, "1.7 days"),
    ],
)
def test_times_have_a_unit(seconds: float, said: str) -> None:
    assert room.duration(seconds) == said
