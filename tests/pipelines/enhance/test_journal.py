"""The journal: what is appended is there, whoever reads it, and whatever a kill cut short is not."""

import dataclasses
import os
import pickle
import threading
from pathlib import Path

import pytest

from pipelines.enhance.journal import Follower, Journal, PhotoRecord, Version


def record(path: str, **changes: object) -> PhotoRecord:
    row = {"path": path, "output": path, "notes": "", "width": 3, "height": 2}
    row |= dict.fromkeys(("mean_input", "mean_enhanced", "psnr_enhanced_db"), 0.5)
    return dataclasses.replace(PhotoRecord(path, 10, 1.5, "digest", row=row), **changes)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(str(tmp_path / "journal"))


def test_an_absent_journal_is_empty(journal: Journal) -> None:
    assert journal.read() == {}


def test_reads_back_what_was_appended(journal: Journal) -> None:
    first, second = record("a/ä b.jpg"), record("broken\udcff.jpg", row=None, failure={"stage": "read", "error": "x"})
    journal.append(first)
    journal.append(second)
    assert journal.read() == {first.path: first, second.path: second}


def test_the_latest_record_of_a_photo_holds_in_whatever_file_it_is(journal: Journal) -> None:
    newer, older = record("a", settings="new", time=2.0), record("a", settings="old", time=1.0)
    journal.append(newer)
    pickle.loads(pickle.dumps(journal)).append(older)  # as another process would
    assert len(list(Path(journal.folder).iterdir())) == 2
    assert journal.read()["a"].settings == "new"


def test_a_line_cut_short_does_not_count(tmp_path: Path) -> None:
    whole, last = record("a").line(), record("b").line()
    for length in range(len(last) - 1):
        (tmp_path / "cut.jsonl").write_bytes(whole + last[:length])
        assert set(Journal(str(tmp_path)).read()) == {"a"}


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"7",
        b'{"path": "a"}',
        b'{"path": "a", "size": 1, "mtime": 1.0, "settings": "s", "row": ["a"]}',
        b'{"path": "a", "size": 1, "mtime": 1.0, "settings": "s", "row": {"path": "a"}}',
        b'{"path": 1, "size": 1, "mtime": 1.0, "settings": "s", "failure": {"stage": "read", "error": "x"}}',
        b'{"path": "a", "size": "1", "mtime": null, "settings": "s"}',
        b'{"path": "a", "size": 1, "mtime": 1.0, "settings": "s", "unchanged": 3}',
        b'{"path": "a", "size": 1, "mtime": 1.0, "settings": "s", "failure": {"stage": "read"}}',
    ],
)
def test_json_of_another_shape_does_not_count(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "odd.jsonl").write_bytes(record("whole").line() + line + b"\n")
    assert set(Journal(str(tmp_path)).read()) == {"whole"}


def test_what_is_no_file_is_neither_read_nor_waited_for(journal: Journal) -> None:
    journal.append(record("a"))
    os.mkfifo(Path(journal.folder) / "pipe.jsonl")
    (Path(journal.folder) / "folder.jsonl").mkdir()
    follower = Follower(journal.folder)
    assert set(journal.read()) == {"a"}
    journal.append(record("b"))
    assert [found.path for found in follower.poll()] == ["b"]


def test_threads_append_whole_lines(journal: Journal) -> None:
    def append(worker: int) -> None:
        for i in range(200):
            journal.append(record(f"{worker}/{i}", row=record("").row | {"notes": "x" * 500}))

    threads = [threading.Thread(target=append, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(journal.read()) == 1600


def test_compacting_leaves_one_file_with_the_given_records(journal: Journal) -> None:
    for time in (1.0, 2.0, 3.0):
        journal.append(record("a", time=time))
    journal.append(record("gone"))
    kept = journal.read()["a"]
    journal.compact([kept])
    assert journal.read() == {"a": kept}
    assert len(list(Path(journal.folder).iterdir())) == 1
    journal.append(record("b"))
    assert set(journal.read()) == {"a", "b"}


def test_a_follower_sees_only_what_came_after_it_and_whole_lines(journal: Journal) -> None:
    journal.append(record("before"))
    follower = Follower(journal.folder)
    journal.append(record("a"))
    with open(Path(journal.folder) / "other.jsonl", "wb") as other:
        line = record("b").line()
        other.write(line[:10])
        other.flush()
        assert [found.path for found in follower.poll()] == ["a"]
        other.write(line[10:])
    assert [found.path for found in follower.poll()] == ["b"]
    assert list(follower.poll()) == []


def test_what_is_to_be_done_again_is_forgotten(journal: Journal) -> None:
    for settings, time in (("old", 1.0), ("new", 2.0)):
        journal.append(record("a", settings=settings, time=time))
    journal.append(record("b"))
    journal.forget(journal.read(), iter(["a", "unheard of"]))
    fresh = Journal(journal.folder)
    assert set(fresh.read()) == {"b"}
    assert not fresh.is_done(Version("a", 10, 1.5, "old"), lambda _: (), str)
    assert fresh.is_done(Version("b", 10, 1.5, "digest"), lambda _: (), str)
