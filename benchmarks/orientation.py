"""How much an annotation hangs on the way the map lies: the `val` maps turned by quarter turns.

    python benchmarks/orientation.py PAIRS residual mostosi2020 --turns 8

A turned map holds the same molecule, so what its residues are called should not change. Each map is annotated
as it lies and in other orientations, all without interpolation and none a mirror image, and the answer is
turned back to the model. Prints, for each network, the lowest, mean and highest recall and precision of each
map, and the medians over maps in each orientation, with the mean negative logarithm of the probability of
what the residues of all maps are; then the mean of these rows, and what the mean of the answers of all
orientations gives. Maps and residues are those of `operating_point.py`.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from commandline import add_pairs, parser_of
from numpy.typing import NDArray
from operating_point import COLUMNS, answered, medians, protein_pairs, resolved, together

from haruspex_infer.annotator import Annotator
from haruspex_infer.mapfile import Map, read_map
from haruspex_infer.structure import Structure
from haruspex_train.judged import JudgedResidues
from haruspex_train.pairs import Pair
from haruspex_train.pool import ROTATIONS, rotate


def turned(volumes: NDArray[Any], number: int) -> NDArray[Any]:
    """Return volumes (…, z, y, x) in one of the 24 orientations; 0 leaves them as they lie."""
    return np.ascontiguousarray(rotate(torch.from_numpy(volumes), number).numpy())


def opposite(number: int) -> int:
    """Return the rotation that undoes another."""
    cube = torch.arange(27).reshape(3, 3, 3)
    moved = rotate(cube, number)
    return next(other for other in range(len(ROTATIONS)) if torch.equal(rotate(moved, other), cube))


def judged_turned(
    annotator: Annotator, pair: Pair, structure: Structure, orientations: list[int]
) -> list[JudgedResidues]:
    """Return the residues of one map as annotated in each orientation."""
    map_, found = read_map(pair.map_path), []
    for number in orientations:
        z, y, x = (map_.grid.voxel_size[axis] for axis in ROTATIONS[number][0])
        annotation = annotator.annotate(Map.from_array(turned(map_.density, number), (z, y, x)))
        found.append(resolved(turned(annotation.probabilities, opposite(number)), map_, structure))
    return found


def mean_of(answers: list[JudgedResidues]) -> JudgedResidues:
    """Return residues with the mean of the probabilities of several answers."""
    return answered(answers[0], np.mean([residues.probability for residues in answers], axis=0))


def table_head(*columns: str) -> str:
    """Return the first two lines of a table."""
    return "| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|"


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    add_pairs(parser)
    parser.add_argument("networks", nargs="+", help="names or ONNX files")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--turns", type=int, default=8, help="orientations, of 24")
    options = parser.parse_args()
    orientations = [round(number) for number in np.linspace(0, len(ROTATIONS) - 1, options.turns)]
    pairs = list(protein_pairs(options.folder, "val"))
    for network in options.networks:
        annotator = Annotator(network, options.device)
        print(f"\n{Path(network).stem}, {len(orientations)} orientations\n")
        print(table_head("map", "recall: lowest", "mean", "highest", "precision: lowest", "mean", "highest"))
        maps = []
        for pair, structure in pairs:
            maps.append(judged_turned(annotator, pair, structure, orientations))
            figures = [residues.figures() for residues in maps[-1]]
            columns = [[f.recall for f in figures], [f.precision for f in figures]]
            cells = [f"{of(column):.3f}" for column in columns for of in (np.nanmin, np.nanmean, np.nanmax)]
            print(f"| {pair.name}, {pair.resolution} Å | " + " | ".join(cells) + " |", flush=True)
        print("\n" + table_head("orientation", *COLUMNS))
        rows = [medians(list(one)) + together(list(one)) for one in zip(*maps, strict=True)]
        for number, row in enumerate(rows):
            print(f"| {number or 'as it lies'} | " + " | ".join(f"{value:.3f}" for value in row) + " |")
        print("| **mean** | " + " | ".join(f"{value:.3f}" for value in np.mean(rows, axis=0)) + " |")
        averaged = [mean_of(answers) for answers in maps]
        row = medians(averaged) + together(averaged)
        print("| answers averaged | " + " | ".join(f"{value:.3f}" for value in row) + " |")


if __name__ == "__main__":
    main()
