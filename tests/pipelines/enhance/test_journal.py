"""The journal: what is appended is there, whoever reads it, and whatever a kill cut short is not."""

import dataclasses
import errno
import os
import pickle
import threading
from pathlib import Path

import pytest

from pipelines.enhance.following import FileFollower
from pipelines.enhance.journal import Journal, PhotoRecord, Version


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
    other = pickle.loads(pickle.dumps(journal))  # as another process has it
    for each, appended in ((journal, newer), (other, older)):
        each.append(appended)
        each.flush()
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
        b'{"path": "a", "size": 1, "mtime": 1.0, "settings": "s", "sizes": 3}',
        b'{"path": "a", "size": 1, "mtime": 1.0, "settings": "s", "crc32": ["3"]}',
        b'{"path": "a", "size": 1, "mtime": 1.0, "settings": "s", "failure": {"stage": "read"}}',
    ],
)
def test_json_of_another_shape_does_not_count(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "odd.jsonl").write_bytes(record("whole").line() + line + b"\n")
    assert set(Journal(str(tmp_path)).read()) == {"whole"}


def test_what_is_no_file_is_neither_read_nor_waited_for(journal: Journal) -> None:
    journal.append(record("a"))
    journal.flush()
    os.mkfifo(Path(journal.folder) / "pipe.jsonl")
    (Path(journal.folder) / "folder.jsonl").mkdir()
    follower = FileFollower(journal.folder)
    assert set(journal.read()) == {"a"}
    journal.append(record("b"))
    journal.flush()
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
    journal.flush()
    follower = FileFollower(journal.folder)
    journal.append(record("a"))
    journal.flush()
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
    journal.forget(journal.read(), ["a", "unheard of"])
    fresh = Journal(journal.folder)
    assert set(fresh.read()) == {"b"}
    assert not fresh.is_done(Version("a", 10, 1.5, "old"), lambda _: (), len)
    assert fresh.is_done(Version("b", 10, 1.5, "digest"), lambda _: (), len)


@pytest.fixture
def forced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what is forced to the disk, in that order."""
    names: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda file: names.append(Path(os.readlink(f"/proc/self/fd/{file}")).name))
    return names


def test_images_and_their_folders_are_on_the_disk_before_the_record(
    journal: Journal, tmp_path: Path, forced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [tmp_path / folder / name for name in ("a", "b") for folder in ("enhanced", "autocontrast")]
    for image in images:
        image.parent.mkdir(exist_ok=True)
        image.write_bytes(b"1")
    write = os.write

    def writing(file: int, lines: bytes) -> int:
        forced.append("lines")
        return write(file, lines)

    monkeypatch.setattr(os, "write", writing)
    busy = threading.Event()
    journal._writer.submit(busy.wait)  # as with a group before, so that these gather to one
    for name, paths in (("a", images[:2]), ("b", images[2:]), ("c", [tmp_path / "gone"])):
        journal.append(record(name), list(map(str, paths)))
    busy.set()
    journal.flush()
    (file,) = Path(journal.folder).iterdir()
    before, after = forced[: forced.index("lines")], forced[forced.index("lines") :]
    assert before[:4] == ["a", "a", "b", "b"]
    assert sorted(before[4:7]) == ["autocontrast", "enhanced", tmp_path.name]
    assert before[7:] == [file.name, "journal"]  # it is new
    assert after == ["lines", file.name]
    assert set(journal.read()) == {"a", "b", "c"}


def test_a_journal_put_together_is_on_the_disk_before_what_it_replaces_is_deleted(
    journal: Journal, forced: list[str]
) -> None:
    journal.append(record("a"))
    journal.flush()
    (old,) = Path(journal.folder).iterdir()
    forced.clear()
    journal.compact([record("a")])
    (new,) = Path(journal.folder).iterdir()
    assert new != old
    assert forced == [new.name, "journal"]


def test_after_what_the_disk_could_not_take_nothing_is_recorded(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second fsync would succeed, though what the first could not write is lost."""

    def failing(file: int) -> None:
        monkeypatch.undo()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / "image").write_bytes(b"1")
    monkeypatch.setattr(os, "fsync", failing)
    journal.append(record("a"), [str(tmp_path / "image")])
    for again in (journal.flush, journal.flush, lambda: journal.append(record("b"))):
        with pytest.raises(OSError, match="Input/output error") as error:
            again()
        assert error.value.filename == str(tmp_path / "image")
    assert not Path(journal.folder).exists()


@pytest.mark.parametrize(
    ("sizes", "crc32", "found", "read", "done"),
    [
        ((5, 7), (1, 2), {"e": 5, "a": 7}, None, True),
        ((5, 7), (1, 2), {"e": 5, "a": 6}, None, False),
        ((5, 7), (1, 2), {"e": 5}, None, False),
        ((), (), {"e": 5, "a": 6}, {"e": 3, "a": 3}, True),  # a record of an older version
        ((5, 7), (1, 2), {"e": 5, "a": 7}, {"e": 1, "a": 2}, True),
        ((5, 7), (1, 2), {"e": 5, "a": 7}, {"e": 1, "a": 3}, False),
    ],
)
def test_a_photo_is_done_if_its_images_are_as_they_were_written(
    sizes: tuple[int, ...],
    crc32: tuple[int, ...],
    found: dict[str, int],
    read: dict[str, int] | None,
    done: bool,
    journal: Journal,
) -> None:
    journal.append(record("a", sizes=sizes, crc32=crc32))
    kept = journal.read()["a"]
    assert kept.is_done(kept.version, lambda _: ("e", "a"), found.get, read and read.__getitem__) == done
