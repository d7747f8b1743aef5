"""A helix, a strand or a stretch of nucleic acid as a curve in space."""

from dataclasses import dataclass, field

import numpy as np

from haruspex_infer.classes import HELIX, NUCLEOTIDE, STRAND, StructureClass
from haruspex_infer.lines import Points, angle, length

RISE = {HELIX: 1.5, STRAND: 3.3, NUCLEOTIDE: 6.2}
"""Å along an element from one residue to the next; that of nucleotides is measured between phosphates."""

PITCH = 5.4
"""Å of a helix axis to a turn."""

LETTER = {HELIX: "H", STRAND: "S", NUCLEOTIDE: "N"}
"""Beginning of the names of elements, and their chain in models of pseudo-atoms."""


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
    points: Points = field(repr=False)
    probabilities: Points = field(repr=False)
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
