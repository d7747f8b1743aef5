"""Helices and strands in the coordinates of a model, by the hydrogen bonds of its backbone.

After Kabsch & Sander (1983), Biopolymers 22, 2577, the definition behind DSSP. A model that is still being
built often has no secondary-structure records, or those of an earlier version; its coordinates are never out
of date.
"""

import itertools

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.classes import HELIX, NUCLEOTIDE, OTHER, STRAND
from haruspex_infer.structure import AMINO_ACID, NUCLEOTIDE_KIND, Structure

PEPTIDE_BOND = 2.5
"""Longest C-N distance in Å that still counts as a peptide bond; the limit that DSSP uses."""

UNKNOWN = 255
"""Class of residues of which neither records nor coordinates say anything."""

_HYDROGEN_BOND = -0.5  # kcal/mol; at or above it there is no bond
NO_AMIDE_HYDROGEN = ("PRO", "HYP", "DPR")
"""Residues whose backbone nitrogen has no hydrogen to bond with."""

_COULOMB = 27.9  # kcal/mol × Å: charges of 0.42 and 0.20 electrons
_NEAREST = 0.5  # Å; nearer atoms overlap, and the energy would diverge
_FAR = 9.0  # Å between Cα atoms beyond which no bond is possible
_TURNS = (4, 3, 5)  # α, 3-10 and π helix
_ROWS_AT_ONCE = 1024
# a strand may bulge by one residue where its partner bulges by up to four
_BULGES = [step for step in itertools.product(range(1, 6), repeat=2) if min(step) <= 2]


def modelled_classes(structure: Structure) -> NDArray[np.uint8]:
    """Class that a model gives to each residue: its coordinates, completed by the file's records.

    Returns
    -------
    ndarray of uint8, shape (m,)
        Class numbers of `haruspex_infer.classes`. `UNKNOWN` for amino acids that lack a backbone atom in a
        file without records.
    """
    classes = completed_by_records(hydrogen_bonded_classes(structure), structure)
    incomplete = ~np.isfinite(structure.main_chain()).all(axis=(1, 2))
    silent = (structure.kind == AMINO_ACID) & (structure.deposited == "?") & incomplete
    classes[silent] = UNKNOWN
    classes[structure.kind == NUCLEOTIDE_KIND] = NUCLEOTIDE.number
    return classes


def completed_by_records(found: NDArray[np.uint8], structure: Structure) -> NDArray[np.uint8]:
    """Add the file's own helices and strands where the coordinates showed nothing.

    Where both speak and disagree the coordinates stand: they are what the density is compared with, while
    records may come from another program or an earlier model.

    Parameters
    ----------
    found : ndarray of uint8, shape (m,)
        Class of each residue so far.
    structure : Structure
        The model.

    Returns
    -------
    ndarray of uint8, shape (m,)
    """
    classes = found.copy()
    free = (found == OTHER.number) & (structure.kind == AMINO_ACID)
    classes[free & (structure.deposited == "H")] = HELIX.number
    classes[free & (structure.deposited == "E")] = STRAND.number
    return classes


def hydrogen_bonded_classes(structure: Structure) -> NDArray[np.uint8]:
    """Helices (α, 3-10, π) and strands of ladders; isolated bridges are *other*.

    Residues without all of N, CA, C and O are *other* and break their chain. Hydrogen bonds between chains
    count.

    Parameters
    ----------
    structure : Structure
        The model, with *m* residues.

    Returns
    -------
    ndarray of uint8, shape (m,)
    """
    classes = np.full(structure.n_residues, OTHER.number, np.uint8)
    bonds = _hydrogen_bonds(structure)
    if len(bonds) == 0:
        return classes
    stretch = np.concatenate([[0], np.cumsum(~peptide_bonded(structure))])
    strand = _strands(bonds, stretch)
    for turn in _TURNS:
        helix = _helix(bonds, stretch, turn)
        # an α helix comes before strands, strands before the other helices
        classes[helix if turn == _TURNS[0] else helix & (classes == OTHER.number)] = HELIX.number
        if turn == _TURNS[0]:
            classes[strand & (classes == OTHER.number)] = STRAND.number
    return classes


def peptide_bonded(structure: Structure) -> NDArray[np.bool_]:
    """Tell for each residue but the last whether a peptide bond joins it to the next, shape (m-1,)."""
    main_chain = structure.main_chain()
    length = np.linalg.norm(main_chain[1:, 0] - main_chain[:-1, 2], axis=1)
    # a missing atom gives no number, and no number is below the limit
    return (length < PEPTIDE_BOND) & (structure.chain[1:] == structure.chain[:-1])


def _hydrogen_bonds(structure: Structure) -> NDArray[np.int64]:
    """Rows of acceptor (C=O) and donor (N-H), shape (n, 2)."""
    main_chain = structure.main_chain()
    n, ca, c, o = (main_chain[:, column] for column in range(4))
    hydrogen = np.full_like(n, np.nan)
    # the amide hydrogen lies opposite to the carbonyl oxygen of the residue before
    carbonyl = c[:-1] - o[:-1]
    direction = carbonyl / np.linalg.norm(carbonyl, axis=1, keepdims=True)
    hydrogen[1:] = np.where(peptide_bonded(structure)[:, None], n[1:] + direction, np.nan)
    hydrogen[np.isin(structure.name, NO_AMIDE_HYDROGEN)] = np.nan
    complete = np.flatnonzero(np.isfinite(main_chain).all(axis=(1, 2)))
    acceptor, donor = _near(ca[complete])
    acceptor, donor = complete[acceptor], complete[donor]

    def inverse(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
        return 1 / np.maximum(np.linalg.norm(one - other, axis=1), _NEAREST)

    energy = _COULOMB * (
        inverse(o[acceptor], n[donor])
        + inverse(c[acceptor], hydrogen[donor])
        - inverse(o[acceptor], hydrogen[donor])
        - inverse(c[acceptor], n[donor])
    )
    # a donor without hydrogen has no energy; the peptide bond itself is none between residues
    bond = (energy < _HYDROGEN_BOND) & (donor != acceptor + 1)
    return np.stack([acceptor[bond], donor[bond]], axis=1)


def _near(ca: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of different rows with Cα atoms near each other, in both orders."""
    centred = ca - ca.mean(axis=0) if len(ca) else ca
    squares = np.square(centred).sum(axis=1)
    first, second = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for start in range(0, len(ca), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        distance = squares[part, None] + squares - 2 * centred[part] @ centred.T
        rows, columns = np.nonzero(distance < _FAR**2)
        different = rows + start != columns
        first.append(rows[different] + start)
        second.append(columns[different])
    return np.concatenate(first), np.concatenate(second)


def _helix(bonds: NDArray[np.int64], stretch: NDArray[np.int64], turn: int) -> NDArray[np.bool_]:
    """Residues between two consecutive turns of one kind."""
    starts = bonds[bonds[:, 1] - bonds[:, 0] == turn, 0]
    starts = starts[stretch[starts] == stretch[starts + turn]]
    turns = np.zeros(len(stretch), bool)
    turns[starts] = True
    second = np.flatnonzero(turns[1:] & turns[:-1]) + 1
    helix = np.zeros(len(stretch), bool)
    for step in range(turn):
        helix[second + step] = True
    return helix


def _strands(bonds: NDArray[np.int64], stretch: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Residues of ladders: of two or more bridges that follow each other, bulges included."""
    size = len(stretch)
    known = bonds[:, 0] * size + bonds[:, 1]

    def bonded(acceptor: NDArray[np.int64], donor: NDArray[np.int64]) -> NDArray[np.bool_]:
        return np.isin(acceptor * size + donor, known)

    acceptor, donor = bonds.T
    parallel = np.stack([acceptor + 1, donor])[:, bonded(donor, acceptor + 2)]
    antiparallel = np.concatenate(
        [
            np.stack([acceptor, donor])[:, bonded(donor, acceptor)],
            np.stack([acceptor + 1, donor - 1])[:, bonded(donor - 2, acceptor + 2)],
        ],
        axis=1,
    )
    strand = np.zeros(size, bool)
    for bridges, direction in ((parallel, 1), (antiparallel, -1)):
        i, j = np.concatenate([bridges, bridges[::-1]], axis=1)
        whole = _unbroken(i, stretch) & _unbroken(j, stretch) & (np.abs(i - j) > 2)
        i, j = i[whole], j[whole]
        codes = i * size + j
        for along, across in _BULGES:
            next_i, next_j = i + along, j + direction * across
            linked = (
                np.isin(next_i * size + next_j, codes) & (next_i < size) & (next_j >= 0) & (next_j < size)
            )
            for a, b in ((i[linked], next_i[linked]), (j[linked], next_j[linked])):
                same = stretch[a] == stretch[b]
                for low, high in zip(np.minimum(a, b)[same], np.maximum(a, b)[same], strict=True):
                    strand[low : high + 1] = True
    return strand


def _unbroken(rows: NDArray[np.int64], stretch: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Rows whose neighbours on both sides belong to the same stretch of chain."""
    inner = (rows > 0) & (rows < len(stretch) - 1)
    at = np.where(inner, rows, 1)
    return inner & (stretch[at - 1] == stretch[np.minimum(at + 1, len(stretch) - 1)])
