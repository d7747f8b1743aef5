"""Tables as text."""

import csv
import io
import math
from collections.abc import Iterable


def csv_text(columns: Iterable[str], rows: Iterable[Iterable[object]], decimals: int) -> str:
    """Return a table as comma-separated values.

    Parameters
    ----------
    columns : iterable of str
        Their names.
    rows : iterable of iterable
        A value for each column: floats get so many decimals, and what is not finite stays empty.
    decimals : int
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value, decimals) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: object, decimals: int) -> object:
    if isinstance(value, float):
        return f"{value:.{decimals}f}" if math.isfinite(value) else ""
    return value
