"""Volumes at the positions of atoms, and density in units of σ."""

import itertools

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.errors import HaruspexError
from haruspex_infer.grid import Grid

_ROUNDING = 1e-6


def sample(volume: NDArray[np.floating], grid: Grid, positions: NDArray[np.floating]) -> NDArray[np.float32]:
    """Interpolate a volume trilinearly at positions.

    Parameters
    ----------
    volume : ndarray, shape (z, y, x)
        Values at the voxel centres of `grid`.
    grid : Grid
        Where the voxels lie.
    positions : ndarray, shape (n, 3)
        Positions (x, y, z) in Å.

    Returns
    -------
    ndarray of float32, shape (n,)
        Not a number at positions outside the outermost voxel centres.

    Raises
    ------
    HaruspexError
        If the volume has other voxels than the grid.
    """
    if volume.shape != grid.shape:
        raise HaruspexError(f"The volume has shape {volume.shape} and its grid {grid.shape}, both (z, y, x).")
    indices = grid.indices(positions)
    last = np.array(grid.shape) - 1
    # positions on the outermost voxel centres are inside whatever way they were rounded
    inside = ((indices >= -_ROUNDING) & (indices <= last + _ROUNDING)).all(axis=1)
    indices = np.clip(indices[inside], 0, last).T
    low = np.minimum(indices.astype(np.int64), (last - 1)[:, None])
    above = indices - low
    total = np.zeros(low.shape[1])
    # axis by axis, since this is called for thousands of places at a time
    z, y, x = ((first, first + 1) for first in low)
    for_z, for_y, for_x = ((1 - part, part) for part in above)
    for i, j, k in itertools.product((0, 1), repeat=3):
        total += for_z[i] * for_y[j] * for_x[k] * volume[z[i], y[j], x[k]]
    result = np.full(len(positions), np.nan, np.float32)
    result[inside] = total
    return result


def mean_and_sigma(density: NDArray[np.floating]) -> tuple[float, float]:
    """Mean and standard deviation of a whole map, as deposited.

    A σ level is (density - mean) / σ. Both are taken over every voxel of the box, so a tight mask or
    little solvent moves them; the 2020 paper's figures are defined this way (Main text, Methods).

    Returns
    -------
    mean, sigma : float

    Raises
    ------
    HaruspexError
        If the map is constant.
    """
    # section by section in float64: float32 sums of large maps lose the mean
    mean = float(np.mean(density, dtype=np.float64))
    squares = (np.square(np.subtract(section, mean, dtype=np.float64)).sum() for section in density)
    variance = float(sum(squares)) / density.size
    if variance <= 0:
        raise HaruspexError("The map is constant, so it has no σ level; check that it is the right file.")
    return mean, float(np.sqrt(variance))
