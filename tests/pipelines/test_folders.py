"""Input and output folders: apart from one another, and locked once."""

import errno
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
    with pytest.raises(click.UsageError, match="holds files of `zerodce") as error:
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


def test_an_error_is_said_of_what_failed() -> None:
    inside = OSError(errno.ENOSPC, "No space left on device", "out/a")
    assert folders.what_failed(inside, "out") == "out cannot be written (No space left on device)"
    assert folders.what_failed(OSError(errno.ENOSPC, "No space"), "out") == "out cannot be written (No space)"
    assert folders.what_failed(OSError(errno.EACCES, "No entry", "in/a"), "out") == "in/a cannot be read (No entry)"


def test_a_photo_that_cannot_be_looked_at_is_listed_to_fail_later(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    (tmp_path / "b.jpg").symlink_to("b.jpg")
    (tmp_path / "c.jpg").symlink_to("nowhere")
    (tmp_path / "d.txt").symlink_to("nowhere")
    found = folders.find(str(tmp_path))
    assert [(entry.path, entry.size) for entry in found.entries] == [("a.jpg", 0), ("b.jpg", 0), ("c.jpg", 0)]
    assert found.ignored_by_extension == {".txt": 1}
    unreadable: dict[str, str] = {}
    assert [entry.path for entry in folders.find(str(tmp_path), unreadable).entries] == ["a.jpg"]
    assert unreadable == {"b.jpg": "Too many levels of symbolic links", "c.jpg": "No such file or directory"}
    (tmp_path / "sub").symlink_to("sub")
    with pytest.raises(click.UsageError, match="sub cannot be read: Too many levels of symbolic links"):
        folders.find(str(tmp_path))
