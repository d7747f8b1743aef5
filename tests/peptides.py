"""Ideal peptides, built from torsions, for tests of both packages."""

from pathlib import Path

import gemmi
import numpy as np

from haruspex_infer.mapfile import Map, write_map_like

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


def write_helix_in_map(folder: Path) -> Map:
    """Write model.pdb, a helix, and map.mrc with density along it into a folder; return the map."""
    made = document(chain("A", backbone([HELIX] * 20)))
    (folder / "model.pdb").write_text(made.make_pdb_string())
    positions = np.array([atom.pos.tolist() for residue in made[0][0] for atom in residue])
    low = positions.min(axis=0)[::-1] - 12
    shape = tuple(np.ceil((np.ptp(positions, axis=0)[::-1] + 24) / 1.1).astype(int))
    density = np.random.default_rng(2).normal(0, 0.01, shape).astype(np.float32)
    given = Map.from_array(density, 1.1, origin=tuple(map(float, low)))
    for voxel in np.rint(given.grid.indices(positions)).astype(int):
        density[tuple(slice(i - 1, i + 2) for i in voxel)] += 0.2
    write_map_like(given, density, folder / "map.mrc", "x")
    return given
