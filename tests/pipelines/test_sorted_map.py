"""Maps that lie in a temporary file."""

import sqlite3
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sorted_map import CACHE_BYTES, SortedMap
from pipelines.storage import Entry

# paths as Python has them, with bytes that are no UTF-8 as surrogates
PATHS = st.text(st.characters(exclude_categories=["Cs"]) | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF))


@given(st.lists(st.tuples(PATHS, st.integers(-(2**60), 2**60))))
def test_it_is_a_sorted_dict(pairs: list[tuple[str, int]]) -> None:
    numbers: SortedMap[int] = SortedMap()
    numbers.update(pairs)
    expected = dict(pairs)
    assert list(numbers) == sorted(expected)
    assert list(numbers.values()) == [expected[path] for path in sorted(expected)]
    assert len(numbers) == len(numbers.values()) == len(expected)
    assert numbers == expected
    for path, number in expected.items():
        assert path in numbers
        assert numbers[path] == number
    assert "?" * 50 not in numbers
    with pytest.raises(KeyError):
        numbers["?" * 50]


def test_values_are_packed() -> None:
    entries: SortedMap[Entry] = SortedMap(Entry.fields, Entry.of)
    entries.update([("b\udcff", Entry("b\udcff", 2**40, 0.1)), ("a", Entry("a", 0, -1.5))])
    assert list(entries.values()) == [Entry("a", 0, -1.5), Entry("b\udcff", 2**40, 0.1)]


def test_which_of_two_values_stays() -> None:
    numbers: SortedMap[float] = SortedMap(rank=lambda number: number)
    numbers.add_missing([("a", 2.0), ("a", 3.0)])
    assert numbers["a"] == 2.0
    numbers.merge([("a", 1.0), ("b", 5.0), ("b", 7.0)])
    assert dict(numbers.items()) == {"a": 2.0, "b": 7.0}
    numbers.update([("a", 1.0)])
    assert numbers["a"] == 1.0


def test_of_two_values_of_one_rank_the_later_stays() -> None:
    texts: SortedMap[str] = SortedMap()
    texts.merge([("a", "first"), ("a", "second")])
    assert texts["a"] == "second"


def test_a_path_is_removed() -> None:
    numbers: SortedMap[int] = SortedMap()
    numbers.update([("a", 1), ("b", 2)])
    assert (numbers.discard("a"), numbers.discard("a"), len(numbers)) == (True, False, 1)


def test_a_large_map_spills_and_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    texts: SortedMap[bytes] = SortedMap()
    count = 3 * CACHE_BYTES // 10_000
    texts.update((f"{number * 7919 % count:06}", bytes(10_000)) for number in range(count))
    assert len(texts) == count
    assert sum(len(text) for text in texts.values()) == count * 10_000
    assert list(texts) == [f"{number:06}" for number in range(count)]
    assert list(tmp_path.iterdir()) == []  # the file has no name


def test_threads_may_ask_at_the_same_time() -> None:
    numbers: SortedMap[int] = SortedMap()
    numbers.update((f"{number:04}", number) for number in range(1000))

    def ask(thread: int) -> int:
        paths = [f"{number:04}" for number in range(thread, 2000, 3)]
        return sum(numbers.get(path) == int(path) for path in paths) + sum(1 for _ in numbers.values())

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, range(3), chunksize=1)) + list(pool.map(ask, [0] * 60))
    assert found == [1334, 1333, 1333] + [1334] * 60


def test_a_full_disk_is_a_line_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def executemany(self, *_: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

    numbers: SortedMap[int] = SortedMap()
    monkeypatch.setenv("TMPDIR", tempfile.gettempdir())
    monkeypatch.setattr(numbers, "_connection", Full())
    with pytest.raises(OSError, match=r"no room for the lists of the run .* name another folder in TMPDIR"):
        numbers.update([("a", 1)])
