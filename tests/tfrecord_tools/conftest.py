"""A small data set on disk."""

from collections.abc import Callable
from pathlib import Path

import pytest
from record_samples import record, write_dataset


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """`train`: records 0 to 9 in shards of 4, 3 and 3; `val`: records 10 to 14; `test`: none."""
    train = [[record(i) for i in part] for part in (range(4), range(4, 7), range(7, 10))]
    write_dataset(tmp_path / "set", {"train": train, "val": [[record(i) for i in range(10, 15)]], "test": []})
    return tmp_path / "set"


@pytest.fixture
def damage(dataset: Path) -> Callable[[str, Callable[[bytes], bytes]], None]:
    """Changes the bytes of a file of `dataset`."""

    def change(name: str, function: Callable[[bytes], bytes]) -> None:
        path = dataset / name
        path.write_bytes(function(path.read_bytes()))

    return change
