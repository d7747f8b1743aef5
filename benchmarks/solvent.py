"""What is left out as solvent, and how near to that modelled residues with density come.

    python benchmarks/solvent.py ../shared/data/maps

For every pair of both splits (no network is run): the share of the working grid that is annotated, residues
with a mean backbone density of 1 σ or more, how many of them have a backbone atom outside the region (none
may), and the largest distance of one from an occupied cell, in voxels along an axis.
"""

import numpy as np
from commandline import add_pairs, parser_of
from measuring import table
from scipy.ndimage import distance_transform_cdt

from haruspex_infer.mapfile import read_map
from haruspex_infer.normalise import Normaliser
from haruspex_infer.occupancy import OCCUPIED, cell_means, survey, voxels_of
from haruspex_infer.sampling import mean_and_sigma, sample
from haruspex_infer.structure import read_structure
from haruspex_train.pairs import Pair, read_pairs
from haruspex_train.working import working_density, working_grid


def measure(pair: Pair) -> list[str]:
    """Measure one pair; return a row of the table."""
    map_ = read_map(pair.map_path)
    working, density = working_grid(map_.grid), working_density(map_.density, map_.grid)
    normaliser = Normaliser()
    offset, scale = normaliser.measure(density, working.voxel_size)
    region = voxels_of(survey(density, normaliser, offset, scale).region, working.shape)
    occupied = cell_means(normaliser.apply(density, offset, scale)) >= OCCUPIED
    distance = distance_transform_cdt(~voxels_of(occupied, working.shape), "chessboard")
    mean, sigma = mean_and_sigma(map_.density)
    residues = lost = farthest = 0
    for path in pair.model_paths:
        structure = read_structure(path)
        atoms = np.flatnonzero(structure.backbone)
        level = (sample(map_.density, map_.grid, structure.xyz[atoms]) - mean) / sigma
        atoms, level = atoms[np.isfinite(level)], level[np.isfinite(level)]
        residue = structure.residue[atoms]
        total = np.bincount(residue, level, minlength=structure.n_residues)
        strong = total >= np.maximum(1, np.bincount(residue, minlength=structure.n_residues))
        indices = np.rint(working.indices(structure.xyz[atoms])).astype(int)
        place = tuple(np.clip(indices, 0, np.array(working.shape) - 1).T)
        residues += int(strong.sum())
        lost += len(np.unique(residue[~region[place] & strong[residue]]))
        farthest = max(farthest, int(distance[place][strong[residue]].max(initial=0)))
    return [pair.name, pair.split, f"{region.mean():.1%}", str(residues), str(lost), str(farthest)]


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    add_pairs(parser)
    options = parser.parse_args()
    pairs = [pair for split in ("val", "test") for pair in read_pairs(options.folder, split)]
    head = ["map", "split", "annotated", "residues", "left out", "farthest from a cell"]
    print(table(head, [measure(pair) for pair in pairs]))


if __name__ == "__main__":
    main()
