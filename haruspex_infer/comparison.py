"""What comes of comparing a model with its map: the residues with their verdicts, as table and as summary."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.backbone import UNKNOWN
from haruspex_infer.classes import CLASS_NAMES, CLASSES, OTHER
from haruspex_infer.residues import ResidueTable
from haruspex_infer.tables import csv_text
from haruspex_infer.verdicts import AGREES, BORDER, DIFFERS, VERDICTS, WEAK, Stretch


@dataclass(frozen=True)
class Comparison:
    """What a map says about each residue of a model; ligands, ions and waters are left out.

    Attributes
    ----------
    table : ResidueTable
        Probabilities, predicted classes and density of *m* residues.
    classes : ndarray of uint8, shape (m,)
        What they are in the model: class numbers, or `haruspex_infer.backbone.UNKNOWN`.
    deposited : ndarray of str, shape (m,)
        Class that the model's file records; ``?`` throughout a file that has no records.
    verdict : ndarray of str, shape (m,)
        Keys of `haruspex_infer.verdicts.VERDICTS`.
    stretches : tuple of Stretch
        Where to look first: the strongest evidence comes first.
    position : ndarray of float32, shape (m, 3)
        Where each residue lies, (x, y, z) in Å: its Cα or C4′, or the mean of its backbone without that.
    source : Path or None
        File of the model.
    notes : tuple of str
        What a user should know about the model.
    """

    table: ResidueTable = field(repr=False)
    classes: NDArray[np.uint8] = field(repr=False)
    deposited: NDArray[np.str_] = field(repr=False)
    verdict: NDArray[np.str_] = field(repr=False)
    stretches: tuple[Stretch, ...]
    position: NDArray[np.float32] = field(repr=False)
    source: Path | None
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.verdict)

    @cached_property
    def agreement(self) -> NDArray[np.float32]:
        """Mean probability of the modelled class at the backbone, shape (m,); not a number without either."""
        known = self.classes != UNKNOWN
        own = self.table.probability[np.arange(len(self)), np.where(known, self.classes, OTHER.number)]
        return np.where(known, own, np.float32(np.nan))

    @property
    def counts(self) -> dict[str, int]:
        """Number of residues by verdict."""
        return {verdict: int((self.verdict == verdict).sum()) for verdict in VERDICTS}

    def line(self) -> str:
        """Return the verdicts in one line."""
        total = len(self)
        parts = {AGREES: "agree with the density", BORDER: "differ at the end of an element"}
        parts |= {DIFFERS: "differ elsewhere", WEAK: "lie in hardly any density"}
        shares = {text: self.counts[verdict] / total for verdict, text in parts.items()}
        # a share that would read 0% says nothing
        told = [f"{share:.0%} {text}" for text, share in shares.items() if share >= 0.005]
        return ", ".join([f"{total:,} residues", *told])

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the table by columns; ``pandas.DataFrame(report.columns())`` makes a data frame of it.

        ``stretch`` is the rank of the stretch that a residue belongs to, 0 without one.
        """
        names = np.array([*CLASS_NAMES, "?"])
        table = self.table
        rank = np.zeros(len(self), np.int64)
        for number, stretch in enumerate(self.stretches, 1):
            rank[stretch.rows.start : stretch.rows.stop] = number
        return {
            "chain": table.chain,
            "number": table.number,
            "insertion": np.char.strip(table.insertion),
            "residue": table.name,
            "deposited": self.deposited,
            "modelled": names[np.minimum(self.classes, len(CLASS_NAMES))],
            "predicted": names[np.where(table.covered, table.predicted, len(CLASS_NAMES))],
            **{c.name: table.probability[:, c.number] for c in CLASSES},
            "sigma_level": table.sigma_level,
            "verdict": self.verdict,
            "stretch": rank,
        }

    def to_csv(self) -> str:
        """Return the table as text, three decimals; what is not a number stays empty."""
        columns = self.columns()
        columns["stretch"] = np.where(columns["stretch"] == 0, "", columns["stretch"].astype(str))
        return csv_text(columns, zip(*(column.tolist() for column in columns.values()), strict=True), 3)

    def summary(self) -> dict[str, Any]:
        """Return counts, notes and the ranked stretches, ready for JSON."""
        kept = ("chain", "first", "last", "modelled", "seen")
        return {
            "file": str(self.source) if self.source else None,
            "residues": len(self),
            "verdicts": self.counts,
            "meaning": VERDICTS,
            "notes": self.notes,
            "look_first": [
                {name: getattr(stretch, name) for name in kept}
                | {"sigma_level": round(stretch.sigma_level, 2), "score": round(stretch.score, 2)}
                | {"text": str(stretch)}
                for stretch in self.stretches
            ],
        }
