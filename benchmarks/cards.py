"""Puts the tables of `accuracy.py` and `accuracy_simulated.py` into the model cards.

    python benchmarks/cards.py build/accuracy --simulated build/simulated.md models/*.md

The folder holds what `accuracy.py` wrote for `val` and `test`. The first table after a line that names what
it shows is replaced; the words of a card stay.
"""

import re
from pathlib import Path

from commandline import parser_of

VAL = r"--network \S+`\n"
TEST = r"--split test`\n"
PARTS = {
    "### By resolution, medians over maps with protein": r"\*\*`val`, by resolution[^\n]*\n",
    "### By backbone density, residues together (protein, 4 Å or better)": r"\*\*`val`, by backbone[^\n]*\n",
    "### Taken for, residues together (protein, 4 Å or better)": r"\*\*`val`, taken for[^\n]*\n",
    "### Calibration, residues together (protein, 4 Å or better)": r"\*\*`val`, calibration[^\n]*\n",
}
"""Headings of an evaluation's tables, and the lines of a card that stand before them."""

SIMULATED = {"At the backbone\n": r"At the backbone[^\n]*\n", "All voxels\n": r"All voxels:\n"}


def table_after(text: str, heading: str) -> str:
    """Return the first table of a text after a heading; that of the whole text where the heading is empty.

    Raises
    ------
    SystemExit
        If there is no such heading with a table.
    """
    found = re.search(re.escape(heading) + r".*?^((?:\|[^\n]*\n)+)", text, re.DOTALL | re.MULTILINE)
    if not found:
        raise SystemExit(f"There is no table after {heading!r}.")
    return found[1]


def rows_of(table: str, network: str) -> str:
    """Return the rows of one network of a table whose first column names networks, without that column."""
    head, line, *rows = table.splitlines(keepends=True)
    mine = [row for row in rows if row.startswith(f"| {network} |")]
    return "".join("|" + row.split("|", 2)[2] for row in (head, line, *mine))


def put(card: str, lead: str, table: str) -> str:
    """Return a card whose first table after the lines of a pattern is another."""
    made, count = re.subn(f"({lead}\\n)(?:\\|[^\\n]*\\n)+", lambda m: m[1] + table, card, count=1)
    if not count:
        raise SystemExit(f"The card has no table after {lead!r}.")
    return made


def main() -> None:
    """Rewrite the cards."""
    parser = parser_of(__doc__)
    parser.add_argument("accuracy", type=Path, help="folder of accuracy.py, of both splits")
    parser.add_argument("cards", type=Path, nargs="+")
    parser.add_argument("--simulated", type=Path, help="what accuracy_simulated.py printed")
    options = parser.parse_args()
    for path in options.cards:
        card, name = path.read_text(encoding="utf-8"), path.stem
        val, test = (
            (options.accuracy / f"{name}_{split}.md").read_text(encoding="utf-8") for split in ("val", "test")
        )
        card = put(card, VAL, table_after(val, ""))
        card = put(card, TEST, table_after(test, ""))
        for heading, lead in PARTS.items():
            card = put(card, lead, table_after(val, heading))
        if options.simulated:
            printed = options.simulated.read_text(encoding="utf-8")
            for what, lead in SIMULATED.items():
                card = put(card, lead, rows_of(table_after(printed, what), name))
        path.write_text(card, encoding="utf-8")


if __name__ == "__main__":
    main()
