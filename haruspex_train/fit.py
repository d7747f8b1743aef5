"""How well a model fits a map, in numbers."""

import itertools

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.grid import Grid
from haruspex_infer.residues import backbone_means
from haruspex_infer.sampling import sample
from haruspex_infer.structure import Structure

FARTHEST = 8.0
"""Å up to which a model is tried elsewhere."""

STANDS_OUT = 1.0
"""z-score (`contrast`) from which a residue stands out from its shifted copies."""

LEAST_FITTED = 0.5
"""Share of residues that must stand out; val pairs 0.69-1.00, shifted and mirrored copies up to 0.38."""

ATOM_WIDTH = 0.225
"""Standard deviation of the Gaussian that stands for an atom, as a share of the resolution."""

_AXES = (0, 1, 2)
_ROOM = FARTHEST + 6.0
_CONTROLS = (3.0, 4.5, 6.0)
_DIRECTIONS = np.array([d for d in itertools.product((-1, 0, 1), repeat=3) if any(d)], np.float64)
_DIRECTIONS /= np.linalg.norm(_DIRECTIONS, axis=1, keepdims=True)


def around(
    density: NDArray[np.floating], grid: Grid, structure: Structure
) -> tuple[NDArray[np.floating], Grid] | None:
    """Cut the map to the surroundings of the model; nothing if the model lies outside."""
    places = grid.indices(structure.xyz)
    room = np.ceil(_ROOM / np.array(grid.voxel_size)).astype(int)
    low = np.maximum(np.floor(places.min(axis=0)).astype(int) - room, 0)
    high = np.minimum(np.ceil(places.max(axis=0)).astype(int) + room + 1, grid.shape)
    if (high - low < 2).any():
        return None
    z, y, x = (slice(int(first), int(last)) for first, last in zip(low, high, strict=True))
    return density[z, y, x], grid.part((z, y, x))


def model_density(grid: Grid, structure: Structure, resolution: float) -> NDArray[np.float32]:
    """Density of a model: a Gaussian for every atom, as wide as the resolution has it (0.225 × resolution).

    Parameters
    ----------
    grid : Grid
        Voxels to compute; atoms outside are left out.
    structure : Structure
    resolution : float
        Å.

    Returns
    -------
    ndarray of float32, shape (z, y, x)
    """
    return _blurred(_deposited(grid, structure), grid, ATOM_WIDTH * resolution)


def correlation(
    density: NDArray[np.floating], model: NDArray[np.floating], voxels: NDArray[np.bool_]
) -> float:
    """Pearson correlation of map and model in some voxels.

    Parameters
    ----------
    density, model : ndarray, shape (z, y, x)
        Density of the map and of the model (`model_density`).
    voxels : ndarray of bool, shape (z, y, x)
        Voxels to compare.

    Returns
    -------
    float
        Not a number where either is constant there.
    """
    a, b = density[voxels].astype(np.float64), model[voxels].astype(np.float64)
    if a.size < 2 or a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def displacement(density: NDArray[np.floating], grid: Grid, structure: Structure, resolution: float) -> float:
    """Distance in Å to the place, within `FARTHEST` along each axis, where the model would fit best.

    The model's density less its own blurred density, which does not mind slow changes of the map, is moved
    over the map by Fourier transform.

    Parameters
    ----------
    density : ndarray, shape (z, y, x)
        The map around the model.
    grid : Grid
    structure : Structure
    resolution : float
        Å.

    Returns
    -------
    float
        Å; 0 where it fits best as it is.
    """
    deposited = _deposited(grid, structure)
    width = ATOM_WIDTH * resolution
    template = _blurred(deposited, grid, width) - _blurred(deposited, grid, 2 * width)
    reach = np.floor(FARTHEST / np.array(grid.voxel_size)).astype(int)
    # room at the ends keeps what leaves the box on one side from coming in on the other
    shape = tuple(int(n) for n in np.array(grid.shape) + reach)
    moved = np.fft.irfftn(
        np.fft.rfftn(density - density.mean(), shape, _AXES) * np.conj(np.fft.rfftn(template, shape, _AXES)),
        shape,
        _AXES,
    )
    steps = [np.arange(-r, r + 1) for r in reach]
    near = moved[np.ix_(*steps)]
    best = np.unravel_index(int(near.argmax()), near.shape)
    return float(np.linalg.norm([s[b] * e for s, b, e in zip(steps, best, grid.voxel_size, strict=True)]))


def contrast(density: NDArray[np.floating], grid: Grid, structure: Structure) -> NDArray[np.float32]:
    """z-score of every residue's backbone density against the same residue shifted by 3 to 6 Å.

    Parameters
    ----------
    density : ndarray, shape (z, y, x)
    grid : Grid
    structure : Structure

    Returns
    -------
    ndarray of float32, shape (m,)
        Not a number for residues outside the map.
    """
    here = backbone_means(sample(density, grid, structure.xyz), structure)
    shifted = np.stack(
        [
            backbone_means(sample(density, grid, structure.xyz + distance * direction), structure)
            for distance in _CONTROLS
            for direction in _DIRECTIONS
        ]
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        return ((here - shifted.mean(axis=0)) / shifted.std(axis=0)).astype(np.float32)


def _deposited(grid: Grid, structure: Structure) -> NDArray[np.float32]:
    """Share every atom's weight, its atomic number, among the eight voxels around it."""
    places = grid.indices(structure.xyz)
    low = np.floor(places).astype(np.int64)
    inside = ((low >= 0) & (low < np.array(grid.shape) - 1)).all(axis=1)
    low, part = low[inside], (places - low)[inside]
    weight = structure.element[inside].astype(np.float64)
    total = np.zeros(grid.voxels)
    for corner in itertools.product((0, 1), repeat=3):
        share = np.where(corner, part, 1 - part).prod(axis=1)
        at = np.ravel_multi_index(tuple((low + corner).T), grid.shape)
        total += np.bincount(at, weights=weight * share, minlength=grid.voxels)
    return total.reshape(grid.shape).astype(np.float32)


def _blurred(volume: NDArray[np.float32], grid: Grid, width: float) -> NDArray[np.float32]:
    coefficients = np.fft.rfftn(volume)
    for axis, (n, edge) in enumerate(zip(grid.shape, grid.voxel_size, strict=True)):
        frequency = np.fft.rfftfreq(n, edge) if axis == 2 else np.fft.fftfreq(n, edge)
        damping = np.exp(-2 * (np.pi * width * frequency) ** 2).astype(np.float32)
        coefficients *= damping.reshape([-1 if a == axis else 1 for a in range(3)])
    return np.fft.irfftn(coefficients, grid.shape, _AXES).astype(np.float32)
