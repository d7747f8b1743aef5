"""Helices, strands and nucleic acid of atomic models, to measure found elements against: see elements.py."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from haruspex_infer.classes import CLASSES, HELIX, NUCLEOTIDE, STRAND, StructureClass
from haruspex_infer.grid import Grid
from haruspex_infer.lines import Points, smoothed, split_at_kinks
from haruspex_infer.sampling import mean_and_sigma, sample
from haruspex_infer.structure import Structure
from haruspex_train.secondary import elements
from haruspex_train.truth import REACH

HYDROGEN_BOND = 3.5  # Å from N to O
BONDS = 2  # that neighbouring strands share
SHORTEST = {HELIX: 6, STRAND: 3, NUCLEOTIDE: 2}  # residues
KINK = {HELIX: (2, 5, 75.0), STRAND: (1, 2, 90.0)}
"""Residues on either side to average, residues before and after whose directions are compared, degrees."""
TURN = np.array([0.8, 1, 1, 0.8]) / 3.6  # weights of four residues that are one turn


@dataclass(frozen=True, eq=False)
class TrueElement:
    """One element of a model.

    Attributes
    ----------
    kind : StructureClass
    line : ndarray, shape (n, 3)
        Axis of a helix, Cα trace of a strand without its pleats, phosphates of nucleic acid.
    rows : ndarray of int
        Its residues.
    level : float
        Mean density at its backbone in σ; not a number outside the map.
    """

    kind: StructureClass
    line: Points
    rows: NDArray[np.int64]
    level: float

    @property
    def long(self) -> bool:
        """Whether it is long enough to be looked for."""
        return len(self.rows) >= SHORTEST[self.kind]


def true_elements(
    structure: Structure, classes: NDArray[np.uint8], density: NDArray[np.floating], grid: Grid
) -> list[TrueElement]:
    """Elements of a model: runs of residues of one class, by DSSP and the file's records, cut at hairpins."""
    mean, sigma = mean_and_sigma(density)
    level = (sample(density, grid, structure.xyz) - mean) / sigma
    runs = elements(structure, classes)
    ca = structure.main_chain()[:, 1].astype(np.float64)
    phosphate = np.full_like(ca, np.nan)
    atoms = np.flatnonzero(structure.atom_name == "P")
    phosphate[structure.residue[atoms]] = structure.xyz[atoms]
    found = []
    for rows in np.split(np.arange(len(runs)), np.flatnonzero(np.diff(runs)) + 1):
        kind = CLASSES[classes[rows[0]]]
        if kind not in SHORTEST:
            continue
        points = (phosphate if kind is NUCLEOTIDE else ca)[rows]
        seen = np.isfinite(points).all(axis=1)
        for part in unkinked(points[seen], kind):
            line, own = points[seen][part], rows[seen][part]
            if len(line) < 2:
                continue
            line = {HELIX: helix_axis, STRAND: without_pleats}.get(kind, lambda p: p)(line)
            levels = level[structure.backbone & np.isin(structure.residue, own)]
            inside = np.isfinite(levels)
            found.append(
                TrueElement(kind, line, own, float(levels[inside].mean()) if inside.any() else np.nan)
            )
    return found


def unkinked(points: Points, kind: StructureClass) -> list[slice]:
    """Rows of a run between hairpin turns: DSSP joins elements with no coil in between."""
    if kind not in KINK:
        return [slice(0, len(points))]
    half, arm, limit = KINK[kind]
    parts, first = [], 0
    for piece in split_at_kinks(smoothed(points, half), arm, limit):
        parts.append(slice(first, first + len(piece)))
        first += len(piece) - 1
    return parts


def helix_axis(ca: Points) -> Points:
    """Axis of a helix: means over a turn of Cα atoms, prolonged to the level of the first and the last."""
    if len(ca) < 6:
        centre, direction = ca.mean(axis=0), ca[-1] - ca[0]
        direction /= np.linalg.norm(direction)
        along = (ca - centre) @ direction
        return centre + np.array([[along.min()], [along.max()]]) * direction
    axis = np.stack([TURN @ ca[k : k + 4] for k in range(len(ca) - 3)])
    axis[1:-1] = (axis[:-2] + axis[1:-1] + axis[2:]) / 3
    arm = min(4, len(axis) - 1)
    ends = []
    for tip, inner, last in ((axis[0], axis[arm], ca[0]), (axis[-1], axis[-1 - arm], ca[-1])):
        outward = (tip - inner) / np.linalg.norm(tip - inner)
        ends.append(tip + ((last - tip) @ outward) * outward)
    return np.concatenate([[ends[0]], axis, [ends[1]]])


def without_pleats(ca: Points) -> Points:
    """Trace of a strand: each Cα averaged with the midpoint of its neighbours."""
    line = ca.copy()
    line[1:-1] = (ca[:-2] + 2 * ca[1:-1] + ca[2:]) / 4
    return line


def neighbours(structure: Structure, one: TrueElement, other: TrueElement) -> bool:
    """Whether two strands share hydrogen bonds, told by the distance of nitrogen and oxygen."""
    n, o = structure.main_chain()[:, 0], structure.main_chain()[:, 3]
    bonds = 0
    for donor, acceptor in ((one, other), (other, one)):
        apart = np.linalg.norm(n[donor.rows][:, None] - o[acceptor.rows][None], axis=2)
        bonds += int((apart < HYDROGEN_BOND).sum())
    return bonds >= BONDS


def model_labels(structure: Structure, classes: NDArray[np.uint8], grid: Grid) -> NDArray[np.float32]:
    """Say what a perfect network would: 1 for the class of the nearest backbone atom within 3 Å.

    Returns
    -------
    ndarray of float32, shape (4, z, y, x)
    """
    backbone = structure.backbone
    tree = cKDTree(structure.xyz[backbone])
    kind = np.append(classes[structure.residue[backbone]], 0)
    labels = np.empty(grid.shape, np.uint8)
    sections = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape[1:]), indexing="ij"), axis=-1)
    for z in range(grid.shape[0]):
        voxels = np.concatenate([np.full((*grid.shape[1:], 1), z), sections], axis=-1).reshape(-1, 3)
        labels[z] = kind[tree.query(grid.positions(voxels), distance_upper_bound=REACH)[1]].reshape(
            grid.shape[1:]
        )
    return np.stack([labels == c.number for c in CLASSES]).astype(np.float32)
