"""Whether maps are read right: how dense they are at the backbone of their models.

    python benchmarks/map_reading.py PAIRS

PAIRS is a folder of maps with their models and an ``INDEX.tsv``. Prints for each map what was understood of
the header, the mean density at the backbone atoms of its model in σ above the mean of the map (z-score), and
the same for the model in wrong places: moved by 8 Å along each axis in both directions (the highest of the
six), with two axes exchanged, and mirrored along x about the middle of the box (the higher of the two). A
map that is placed wrong, read in another order of axes, or from wrong bytes shows no density where its
backbone is.
"""

import argparse
import csv
import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.grid import Grid
from haruspex_infer.mapfile import read_map
from haruspex_infer.sampling import mean_and_sigma, sample
from haruspex_infer.structure import read_structure

SHIFT = 8.0  # Å, more than the distance of neighbouring strands and helices' radii


@dataclass(frozen=True)
class Placement:
    """Density at the backbone in σ: where the model is, and at wrong places."""

    header: str
    right: float
    shifted: float
    turned: float


def placement(map_file: Path, models: list[Path]) -> Placement:
    """Measure one map."""
    map_ = read_map(map_file)
    structure = read_structure(models)
    xyz = structure.xyz[structure.backbone].astype(np.float64)
    mean, sigma = mean_and_sigma(map_.density)

    def z(positions: NDArray[np.float64]) -> float:
        inside = np.nan_to_num(sample(map_.density, map_.grid, positions), nan=mean)
        return float((inside.mean() - mean) / sigma)

    middle = _middle(map_.grid)
    steps = [SHIFT * sign * np.eye(3)[axis] for axis, sign in itertools.product(range(3), (-1, 1))]
    exchanged = (xyz - middle)[:, [1, 0, 2]] + middle
    mirrored = (xyz - middle) * [-1, 1, 1] + middle
    header = map_.header
    stamp = bytes(header.fields.machst).hex()
    origin = "origin" if header.placed_by_origin else "nstart" if header.start.any() else "zero"
    what = f"mode {int(header.fields.mode)}, stamp {stamp}, axes {header.axes}, placed by {origin}"
    return Placement(what, z(xyz), max(z(xyz + step) for step in steps), max(z(exchanged), z(mirrored)))


def _middle(grid: Grid) -> NDArray[np.float64]:
    return grid.positions((np.array(grid.shape, dtype=np.float64) - 1) / 2)


def main() -> None:
    """Print a row for each map."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pairs", type=Path, help="folder with INDEX.tsv")
    options = parser.parse_args()
    print("| map | header | z at the backbone | moved by 8 Å, at most | axes exchanged or mirrored |")
    print("|---|---|---|---|---|")
    with (options.pairs / "INDEX.tsv").open(newline="") as table:
        for row in csv.DictReader(table, delimiter="\t"):
            models = [options.pairs / model for model in row["models"].replace(",", " ").split()]
            found = placement(options.pairs / row["map"], models)
            figures = f"{found.right:.2f} | {found.shifted:.2f} | {found.turned:.2f}"
            print(f"| {row['id']} | {found.header} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
