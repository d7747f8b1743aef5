"""Residues with truth, prediction and verdict: the rows that every figure of residues is counted from."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.classes import CLASS_NAMES, OTHER
from haruspex_infer.grid import Grid
from haruspex_infer.residues import RESOLVED, backbone_means, residue_table
from haruspex_infer.structure import OTHER_KIND, Structure
from haruspex_infer.tables import csv_text
from haruspex_train.figures import Figures, Tally

RIGHT, FALSE, MISSED, NOTHING = "TP", "FP", "FN", "TN"

COLUMNS = (
    "map", "chain", "number", "insertion", "residue", "truth", "predicted",
    *CLASS_NAMES, "sigma_level", "b_factor", "counted", "verdict",
)  # fmt: skip


@dataclass(frozen=True)
class JudgedResidues:
    """Residues of one map that lie inside it; ligands, ions and waters are left out.

    Attributes
    ----------
    chain, name, number, insertion, kind : ndarray, shape (m,)
        As in `haruspex_infer.structure.Structure`.
    truth, predicted : ndarray of uint8, shape (m,)
        Class numbers.
    probability : ndarray of float32, shape (m, 4)
        Mean probability of each class at the backbone.
    sigma_level, b_factor : ndarray of float32, shape (m,)
        Mean density (σ above the mean of the map) and mean B factor (Å²) of the backbone.
    """

    chain: NDArray[np.str_]
    name: NDArray[np.str_]
    number: NDArray[np.int32]
    insertion: NDArray[np.str_]
    kind: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    predicted: NDArray[np.uint8]
    probability: NDArray[np.float32]
    sigma_level: NDArray[np.float32]
    b_factor: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def resolved(self) -> NDArray[np.bool_]:
        """Residues that the published figures count: backbone density of at least 1 σ, shape (m,)."""
        return self.sigma_level >= RESOLVED

    @property
    def verdict(self) -> NDArray[np.str_]:
        """``TP``, ``FP``, ``FN`` as published, or ``TN``: none predicted where there is none; shape (m,)."""
        structured, called = self.truth != OTHER.number, self.predicted != OTHER.number
        right = self.truth == self.predicted
        return np.select([structured & right, called, structured], [RIGHT, FALSE, MISSED], NOTHING)

    def chosen(self, rows: NDArray[Any]) -> "JudgedResidues":
        """Return some of the residues, by mask or index."""
        return JudgedResidues(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def figures(self) -> Figures:
        """Figures of all these residues."""
        return Tally().add(self.probability.T, self.truth).figures()


def judge(
    probabilities: NDArray[np.float32],
    density: NDArray[np.floating],
    grid: Grid,
    structure: Structure,
    classes: NDArray[np.uint8],
) -> JudgedResidues:
    """Read an annotation at the residues of a model.

    Parameters
    ----------
    probabilities : ndarray, shape (4, z, y, x)
    density : ndarray, shape (z, y, x)
        The map as deposited.
    grid : Grid
        Where the voxels of both lie.
    structure : Structure
        The model.
    classes : ndarray of uint8, shape (m,)
        True class of each of its residues.

    Raises
    ------
    HaruspexError
        If the map is constant.
    """
    table = residue_table(probabilities, grid, structure, density)
    rows = table.covered & (table.kind != OTHER_KIND)
    return JudgedResidues(
        table.chain, table.name, table.number, table.insertion, table.kind, classes, table.predicted,
        table.probability, table.sigma_level, backbone_means(structure.b_iso, structure),
    ).chosen(rows)  # fmt: skip


def together(parts: Iterable[JudgedResidues]) -> JudgedResidues:
    """Put the residues of several maps one after the other."""
    listed = list(parts)
    return JudgedResidues(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in listed])
            for field in fields(JudgedResidues)
        }
    )


def residue_csv(residues: dict[str, JudgedResidues]) -> str:
    """Write residues of maps, by the maps' names, as a table that can be checked row by row.

    ``counted`` tells whether the published figures count the residue, ``verdict`` what as.
    """
    names = np.array(CLASS_NAMES)
    rows: list[tuple[object, ...]] = []
    for map_name, part in residues.items():
        columns = (
            part.chain, part.number, np.char.strip(part.insertion), part.name,
            names[part.truth], names[part.predicted], *part.probability.T, part.sigma_level, part.b_factor,
            np.where(part.resolved, "yes", "no"), part.verdict,
        )  # fmt: skip
        rows += ((map_name, *row) for row in zip(*(column.tolist() for column in columns), strict=True))
    return csv_text(COLUMNS, rows, decimals=3)
