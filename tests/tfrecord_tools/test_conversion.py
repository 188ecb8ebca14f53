"""A data set in other formats, read back by the libraries of these formats."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from record_samples import pixels, record, stored, write_dataset

from tfrecord_tools import DatasetError, conversion
from tfrecord_tools.conversion import CHECKSUMS, FORMATS, convert
from tfrecord_tools.records import Record

NAMES = ["train-00000-of-00003", "train-00001-of-00003", "train-00002-of-00003", "val-00000-of-00001"]
Damage = Callable[[str, Callable[[bytes], bytes]], None]


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


def fields(index: int) -> dict:
    digest = hashlib.sha256(record(index).image.encoded).hexdigest()
    return {"filename": f"low/{index}.png", "sha256": digest, "width": 12, "height": 8}


def test_a_tar_file_has_the_layout_of_webdataset(dataset: Path, tmp_path: Path) -> None:
    assert [each.image.filename for each in convert(dataset, tmp_path / "out", "webdataset")] == [
        f"low/{index}.png" for index in range(15)
    ]
    assert contents(tmp_path / "out").keys() == {CHECKSUMS, *(f"{name}.tar" for name in NAMES)}
    with tarfile.open(tmp_path / "out/train-00001-of-00003.tar") as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive}
    assert list(files) == [
        *("train-000000004.png", "train-000000004.json", "train-000000005.png", "train-000000005.json"),
        *("train-000000006.png", "train-000000006.reference.png", "train-000000006.json"),
    ]
    assert files["train-000000005.png"] == record(5).image.encoded
    assert files["train-000000006.reference.png"] == record(6).reference.encoded
    assert json.loads(files["train-000000005.json"]) == fields(5)
    assert json.loads(files["train-000000006.json"]) == fields(6) | {"reference": "high/6.png"}


def test_a_row_of_parquet_is_a_record(dataset: Path, tmp_path: Path) -> None:
    list(convert(dataset, tmp_path / "out", "parquet"))
    assert contents(tmp_path / "out").keys() == {CHECKSUMS, *(f"{name}.parquet" for name in NAMES)}
    rows = pq.read_table(tmp_path / "out/train-00000-of-00003.parquet").to_pylist()
    assert [{name: row[name] for name in fields(0)} for row in rows] == [fields(index) for index in range(4)]
    assert rows[1]["image"] == {"bytes": record(1).image.encoded, "path": "low/1.png"}
    assert [row["reference"] and row["reference"]["path"] for row in rows] == ["high/0.png", None, None, "high/3.png"]
    np.testing.assert_array_equal(Image.open(io.BytesIO(rows[3]["reference"]["bytes"])), pixels(3)[::-1])


def test_without_references_there_is_no_column_for_them(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", {"train": [[record(1), record(2)]]})
    list(convert(tmp_path / "set", tmp_path / "out", "parquet"))
    table = pq.read_table(tmp_path / "out/train-00000-of-00001.parquet")
    assert table.column_names == ["image", "filename", "sha256", "width", "height"]


def test_a_group_of_rows_takes_little_memory(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [len(record(index).image.encoded) for index in range(10, 15)]
    monkeypatch.setattr(conversion, "_ROW_GROUP_BYTES", sizes[0] + 1)
    list(convert(dataset, tmp_path / "out", "parquet"))
    groups = pq.ParquetFile(tmp_path / "out/val-00000-of-00001.parquet").metadata
    assert [groups.row_group(index).num_rows for index in range(groups.num_row_groups)] == [
        2,
        1,
        2,
    ]  # 12 has a reference


@pytest.mark.parametrize("to", FORMATS)
def test_names_that_are_not_unicode_become_escapes(tmp_path: Path, to: str) -> None:
    write_dataset(tmp_path / "set", {"train": [[Record(stored(pixels(0), "\udcff\n\u00e9.png"))]]})
    list(convert(tmp_path / "set", tmp_path / "out", to))
    if to == "parquet":
        ((name,),) = pq.read_table(tmp_path / "out", columns=["filename"]).to_pydict().values()
    else:
        with tarfile.open(tmp_path / "out/train-00000-of-00001.tar") as archive:
            name = json.load(archive.extractfile("train-000000000.json"))["filename"]
    assert name == "\\xff\n\u00e9.png"


@pytest.mark.parametrize("to", FORMATS)
def test_stopped_it_goes_on_with_the_next_file_and_ends_with_the_same_bytes(
    dataset: Path, tmp_path: Path, to: str
) -> None:
    list(convert(dataset, tmp_path / "whole", to))
    out, suffix = tmp_path / "out", FORMATS[to][0]
    for _ in zip(range(6), convert(dataset, out, to), strict=False):
        pass  # 4 records are in the first file, 2 in the second
    (out / f".{NAMES[1]}{suffix}.tmp").write_bytes(b"what a killed one was writing")
    assert contents(out).keys() == {f"{NAMES[0]}{suffix}", f".{NAMES[1]}{suffix}.tmp"}
    begun = (out / f"{NAMES[0]}{suffix}").stat()
    assert len(list(convert(dataset, out, to))) == 11
    assert (out / f"{NAMES[0]}{suffix}").stat() == begun
    assert contents(out) == contents(tmp_path / "whole")
    assert list(convert(dataset, out, to)) == []


def test_the_checksums_are_those_of_the_files_and_a_changed_file_is_said(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    list(convert(dataset, out, "webdataset"))
    expected = "".join(
        f"{hashlib.sha256((out / f'{name}.tar').read_bytes()).hexdigest()}  {name}.tar\n" for name in NAMES
    )
    assert (out / CHECKSUMS).read_text() == expected
    (out / f"{NAMES[2]}.tar").write_bytes(b"changed")
    with pytest.raises(DatasetError, match=r"differ from its _checksums\.sha256: delete the folder"):
        list(convert(dataset, out, "webdataset"))


@pytest.mark.parametrize("to", FORMATS)
def test_a_folder_with_anything_else_is_refused_and_not_touched(dataset: Path, tmp_path: Path, to: str) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    with pytest.raises(DatasetError, match="is not empty, and holds no export to go on with: choose another folder"):
        list(convert(dataset, out, to))
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
    write_dataset(tmp_path / "second", {"train": [[record(0)]]})
    list(convert(tmp_path / "second", other, to))
    before = contents(other)
    (format_of_other,) = FORMATS.keys() - {to}
    for source, form in ((dataset, to), (tmp_path / "second", format_of_other)):
        with pytest.raises(DatasetError, match="holds the export of another data set or format"):
            list(convert(source, other, form))
    assert contents(other) == before


@pytest.mark.parametrize("to", FORMATS)
def test_of_a_damaged_shard_no_file_is_made(dataset: Path, tmp_path: Path, damage: Damage, to: str) -> None:
    damage(f"{NAMES[1]}.tfrecord", lambda content: content[:-20] + bytes([content[-20] ^ 1]) + content[-19:])
    with pytest.raises(DatasetError, match=r"train-00001-of-00003\.tfrecord: record 2 .*content does not match"):
        list(convert(dataset, tmp_path / "out", to))
    assert contents(tmp_path / "out").keys() == {f"{NAMES[0]}{FORMATS[to][0]}"}


def test_a_shard_of_whole_records_in_another_order_is_noticed(dataset: Path, tmp_path: Path) -> None:
    """Each record is undamaged, so only the SHA-256 of the shard tells."""
    manifest = (dataset / "manifest.json").read_bytes()
    write_dataset(
        dataset,
        {
            "train": [[record(i) for i in part] for part in ((1, 0, 2, 3), range(4, 7), range(7, 10))],
            "val": [[record(i) for i in range(10, 15)]],
            "test": [],
        },
    )
    (dataset / "manifest.json").write_bytes(manifest)
    with pytest.raises(DatasetError, match=r"train-00000-of-00003\.tfrecord: its SHA-256 differs from the manifest"):
        list(convert(dataset, tmp_path / "out", "parquet"))
    assert contents(tmp_path / "out") == {}


def test_no_file_is_written_through_a_link(dataset: Path, tmp_path: Path) -> None:
    out, mine = tmp_path / "out", tmp_path / "mine"
    mine.write_bytes(b"mine")
    for _ in zip(range(1), convert(dataset, out, "webdataset"), strict=False):
        pass
    for name in (f".{NAMES[0]}.tar.tmp", f"{CHECKSUMS}", f".{CHECKSUMS}.tmp"):
        (out / name).unlink(missing_ok=True)
        (out / name).symlink_to(mine if name != CHECKSUMS else tmp_path / "nowhere")
    list(convert(dataset, out, "webdataset"))
    assert mine.read_bytes() == b"mine"
    assert not (tmp_path / "nowhere").exists()
    assert not any(path.is_symlink() for path in out.iterdir())
