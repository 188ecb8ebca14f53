"""CSV files: those that the commands write, and those that they are given."""

import csv
import io
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any


class TableError(ValueError):
    """A file that is not the table that is needed; the message says why."""


def to_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], six_digits: Collection[str] = ()) -> bytes:
    """A CSV file in UTF-8 with one header line; None and NaN are empty.

    A text that a spreadsheet would take for a formula, as it begins with = + - @ or a tab, gets an apostrophe in front,
    and so does one that begins with an apostrophe and one of these; `from_csv` takes it away.

    Args:
        columns: Names of the columns, in their order.
        rows: A mapping for each line; what is in no column is left out.
        six_digits: Columns whose floats are rounded to six digits; all others are to four.
    """
    lines = _Lines()
    writer = csv.DictWriter(lines, columns, lineterminator=_TERMINATOR, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(
        {name: _cell(value, 6 if name in six_digits else 4) for name, value in row.items()} for row in rows
    )
    return "".join(lines).encode("utf-8", "surrogateescape")


_TERMINATOR = "\r\n"  # what the writer quotes for: a text may hold either
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


class _Lines(list[str]):
    """The lines that a writer of CSV writes, ended as text files are here."""

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
        columns: Columns that it has to have, among others.
        errors: What to do about bytes that are no UTF-8; `surrogateescape` undoes what `to_csv` did.

    Raises:
        TableError: It is no such file, or lacks a column.
    """
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig", errors), newline=""))
        if not set(columns) <= set(reader.fieldnames or ()):
            raise TableError(f"it needs the columns {','.join(columns)}")
        return [(reader.line_num, {name: _plain(row[name] or "") for name in columns}) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"it is not a CSV file in UTF-8 ({error})") from None
