"""Compares the radial power spectra of normalised experimental maps with those of simulated ones.

    python benchmarks/spectra.py ../shared/data/maps ATOMS

ATOMS is the file that ``haruspex prepare`` wrote. Prints the mean power of cubes around backbone atoms, as
log10, for shells of spatial frequency: a line for each ``val`` map, then percentiles of simulated crops at
several resolutions. A map outside of them shows the network what it never saw.
"""

import itertools
from pathlib import Path

import numpy as np
import torch
from commandline import add_pairs, parser_of
from numpy.typing import NDArray

from haruspex_infer.mapfile import read_map
from haruspex_infer.normalise import Normaliser
from haruspex_infer.structure import read_structure
from haruspex_train.library import load_training_atoms
from haruspex_train.pairs import Pair, read_pairs
from haruspex_train.simulate import Simulator
from haruspex_train.working import VOXEL_SIZES, working_density, working_grid

SHELLS = (0.02, 0.06, 0.10, 0.15, 0.20, 0.25, 0.30, 0.35, 0.40)  # 1/Å
RESOLUTIONS = (2.0, 3.2, 4.4)  # Å
VOXEL_SIZE = VOXEL_SIZES["target"]  # Å
EDGE = 48
CUBES = 40
SEED = 1


def spectrum(cube: NDArray[np.float32], voxel_size: float = VOXEL_SIZE) -> list[float]:
    """Log10 of the mean power of each shell, of a cube tapered at its faces."""
    edge = len(cube)
    taper = np.hanning(edge + 2)[1:-1]
    window = taper[:, None, None] * taper[:, None] * taper
    tapered = (cube - (cube * window).sum() / window.sum()) * window
    power = np.abs(np.fft.rfftn(tapered)) ** 2 / (window**2).sum()
    f = np.fft.fftfreq(edge, voxel_size)
    q = np.sqrt(f[:, None, None] ** 2 + f[:, None] ** 2 + np.fft.rfftfreq(edge, voxel_size) ** 2)
    shells = itertools.pairwise(SHELLS)
    return [float(np.log10(power[(q >= low) & (q < high)].mean())) for low, high in shells]


def of_map(pair: Pair) -> list[float]:
    """Mean spectrum of cubes around random backbone atoms, the map padded with solvent where it ends."""
    map_ = read_map(pair.map_path)
    grid, density = working_grid(map_.grid), working_density(map_.density, map_.grid)
    padded = np.pad(Normaliser()(density, grid.voxel_size), EDGE // 2)
    structure = read_structure(pair.model_paths)
    places = np.rint(grid.indices(structure.xyz[structure.backbone])).astype(int)
    places = places[((places >= 0) & (places < grid.shape)).all(axis=1)]
    rng = np.random.default_rng(SEED)
    chosen = places[rng.choice(len(places), min(CUBES, len(places)), replace=False)]
    cubes = [padded[z : z + EDGE, y : y + EDGE, x : x + EDGE] for z, y, x in chosen]
    return np.mean([spectrum(cube, grid.voxel_size[0]) for cube in cubes], axis=0).tolist()


def line(name: str, values: list[float]) -> str:
    """One row of the table."""
    return f"{name:22s}" + "".join(f"{value:8.2f}" for value in values)


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    add_pairs(parser)
    parser.add_argument("atoms", type=Path, help="training file; its val split is simulated")
    parser.add_argument("--crops", type=int, default=32, help="simulated crops a resolution")
    options = parser.parse_args()
    print(line("shell from, 1/Å", list(SHELLS[:-1])))
    for pair in read_pairs(options.folder, "val"):
        print(line(f"{pair.name} {pair.resolution:g} Å", of_map(pair)), flush=True)
    simulator = Simulator(load_training_atoms(options.atoms, "val"), EDGE, torch.device("cpu"), SEED)
    for resolution in RESOLUTIONS:
        crops = simulator.batch(options.crops, resolution).density.numpy()
        spectra = [spectrum(crop) for crop in crops]
        for percentile in (10, 50, 90):
            values = np.percentile(spectra, percentile, axis=0).tolist()
            print(line(f"simulated {resolution:g} Å, {percentile} %", values), flush=True)


if __name__ == "__main__":
    main()
