"""The paper's training segments: where they may be cut, and which are worth training on.

Mostosi et al. 2020, Methods, Generation of training segments.
"""

import hashlib
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.classes import CLASSES, OTHER
from haruspex_infer.grid import Grid
from haruspex_infer.structure import Structure
from haruspex_train.groundtruth import STRONG
from haruspex_train.truth import IGNORE

EDGE = 70
"""Voxels along each edge of a segment."""

STEP = 35
"""Voxels, roughly, from one segment to the next: what lies at the border of one lies inside another. How
the paper sampled, it does not say."""

HELD_OUT = 0.05
"""Share of the entries whose segments do not train but evaluate during training."""


@dataclass(frozen=True)
class Rules:
    """What a segment must hold.

    Attributes
    ----------
    atoms : int
        Least number of atoms at 1 σ or more.
    level : float
        Least mean σ level of the backbone.
    annotated : float
        Least share of the segment's voxels that are helix, strand or nucleotide.
    """

    atoms: int = 100
    level: float = 3.0
    annotated: float = 0.05


@dataclass(frozen=True)
class Segment:
    """One segment.

    Attributes
    ----------
    corner : tuple of int
        Voxel (z, y, x) of the working grid that is the segment's first; negative where the map is smaller
        than the segment and lies in its middle.
    atoms : int
        Atoms at 1 σ or more.
    level : float
        Mean σ level of the backbone; not a number where there is none.
    voxels : tuple of int
        Voxels of each class; what is ignored is not counted.
    """

    corner: tuple[int, int, int]
    atoms: int
    level: float
    voxels: tuple[int, ...]

    @property
    def annotated(self) -> float:
        """Share of the segment's voxels that are helix, strand or nucleotide."""
        return (sum(self.voxels) - self.voxels[OTHER.number]) / EDGE**3

    def reason(self, rules: Rules) -> str:
        """Return why the segment is not worth training on, or an empty text if it is."""
        if self.atoms < rules.atoms:
            return f"{self.atoms} atoms"
        if not self.level >= rules.level:
            return f"backbone at {self.level:.1f} σ"
        if self.annotated < rules.annotated:
            return f"{self.annotated:.1%} annotated"
        return ""


def corners(shape: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """Corners of segments spread evenly over a volume, about `STEP` voxels apart.

    Parameters
    ----------
    shape : tuple of int
        Voxels (z, y, x) of the volume.

    Returns
    -------
    list of tuple of int
        First voxel (z, y, x) of each segment.
    """
    z, y, x = (_starts(n) for n in shape)
    return list(itertools.product(z, y, x))


def measure_segment(
    corner: tuple[int, int, int],
    truth: NDArray[np.uint8],
    grid: Grid,
    structure: Structure,
    at_atoms: NDArray[np.floating],
) -> Segment:
    """Count what a segment holds.

    Parameters
    ----------
    corner : tuple of int
        From `corners`.
    truth : ndarray of uint8, shape (z, y, x)
        Ground truth on the working grid.
    grid : Grid
        The working grid.
    structure : Structure
    at_atoms : ndarray, shape (n,)
        σ level of the map as deposited at each atom.

    Returns
    -------
    Segment
    """
    places = np.rint(grid.indices(structure.xyz)) - corner
    inside = ((places >= 0) & (places < EDGE)).all(axis=1)
    backbone = at_atoms[inside & structure.backbone & np.isfinite(at_atoms)]
    counts = np.bincount(cut(truth, corner, IGNORE).ravel(), minlength=len(CLASSES))
    return Segment(
        corner=corner,
        atoms=int((at_atoms[inside] >= STRONG).sum()),
        level=float(backbone.mean()) if backbone.size else float("nan"),
        voxels=tuple(int(n) for n in counts[: len(CLASSES)]),
    )


def cut(volume: NDArray, corner: tuple[int, int, int], outside: float) -> NDArray:
    """Cut a segment; where it reaches beyond the volume, it holds `outside`."""
    segment = np.full((EDGE,) * 3, outside, volume.dtype)
    here, there = [], []
    for start, n in zip(corner, volume.shape, strict=True):
        low, high = max(start, 0), min(start + EDGE, n)
        here.append(slice(low - start, high - start))
        there.append(slice(low, high))
    segment[tuple(here)] = volume[tuple(there)]
    return segment


def held_out(name: str) -> bool:
    """Whether an entry's segments evaluate during training.

    Whole entries are held out, since segments of one map overlap. The name decides, so that adding entries
    moves none.

    Parameters
    ----------
    name : str
        Name of the entry.

    Returns
    -------
    bool
    """
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") < HELD_OUT * 2**64


def _starts(n: int) -> list[int]:
    number = 1 + max(0, round((n - EDGE) / STEP))
    if number == 1:
        return [(n - EDGE) // 2]
    return [round(k * (n - EDGE) / (number - 1)) for k in range(number)]
