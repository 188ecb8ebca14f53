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


@pytest.mark.parametrize(
    ("job", "mark"),
    [
        ("preprocess", ".zerodce/journal/a.jsonl"),
        ("preprocess", ".zerodce/plan/0.json"),
        ("preprocess", "metrics.csv"),
        ("enhance", "manifest.json"),
    ],
)
def test_the_folder_of_another_job_is_refused(tmp_path: Path, job: str, mark: str) -> None:
    folders.refuse_other_job(str(tmp_path / "out"), job)
    path = tmp_path / "out" / mark
    path.parent.mkdir(parents=True)
    path.touch()
    with pytest.raises(click.UsageError, match="holds what `zerodce") as error:
        folders.refuse_other_job(str(tmp_path / "out"), job)
    assert error.value.exit_code == 2
    folders.refuse_other_job(str(tmp_path / "out"), "enhance" if job == "preprocess" else "preprocess")


@pytest.mark.parametrize("name", ["part", "part/deeper"])
def test_links_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    (out / name).parent.mkdir(parents=True)
    (out / name).symlink_to(outside)
    with pytest.raises(click.UsageError, match=f"{out / name} is a link that leads to {outside}: remove it"):
        folders.refuse_links_out(str(out), [name])
    folders.refuse_links_out(str(out), ["not there"])
    (tmp_path / "link").symlink_to(out)
    (out / "inside").symlink_to(out)
    folders.refuse_links_out(str(tmp_path / "link"), ["inside"])


def test_the_lock_is_made_in_the_folder_itself(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / folders.STATE).symlink_to(tmp_path / "outside")
    with pytest.raises(click.UsageError, match="is a link that leads"), folders.lock(str(tmp_path / "out")):
        pass
    assert list((tmp_path / "outside").iterdir()) == []
