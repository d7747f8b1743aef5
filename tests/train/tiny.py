"""A few small models with all four classes: helix, two strands, coil and a piece of RNA."""

import numpy as np
from peptides import HELIX, LEFT, STRAND, backbone, place

from haruspex_infer.structure import AMINO_ACID, NUCLEOTIDE_KIND, Structure, join

SPLITS = {"1aaa": "train", "1bbb": "train", "1ccc": "train", "1ddd": "val", "1eee": "val"}

# the two-fold rotation and the shift (Å) that lay a second strand beside the first, hydrogen-bonded to it
ANTIPARALLEL = ((-0.809, -0.242, -0.536), (-0.242, -0.693, 0.679), (-0.536, 0.679, 0.502))
BESIDE = (0.07, 5.82, -2.23)

# radius (Å), azimuth (°) and height (Å) of a nucleotide's atoms: roughly A-form, which is all that tests need
NUCLEOTIDE = {
    "P": (8.7, 70, -3.8), "OP1": (9.6, 75, -4.9), "OP2": (9.2, 62, -3.0), "O5'": (8.9, 78, -2.6),
    "C5'": (9.7, 73, -1.8), "C4'": (9.4, 66, -0.8), "O4'": (8.1, 68, -0.1), "C3'": (9.6, 57, -1.4),
    "O3'": (9.9, 50, -0.4), "C2'": (8.2, 53, -1.5), "O2'": (8.0, 51, -2.9), "C1'": (7.3, 60, -0.9),
    "N1": (5.9, 56, -0.6), "C2": (5.6, 41, -0.3), "O2": (6.6, 30, -0.2), "N3": (4.5, 33, -0.1),
    "C4": (3.5, 46, -0.2), "N4": (2.6, 30, 0.0), "C5": (3.9, 69, -0.5), "C6": (5.1, 68, -0.7),
}  # fmt: skip


def structure(letters, kind, names, positions, chain, residue_name):
    """A structure of like residues: positions (residues, atoms, 3), one deposited letter a residue."""
    n, per_residue = positions.shape[:2]
    numbers = {"C": 6, "N": 7, "O": 8, "P": 15}
    rng = np.random.default_rng(n)
    return Structure(
        xyz=positions.reshape(-1, 3).astype(np.float32),
        element=np.tile(np.array([numbers[name[0]] for name in names], np.uint8), n),
        b_iso=np.repeat(rng.integers(20, 80, n), per_residue).astype(np.float32),
        occupancy=np.ones(n * per_residue, np.float32),
        atom_name=np.tile(np.array(names), n),
        residue=np.repeat(np.arange(n), per_residue),
        chain=np.full(n, chain),
        name=np.full(n, residue_name),
        number=np.arange(1, n + 1, dtype=np.int32),
        insertion=np.full(n, " "),
        kind=np.full(n, kind, np.uint8),
        deposited=np.array(list(letters)),
    )


def peptide(torsions, letters, chain, at, turn=None):
    """Serines with their side chains, turned by a matrix about their centre."""
    main = backbone(torsions)
    atoms = []
    for n, ca, c, o in main:
        cb = place(c, n, ca, 1.53, 110.0, -122.5)
        atoms.append([n, ca, c, o, cb, place(n, ca, cb, 1.42, 110.0, -60.0)])
    atoms = np.array(atoms)
    atoms -= atoms.mean(axis=(0, 1))
    if turn is not None:
        atoms = atoms @ np.array(turn).T
    atoms += np.array(at)
    return structure(letters, AMINO_ACID, ["N", "CA", "C", "O", "CB", "OG"], atoms, chain, "SER")


def duplex(pairs, at):
    """Two antiparallel strands of RNA around an axis along z."""
    strand = []
    for step in range(pairs):
        radius, azimuth, height = np.array(list(NUCLEOTIDE.values())).T
        turn = np.radians(azimuth + 32.7 * step)
        strand.append(np.stack([radius * np.cos(turn), radius * np.sin(turn), height + 2.81 * step], 1))
    strand = np.array(strand)
    strand[..., 2] -= strand[..., 2].mean()
    other = strand * [1, -1, -1]
    return [
        structure(" " * pairs, NUCLEOTIDE_KIND, list(NUCLEOTIDE), half + np.array(at), name, "C")
        for half, name in ((strand, "R"), (other, "S"))
    ]


def models():
    """One structure for each entry of `SPLITS`."""
    made = {}
    for k, name in enumerate(SPLITS):
        parts = [
            peptide([HELIX] * (16 + k), "H" * (16 + k), "A", (0, 0, 0)),
            peptide([STRAND] * 8, "E" * 8, "B", (12, 0, 0)),
            peptide([STRAND] * 8, "E" * 8, "C", np.add((12, 0, 0), BESIDE), ANTIPARALLEL),
            peptide([LEFT, (-80.0, 80.0)] * 4, " " * 8, "D", (0, 12, 0)),
            *duplex(6 + k, (-18, 0, 0)),
        ]
        whole = join(parts)
        whole.xyz[:] += np.float32([70 * k, -40, 20])
        made[name] = whole
    return made
