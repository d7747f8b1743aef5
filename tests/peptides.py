"""Ideal peptides, built from torsions, for tests of both packages."""

import gemmi
import numpy as np

BONDS = {"N": 1.329, "CA": 1.458, "C": 1.525}
ANGLES = {"N": 116.6, "CA": 121.7, "C": 111.0}


def place(a, b, c, length, angle, torsion):
    angle, torsion = np.radians(angle), np.radians(torsion)
    forward = (c - b) / np.linalg.norm(c - b)
    normal = np.cross(b - a, forward)
    normal /= np.linalg.norm(normal)
    side = np.cross(normal, forward)
    step = -np.cos(angle) * forward + np.sin(angle) * (np.cos(torsion) * side + np.sin(torsion) * normal)
    return c + length * step


def backbone(torsions):
    """N, CA, C, O of residues with the given (φ, ψ), shape (m, 4, 3)."""
    chain = [np.array([0.0, 0, 0]), np.array([1.458, 0, 0]), np.array([2.009, 1.42, 0])]
    for k in range(1, len(torsions)):
        for name, torsion in (("N", torsions[k - 1][1]), ("CA", 180.0), ("C", torsions[k][0])):
            chain.append(place(*chain[-3:], BONDS[name], ANGLES[name], torsion))
    main = np.array(chain).reshape(-1, 3, 3)
    nitrogen = [*main[1:, 0], place(*main[-1], BONDS["N"], ANGLES["N"], torsions[-1][1])]
    oxygen = [
        place(following, ca, c, 1.231, 120.5, 180.0)
        for following, (_, ca, c) in zip(nitrogen, main, strict=True)
    ]
    return np.concatenate([main, np.array(oxygen)[:, None]], axis=1)


def chain(name, coordinates, first=1, residue="ALA"):
    """A gemmi.Chain of one kind of residue."""
    made = gemmi.Chain(name)
    for k, atoms in enumerate(coordinates):
        res = gemmi.Residue()
        res.name, res.seqid = residue, gemmi.SeqId(first + k, " ")
        for atom_name, position in zip(("N", "CA", "C", "O"), atoms, strict=True):
            atom = gemmi.Atom()
            atom.name, atom.element = atom_name, gemmi.Element(atom_name[0])
            atom.pos = gemmi.Position(*map(float, position))
            atom.b_iso = 30
            res.add_atom(atom)
        made.add_residue(res)
    return made


def document(*chains):
    """A gemmi.Structure of one model."""
    made, model = gemmi.Structure(), gemmi.Model(1)
    for one in chains:
        model.add_chain(one)
    made.add_model(model)
    made.setup_entities()
    return made


HELIX = (-62.0, -42.0)
STRAND = (-120.0, 130.0)
LEFT = (60.0, 40.0)
