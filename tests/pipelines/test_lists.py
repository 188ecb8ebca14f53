"""Lists of photos: every line is a photo or a row, whatever its form, and nothing outside the folder is touched."""

import gzip
import io
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pyarrow
import pyarrow.parquet
import pytest

from pipelines import folders, lists, storage
from pipelines.tables import to_csv


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b c/ü.jpg", "d.txt", "=e.jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"123")
        os.utime(path, (5, 7.5))
    return tmp_path / "photos"


def found(folder: Path, source: Path | str) -> tuple[list[str], dict[str, str]]:
    unreadable: dict[str, str] = {}
    listing = folders.find(str(folder), unreadable, files=str(source))
    assert all(entry == storage.stat(str(folder), entry.path) for entry in listing.entries)
    return [entry.path for entry in listing.entries], unreadable


def test_a_line_is_a_photo_or_a_row(photos: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(b"1")
    (photos / "out.jpg").symlink_to(outside)
    lines = [
        "b c/ü.jpg",
        "",
        f"{photos}/a.jpg",
        "./a.jpg",
        "none.jpg",
        "../outside.jpg",
        str(outside),
        "b c",
        "out.jpg",
    ]
    source = tmp_path / "list.txt"
    source.write_text("\n".join(lines))
    paths, unreadable = found(photos, source)
    assert paths == ["a.jpg", "b c/ü.jpg"]
    assert unreadable == {
        f"a.jpg (line 4 of {source})": f"line 4 of {source} names it again, after line 3 of {source}",
        "none.jpg": "No such file or directory",
        "../outside.jpg": f"line 6 of {source} names a path that is not below {photos}",
        str(outside): f"line 7 of {source} names a path that is not below {photos}",
        "b c": "it is a folder",
        "out.jpg": "a link leads it out of the folder",
    }


def test_what_is_no_photo_is_ignored_as_in_a_folder(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "list").write_text("a.jpg\nd.txt\n")
    listing = folders.find(str(photos), {}, files=str(tmp_path / "list"))
    assert [entry.path for entry in listing.entries] == ["a.jpg"]
    assert listing.ignored_by_extension == {".txt": 1}


@pytest.mark.parametrize("column", ["path", "key"])
def test_tables_have_a_column_of_paths(photos: Path, tmp_path: Path, column: str) -> None:
    (tmp_path / "list.csv").write_text(f"\ufeffnumber,{column}\n1,a.jpg\n2,\n3,b c/ü.jpg\n", "utf-8")
    assert found(photos, tmp_path / "list.csv") == (["a.jpg", "b c/ü.jpg"], {})
    table = pyarrow.table({"number": [1, 2, 3], column: ["a.jpg", None, "b c/ü.jpg"]})
    pyarrow.parquet.write_table(table, tmp_path / "list.parquet")
    assert found(photos, tmp_path / "list.parquet") == (["a.jpg", "b c/ü.jpg"], {})


def test_a_table_of_this_program_is_a_list(photos: Path, tmp_path: Path) -> None:
    rows = [{"path": "=e.jpg", "stage": "decode", "error": "broken"}]
    (tmp_path / "failures.csv").write_bytes(to_csv(["path", "stage", "error"], rows))
    assert found(photos, tmp_path / "failures.csv") == (["=e.jpg"], {})


def test_standard_input(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a.jpg\r\nnone.jpg\r\n")))
    assert found(photos, "-") == (["a.jpg"], {"none.jpg": "No such file or directory"})


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "is empty: name a list of photos"), (b"PAR1...", "is no list of photos"), (b"none.jpg", "cannot be read")],
)
def test_a_list_without_a_photo_is_an_error_of_a_line(
    photos: Path, tmp_path: Path, content: bytes, reason: str
) -> None:
    (tmp_path / "list").write_bytes(content)
    with pytest.raises(click.UsageError, match=reason) as error:
        folders.find(str(photos), {}, files=str(tmp_path / "list"))
    assert "\n" not in error.value.message
    with pytest.raises(click.UsageError, match=r"gone cannot be read: No such file"):
        folders.find(str(photos), {}, files=str(tmp_path / "gone"))


@pytest.mark.parametrize("kind", ["CSV", "Parquet"])
def test_an_inventory_of_s3_needs_no_request_for_a_photo(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Amazon writes it: keys of the whole bucket, URL-encoded in CSV; the keys below the folder count."""
    time = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
    keys = ["photos/a b.jpg", "photos/ü+.jpg", "other/c.jpg"]
    if kind == "CSV":
        lines = [
            '"archive","photos/a+b.jpg","10","2026-05-04T03:02:01.000Z"',
            '"archive","photos/%C3%BC%2B.jpg","20","2026-05-04T03:02:01.000Z"',
            '"archive","other/c.jpg","30","2026-05-04T03:02:01.000Z"',
        ]
        content = gzip.compress("\n".join(lines).encode())
        schema = "Bucket, Key, Size, LastModifiedDate"
    else:
        columns: dict[str, list[Any]] = {"bucket": ["archive"] * 3, "key": keys, "size": [10, 20, 30]}
        sink = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table(columns | {"last_modified_date": [time] * 3}), sink)
        content = sink.getvalue()
        schema = "message s3.inventory { required binary bucket; }"
    manifest: dict[str, Any] = {
        "sourceBucket": "archive",
        "destinationBucket": "arn:aws:s3:::inventories",
        "fileFormat": kind,
    }
    manifest |= {"fileSchema": schema, "files": [{"key": "config/data/1"}]}
    stored = {"s3://x/manifest.json": json.dumps(manifest).encode(), "s3://inventories/config/data/1": content}
    monkeypatch.setattr(storage, "read", stored.__getitem__)
    others: dict[str, OSError | None] = {}
    listed = list(lists.entries("s3://archive/photos", "s3://x/manifest.json", others))
    seconds = time.timestamp()
    assert listed == [storage.Entry("a b.jpg", 10, seconds), storage.Entry("ü+.jpg", 20, seconds)]
    assert others == {}
