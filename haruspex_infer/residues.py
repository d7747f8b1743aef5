"""What an annotation says about each residue of an atomic model."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.classes import OTHER
from haruspex_infer.grid import Grid
from haruspex_infer.sampling import mean_and_sigma, sample
from haruspex_infer.structure import Structure

RESOLVED = 1.0
"""σ level of the backbone from which published figures count a residue (Mostosi et al. 2020, main text)."""


@dataclass(frozen=True)
class ResidueTable:
    """One row for each residue of a structure, in its order.

    Attributes
    ----------
    chain, name, number, insertion, kind : ndarray, shape (m,)
        As in `haruspex_infer.structure.Structure`.
    probability : ndarray of float32, shape (m, 4)
        Mean probability of each class at the residue's backbone atoms (N, CA, C, O; all atoms of a
        nucleotide). Not a number where none of them lies inside the map.
    predicted : ndarray of uint8, shape (m,)
        Class with the highest mean probability; *other* where there is none.
    sigma_level : ndarray of float32, shape (m,)
        Mean density at the same atoms, as σ above the mean of the whole map. Not a number where
        there is none, or where no density was given.
    """

    chain: NDArray[np.str_]
    name: NDArray[np.str_]
    number: NDArray[np.int32]
    insertion: NDArray[np.str_]
    kind: NDArray[np.uint8]
    probability: NDArray[np.float32]
    predicted: NDArray[np.uint8]
    sigma_level: NDArray[np.float32]

    @property
    def covered(self) -> NDArray[np.bool_]:
        """Residues with a backbone atom inside the map, shape (m,)."""
        return np.isfinite(self.probability[:, 0])


def residue_table(
    probabilities: NDArray[np.float32],
    grid: Grid,
    structure: Structure,
    density: NDArray[np.floating] | None = None,
) -> ResidueTable:
    """Read an annotation at the residues of a model (Mostosi et al. 2020, main text, evaluation).

    Parameters
    ----------
    probabilities : ndarray, shape (4, z, y, x)
        Probability of each class.
    grid : Grid
        Where the voxels lie.
    structure : Structure
        The model, in the frame of the map.
    density : ndarray, shape (z, y, x), optional
        The map as deposited, for the σ levels.

    Returns
    -------
    ResidueTable

    Raises
    ------
    HaruspexError
        If the density is constant.
    """
    probability = np.stack(
        [backbone_means(sample(volume, grid, structure.xyz), structure) for volume in probabilities], axis=1
    )
    sigma_level = np.full(structure.n_residues, np.nan, np.float32)
    if density is not None:
        sigma_level = sigma_levels(density, grid, structure)
    return ResidueTable(
        chain=structure.chain,
        name=structure.name,
        number=structure.number,
        insertion=structure.insertion,
        kind=structure.kind,
        probability=probability,
        predicted=_highest(probability),
        sigma_level=sigma_level,
    )


def sigma_levels(density: NDArray[np.floating], grid: Grid, structure: Structure) -> NDArray[np.float32]:
    """Mean density at the backbone of every residue, as σ above the mean of the whole map, shape (m,)."""
    mean, sigma = mean_and_sigma(density)
    return backbone_means((sample(density, grid, structure.xyz) - mean) / sigma, structure)


def backbone_means(values: NDArray[np.floating], structure: Structure) -> NDArray[np.float32]:
    """Average per-atom values over each residue's backbone atoms.

    Parameters
    ----------
    values : ndarray, shape (n,)
        One value an atom; atoms without a number do not count.

    Returns
    -------
    ndarray of float32, shape (m,)
        Not a number where no atom counts.
    """
    counted = structure.backbone & np.isfinite(values)
    rows = structure.residue[counted]
    total = np.bincount(rows, weights=values[counted], minlength=structure.n_residues)
    count = np.bincount(rows, minlength=structure.n_residues)
    means = np.divide(total, count, out=np.full(structure.n_residues, np.nan), where=count > 0)
    return means.astype(np.float32)


def _highest(probability: NDArray[np.float32]) -> NDArray[np.uint8]:
    predicted = np.full(len(probability), OTHER.number, np.uint8)
    covered = np.isfinite(probability).all(axis=1)
    predicted[covered] = probability[covered].argmax(axis=1)
    return predicted
