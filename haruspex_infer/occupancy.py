"""Where in a map there is a molecule: the cells that a network has to see, and those that are solvent.

The map is judged in cells of 4 × 4 × 4 voxels of the working grid (4.4 Å). A cell is occupied where its mean
normalised density is at least 0.1, half of what counts as molecule: averaged over 64 voxels, noise of the
strength of the molecule itself stays below that. The region to annotate is the occupied cells and all their
neighbours. In seventeen experimental maps with models, no backbone atom of a residue with a mean backbone
density of 1 σ or more lies farther than 2 voxels from an occupied cell (``benchmarks/solvent.py``), and the
region reaches 4.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.normalise import Normaliser, cubes
from haruspex_infer.slabs import SLAB_VOXELS, in_threads, slabs

CELL = 4
"""Edge of a cell in voxels of the working grid."""

OCCUPIED = 0.1
"""Mean normalised density from which a cell is occupied."""


@dataclass(frozen=True)
class Survey:
    """What a look at the whole density showed.

    Attributes
    ----------
    region : ndarray of bool, shape (cells along z, y, x)
        Cells to annotate.
    inverted : bool
        Whether the strongest density lies below the level of solvent.
    """

    region: NDArray[np.bool_]
    inverted: bool


def survey(density: NDArray[np.float32], normaliser: Normaliser, offset: float, scale: float) -> Survey:
    """Find the region to annotate.

    Parameters
    ----------
    density : ndarray, shape (z, y, x)
        Density on the working grid, as the map has it.
    normaliser : Normaliser
        How the network wants it.
    offset, scale : float
        What the normaliser measured.
    """

    def look(first: int, last: int) -> tuple[NDArray[np.float32], float]:
        normalised = normaliser.apply(density[first:last], offset, scale)
        return cell_means(normalised), cubes(normalised)

    parts = list(in_threads(look, slabs(density.shape, SLAB_VOXELS, CELL)))
    occupied = np.concatenate([means for means, _ in parts]) >= OCCUPIED
    return Survey(_with_neighbours(occupied), sum(total for _, total in parts) < 0)


def cells_of(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the cells that hold any of the voxels `inside`."""
    for axis in range(3):
        inside = np.logical_or.reduceat(inside, np.arange(0, inside.shape[axis], CELL), axis=axis)
    return inside


def voxels_of(cells: NDArray[np.bool_], shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Return the voxels of a volume of some shape that lie in cells."""
    for axis in range(3):
        cells = np.repeat(cells, CELL, axis=axis)
    return cells[: shape[0], : shape[1], : shape[2]]


def cell_means(volume: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the mean of a volume in each cell; cells on the far faces may be smaller than others."""
    for axis in range(3):
        starts = np.arange(0, volume.shape[axis], CELL)
        counts = np.diff([*starts, volume.shape[axis]]).astype(np.float32)
        sums = np.add.reduceat(volume, starts, axis=axis)
        volume = np.divide(sums, counts.reshape([-1 if a == axis else 1 for a in range(3)]), dtype=np.float32)
    return volume


def _with_neighbours(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    wide = cells.copy()
    for axis in range(3):
        source, target = np.moveaxis(wide.copy(), axis, 0), np.moveaxis(wide, axis, 0)
        target[1:] |= source[:-1]
        target[:-1] |= source[1:]
    return wide
