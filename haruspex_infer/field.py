"""Class probabilities on the working grid, kept only where there is a molecule.

They are kept by cells as whole numbers, in 65,000ths: two bytes a class, and sums that are the same in
whatever order the answers of tiles come in.
"""

import threading

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.classes import CLASSES, OTHER
from haruspex_infer.grid import Box, Grid
from haruspex_infer.occupancy import CELL
from haruspex_infer.resample import probability_axes

# under 2¹⁶ by more than what the rounding of many answers can add up to
_UNIT = 65_000
_KEPT = [c.number for c in CLASSES if c != OTHER]
_ALL_OTHER = np.array([c == OTHER for c in CLASSES], dtype=np.float32).reshape(-1, 1, 1, 1)

STEP = 1.5 / _UNIT
"""Largest rounding error of a probability that comes from one tile; *other* gathers that of three classes."""


class Field:
    """Probabilities of helix, strand and nucleotide in the cells of a region; everything else is other.

    Parameters
    ----------
    region : ndarray of bool
        Cells that are annotated.
    shape : tuple of int
        Voxels (z, y, x) of the working grid.
    """

    def __init__(self, region: NDArray[np.bool_], shape: tuple[int, int, int]) -> None:
        self.shape = shape
        self._region = region
        self._row = np.cumsum(region, dtype=np.int32).reshape(region.shape) - 1
        self._values = np.zeros((int(region.sum()), len(_KEPT), CELL, CELL, CELL), dtype=np.uint16)
        self._lock = threading.Lock()

    @staticmethod
    def memory(region: NDArray[np.bool_]) -> int:
        """Return the bytes that a field takes for a region: six for each voxel, and an index of the cells."""
        return int(region.sum()) * len(_KEPT) * CELL**3 * 2 + 5 * region.size

    @property
    def box(self) -> Box:
        """The voxels outside which all is other."""
        parts = []
        for axis in range(3):
            line = np.flatnonzero(self._region.any(axis=tuple(a for a in range(3) if a != axis)))
            low, high = (line[0], line[-1] + 1) if len(line) else (0, 0)
            parts.append(slice(int(low) * CELL, min(int(high) * CELL, self.shape[axis])))
        return parts[0], parts[1], parts[2]

    def add(
        self, first: tuple[int, int, int], answer: NDArray[np.float32], share: NDArray[np.float32]
    ) -> None:
        """Take in the answer of a tile.

        Parameters
        ----------
        first : tuple of int
            Voxel of the grid where the answer begins, a multiple of 4; negative where it begins outside.
        answer : ndarray, shape (4, d, h, w)
            Probabilities of all classes.
        share : ndarray, shape (d, h, w)
            Weight of this answer among those for the same voxels; edges are multiples of 4.
        """
        cells, inside = [], []
        for axis in range(3):
            low, high = first[axis] // CELL, first[axis] // CELL + share.shape[axis] // CELL
            start, stop = max(low, 0), min(high, self._region.shape[axis])
            cells.append(slice(start, stop))
            inside.append(slice((start - low) * CELL, (stop - low) * CELL))
        part = (cells[0], cells[1], cells[2])
        wanted = self._region[part]
        rows = self._row[part][wanted]
        weight = share[tuple(inside)] * np.float32(_UNIT)
        for kept, number in enumerate(_KEPT):
            weighted = answer[number][tuple(inside)] * weight
            np.rint(weighted, out=weighted)
            blocks = weighted.astype(np.uint16).reshape(
                wanted.shape[0], CELL, wanted.shape[1], CELL, wanted.shape[2], CELL
            )
            gathered = blocks.transpose(0, 2, 4, 1, 3, 5)[wanted]
            with self._lock:  # tiles that come from several GPUs share cells
                self._values[rows, kept] += gathered

    def block(self, box: Box) -> NDArray[np.float32]:
        """Return helix, strand and nucleotide of the voxels in a box of the grid, shape (3, z, y, x)."""
        cells = [slice(part.start // CELL, -(-part.stop // CELL)) for part in box]
        part = (cells[0], cells[1], cells[2])
        wanted = self._region[part]
        z, y, x = wanted.shape
        blocks = np.zeros((len(_KEPT), z, CELL, y, CELL, x, CELL), dtype=np.float32)
        by_cell = blocks.transpose(1, 3, 5, 0, 2, 4, 6)
        by_cell[wanted] = self._values[self._row[part][wanted]]
        blocks *= np.float32(1 / _UNIT)
        dense = blocks.reshape(len(_KEPT), z * CELL, y * CELL, x * CELL)
        inside = [
            slice(wide.start - cell.start * CELL, wide.stop - cell.start * CELL)
            for wide, cell in zip(box, cells, strict=True)
        ]
        return dense[(slice(None), *inside)]


class FieldOnGrid:
    """A field seen on the voxels of the map that it was made from.

    Parameters
    ----------
    field : Field
    working : Grid
        Grid of the field.
    grid : Grid
        Grid of the map.
    mask : ndarray of bool, shape (z, y, x), optional
        Voxels of the map outside which all is other.
    """

    def __init__(
        self, field: Field, working: Grid, grid: Grid, mask: NDArray[np.bool_] | None = None
    ) -> None:
        self.shape = grid.shape
        self._field, self._mask = field, mask
        self._axes = probability_axes(working, grid)
        self._reached = [
            axis.reached(part.start, part.stop) for axis, part in zip(self._axes, field.box, strict=True)
        ]

    def part(self, box: Box) -> NDArray[np.float32]:
        """Return the probabilities of all classes in a box of the map, shape (4, z, y, x).

        Where all of it is other, they are one number for each class, seen at every voxel and read-only.
        """
        shape = (len(CLASSES), *(part.stop - part.start for part in box))
        inner, source = [], []
        for part, reached, axis, kept in zip(box, self._reached, self._axes, self._field.box, strict=True):
            low, high = max(part.start, reached[0]), min(part.stop, reached[1])
            if low >= high:
                return np.broadcast_to(_ALL_OTHER, shape)
            first, last = axis.needs(low, high)
            inner.append(slice(low, high))
            source.append(slice(max(first, kept.start), min(last, kept.stop)))
        volume = self._field.block((source[0], source[1], source[2]))
        for along in range(3):
            wanted = inner[along]
            volume = self._axes[along].apply(
                volume, along + 1, wanted.start, wanted.stop, source[along].start
            )
        z, y, x = (slice(i.start - b.start, i.stop - b.start) for i, b in zip(inner, box, strict=True))
        result = np.zeros(shape, dtype=np.float32)
        total = volume.sum(axis=0)
        volume = volume / np.maximum(total, 1)  # kept as whole numbers, three may exceed 1 by a trifle
        result[_KEPT, z, y, x] = volume
        result[OTHER.number] = 1
        result[OTHER.number, z, y, x] -= np.minimum(total, 1)
        if self._mask is not None:
            outside = ~self._mask[box]
            result[:, outside] = 0
            result[OTHER.number][outside] = 1
        return result
