"""Ideal α-helices laid into density: what they fit tells the hand of a map.

A helix repeats every 5.4 Å and turns right. Around the axis of a helix in the density the atoms of an ideal
one are turned and slid; where its backbone meets that of the map the density is higher than it is on average
over all places. The other hand meets it nowhere.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.grid import Grid
from haruspex_infer.sampling import sample

ATOMS = np.array(
    [(1.54, -26.4, -0.91), (2.29, 0.0, 0.0), (1.70, 27.4, 1.05), (2.02, 22.2, 2.23), (3.35, 16.2, -0.77)]
)
"""Ideal α-helix (φ -62°, ψ -43°): radius in Å, angle in degrees and rise in Å of N, CA, C, O and CB."""

TURN, RISE = 99.1, 1.54
"""Degrees and Å from one residue of it to the next."""

_RESIDUES = 11
_TURNS = np.arange(0, 360, 20)
_SLIDES = np.arange(-1, 2) * RISE / 3
_FEWEST = 15

_SURE = 0.7  # probability of helix
_REACH = 8.0  # Å around a point within which a helix must look like a rod
_BESIDE = 4.5  # Å from its axis
_ROD = 3.0  # how much longer than wide, as variance
_APART = 4.0  # Å between pieces
_MOST, _TRIED = 60, 600
_SEED = 1976


@dataclass(frozen=True)
class Axes:
    """Straight pieces of helices.

    Attributes
    ----------
    centre, direction : ndarray, shape (k, 3)
        Middle (x, y, z) in Å, and unit vector along the axis; which end is which is not known.
    """

    centre: NDArray[np.float64]
    direction: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.centre)


def helix_axes(density: NDArray[np.floating], helix: NDArray[np.floating], grid: Grid) -> Axes:
    """Find straight pieces of what is surely helix, spread over the map.

    Parameters
    ----------
    density : ndarray, shape (z, y, x)
        Normalised: solvent 0, strong density 1.
    helix : ndarray, shape (z, y, x)
        Probability of helix.
    grid : Grid
        Where the voxels of both lie.
    """
    inside = (helix > _SURE) & (density > 0)
    size = np.array(grid.voxel_size)
    reach = np.ceil(_REACH / size).astype(np.int64)
    offsets = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), -1).reshape(-1, 3)
    offsets = offsets[np.linalg.norm(offsets * size, axis=1) <= _REACH]
    # the same places for the same map; an even choice, so that no domain speaks for the whole
    candidates = np.random.default_rng(_SEED).permutation(np.flatnonzero(inside))[:_TRIED]
    found: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    for start in np.stack(np.unravel_index(candidates, grid.shape), axis=1):
        axis = _axis(density, inside, start.astype(np.float64), offsets, size)
        if axis is None:
            continue
        centre = grid.positions(axis[0])
        if all(np.linalg.norm(centre - other) >= _APART for other, _ in found):
            found.append((centre, axis[1][::-1]))
        if len(found) == _MOST:
            break
    pieces = np.array(found).reshape(-1, 2, 3)
    return Axes(pieces[:, 0], pieces[:, 1])


def fit(density: NDArray[np.floating], grid: Grid, axes: Axes, sense: float = 1.0) -> NDArray[np.float64]:
    """Lay an ideal helix on every axis, either way round.

    Parameters
    ----------
    density : ndarray, shape (z, y, x)
    grid : Grid
    axes : Axes
    sense : float
        1 for a right-handed helix, -1 for its mirror image.

    Returns
    -------
    ndarray, shape (k,)
        Mean density of its atoms where it fits best. Not a number where a helix leaves the map.
    """
    steps = np.arange(_RESIDUES) - (_RESIDUES - 1) / 2
    radius = np.tile(ATOMS[:, 0], _RESIDUES)
    angle = np.radians((steps[:, None] * TURN + ATOMS[:, 1]).ravel()) * sense
    rise = (steps[:, None] * RISE + ATOMS[:, 2]).ravel()
    turned = angle + np.radians(_TURNS)[:, None, None]
    across = np.stack([np.cos(turned), np.sin(turned)], axis=-1) * radius[:, None]
    along = rise + _SLIDES[:, None]
    highest = np.full(len(axes), np.nan)
    for k, (centre, axis) in enumerate(zip(axes.centre, axes.direction, strict=True)):
        for direction in (axis, -axis):
            first = np.cross(direction, np.eye(3)[np.abs(direction).argmin()])
            first /= np.linalg.norm(first)
            plane = np.stack([first, np.cross(direction, first)])
            places = centre + across @ plane + along[..., None] * direction
            means = sample(density, grid, places.reshape(-1, 3)).reshape(places.shape[:-1]).mean(axis=-1)
            highest[k] = np.fmax(highest[k], means.max())
    return highest


def preference(one: NDArray[np.floating], other: NDArray[np.floating], fewest: int = _FEWEST) -> float:
    """Mean difference of paired values over its standard error; no number for fewer pairs than `fewest`."""
    difference = (one - other)[np.isfinite(one) & np.isfinite(other)].astype(np.float64)
    if len(difference) < fewest or difference.std() == 0:
        return float("nan")
    return float(difference.mean() / difference.std(ddof=1) * np.sqrt(len(difference)))


def _axis(
    density: NDArray[np.floating],
    inside: NDArray[np.bool_],
    start: NDArray[np.float64],
    offsets: NDArray[np.int64],
    size: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Move a point (voxels) onto the axis of the rod it lies in; None where there is no rod."""
    centre, direction = start, None
    variances = np.zeros(3)
    for _ in range(3):
        voxels = np.rint(centre).astype(np.int64) + offsets
        voxels = voxels[((voxels >= 0) & (voxels < inside.shape)).all(axis=1)]
        voxels = voxels[inside[tuple(voxels.T)]]
        away = (voxels - centre) * size
        if direction is not None:
            beside = np.linalg.norm(away - np.outer(away @ direction, direction), axis=1) < _BESIDE
            voxels, away = voxels[beside], away[beside]
        if len(voxels) < 4:
            return None
        weight = density[tuple(voxels.T)].astype(np.float64)
        weight /= weight.sum()
        mean = weight @ away
        variances, vectors = np.linalg.eigh((away - mean).T @ ((away - mean) * weight[:, None]))
        direction = vectors[:, -1]
        centre = centre + (mean - (mean @ direction) * direction) / size
    if direction is None or variances[-1] < _ROD * variances[-2]:
        return None
    return centre, direction
