"""A mapping that is sorted by path and lies in a temporary file if it is large, so that it takes little memory."""

import contextlib
import errno
import marshal
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, ValuesView
from typing import Any, Generic, TypeVar, overload

CACHE_BYTES = 16 * 2**20
"""Bytes of a map that stay in memory."""

_AT_A_TIME = 256  # rows that an iterator reads

_Value = TypeVar("_Value")
_Default = TypeVar("_Default")
_Pairs = Iterable[tuple[str, _Value]]


class SortedMap(Mapping[str, _Value]):
    """A mapping from paths to values. All its iterators go by path, in the order of `sorted`.

    SQLite keeps the map: in memory up to `CACHE_BYTES`, and beyond that in a file without a name, which the system
    deletes even if the process is killed. The file lies in `SQLITE_TMPDIR`, `TMPDIR`, `/var/tmp` or `/tmp`, whichever
    comes first (https://sqlite.org/tempfiles.html). A map must not be changed while it is read by an iterator. Threads
    may use a map at the same time.

    Args:
        pack: Makes of a value what `marshal` can store: numbers, texts, bytes, None, and tuples and dicts of them.
        unpack: Makes the value of it again.
        rank: Gives a number by which `merge` chooses between two values of a path.
    """

    def __init__(
        self,
        pack: Callable[[_Value], Any] = lambda value: value,
        unpack: Callable[[Any], _Value] = lambda value: value,
        rank: Callable[[_Value], float] = lambda value: 0.0,
    ) -> None:
        self._pack, self._unpack, self._rank = pack, unpack, rank
        # autocommit is off for ever: one transaction, which is never rolled back, so that nothing is written twice
        self._connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._lock = threading.RLock()  # threads that ask at the same time would share a statement
        weakref.finalize(self, self._connection.close)
        for statement in (
            "PRAGMA journal_mode = OFF",
            f"PRAGMA cache_size = -{CACHE_BYTES // 1024}",
            "BEGIN",
            "CREATE TABLE map (path BLOB PRIMARY KEY, rank REAL, value BLOB) WITHOUT ROWID",
        ):
            self._connection.execute(statement)
        self._count: int | None = 0

    def update(self, pairs: _Pairs[_Value]) -> None:
        """Adds values. A value replaces an earlier one of the same path.

        Raises:
            OSError: The disk of the temporary file is full.
        """
        self._insert("INSERT OR REPLACE INTO map VALUES (?, ?, ?)", pairs)

    def add_missing(self, pairs: _Pairs[_Value]) -> None:
        """Adds the values of paths that have none; raises OSError as `update` does."""
        self._insert("INSERT OR IGNORE INTO map VALUES (?, ?, ?)", pairs)

    def merge(self, pairs: _Pairs[_Value]) -> None:
        """Adds values that have at least the rank of the earlier one of their path; raises OSError as `update` does."""
        self._insert(
            "INSERT INTO map VALUES (?, ?, ?) ON CONFLICT (path) DO UPDATE SET rank = excluded.rank, "
            "value = excluded.value WHERE excluded.rank >= rank",
            pairs,
        )

    def _insert(self, statement: str, pairs: _Pairs[_Value]) -> None:
        self._count = None
        rows = ((_key(path), self._rank(value), marshal.dumps(self._pack(value))) for path, value in pairs)
        with self._lock, _saying_full():
            self._connection.executemany(statement, rows)

    def discard(self, path: str) -> bool:
        """Removes a path. Returns whether it was there."""
        with self._lock:
            self._count = None
            return self._connection.execute("DELETE FROM map WHERE path = ?", (_key(path),)).rowcount == 1

    def __getitem__(self, path: str) -> _Value:
        found = self._row("value", path)
        if found is None:
            raise KeyError(path)
        return self._unpack(marshal.loads(found[0]))

    @overload
    def get(self, path: str, /) -> _Value | None: ...
    @overload
    def get(self, path: str, default: _Value | _Default, /) -> _Value | _Default: ...
    def get(self, path: str, default: Any = None, /) -> Any:
        """The value of a path; `default` if it has none."""
        found = self._row("value", path)
        return default if found is None else self._unpack(marshal.loads(found[0]))

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and self._row("1", path) is not None

    def __iter__(self) -> Iterator[str]:
        return (path.decode("utf-8", "surrogatepass") for (path,) in self._rows("path"))

    def __len__(self) -> int:
        with self._lock:
            if self._count is None:
                self._count = int(self._connection.execute("SELECT count(*) FROM map").fetchone()[0])
            return self._count

    def values(self) -> "_Values[_Value]":
        return _Values(self)

    def _row(self, column: str, path: str) -> tuple[Any] | None:
        if self._count == 0:
            return None
        with self._lock:
            cursor = self._connection.execute(f"SELECT {column} FROM map WHERE path = ?", (_key(path),))
            found: tuple[Any] | None = cursor.fetchone()
        return found

    def _rows(self, columns: str) -> Iterator[tuple[Any, ...]]:
        with self._lock:
            cursor = self._connection.execute(f"SELECT {columns} FROM map ORDER BY path")
        with contextlib.closing(cursor):
            while True:
                with self._lock:
                    rows = cursor.fetchmany(_AT_A_TIME)
                if not rows:
                    return
                yield from rows


class _Values(ValuesView[_Value], Generic[_Value]):
    """The values of a map, read one after another instead of looked up."""

    _mapping: SortedMap[_Value]

    def __iter__(self) -> Iterator[_Value]:
        unpack = self._mapping._unpack
        return (unpack(marshal.loads(value)) for (value,) in self._mapping._rows("value"))


def _key(path: str) -> bytes:
    """A path as bytes that compare as the path does. Bytes of a name that are no UTF-8 are surrogates in the path."""
    return path.encode("utf-8", "surrogatepass")


@contextlib.contextmanager
def _saying_full() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        folder = os.environ.get("SQLITE_TMPDIR") or os.environ.get("TMPDIR") or "/var/tmp"
        reason = f"no room for the lists of the run in {folder} ({error}): make room, or name another folder in TMPDIR"
        raise OSError(errno.ENOSPC, reason, folder) from error
