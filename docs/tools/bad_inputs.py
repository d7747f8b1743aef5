"""Prints the table of bad inputs and the sentence that each gets, for docs/robustness.md.

    python docs/tools/bad_inputs.py [--write]

The files are those of the tests (`tests/infer/test_mapfile.py`, `tests/infer/badfiles.py`). With --write the
table in the page is replaced.
"""

import contextlib
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "robustness.md"
BEGIN, END = "<!-- bad inputs -->\n", "<!-- end of bad inputs -->\n"


def refusals() -> Iterator[tuple[str, str]]:
    """Yield the name of each bad input and its sentence, as they are in the current folder."""
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "infer")]
    from badfiles import bad_models, bad_networks
    from test_mapfile import bad_files

    from haruspex_infer.mapcheck import check_map
    from haruspex_infer.network import parse_contract
    from haruspex_infer.session import Session
    from haruspex_infer.structure import read_structure

    def network(path: Path) -> None:
        parse_contract(Session(path, "cpu").metadata, str(path))

    here = Path()
    groups: list[tuple[Callable[[Path], object], Iterator[str]]] = [
        (check_map, (name for name, _ in bad_files(here))),
        (read_structure, bad_models(here)),
        (network, bad_networks(here)),
    ]
    for read, names in groups:
        for name in names:
            yield name, _sentence(read, Path(name))


def _sentence(read: Callable[[Path], object], path: Path) -> str:
    from haruspex_infer.errors import HaruspexError

    try:
        read(path)
    except HaruspexError as refusal:
        return re.sub(r"this machine has \d+ GB", "this machine has … GB", str(refusal))
    raise RuntimeError(f"{path} is accepted")


def table() -> str:
    """Return the table as Markdown."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = [f"| `{name}` | {sentence} |" for name, sentence in refusals()]
    return "\n".join(["| input | what is said |", "|---|---|", *rows]) + "\n"


def main() -> None:
    """Print the table, or put it into the page."""
    if "--write" not in sys.argv:
        print(table(), end="")
        return
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}{table()}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
