"""The part of a map that travels in a report: cropped to the molecule, coarsened if large, in bytes."""

import base64
import gzip
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.annotatedmap import MOLECULE, AnnotatedMap
from haruspex_infer.chimerax import CONTOUR
from haruspex_infer.grid import Box, Grid
from haruspex_infer.resample import resample_density
from haruspex_infer.slabs import in_threads, slabs

_Number = TypeVar("_Number", int, float)

# about 160³: a browser contours it in a fraction of a second, and it packs into three or four megabytes
MOST_VOXELS = 4_000_000
# share of the voxels over the contour that may lie outside the box at either end of an axis: specks of noise
_STRAY = 5e-4
_MARGIN = 8.0  # Å
# normalised densities that the bytes span: contours lie well inside
_LOWEST, _HIGHEST = -0.5, 3.0


@dataclass(frozen=True)
class ShownVolume:
    """Density and classes as a report shows them.

    Attributes
    ----------
    grid : Grid
        Where the shown voxels lie.
    density : ndarray of uint8, shape (z, y, x)
        ``low + step × density`` is the map's own density, clipped to what contours need.
    labels : ndarray of uint8, shape (z, y, x)
        The most probable class.
    low, step : float
        Density of byte 0, and of each further one.
    note : str
        What was cut off and coarsened, for the reader.
    """

    grid: Grid
    density: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    low: float
    step: float
    note: str

    def packed(self) -> str:
        """Return density, then labels, gzipped in base64; the same volume gives the same text."""
        data = self.density.tobytes() + self.labels.tobytes()
        return base64.b64encode(gzip.compress(data, 6, mtime=0)).decode()


def shown_volume(annotation: AnnotatedMap, most_voxels: int = MOST_VOXELS) -> ShownVolume:
    """Choose and coarsen what a report shows of an annotated map.

    Parameters
    ----------
    annotation : AnnotatedMap
        The annotated map.
    most_voxels : int
        Coarser voxels are taken if the molecule's box holds more.
    """
    whole = annotation.grid
    box = _molecule_box(annotation)
    grid = whole.part(box)
    fine = grid
    density = annotation.map.density[box]
    cropped = grid.shape != whole.shape
    note = "cropped to the molecule" if cropped else "the whole box"
    if grid.voxels > most_voxels:
        grid = _coarser(grid, most_voxels)
        density = resample_density(density, fine, grid)
        note += f", coarsened from {voxel_text(fine)} to {voxel_text(grid)} voxels"
    low, high = annotation.level(_LOWEST), annotation.level(_HIGHEST)
    step = (high - low) / 255
    scaled = np.clip((density - np.float32(low)) / np.float32(step), 0, 255)
    return ShownVolume(
        grid, np.rint(scaled).astype(np.uint8), _labels(annotation, box, fine, grid), low, step, note
    )


def _labels(annotation: AnnotatedMap, box: Box, fine: Grid, grid: Grid) -> NDArray[np.uint8]:
    """Return the most probable class of the voxels of a grid: that of the nearest voxel in the box."""
    z, y, x = (
        np.clip(np.rint((grid.centres(a) - fine.origin[a]) / fine.voxel_size[a]), 0, fine.shape[a] - 1)
        for a in range(3)
    )
    rows, columns = y.astype(np.int64), x.astype(np.int64)
    labels = np.empty(grid.shape, np.uint8)

    def label(first: int, last: int) -> None:
        """Fill the sections that lie nearest to a slab; all probabilities at once would need memory."""
        wanted = np.flatnonzero((z >= first) & (z < last))
        if len(wanted) == 0:
            return
        slab = slice(box[0].start + first, box[0].start + last)
        found = annotation.part((slab, box[1], box[2])).argmax(axis=0)
        sections = z[wanted].astype(np.int64) - first
        labels[wanted] = found[np.ix_(sections, rows, columns)]

    for _ in in_threads(label, slabs(fine.shape)):
        pass
    return labels


def _molecule_box(annotation: AnnotatedMap) -> Box:
    """Return the smallest box around the molecule, with a margin; all of a map that holds none."""
    density = annotation.map.density
    level = annotation.level(CONTOUR)
    if not (density >= level).any():
        level = annotation.level(MOLECULE)
    counts = [np.zeros(n, np.int64) for n in density.shape]
    for z, section in enumerate(density):  # by sections: a mask of the whole is not needed
        inside = section >= level
        counts[0][z] = np.count_nonzero(inside)
        counts[1] += np.count_nonzero(inside, axis=1)
        counts[2] += np.count_nonzero(inside, axis=0)
    if not counts[0].any():
        z, y, x = density.shape
        return slice(0, z), slice(0, y), slice(0, x)
    parts = []
    for count, size in zip(counts, annotation.grid.voxel_size, strict=True):
        share = np.cumsum(count) / count.sum()
        margin = math.ceil(_MARGIN / size)
        first = int(np.searchsorted(share, _STRAY, side="right"))
        last = int(np.searchsorted(share, 1 - _STRAY))
        parts.append(slice(max(0, first - margin), min(len(count), last + 1 + margin)))
    return parts[0], parts[1], parts[2]


def _coarser(grid: Grid, most_voxels: int) -> Grid:
    """Return a grid over the same box with at most so many voxels, equally coarser along all axes."""
    factor = (grid.voxels / most_voxels) ** (1 / 3)
    shape = [max(2, math.floor(n / factor)) for n in grid.shape]
    size = [s * n / m for s, n, m in zip(grid.voxel_size, grid.shape, shape, strict=True)]
    # both boxes have the same centre
    origin = [
        o + (n - 1) / 2 * s - (m - 1) / 2 * t
        for o, n, s, m, t in zip(grid.origin, grid.shape, grid.voxel_size, shape, size, strict=True)
    ]
    return Grid(_triple(shape), _triple(size), _triple(origin))


def _triple(values: Iterable[_Number]) -> tuple[_Number, _Number, _Number]:
    a, b, c = values
    return a, b, c


def voxel_text(grid: Grid) -> str:
    """Return the voxel size of a grid for the reader: one number if the voxels are cubes."""
    shown = [f"{edge:.4g}" for edge in reversed(grid.voxel_size)]
    return f"{shown[0] if len(set(shown)) == 1 else ' × '.join(shown)} Å"
