"""`zerodce records ...` as a process, on a data set made of LoL."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from PIL import Image

from pipelines import records as tools

pytestmark = pytest.mark.slow


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    arguments = (sys.executable, "-m", "pipelines.cli", *map(str, arguments))
    return subprocess.run(arguments, capture_output=True, text=True)


@pytest.fixture(scope="module")
def records(lol: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 15 test images of LoL, of which 2 have a reference."""
    out = tmp_path_factory.mktemp("eval15") / "records"
    done = command(
        *("preprocess", lol / "eval15/low", out, "--reference", lol / "eval15/high"),
        *("--split", "all=1", "--shard-records", 8),
    )
    assert done.returncode == 0, done.stderr
    return out


def test_inspect(records: Path) -> None:
    done = command("records", "inspect", records)
    assert done.returncode == 0
    assert done.stderr == ""
    assert [line.split() for line in done.stdout.splitlines()[:2]][1][:4] == ["all", "15", "2", "2"]
    assert "reference/encoded" in done.stdout
    assert "256x256, stretch, png" in done.stdout
    assert "547.png" in done.stdout or "493.png" in done.stdout


def test_verify(records: Path) -> None:
    done = command("records", "verify", records)
    assert (done.returncode, done.stdout, done.stderr) == (0, "15 records in 2 shards: no faults\n", "")


def test_verify_says_that_a_manifest_has_no_checksum(records: Path, tmp_path: Path) -> None:
    for path in records.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = json.loads((tmp_path / "manifest.json").read_text())
    del content["checksum"]
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    done = command("records", "verify", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    first, second = done.stdout.splitlines()
    assert first.startswith("an older version wrote manifest.json without a checksum")
    assert second == "15 records in 2 shards: no faults"


def test_verify_names_a_damaged_shard(records: Path, tmp_path: Path) -> None:
    for path in records.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    shard = tmp_path / "all-00001-of-00002.tfrecord"
    content = bytearray(shard.read_bytes())
    content[-100] ^= 1
    shard.write_bytes(content)
    done = command("records", "verify", tmp_path)
    assert done.returncode == 1
    assert "all-00001-of-00002.tfrecord: record 7" in done.stdout
    assert "the checksum of its content does not match" in done.stdout
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1


def test_stats(records: Path, tmp_path: Path) -> None:
    done = command("records", "stats", records, "--out", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    summary = json.loads((tmp_path / "statistics.json").read_text())["all"]
    assert (summary["image"]["images"], summary["reference"]["images"]) == (15, 2)
    assert summary["image"]["brightness"]["mean"] < 0.1 < summary["reference"]["brightness"]["mean"]
    assert Image.open(tmp_path / "statistics.png").size == (1200, 360)


def test_export(records: Path, lol: Path, tmp_path: Path) -> None:
    done = command("records", "export", records, "--out", tmp_path, "--sheet")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"17 images in {tmp_path}\n"
    exported = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png")}
    images = {f"all/image/{path.name}" for path in (lol / "eval15/low").iterdir()}
    assert exported == images | {"all/reference/493.png", "all/reference/547.png", "sheet-all.png"}


@pytest.mark.parametrize(("to", "suffix"), [("webdataset", "tar"), ("parquet", "parquet")])
def test_export_to_another_format(records: Path, tmp_path: Path, to: str, suffix: str) -> None:
    out = tmp_path / "out"
    for _ in range(2):  # the second finds all files there
        done = command("records", "export", records, out, "--to", to)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"15 records in 2 files in {out}\n"
    names = {f"all-{index:05d}-of-00002.{suffix}" for index in range(2)}
    assert {path.name for path in out.iterdir()} == {"_checksums.sha256", ".zerodce", *names}
    check = subprocess.run(["sha256sum", "--check", "_checksums.sha256"], cwd=out, capture_output=True)
    assert check.stdout.count(b": OK") == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    for folder, options, code, message in (
        (tmp_path / "mine", (), 1, "is not empty, and holds no export to go on with: choose another folder"),
        (records, (), 1, "is not empty, and holds no export to go on with: choose another folder"),
        (tmp_path / "new", ("--sheet",), 2, "--sheet needs --to images"),
    ):
        done = command("records", "export", records, folder, "--to", to, *options)
        assert done.returncode == code
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_what_is_no_data_set_is_said_in_one_line(tmp_path: Path) -> None:
    done = command("records", "verify", tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: {tmp_path} is not a finished data set: it has no manifest.json (make one with `zerodce preprocess`)\n"
    )


@pytest.mark.parametrize("tool", [tools.inspect, tools.check, tools.stats, tools.export])
def test_every_tool_says_what_is_wrong(tool: Callable[..., object], tmp_path: Path) -> None:
    others = (None,) * (tool.__code__.co_argcount - 1)
    with pytest.raises(click.UsageError, match="is not a folder on this machine"):
        tool(str(tmp_path / "nowhere"), *others)
    with pytest.raises(click.ClickException, match="is not a finished data set"):
        tool(str(tmp_path), *others)


def test_export_writes_to_this_machine_only(tmp_path: Path) -> None:
    done = command("records", "export", tmp_path, "--out", "s3://bucket/images")
    assert done.returncode == 2
    assert "export works on local folders" in done.stderr
