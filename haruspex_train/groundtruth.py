"""Ground truth of a map for every voxel, from its atomic model.

Mostosi et al. 2020, Methods, Annotation of reconstruction maps. Densities are σ levels, that is
(density - mean) / σ of the whole map, so that nothing depends on the map's own units.
"""

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.classes import HELIX, NUCLEOTIDE, OTHER, STRAND
from haruspex_infer.grid import Grid
from haruspex_infer.sampling import mean_and_sigma, sample
from haruspex_infer.structure import Structure
from haruspex_train.secondary import elements
from haruspex_train.truth import IGNORE, REACH

MODELLED_REACH = 5.0
"""Å from a modelled atom beyond which strong density counts as unmodelled."""

STRONG = 1.0
"""σ level from which density is strong enough to be judged."""

WEAKEST_ELEMENT = 2.0
"""Mean σ level of the backbone under which an element is *other*."""

FAINTEST = 0.01
"""Rescaled density under which a voxel is *other*."""

_ATOMS_AT_ONCE = 512


def voxel_truth(
    density: NDArray[np.floating], grid: Grid, structure: Structure, classes: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Class of every voxel, by the paper's rules.

    Parameters
    ----------
    density : ndarray, shape (z, y, x)
        The map as deposited.
    grid : Grid
        Where the voxels lie.
    structure : Structure
        The model, with *m* residues.
    classes : ndarray of uint8, shape (m,)
        Class of each residue (`haruspex_train.secondary.residue_classes`).

    Returns
    -------
    ndarray of uint8, shape (z, y, x)
        Class numbers, or `haruspex_train.truth.IGNORE`.

    Raises
    ------
    HaruspexError
        If the map is constant.
    """
    mean, sigma = mean_and_sigma(density)
    level = ((density - mean) / sigma).astype(np.float32)
    at_atoms = sample(level, grid, structure.xyz)
    strength = element_strength(at_atoms, structure, classes)

    truth = np.full(grid.shape, OTHER.number, np.uint8)
    highest = np.full(grid.shape, FAINTEST, np.float32)
    # where two classes are equally strong, the first of these keeps the voxel
    for label in (STRAND, NUCLEOTIDE, HELIX):
        atoms = (
            structure.backbone & (classes[structure.residue] == label.number) & (strength >= WEAKEST_ELEMENT)
        )
        channel = _channel(level, grid, structure.xyz[atoms], strength[atoms])
        stronger = channel > highest
        truth[stronger] = label.number
        highest[stronger] = channel[stronger]
    truth[unmodelled(level, grid, structure.xyz[at_atoms >= STRONG])] = IGNORE
    return truth


def element_strength(
    at_atoms: NDArray[np.float32], structure: Structure, classes: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Mean σ level of the backbone of the secondary-structure element that each atom belongs to.

    Parameters
    ----------
    at_atoms : ndarray, shape (n,)
        σ level at each atom; not a number outside the map.
    structure : Structure
        The model, with *n* atoms in *m* residues.
    classes : ndarray of uint8, shape (m,)
        Class of each residue.

    Returns
    -------
    ndarray, shape (n,)
        Not a number for elements without a backbone atom in the map.
    """
    element = elements(structure, classes)[structure.residue]
    counted = structure.backbone & np.isfinite(at_atoms)
    n = int(element[-1]) + 1
    total = np.bincount(element[counted], weights=at_atoms[counted], minlength=n)
    count = np.bincount(element[counted], minlength=n)
    return np.divide(total, count, out=np.full(n, np.nan), where=count > 0)[element]


def unmodelled(level: NDArray[np.float32], grid: Grid, xyz: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Strong density that the model does not explain: farther than 5 Å from its well-resolved atoms.

    Parameters
    ----------
    level : ndarray, shape (z, y, x)
        σ levels of the map.
    grid : Grid
        Where the voxels lie.
    xyz : ndarray, shape (n, 3)
        Positions of the atoms at 1 σ or more.

    Returns
    -------
    ndarray of bool, shape (z, y, x)
    """
    return (level >= STRONG) & ~near(grid, xyz, MODELLED_REACH)


def near(grid: Grid, xyz: NDArray[np.floating], radius: float) -> NDArray[np.bool_]:
    """Voxels within a radius of any of the positions.

    Parameters
    ----------
    grid : Grid
        Where the voxels lie.
    xyz : ndarray, shape (n, 3)
        Positions in Å.
    radius : float
        Å.

    Returns
    -------
    ndarray of bool, shape (z, y, x)
    """
    found = np.zeros(grid.voxels, bool)
    for _, voxels in _spheres(grid, xyz, radius):
        found[voxels] = True
    return found.reshape(grid.shape)


def _channel(
    level: NDArray[np.float32], grid: Grid, xyz: NDArray[np.floating], strength: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Density of one class from 0 (half the mean of the voxel's element) to 1 (the whole of it)."""
    # of two elements of a class the weaker gives the higher value, so it alone need be kept; the
    # paper's factor, the backbone σ of the element, cancels in the rescaling
    weakest = np.full(grid.voxels, np.inf, np.float32)
    for atoms, voxels in _spheres(grid, xyz, REACH):
        np.minimum.at(weakest, voxels, strength[atoms].astype(np.float32))
    half = weakest.reshape(grid.shape) / 2
    return np.where(np.isfinite(half), np.clip(level / half - 1, 0, 1), 0).astype(np.float32)


def _spheres(
    grid: Grid, xyz: NDArray[np.floating], radius: float
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield (atom, flat voxel index) of all pairs closer than the radius, some atoms at a time."""
    size, shape = np.array(grid.voxel_size), np.array(grid.shape)
    reach = np.ceil(radius / size).astype(int)
    offsets = np.array(list(itertools.product(*(range(-r, r + 1) for r in reach))))
    # the nearest voxel lies up to half a voxel from the atom on each axis
    possible = np.maximum(np.abs(offsets) - 0.5, 0) * size
    offsets = offsets[(possible**2).sum(axis=1) <= radius**2]
    places = grid.indices(xyz)
    for start in range(0, len(places), _ATOMS_AT_ONCE):
        block = places[start : start + _ATOMS_AT_ONCE, None, :]
        voxels = np.rint(block).astype(np.int64) + offsets
        close = (((voxels - block) * size) ** 2).sum(axis=2) <= radius**2
        close &= ((voxels >= 0) & (voxels < shape)).all(axis=2)
        atoms, _ = np.nonzero(close)
        yield atoms + start, np.ravel_multi_index(tuple(voxels[close].T), grid.shape)
