"""The memory of the command does not grow with the archive."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines import folders, storage, tables
from pipelines.enhance import journal as journals
from pipelines.enhance import ownership, plan, report, results
from pipelines.enhance.journal import Journal, PhotoRecord
from pipelines.enhance.settings import EnhanceSettings

FEW, MANY = 300, 3000


@pytest.fixture(autouse=True)
def chunks_that_are_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held for a moment is smaller than the small archive."""
    for module, name in (
        (plan, "TASKS_IN_A_FILE"),
        (ownership, "OUTPUTS_IN_A_FILE"),
        (journals, "RECORDS_IN_A_FILE"),
        (tables, "_ROW_GROUP"),
        (report, "SHOWN"),
        (report, "_CHUNK"),
    ):
        monkeypatch.setattr(module, name, 100)
    monkeypatch.setattr(report, "_SAMPLE", 50)


def run(folder: Path, count: int) -> None:
    """All that the command does for an archive of empty photos, but the work on pixels; and then a resume."""
    out = str(folder / "out")
    for number in range(count):
        for path in (folder / "photos", folder / "out" / "enhanced"):
            photo = path / f"{number // 100:03}" / f"{number:06}.jpg"
            photo.parent.mkdir(parents=True, exist_ok=True)
            photo.write_bytes(b"1")
    settings = EnhanceSettings(autocontrast=False, overwrite=True)
    journal = Journal(storage.join(out, f"{folders.STATE}/journal"))
    listing = folders.find(str(folder / "photos"))
    made = plan.make_plan(listing, out, settings, "digest", journal.read(), [])
    plan.write_plan(out, made)
    row: dict[str, Any] = {"width": 6, "height": 4, "mean_input": 0.1, "mean_enhanced": 0.3, "psnr_enhanced_db": 11.2}
    row |= {"psnr_autocontrast_db": None, "exposure": 0.3, "notes": ""}
    for number, task in enumerate(made.todo.values()):
        of_photo = {"path": task.path, "output": task.output, **row}
        journal.append(PhotoRecord(*task.version, of_photo, sizes=(1,), crc32=(0,)))
        if number % 100 == 99:  # the disk is slower than these photos
            journal.flush()
    journal.flush()
    assert plan.make_plan(listing, out, settings, "digest", journal.read(), []).skipped == count
    counts = results.write_results(out, made, journal, {}, (), made.todo)["counts"]
    assert (counts["found"], counts["enhanced"]) == (count, count)


def peak(work: Callable[[], None]) -> int:
    """The most bytes that Python objects took at a time."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_ten_times_the_photos_take_the_same_memory(tmp_path: Path) -> None:
    run(tmp_path / "warm", 10)  # imports
    few = peak(lambda: run(tmp_path / "few", FEW))
    many = peak(lambda: run(tmp_path / "many", MANY))
    assert many - few < 200 * (MANY - FEW)  # a photo that is held takes at least 1,000 bytes
