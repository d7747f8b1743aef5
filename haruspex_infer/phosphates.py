"""The backbone of nucleic acid: phosphates, the heaviest groups of the molecule, linked to chains."""

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.grid import Box, Grid
from haruspex_infer.lines import Points, angle
from haruspex_infer.resample import resample_density, resample_probabilities

SHORTEST, LONGEST = 4.8, 7.8
"""Å between phosphates that follow each other: 5.4 to 6.0 in A-form, 6.5 to 7.0 in B-form."""

_FINEST, _COARSEST, _EDGE = 0.7, 0.9, 0.8  # Å: voxels on which peaks are told apart
_ROOM = 8.0  # Å about what is likely nucleic acid
_BLUR = 0.8  # Å
_ALONE = 3.2  # Å; no other peak is as high within
_SURROUND = 3.0  # Å: standard deviation of the Gaussian that tells the density about a peak
_DISTINCT = 0.7  # share of the contrast of distinct peaks that a phosphate reaches
_LOWEST = 0.2  # height of the faintest peak; 1 is strong density
_BRIDGE = 0.25  # share of the lower of two peaks that the density between them keeps
_FEWEST = 3  # phosphates of a chain
_SHARPEST = 75.0  # degrees at a phosphate between its two neighbours


def phosphate_chains(density: NDArray[np.float32], share: NDArray[np.float32], grid: Grid) -> list[Points]:
    """Link the phosphates of nucleic acid to chains.

    Parameters
    ----------
    density : ndarray, shape (z, y, x)
        Normalised density: 0 in solvent, 1 where molecules are strong.
    share : ndarray, shape (z, y, x)
        Probability of nucleotide.
    grid : Grid
        Where the voxels lie.

    Returns
    -------
    list of ndarray, shapes (n, 3)
        Positions of phosphates in the order of the chain, whose sense is unknown; the longest chain first.
    """
    box = _box_with(share, grid)
    if box is None:
        return []
    coarse = grid.part(box)
    grid = coarse.working(_FINEST, _COARSEST, _EDGE)
    weight = resample_density(density[box], coarse, grid) * resample_probabilities(share[box], coarse, grid)
    peaks, heights, field = _peaks(np.clip(weight, 0, None), grid)
    if len(peaks) < _FEWEST:
        return []
    links = _links(peaks, heights, field, grid)
    neighbours: list[list[int]] = [[] for _ in peaks]
    chain_of = list(range(len(peaks)))
    for i, j in links:
        if chain_of[i] == chain_of[j] or not (
            _open(peaks, neighbours, i, j) and _open(peaks, neighbours, j, i)
        ):
            continue
        neighbours[i].append(j)
        neighbours[j].append(i)
        joined, gone = chain_of[i], chain_of[j]
        chain_of = [joined if chain == gone else chain for chain in chain_of]
    chains = [_walked(start, neighbours) for start in range(len(peaks)) if len(neighbours[start]) == 1]
    kept = [chain for chain in chains if len(chain) >= _FEWEST and chain[0] < chain[-1]]
    return [peaks[chain] for chain in sorted(kept, key=len, reverse=True)]


def _box_with(share: NDArray[np.float32], grid: Grid) -> Box | None:
    """Box of the voxels that are likely nucleic acid, with some room; None without any."""
    likely = share >= 0.5
    slices = []
    for axis, edge in enumerate(grid.voxel_size):
        there = np.flatnonzero(likely.any(axis=tuple({0, 1, 2} - {axis})))
        if len(there) == 0:
            return None
        room = int(np.ceil(_ROOM / edge))
        slices.append(slice(max(0, int(there[0]) - room), min(grid.shape[axis], int(there[-1]) + room + 1)))
    z, y, x = slices
    return z, y, x


def _peaks(
    weight: NDArray[np.float32], grid: Grid
) -> tuple[Points, NDArray[np.float64], NDArray[np.float32]]:
    from scipy.ndimage import gaussian_filter, maximum_filter
    from scipy.spatial import cKDTree

    field = gaussian_filter(weight, [_BLUR / edge for edge in grid.voxel_size], mode="constant")
    peak = (field >= _LOWEST) & (field == maximum_filter(field, size=3, mode="constant"))
    voxels = np.argwhere(peak)
    if len(voxels) == 0:
        return np.empty((0, 3)), np.empty(0), field
    heights = field[peak].astype(np.float64)
    # bases stack in the thick of the molecule, phosphates stand out at its surface
    about = gaussian_filter(weight, [_SURROUND / edge for edge in grid.voxel_size], mode="constant")[peak]
    positions = grid.positions(_refined(field, voxels))
    near = cKDTree(positions).query_pairs(_ALONE, output_type="ndarray")
    lower = near[np.arange(len(near)), heights[near].argmin(axis=1)]
    highest = np.setdiff1d(np.arange(len(voxels)), lower)
    positions, heights, contrast = positions[highest], heights[highest], (heights / about)[highest]
    distinct = contrast >= _DISTINCT * np.percentile(contrast, 85)
    return positions[distinct], heights[distinct], field


def _refined(field: NDArray[np.float32], voxels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Vertex of the parabola through each peak and its two neighbours on every axis."""
    places = voxels.astype(np.float64)
    for axis in range(3):
        step = np.eye(3, dtype=np.int64)[axis]
        inner = (voxels[:, axis] > 0) & (voxels[:, axis] < field.shape[axis] - 1)
        here = voxels[inner]
        below, at, above = (field[tuple((here + k * step).T)].astype(np.float64) for k in (-1, 0, 1))
        curvature = below - 2 * at + above
        shift = np.divide(below - above, 2 * curvature, out=np.zeros(len(here)), where=curvature < 0)
        places[inner, axis] += np.clip(shift, -0.5, 0.5)
    return places


def _links(
    peaks: Points, heights: NDArray[np.float64], field: NDArray[np.float32], grid: Grid
) -> NDArray[np.int64]:
    """Pairs of peaks that may follow each other, those with the strongest density between them first."""
    from scipy.ndimage import map_coordinates
    from scipy.spatial import cKDTree

    pairs = cKDTree(peaks).query_pairs(LONGEST, output_type="ndarray")
    apart = np.linalg.norm(peaks[pairs[:, 0]] - peaks[pairs[:, 1]], axis=1)
    pairs = pairs[apart >= SHORTEST]
    if len(pairs) == 0:
        return pairs
    way = np.linspace(0.2, 0.8, 7)[:, None, None]
    between = peaks[pairs[:, 0]] * (1 - way) + peaks[pairs[:, 1]] * way
    indices = grid.indices(between.reshape(-1, 3)).T
    values = map_coordinates(field, indices, order=1).reshape(len(way), len(pairs))
    relative = values.mean(axis=0) / heights[pairs].min(axis=1)
    kept = relative >= _BRIDGE
    order = np.argsort(-relative[kept], kind="stable")
    return pairs[kept][order]


def _open(peaks: Points, neighbours: list[list[int]], here: int, there: int) -> bool:
    """Whether a peak can take another neighbour, without a turn that a backbone cannot make."""
    if len(neighbours[here]) > 1:
        return False
    to_new = peaks[there] - peaks[here]
    return all(angle(peaks[one] - peaks[here], to_new) >= _SHARPEST for one in neighbours[here])


def _walked(start: int, neighbours: list[list[int]]) -> list[int]:
    chain = [start, neighbours[start][0]]
    while following := [one for one in neighbours[chain[-1]] if one != chain[-2]]:
        chain.append(following[0])
    return chain
