"""The voxels that networks see, for densities and for ground truth."""

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.grid import Grid
from haruspex_infer.resample import resample_density

VOXEL_SIZES = {"min": 1.0, "max": 1.2, "target": 1.1}
"""Voxel sizes in Å that networks are trained on, and the one other maps are brought to (paper, Methods)."""


def working_grid(grid: Grid) -> Grid:
    """Return the grid on which a map is used: its own, or one of 1.1 Å.

    Parameters
    ----------
    grid : Grid
        Where the voxels of the map lie.
    """
    return grid.working(VOXEL_SIZES["min"], VOXEL_SIZES["max"], VOXEL_SIZES["target"])


def working_density(density: NDArray[np.floating], grid: Grid) -> NDArray[np.float32]:
    """Bring density to the working grid of its map.

    Parameters
    ----------
    density : ndarray, shape (z, y, x)
        Density on `grid`.
    grid : Grid
        Where its voxels lie.

    Returns
    -------
    ndarray of float32
        Density on the working grid.
    """
    target = working_grid(grid)
    if target == grid:
        return np.asarray(density, dtype=np.float32)
    return resample_density(density, grid, target)


def working_labels(labels: NDArray[np.uint8], grid: Grid) -> NDArray[np.uint8]:
    """Bring labels to the working grid of their map: each voxel takes the label of the nearest.

    Parameters
    ----------
    labels : ndarray of uint8, shape (z, y, x)
        Labels on `grid`.
    grid : Grid

    Returns
    -------
    ndarray of uint8
        Labels on the working grid.
    """
    target = working_grid(grid)
    if target == grid:
        return labels
    nearest = []
    for axis in range(3):
        places = np.rint((target.centres(axis) - grid.origin[axis]) / grid.voxel_size[axis]).astype(np.int64)
        # the working grid reaches less than half of its voxels beyond the map: centres do only by rounding
        nearest.append(np.clip(places, 0, grid.shape[axis] - 1))
    return labels[np.ix_(*nearest)]
