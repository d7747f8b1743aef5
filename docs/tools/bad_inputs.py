"""Prints the table of bad inputs and the sentence that each gets, for docs/robustness.md.

    python docs/tools/bad_inputs.py [--write]

The files are those of the tests (`tests/infer/test_mapfile.py`, `tests/infer/badfiles.py` and
`tests/train/badtraining.py`). With --write the table in the page is replaced.
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
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "infer"), str(ROOT / "tests" / "train")]
    from badfiles import bad_companions, bad_models, bad_networks
    from badtraining import bad_training
    from test_mapfile import bad_files

    from haruspex_infer.mapcheck import check_map
    from haruspex_infer.network import parse_contract
    from haruspex_infer.session import Session
    from haruspex_infer.structure import read_structure

    def network(path: Path) -> None:
        parse_contract(Session(path, "cpu").metadata, str(path))

    here = Path()
    groups: list[Iterator[tuple[str, Callable[[Path], object]]]] = [
        ((name, check_map) for name, _ in bad_files(here)),
        ((name, read_structure) for name in bad_models(here)),
        bad_companions(here),
        ((name, network) for name in bad_networks(here)),
        bad_training(here),
    ]
    for group in groups:
        for name, read in group:
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
