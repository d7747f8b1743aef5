"""Handedness of a map, told by its helices and its side chains.

A map with the wrong hand shows left-handed helices and D amino acids. Where the model has a helix, ideal
helices of either hand are laid on its axis, turned and slid until each fits best; their densities tell the
hand. On every backbone the first atom of the side chain, or of the base, is built on either side; the one in
stronger density tells it again.
The model's own side chains have no say, so that a model forced into a map of the wrong hand is found out.
"""

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.classes import HELIX
from haruspex_infer.grid import Grid
from haruspex_infer.sampling import sample
from haruspex_infer.structure import AMINO_ACID, NUCLEOTIDE_KIND, Structure
from haruspex_train.secondary import elements

# ideal α-helix (φ -62°, ψ -43°): radius in Å, angle in degrees, rise in Å of N, CA, C, O and CB
_ATOMS = np.array(
    [(1.54, -26.4, -0.91), (2.29, 0.0, 0.0), (1.70, 27.4, 1.05), (2.02, 22.2, 2.23), (3.35, 16.2, -0.77)]
)
_TURN, _RISE = 99.1, 1.54

WINDOW = 11
"""Residues of a helix that are laid on one straight axis: three turns."""

_STEP = 4
_TURNS = np.arange(0, 360, 20)
_SLIDES = np.arange(-2, 3) * _RISE / 5


def helix_axes(structure: Structure, classes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Straight pieces of the model's helices.

    Parameters
    ----------
    structure : Structure
    classes : ndarray of uint8, shape (m,)
        Class of each residue.

    Returns
    -------
    ndarray, shape (k, 2, 3)
        Centre (x, y, z) in Å and direction, from the N to the C terminus, of every `WINDOW` residues.
    """
    alpha = structure.main_chain()[:, 1].astype(np.float64)
    element = elements(structure, classes)
    found = []
    for number in np.unique(element[classes == HELIX.number]):
        chain = alpha[element == number]
        for start in range(0, len(chain) - WINDOW + 1, _STEP):
            piece = chain[start : start + WINDOW]
            if not np.isfinite(piece).all():
                continue
            # four residues make about one turn: their means lie on the axis
            smooth = np.stack([piece[k : k + 4].mean(axis=0) for k in range(WINDOW - 3)])
            centre = smooth.mean(axis=0)
            direction = np.linalg.svd(smooth - centre)[2][0]
            direction *= np.sign(direction @ (smooth[-1] - smooth[0]))
            found.append((centre, direction))
    return np.array(found).reshape(-1, 2, 3)


def hand(
    density: NDArray[np.floating], grid: Grid, axes: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lay helices of either hand on axes.

    Parameters
    ----------
    density : ndarray, shape (z, y, x)
    grid : Grid
    axes : ndarray, shape (k, 2, 3)
        From `helix_axes`.

    Returns
    -------
    right, left : ndarray, shape (k,)
        Highest mean density of the atoms of a right-handed and a left-handed helix. Not a number where the
        piece leaves the map.
    """
    return _best(density, grid, axes, 1.0), _best(density, grid, axes, -1.0)


def branches(
    density: NDArray[np.floating], grid: Grid, structure: Structure
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Density where side chains and bases branch off, and where they would if the hand were the other.

    The CB on N, CA and C of all amino acids but glycine; the base's nitrogen on O4', C1' and C2' of
    nucleotides.

    Returns
    -------
    right, wrong : ndarray of float32, shape (k,)
        Not a number where the atom leaves the map.
    """
    triples = [
        _triple(structure, ("N", "CA", "C"), (structure.kind == AMINO_ACID) & (structure.name != "GLY"))
    ]
    triples.append(_triple(structure, ("O4'", "C1'", "C2'"), structure.kind == NUCLEOTIDE_KIND))
    first, middle, last = np.concatenate(triples, axis=1)
    # ideal tetrahedral geometry, in terms of the two bonds
    inward, outward = middle - first, last - middle
    within = 0.568 * inward - 0.541 * outward
    out = 0.583 * np.cross(inward, outward)
    return sample(density, grid, middle + within - out), sample(density, grid, middle + within + out)


def _triple(
    structure: Structure, names: tuple[str, str, str], residues: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Positions of three atoms in all chosen residues that have them, shape (3, k, 3)."""
    positions = np.full((3, structure.n_residues, 3), np.nan)
    for row, name in enumerate(names):
        atoms = np.flatnonzero((structure.atom_name == name) & residues[structure.residue])
        positions[row, structure.residue[atoms]] = structure.xyz[atoms]
    return positions[:, np.isfinite(positions).all(axis=(0, 2))]


def _best(
    density: NDArray[np.floating], grid: Grid, axes: NDArray[np.floating], sense: float
) -> NDArray[np.float64]:
    steps = np.arange(WINDOW) - (WINDOW - 1) / 2
    radius = np.tile(_ATOMS[:, 0], WINDOW)
    angle = np.radians((steps[:, None] * _TURN + _ATOMS[:, 1]).ravel()) * sense
    rise = (steps[:, None] * _RISE + _ATOMS[:, 2]).ravel()
    turned = angle + np.radians(_TURNS)[:, None, None]
    across = np.stack([np.cos(turned), np.sin(turned)], axis=-1) * radius[:, None]
    along = rise + _SLIDES[:, None]
    best = np.full(len(axes), np.nan)
    for k, (centre, direction) in enumerate(axes):
        first = np.cross(direction, np.eye(3)[np.abs(direction).argmin()])
        first /= np.linalg.norm(first)
        plane = np.stack([first, np.cross(direction, first)])
        places = centre + across @ plane + along[..., None] * direction
        means = sample(density, grid, places.reshape(-1, 3)).reshape(places.shape[:-1]).mean(axis=-1)
        if np.isfinite(means).all():
            best[k] = means.max()
    return best
