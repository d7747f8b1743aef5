"""Measures backbone traces of nucleic acid on maps simulated from deposited models.

    python benchmarks/elements_nucleic.py ../shared/data/atomic_models

The `val` models with 11 to 399 nucleotides and less than 1,500 residues of protein, the first ten, become
maps: atoms as Gaussians whose width follows the resolution, noise of 6 % of strong density with the same
spectrum. The model's own labels stand in for the network, so this is the error of the tracing alone, without
the disorder of real maps. A phosphate is found within 2 Å; a link is right that joins phosphates which follow
each other.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from commandline import parser_of
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from trueelements import model_labels

from haruspex_infer.classes import NUCLEOTIDE
from haruspex_infer.grid import Grid
from haruspex_infer.lines import Points
from haruspex_infer.normalise import Normaliser
from haruspex_infer.phosphates import phosphate_chains
from haruspex_infer.structure import NUCLEOTIDE_KIND, Structure
from haruspex_train.fit import ATOM_WIDTH
from haruspex_train.library import AtomLibrary
from haruspex_train.secondary import residue_classes

RESOLUTIONS = (2.5, 3.2, 3.8)  # Å
EDGE = 1.1  # Å
ROOM = 8.0  # Å around the model
NOISE = 0.06
NEAR = 2.0  # Å
MODELS = 10


def chosen(library: AtomLibrary) -> list[str]:
    """Models with nucleic acid, small enough to be done in seconds."""
    found = []
    for pdb_id in library.ids("val"):
        row = library.index[pdb_id]
        nucleotides = int(row["residues_dna"]) + int(row["residues_rna"])
        if 10 < nucleotides < 400 and int(row["residues_protein"]) < 1500:
            found.append(pdb_id)
    return found[:MODELS]


def simulate(structure: Structure, resolution: float, seed: int) -> tuple[NDArray[np.float32], Grid]:
    """Density of a model at a resolution, with noise."""
    low, high = structure.xyz.min(axis=0) - ROOM, structure.xyz.max(axis=0) + ROOM
    shape = np.ceil((high - low)[::-1] / (EDGE / 2)).astype(int)
    fine = Grid((int(shape[0]), int(shape[1]), int(shape[2])), (EDGE / 2,) * 3, tuple(low[::-1].tolist()))
    volume = np.zeros(fine.shape, np.float32)
    voxels = np.rint(fine.indices(structure.xyz)).astype(int)
    np.add.at(volume, tuple(voxels.T), structure.element.astype(np.float32))
    sigma = ATOM_WIDTH * resolution
    density = gaussian_filter(volume, sigma / (EDGE / 2))[::2, ::2, ::2]
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=density.shape), sigma / EDGE)
    strong = np.percentile(density[density > density.mean()], 90)
    density = density + NOISE * strong * noise / noise.std()
    return density.astype(np.float32), Grid(density.shape, (EDGE,) * 3, fine.origin)


@dataclass
class Counts:
    """Phosphates and links: in the model, found; said, right."""

    phosphates: int = 0
    found: int = 0
    said: int = 0
    right: int = 0
    links: int = 0
    links_found: int = 0
    links_said: int = 0

    def add(self, chains: list[Points], structure: Structure) -> None:
        """Count the chains found in the map of a model."""
        atoms = np.flatnonzero(
            (structure.atom_name == "P") & (structure.kind[structure.residue] == NUCLEOTIDE_KIND)
        )
        true, residue = structure.xyz[atoms].astype(np.float64), structure.residue[atoms]
        true_links = {
            (a, a + 1)
            for a in range(len(true) - 1)
            if residue[a + 1] == residue[a] + 1 and np.linalg.norm(true[a + 1] - true[a]) < 8
        }
        hit: set[int] = set()
        links: set[tuple[int, int]] = set()
        for chain in chains:
            apart = np.linalg.norm(chain[:, None] - true[None], axis=2)
            nearest = np.where(apart.min(axis=1) <= NEAR, apart.argmin(axis=1), -1).tolist()
            hit |= set(nearest) - {-1}
            self.said += len(nearest)
            self.right += sum(place >= 0 for place in nearest)
            self.links_said += len(nearest) - 1
            links |= {(min(pair), max(pair)) for pair in pairwise(nearest)}
        self.phosphates += len(true)
        self.found += len(hit)
        self.links += len(true_links)
        self.links_found += len(true_links & links)

    def row(self) -> str:
        """Shares."""
        shares = (
            self.found / self.phosphates,
            self.right / self.said,
            self.links_found / self.links,
            self.links_found / self.links_said,
        )
        return " | ".join(f"{share:.2f}" for share in shares)


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("folder", type=Path, help="folder with atomic_models.npz.xz and INDEX.tsv")
    library = AtomLibrary(parser.parse_args().folder)
    structures = [library.structure(pdb_id) for pdb_id in chosen(library)]
    print("| resolution, Å | phosphates found | right | links found | right |\n|---|---|---|---|---|")
    for resolution in RESOLUTIONS:
        counts = Counts()
        for seed, structure in enumerate(structures):
            density, grid = simulate(structure, resolution, seed)
            normalised = np.clip(Normaliser()(density, grid.voxel_size), 0, None)
            labels = model_labels(structure, residue_classes(structure), grid)
            counts.add(phosphate_chains(normalised, labels[NUCLEOTIDE.number], grid), structure)
        print(f"| {resolution:g} | {counts.row()} |", flush=True)


if __name__ == "__main__":
    main()
