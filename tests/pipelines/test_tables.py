"""CSV files: written as they are read, rounded, and refused with a reason."""

import csv
import io
import math

import pyarrow.parquet
import pytest

from pipelines.tables import TableError, from_csv, to_csv, write_parquet


def test_floats_are_rounded_and_what_is_not_there_is_empty() -> None:
    rows = [
        {"path": 'a,"b".png', "psnr": 12.345678, "share": 0.12345678, "more": 1},
        {"path": "\udcff.png", "psnr": math.inf, "share": math.nan},
        {"path": "c", "psnr": None, "share": 3},
    ]
    expected = b'path,psnr,share\n"a,""b"".png",12.3457,0.123457\n\xff.png,inf,\nc,,3\n'
    assert to_csv(["path", "psnr", "share"], rows, six_digits=["share"]) == expected


def test_what_was_written_is_read() -> None:
    content = to_csv(["a", "b"], [{"a": "1\n2", "b": "ü"}, {"a": "3", "b": None}])
    assert from_csv(content, ["b", "a"]) == [(3, {"a": "1\n2", "b": "ü"}), (4, {"a": "3", "b": ""})]
    assert from_csv(b"\xef\xbb\xbfa,x\r\n1,2\r\n", ["a"]) == [(2, {"a": "1"})]


@pytest.mark.parametrize(
    "name", ["=1+1.jpg", "+a", "-1.jpg", "@a", "\ta", "a\rb.jpg", "\r", "'=a", "''@", "'a'", "a\n"]
)
def test_a_name_is_no_formula_splits_no_row_and_is_read_back(name: str) -> None:
    content = to_csv(["path", "number"], [{"path": name, "number": -1.5}, {"path": "next", "number": 2}])
    header, first, last = csv.reader(io.StringIO(content.decode(), newline=""))
    assert (header, last) == (["path", "number"], ["next", "2"])
    assert first[0] in (name, "'" + name)
    assert first[0][0] not in "=+-@\t\r"
    assert first[1] == "-1.5"
    assert [row["path"] for _, row in from_csv(content, ["path"])] == [name, "next"]


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "needs the columns a,b"), (b"a,c\n1,2\n", "needs the columns a,b"), (b"a,b\n\xff,1\n", "not a CSV file")],
)
def test_another_file_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(TableError, match=said):
        from_csv(content, ["a", "b"])


def test_a_parquet_file_holds_the_same_rows_with_all_digits() -> None:
    rows = [
        {"path": "=a\udcff.jpg", "width": 3, "psnr": math.inf, "exposure": 1 / 3, "left_out": 1},
        {"path": "ü.jpg", "width": 4, "psnr": math.nan, "exposure": None, "left_out": 2},
    ]
    kinds = {"path": "string", "width": "int32", "psnr": "double", "exposure": "double"}
    file = io.BytesIO()
    write_parquet(file, kinds, iter(rows))
    table = pyarrow.parquet.read_table(file)
    assert [str(kind) for kind in table.schema.types] == ["string", "int32", "double", "double"]
    assert table.to_pylist() == [
        {"path": "=a\\xff.jpg", "width": 3, "psnr": math.inf, "exposure": 1 / 3},
        {"path": "ü.jpg", "width": 4, "psnr": None, "exposure": None},
    ]
    empty = io.BytesIO()
    write_parquet(empty, {"path": "string"}, [])
    assert pyarrow.parquet.read_table(empty).num_rows == 0
