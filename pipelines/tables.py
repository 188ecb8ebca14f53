"""Reads and writes CSV files, and writes Parquet files."""

import csv
import io
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any


class TableError(ValueError):
    """The file is not the expected table. The message says why."""


def to_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], six_digits: Collection[str] = ()) -> bytes:
    """A CSV file in UTF-8 with one header line. None and NaN become empty cells.

    A text that begins with = + - @ or a tab gets an apostrophe in front, because a spreadsheet would take it for a
    formula. So does a text that begins with apostrophes before such a character. `from_csv` removes the apostrophe.

    Args:
        columns: Names of the columns, in their order.
        rows: A mapping for each line. Values without a column are left out.
        six_digits: Columns whose floats are rounded to six digits. All others are rounded to four.
    """
    lines = _Lines()
    writer = csv.DictWriter(lines, columns, lineterminator=_TERMINATOR, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(
        {name: _cell(value, 6 if name in six_digits else 4) for name, value in row.items()} for row in rows
    )
    return "".join(lines).encode("utf-8", "surrogateescape")


def to_parquet(kinds: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A Parquet file of the same table, with all digits, and texts as they are. None and NaN become nulls.

    Args:
        kinds: pyarrow's name of the type of each column, such as `double`, in their order.
        rows: A mapping for each line. Values without a column are left out.
    """
    import pyarrow as pa
    import pyarrow.parquet

    schema = pa.schema({name: pa.type_for_alias(kind) for name, kind in kinds.items()})
    sink = io.BytesIO()
    with pyarrow.parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for start in range(0, len(rows), _ROW_GROUP):
            part = [{name: _readable(row.get(name)) for name in kinds} for row in rows[start : start + _ROW_GROUP]]
            writer.write_table(pa.Table.from_pylist(part, schema))
    return sink.getvalue()


def _readable(value: Any) -> Any:
    """A value as Parquet holds it: bytes of a file name that are not UTF-8 become escapes, NaN a null."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return None if isinstance(value, float) and math.isnan(value) else value


_ROW_GROUP = 50_000
_TERMINATOR = "\r\n"  # makes the writer quote texts with either character
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


class _Lines(list[str]):
    """The lines that the CSV writer writes, each with a plain newline at its end."""

    def write(self, line: str) -> None:
        self.append(line.removesuffix(_TERMINATOR) + "\n")


def _cell(value: Any, digits: int) -> Any:
    if isinstance(value, str):
        return f"'{value}" if _FORMULA.match(value) else value
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else round(value, digits)


def _plain(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def from_csv(content: bytes, columns: Collection[str], errors: str = "strict") -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file in UTF-8, each with the number of the line that it ends on.

    Args:
        content: The file, with or without a byte-order mark.
        columns: Columns that the file needs. Other columns are ignored.
        errors: How to handle bytes that are not UTF-8. Use `surrogateescape` for files from `to_csv`.

    Raises:
        TableError: It is not such a file, or a column is missing.
    """
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig", errors), newline=""))
        if not set(columns) <= set(reader.fieldnames or ()):
            raise TableError(f"it needs the columns {','.join(columns)}")
        return [(reader.line_num, {name: _plain(row[name] or "") for name in columns}) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"it is not a CSV file in UTF-8 ({error})") from None
