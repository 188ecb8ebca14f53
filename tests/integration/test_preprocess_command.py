"""`zerodce preprocess` as a process, on a part of LoL: what it prints, its exit codes, and the start as a module."""

import subprocess
import sys
from pathlib import Path

import pytest

from tfrecord_tools import read_manifest, read_records, verify

pytestmark = pytest.mark.slow


def command(*arguments: object, module: str = "pipelines.cli") -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", module, *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def lol_records(lol: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("lol") / "records"
    done = command("preprocess", lol, out, "--train-count", 80)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if " of 116 images, " not in line] == []
    assert "images      116 = 116 written + 0 rejected" in done.stdout
    assert "references  6; 110 images have none" in done.stdout
    return out


def test_the_partial_lol_folder(lol_records: Path) -> None:
    manifest = read_manifest(lol_records)
    assert {split: manifest.records(split) for split in manifest.splits} == {"train": 80, "val": 21, "test": 15}
    assert verify(lol_records) == []
    train = [record.image.filename for record in read_records(lol_records, "train")]
    val = [record.image.filename for record in read_records(lol_records, "val")]
    assert max(train) < min(val)
    pairs = {record.image.filename for record in read_records(lol_records, "test") if record.reference}
    assert pairs == {"eval15/low/493.png", "eval15/low/547.png"}


def test_as_beam_people_start_it_the_shards_are_the_same(lol: Path, lol_records: Path, tmp_path: Path) -> None:
    done = command(
        *("--input", lol, "--output", tmp_path / "out", "--train-count=80", "--runner=DirectRunner"),
        *("--workers", "1", "--job_name=preprocess"),
        module="pipelines.preprocess",
    )
    assert done.returncode == 0, done.stderr
    assert read_manifest(tmp_path / "out").splits == read_manifest(lol_records).splits


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nowhere", "out"), 2, "Error: nowhere does not exist: name a folder of photos, or one photo"),
        ((".", "out"), 2, "Error: . and out overlap: choose an output folder outside the photos"),
        (("{lol}", "out", "--split", "train=2"), 2, "Error: the fractions add up to 2, not to 1"),
        (("{lol}", "{file}/out"), 1, "cannot be written"),
        (("{lol}", "{records}"), 1, "was made with another split rule; choose another OUT, or --overwrite"),
    ],
)
def test_what_is_wrong_is_one_line(
    lol: Path, lol_records: Path, arguments: tuple, code: int, message: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    places = {"lol": lol, "file": tmp_path / "file", "records": lol_records}
    done = command("preprocess", *(argument.format(**places) for argument in arguments))
    assert done.returncode == code
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
