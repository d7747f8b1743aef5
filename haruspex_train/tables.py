"""Tab-separated tables with a head: what the commands of the data pipeline tell each other."""

import csv
from collections.abc import Iterable
from pathlib import Path

from haruspex_infer.errors import HaruspexError
from haruspex_infer.files import write_text


def write_table(path: Path, columns: Iterable[str], rows: Iterable[dict[str, str]]) -> None:
    """Write a tab-separated table with a head; it appears when it is complete.

    Raises
    ------
    HaruspexError
        If the file cannot be written.
    """
    lines = [list(columns)] + [[_cell(row[column]) for column in columns] for row in rows]
    write_text(path, "".join("\t".join(line) + "\n" for line in lines))


def read_table(path: Path) -> list[dict[str, str]]:
    """Read a tab-separated table with a head.

    Raises
    ------
    HaruspexError
        If it cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            return list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError) as fault:
        raise HaruspexError(f"{path} cannot be read as a table: {fault}.") from fault


def _cell(text: str) -> str:
    return " ".join(text.split()) or "-"
