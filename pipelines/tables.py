"""Reads and writes CSV files, and writes Parquet files."""

import csv
import io
import itertools
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO


class TableError(ValueError):
    """The file is not the expected table. The message says why."""


def to_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], six_digits: Collection[str] = ()) -> bytes:
    """The file that `write_csv` writes."""
    file = io.BytesIO()
    write_csv(file, columns, rows, six_digits)
    return file.getvalue()


def write_csv(
    file: BinaryIO, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], six_digits: Collection[str] = ()
) -> None:
    """Writes a CSV file in UTF-8 with one header line, row by row. None and NaN become empty cells.

    A text that begins with = + - @ or a tab gets an apostrophe in front, because a spreadsheet would take it for a
    formula. So does a text that begins with apostrophes before such a character. `from_csv` removes the apostrophe.

    Args:
        file: The file, open for writing.
        columns: Names of the columns, in their order.
        rows: A mapping for each line. Values without a column are left out.
        six_digits: Columns whose floats are rounded to six digits. All others are rounded to four.
    """
    writer = csv.DictWriter(_Lines(file), columns, lineterminator=_TERMINATOR, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(
        {name: _cell(value, 6 if name in six_digits else 4) for name, value in row.items()} for row in rows
    )


def write_parquet(file: BinaryIO, kinds: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes a Parquet file of the same table, with all digits, and texts as they are. None and NaN become nulls.

    Args:
        file: The file, open for writing.
        kinds: pyarrow's name of the type of each column, such as `double`, in their order.
        rows: A mapping for each line. Values without a column are left out.
    """
    import pyarrow as pa
    import pyarrow.parquet

    schema = pa.schema({name: pa.type_for_alias(kind) for name, kind in kinds.items()})
    left = iter(rows)
    with pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        while part := list(itertools.islice(left, _ROW_GROUP)):
            readable = [{name: _readable(row.get(name)) for name in kinds} for row in part]
            writer.write_table(pa.Table.from_pylist(readable, schema))


def _readable(value: Any) -> Any:
    """A value as Parquet holds it: bytes of a file name that are not UTF-8 become escapes, NaN a null."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return None if isinstance(value, float) and math.isnan(value) else value


_ROW_GROUP = 50_000
_TERMINATOR = "\r\n"  # makes the writer quote texts with either character
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


class _Lines:
    """Takes the lines that the CSV writer writes, and gives each a plain newline at its end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, line: str) -> None:
        self._file.write((line.removesuffix(_TERMINATOR) + "\n").encode("utf-8", "surrogateescape"))


def _cell(value: Any, digits: int) -> Any:
    if isinstance(value, str):
        return f"'{value}" if _FORMULA.match(value) else value
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else round(value, digits)


def _plain(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def from_csv(content: bytes, columns: Collection[str], errors: str = "strict") -> list[tuple[int, dict[str, str]]]:
    """The rows that `read_csv` gives."""
    return list(read_csv(io.BytesIO(content), columns, errors))


def read_csv(file: BinaryIO, columns: Collection[str], errors: str = "strict") -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV file in UTF-8, each with the number of the line that it ends on.

    Args:
        file: The file, open for reading, with or without a byte-order mark.
        columns: Columns that the file needs. Other columns are ignored.
        errors: How to handle bytes that are not UTF-8. Use `surrogateescape` for files from `to_csv`.

    Raises:
        TableError: It is not such a file, or a column is missing.
    """
    try:
        reader = csv.DictReader(io.TextIOWrapper(file, "utf-8-sig", errors, newline=""))
        if not set(columns) <= set(reader.fieldnames or ()):
            raise TableError(f"it needs the columns {','.join(columns)}")
        for row in reader:
            yield reader.line_num, {name: _plain(row[name] or "") for name in columns}
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"it is not a CSV file in UTF-8 ({error})") from None
