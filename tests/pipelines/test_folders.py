"""Input and output folders: apart from one another, and locked once."""

from pathlib import Path

import click
import filelock
import pytest

from pipelines import folders


def test_the_lock_is_given_back(tmp_path: Path) -> None:
    lock = folders.lock(str(tmp_path))
    other = filelock.FileLock(tmp_path / ".zerodce" / "lock")
    with lock, pytest.raises(filelock.Timeout):
        other.acquire(timeout=0)
    other.acquire(timeout=0)
    other.release()


def test_an_output_beside_one_photo_is_no_overlap(tmp_path: Path) -> None:
    folders.refuse_overlap(str(tmp_path / "a.jpg"), str(tmp_path / "out"))
    for out in (tmp_path, tmp_path.parent):
        with pytest.raises(click.UsageError, match="overlap"):
            folders.refuse_overlap(str(tmp_path / "a.jpg"), str(out))


@pytest.mark.parametrize(("job", "mark"), [("preprocess", ".zerodce/journal/a.jsonl"), ("enhance", "manifest.json")])
def test_the_folder_of_another_job_is_refused(tmp_path: Path, job: str, mark: str) -> None:
    folders.refuse_other_job(str(tmp_path / "out"), job)
    path = tmp_path / "out" / mark
    path.parent.mkdir(parents=True)
    path.touch()
    with pytest.raises(click.UsageError, match="holds what `zerodce") as error:
        folders.refuse_other_job(str(tmp_path / "out"), job)
    assert error.value.exit_code == 2
    folders.refuse_other_job(str(tmp_path / "out"), "enhance" if job == "preprocess" else "preprocess")
