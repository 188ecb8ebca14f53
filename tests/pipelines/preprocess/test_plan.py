"""What the data-set job is about to do, from the names, sizes and times of files."""

import os
from pathlib import Path

import pytest

from pipelines.preprocess.plan import DatasetPlan, make_plan


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index in range(50):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / f"{index}.png").write_bytes(bytes(index))
    (tmp_path / "images" / "Thumbs.db").touch()
    return tmp_path / "images"


def shard_sizes(plan: DatasetPlan) -> list[int]:
    return [len(sources) for sources in plan.shards.values()]


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
    plan = make_plan(
        str(folder),
        size=size,
        encoding=encoding,
        split="all=1",
        reference=str(folder.parent / "bright") if reference else None,
    )
    assert shard_sizes(plan) == expected


def test_shard_records_is_a_limit(folder: Path) -> None:
    plan = make_plan(str(folder), size=(8, 8), encoding="png", split="all=1", shard_records=20)
    assert shard_sizes(plan) == [16, 17, 17]
    assert (plan.found, plan.ignored) == (50, 1)


def test_every_source_has_size_and_time_of_its_file(folder: Path) -> None:
    os.utime(folder / "7.png", (1000, 2000))
    plan = make_plan(str(folder), size=(8, 8), encoding="png")
    sources = {source.key: source for part in plan.shards.values() for source in part}
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
