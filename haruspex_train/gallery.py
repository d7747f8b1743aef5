"""One page to look through a curation: every entry's sections, figures, verdict and reason."""

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from html import escape
from importlib import resources
from pathlib import Path
from string import Template

from haruspex_infer.classes import CLASSES, OTHER
from haruspex_infer.files import written_whole

FIGURES = {
    "correlation": "correlation",
    "fitted": "residues fitting",
    "inclusion": "backbone ≥ 1 σ",
    "displacement": "best fit away, Å",
    "explained": "density modelled",
    "helix_hand": "hand, helices",
    "side_hand": "hand, residues",
    "archive_q": "Q-score, archive",
    "copies": "copies added",
    "copies_refused": "copies refused",
}
"""Columns of the manifest that the page shows, and what it calls them; what says nothing is left out."""

_MAP_PAGE = "https://www.ebi.ac.uk/emdb/"
_MODEL_PAGE = "https://www.rcsb.org/structure/"


def write_gallery(path: Path, rows: Iterable[Mapping[str, str]], picture: Callable[[str], Path]) -> None:
    """Write the page; it needs no other file and no network.

    Parameters
    ----------
    path : Path
    rows : iterable of mapping
        Rows of the manifest (`haruspex_train.curate`).
    picture : callable
        Where the picture of an entry lies; entries whose picture is missing have none.

    Raises
    ------
    HaruspexError
        If the page cannot be written.
    """
    rows = list(rows)
    kept = sum(row["verdict"] == "keep" for row in rows)
    template = resources.files("haruspex_train") / "gallery.html"
    legend = "".join(
        f'<span class="key"><i style="background:{label.colour}"></i>{label.name}</span>' for label in CLASSES
    )
    head, tail = (
        Template(template.read_text(encoding="utf-8"))
        .substitute(all=len(rows), keep=kept, drop=len(rows) - kept, legend=legend, cards="\0")
        .split("\0")
    )
    # a card at a time: the pictures of an archive need not fit into memory
    with written_whole(path) as stream:
        stream.write(head.encode())
        for row in rows:
            stream.write(_card(row, picture(row["id"])).encode())
        stream.write(tail.encode())


def _card(row: Mapping[str, str], picture: Path) -> str:
    name, verdict = escape(row["id"]), escape(row["verdict"])
    reason = f'<p class="reason">{escape(row["reason"])}</p>' if row["reason"] else ""
    figures = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in _figures(row))
    words = escape(" ".join((row["id"], row["pdb"], row["split"], row["reason"])).lower())
    return (
        f'<article class="{verdict}" data-verdict="{verdict}" data-words="{words}">'
        f"<header><h2>{_linked(row['id'], 'EMD-', _MAP_PAGE + row['id'])}</h2>"
        f'<span class="about">{_linked(row["pdb"], "", _MODEL_PAGE + row["pdb"])} · '
        f"{escape(row['resolution_A'])} Å · {escape(row['split'])}</span>"
        f'<b class="verdict">{verdict}</b></header>'
        f"{_image(name, picture)}{_composition(row)}{reason}<dl>{figures}</dl></article>\n"
    )


def _image(name: str, picture: Path) -> str:
    if not picture.exists():
        return '<p class="none">could not be drawn</p>'
    data = base64.b64encode(picture.read_bytes()).decode()
    return f'<img alt="{name}: sections across x, y and z" src="data:image/webp;base64,{data}">'


def _composition(row: Mapping[str, str]) -> str:
    """Return a bar of the residues of each class, and their numbers."""
    counted = [(label, int(row[label.name] or 0)) for label in CLASSES if label is not OTHER]
    parts = "".join(f'<i style="flex:{n};background:{label.colour}"></i>' for label, n in counted if n)
    numbers = " · ".join(f"{n} {label.name}" for label, n in counted if n)
    return f'<div class="bar">{parts}</div><p class="numbers">{numbers}</p>' if parts else ""


def _figures(row: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for column, title in FIGURES.items():
        if row[column] and not (column.startswith("copies") and row[column] == "0"):
            yield title, row[column]


def _linked(text: str, beginning: str, address: str) -> str:
    known = text != "-" and text.startswith(beginning)
    return f'<a href="{escape(address)}">{escape(text)}</a>' if known else escape(text)
