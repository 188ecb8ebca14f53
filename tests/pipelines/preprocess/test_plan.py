"""What the data-set job is about to do, from the names, sizes and times of files."""

import os
from pathlib import Path
from typing import Any

import pytest

from pipelines.preprocess import plan
from pipelines.preprocess.plan import DatasetPlan
from pipelines.preprocess.settings import PreprocessSettings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(50):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / f"{index}.png").write_bytes(bytes(index))
    (tmp_path / "images" / "Thumbs.db").touch()
    return tmp_path / "images"


def make_plan(folder: str, **options: Any) -> DatasetPlan:
    return plan.make_plan(folder, PreprocessSettings(**options))


def shard_sizes(made: DatasetPlan) -> list[int]:
    return [len(sources) for sources in made.shards.values()]


@pytest.mark.parametrize(
    ("size", "encoding", "reference", "expected"),
    [
        ((1024, 1024), "png", False, [25, 25]),  # 64 MiB / (1024 x 1024 x 1.5 bytes) = 42 records
        ((1024, 1024), "jpeg", False, [50]),  # at 0.6 bytes a pixel 106
        ((1024, 1024), "png", True, [16, 17, 17]),  # with a reference each 21
        ((8192, 8192), "png", True, [1] * 50),
        ((256, 256), "png", False, [50]),
    ],
)
def test_a_shard_is_about_64_mib(folder: Path, size: tuple, encoding: str, reference: bool, expected: list) -> None:
    if reference:
        (folder.parent / "bright").mkdir()
        (folder.parent / "bright" / "0.png").touch()
    made = make_plan(
        str(folder),
        size=size,
        encoding=encoding,
        split="all=1",
        reference=str(folder.parent / "bright") if reference else None,
    )
    assert shard_sizes(made) == expected


def test_shard_records_is_a_limit(folder: Path) -> None:
    made = make_plan(str(folder), size=(8, 8), encoding="png", split="all=1", shard_records=20)
    assert shard_sizes(made) == [16, 17, 17]
    assert (made.found, made.ignored) == (50, 1)


def test_every_source_has_size_and_time_of_its_file(folder: Path) -> None:
    os.utime(folder / "7.png", (1000, 2000))
    made = make_plan(str(folder), size=(8, 8), encoding="png")
    sources = {source.key: source for part in made.shards.values() for source in part}
    assert len(sources) == 50
    assert (sources["7.png"].size, sources["7.png"].mtime, sources["7.png"].reference) == (7, 2000, None)


def test_the_listing_changes_with_every_file(folder: Path) -> None:
    def listing() -> str:
        return make_plan(str(folder), size=(8, 8), encoding="png").listing()

    first = listing()
    assert listing() == first
    (folder / "7.png").write_bytes(bytes(8))
    second = listing()
    os.utime(folder / "8.png", (0, 0))
    assert len({first, second, listing()}) == 3
