"""The CSV files that the commands write."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def to_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """A CSV file in UTF-8 with one header line; floats are rounded to four digits, None is empty.

    Args:
        columns: Names of the columns, in their order.
        rows: A mapping for each line; what is in no column is left out.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(
        {name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()} for row in rows
    )
    return text.getvalue().encode("utf-8", "surrogateescape")
