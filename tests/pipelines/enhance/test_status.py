"""`zerodce status`: counts, speed and state of a run, from what lies in OUT."""

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from pipelines import cli
from pipelines.enhance import status
from pipelines.enhance.journal import Journal, PhotoRecord


def record(path: str, at: float, failed: bool = False) -> PhotoRecord:
    row: dict[str, Any] = {"path": path, "output": path, "notes": "", "width": 2000, "height": 1000}
    row |= dict.fromkeys(("mean_input", "mean_enhanced", "psnr_enhanced_db", "psnr_autocontrast_db", "exposure"), 0.5)
    failure = {"stage": "decode", "error": "broken"}
    return PhotoRecord(path, 1, 2.0, "s", None if failed else row, failure if failed else None, time=at)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """That of a run which found 20 photos, 5 of them done, 2 of them without a right to be written."""
    journal = Journal(str(tmp_path / ".zerodce/journal"))
    journal.append(record("before.jpg", 1.0))
    journal.flush()
    journal.skip_present()
    status.begin(str(tmp_path), journal.skip, "DirectRunner", {"found": 20, "to_do": 13, "skipped": 5, "failed": 2})
    return Journal(journal.folder, journal.skip)


def test_a_run_in_progress_has_counts_a_speed_and_an_end(tmp_path: Path, journal: Journal) -> None:
    started = json.loads((tmp_path / status.JOB).read_text())["started"]
    for number in range(3):
        journal.append(record(f"{number}.jpg", started + 4 * (number + 1)))
    journal.append(record("3.jpg", started + 16, failed=True))
    journal.append(record("0.jpg", started + 20))  # again, after a worker was lost
    journal.flush()
    (tmp_path / ".zerodce/in_work").mkdir()
    (tmp_path / ".zerodce/in_work/a.json").write_text("{}")
    found = status.of(str(tmp_path))
    assert (found["state"], found["process"], found["host"]) == ("running", os.getpid(), socket.gethostname())
    assert [found[name] for name in ("found", "enhanced", "skipped", "failed", "to_go", "in_work")] == [
        20,
        3,
        5,
        3,
        9,
        1,
    ]
    assert found["photos_per_second"] == 0.2  # 4 photos in 20 s
    assert found["megapixels_per_second"] == 0.3
    assert found["seconds_left"] == 45


def test_the_speed_is_that_of_the_last_minutes(tmp_path: Path, journal: Journal) -> None:
    job = json.loads((tmp_path / status.JOB).read_text())
    (tmp_path / status.JOB).write_text(json.dumps(job | {"started": time.time() - 10_000}))
    for number in range(6):
        journal.append(record(f"{number}.jpg", time.time() - 60 * number))
    journal.flush()
    assert status.of(str(tmp_path))["photos_per_second"] == pytest.approx(6 / 300, abs=1e-3)


def test_a_run_that_was_killed_or_ended(tmp_path: Path, journal: Journal) -> None:
    job = json.loads((tmp_path / status.JOB).read_text())
    (tmp_path / status.JOB).write_text(json.dumps(job | {"process": 2**22 + 1}))  # more than Linux gives
    assert status.of(str(tmp_path))["state"] == "killed"
    counts: dict[str, int] = {"found": 20, "enhanced": 10, "skipped": 5, "failed": 2}
    (tmp_path / "run.json").write_text(json.dumps({"counts": counts}))
    status.end(str(tmp_path))
    found = status.of(str(tmp_path))
    assert (found["state"], found["to_go"], found["enhanced"], found["seconds_left"]) == ("ended", 3, 10, None)
    (tmp_path / "run.json").write_text(json.dumps({"counts": counts | {"enhanced": 13}}))
    assert status.of(str(tmp_path))["state"] == "complete"


def test_the_command_prints_a_table_or_json(tmp_path: Path, journal: Journal) -> None:
    journal.append(record("0.jpg", time.time() + 1))
    journal.flush()
    shown = CliRunner().invoke(cli.main, ["status", str(tmp_path)])
    assert shown.exit_code == 0
    lines = dict(line.split(maxsplit=1) for line in shown.output.splitlines() if line.strip())
    assert (lines["state"].strip(), lines["found"].strip(), lines["enhanced"].strip()) == ("running", "20", "1")
    assert "MP/s" in lines["speed"]
    shown = CliRunner().invoke(cli.main, ["status", str(tmp_path), "--json"])
    assert json.loads(shown.output)["to_go"] == 12


def test_a_folder_without_a_run_is_an_error_of_a_line(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match="holds no run of `zerodce enhance`"):
        status.status(str(tmp_path), False)
    (tmp_path / ".zerodce").mkdir()
    (tmp_path / status.JOB).write_text("{")
    with pytest.raises(click.UsageError, match="cannot be read"):
        status.status(str(tmp_path), False)


def test_a_command_that_watches_a_folder(tmp_path: Path, journal: Journal) -> None:
    counts = {"found": 20, "enhanced": 13, "skipped": 5, "failed": 2}
    (tmp_path / "run.json").write_text(json.dumps({"counts": counts}))
    status.end(str(tmp_path))
    assert (found := status.of(str(tmp_path)))["state"] == "watching"
    assert found["to_go"] == 0
