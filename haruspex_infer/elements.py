"""Helices, strands and stretches of nucleic acid as objects, with their table."""

import csv
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from haruspex_infer.classes import HELIX, NUCLEOTIDE, STRAND, StructureClass
from haruspex_infer.lines import Points, angle, length
from haruspex_infer.sheets import Sheet

RISE = {HELIX: 1.5, STRAND: 3.3, NUCLEOTIDE: 6.2}
"""Å along an element from one residue to the next; that of nucleotides is measured between phosphates."""

PITCH = 5.4
"""Å of a helix axis to a turn."""

LETTER = {HELIX: "H", STRAND: "S", NUCLEOTIDE: "N"}
"""Beginning of the names of elements, and their chain in models of pseudo-atoms."""

_COLUMNS = (
    *("element", "class", "length", "residues", "turns", "bend", "radius", "probability", "sheet"),
    *("start_x", "start_y", "start_z", "end_x", "end_y", "end_z", "chain", "first", "last"),
)


@dataclass(frozen=True, eq=False)
class Element:
    """A helix, a strand or a stretch of nucleic acid. Which of its ends comes first in the chain is unknown.

    Attributes
    ----------
    kind : StructureClass
        Helix, strand or nucleotide.
    number : int
        Counted from 1 within the class, the longest first.
    points : ndarray, shape (n, 3)
        (x, y, z) in Å, one for each residue: along the axis of a helix, along the backbone of a strand, at
        the phosphates of nucleic acid.
    probabilities : ndarray, shape (n,)
        Mean probability of the class about each point.
    sheet : int
        Number of the sheet that a strand belongs to, 0 without one.
    first : int
        Residue number of the first point in models of pseudo-atoms.
    """

    kind: StructureClass
    number: int
    points: Points
    probabilities: Points
    sheet: int = 0
    first: int = 1

    @property
    def name(self) -> str:
        """Such as H1, S12 or N3."""
        return f"{LETTER[self.kind]}{self.number}"

    @property
    def start(self) -> Points:
        """One end, (x, y, z) in Å."""
        return self.points[0]

    @property
    def end(self) -> Points:
        """The other end, (x, y, z) in Å."""
        return self.points[-1]

    @property
    def residues(self) -> int:
        """Number of residues that it is long."""
        return len(self.points)

    @property
    def last(self) -> int:
        """Residue number of the last point in models of pseudo-atoms."""
        return self.first + self.residues - 1

    @property
    def length(self) -> float:
        """Length along the curve in Å."""
        return length(self.points)

    @property
    def turns(self) -> float:
        """Turns of a helix, at 5.4 Å each; not a number for other classes."""
        return self.length / PITCH if self.kind is HELIX else float("nan")

    @property
    def bend(self) -> float:
        """Degrees between the directions of its first and its last third."""
        arm = max(1, (len(self.points) - 1) // 3)
        return float(angle(self.points[arm] - self.points[0], self.points[-1] - self.points[-1 - arm]))

    @property
    def radius(self) -> float:
        """Radius in Å of the arc through both ends and the middle: infinite where it runs straight."""
        middle = self.points[len(self.points) // 2]
        a, b = middle - self.start, self.end - self.start
        twice_area = float(np.linalg.norm(np.cross(a, b)))
        sides = np.linalg.norm(a) * np.linalg.norm(b) * np.linalg.norm(b - a)
        return float(sides / (2 * twice_area)) if twice_area > 1e-9 else float("inf")

    @property
    def probability(self) -> float:
        """Mean probability of its class along it."""
        return float(self.probabilities.mean())


@dataclass(frozen=True, eq=False)
class Elements:
    """All elements of a map.

    Attributes
    ----------
    helices, strands, stretches : tuple of Element
        The longest first; stretches are of nucleic acid.
    sheets : tuple of Sheet
        The largest first. Their indices are those of `strands`.
    """

    helices: tuple[Element, ...]
    strands: tuple[Element, ...]
    stretches: tuple[Element, ...]
    sheets: tuple[Sheet, ...]

    def __iter__(self) -> Iterator[Element]:
        return iter((*self.helices, *self.strands, *self.stretches))

    def __len__(self) -> int:
        return len(self.helices) + len(self.strands) + len(self.stretches)

    def line(self) -> str:
        """Return in a line what was found."""
        nucleotides = sum(element.residues for element in self.stretches)
        in_sheets = sum(len(sheet.strands) for sheet in self.sheets)
        return (
            f"{_count(len(self.helices), 'helix', 'helices')}, {_count(len(self.strands), 'strand')} "
            f"({in_sheets} in {_count(len(self.sheets), 'sheet')}), "
            f"{_count(len(self.stretches), 'stretch', 'stretches')} of nucleic acid "
            f"({_count(nucleotides, 'phosphate')})"
        )

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """A dictionary for each element; ``pandas.DataFrame(elements.rows)`` makes a data frame of them."""
        return [
            dict(
                zip(
                    _COLUMNS,
                    (
                        e.name,
                        e.kind.name,
                        e.length,
                        e.residues,
                        e.turns,
                        e.bend,
                        e.radius,
                        e.probability,
                        e.sheet,
                        *e.start.tolist(),
                        *e.end.tolist(),
                        LETTER[e.kind],
                        e.first,
                        e.last,
                    ),
                    strict=True,
                )
            )
            for e in self
        ]

    def to_csv(self) -> str:
        """Return the table as text; what does not apply to an element stays empty."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for row in self.rows:
            told = {**row, "sheet": row["sheet"] or ""}
            writer.writerow([_plain(value) for value in told.values()])
        return text.getvalue()

    def save(self, directory: str | os.PathLike[str], stem: str) -> list[Path]:
        """Write ``STEM_elements.cif``, ``.pdb``, ``.cmm`` and ``.csv``.

        Parameters
        ----------
        directory : path-like
            Folder; made if need be.
        stem : str
            Beginning of the file names.

        Returns
        -------
        list of Path
            The files.

        Raises
        ------
        HaruspexError
            If they cannot be written.
        """
        from haruspex_infer.elementfiles import save_elements  # it imports this module

        return save_elements(self, Path(directory), stem)


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _plain(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.2f}" if np.isfinite(value) else ""
    return value
