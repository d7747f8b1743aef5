"""How much an annotation hangs on the way the map lies: the `val` maps turned by quarter turns.

    python benchmarks/orientation.py PAIRS residual mostosi2020 --turns 8

A turned map holds the same molecule, so what its residues are called should not change. Each map is annotated
as it lies and in other orientations, all without interpolation and none a mirror image, and the answer is
turned back to the model. Prints, for each network, the lowest, mean and highest recall and precision of each
map, and the medians over maps in each orientation, with the mean negative logarithm of the probability of
what the residues of all maps are; then the mean of these rows, and what the mean of the answers of all
orientations gives. Maps and residues are those of `operating_point.py`.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from commandline import add_pairs, parser_of
from numpy.typing import NDArray
from operating_point import COLUMNS, medians, together

from haruspex_infer.annotator import Annotator
from haruspex_infer.mapfile import Map, read_map
from haruspex_infer.structure import AMINO_ACID, read_structure
from haruspex_train.judged import JudgedResidues, judge
from haruspex_train.pairs import Pair, read_pairs
from haruspex_train.pool import ROTATIONS
from haruspex_train.scoreboard import RESOLUTION_LIMIT
from haruspex_train.secondary import residue_classes


def turned(volumes: NDArray[Any], number: int) -> NDArray[Any]:
    """Return volumes (…, z, y, x) in one of the 24 orientations; 0 leaves them as they lie."""
    axes, flips = ROTATIONS[number]
    lead = volumes.ndim - 3
    moved = volumes.transpose(*range(lead), *(lead + axis for axis in axes))
    return np.ascontiguousarray(np.flip(moved, tuple(lead + axis for axis in flips)))


def turned_back(volumes: NDArray[Any], number: int) -> NDArray[Any]:
    """Return turned volumes as they lay before."""
    axes, flips = ROTATIONS[number]
    lead = volumes.ndim - 3
    moved = np.flip(volumes, tuple(lead + axis for axis in flips))
    order = (lead + int(axis) for axis in np.argsort(axes))
    return np.ascontiguousarray(moved.transpose(*range(lead), *order))


def protein_pairs(folder: Path) -> Iterator[Pair]:
    """Yield the `val` pairs of 4 Å or better that hold protein."""
    for pair in read_pairs(folder, "val"):
        protein = (read_structure(pair.model_paths).kind == AMINO_ACID).any()
        if pair.resolution <= RESOLUTION_LIMIT and protein:
            yield pair


def judged_turned(annotator: Annotator, pair: Pair, orientations: list[int]) -> list[JudgedResidues]:
    """Return the residues of one map as annotated in each orientation."""
    map_, structure = read_map(pair.map_path), read_structure(pair.model_paths)
    classes, found = residue_classes(structure), []
    for number in orientations:
        z, y, x = (map_.grid.voxel_size[axis] for axis in ROTATIONS[number][0])
        annotation = annotator.annotate(Map.from_array(turned(map_.density, number), (z, y, x)))
        probabilities = turned_back(np.asarray(annotation.probabilities), number)
        judged = judge(probabilities, map_.density, map_.grid, structure, classes)
        found.append(judged.chosen(judged.resolved))
    return found


def mean_of(answers: list[JudgedResidues]) -> JudgedResidues:
    """Return residues with the mean of the probabilities of several answers."""
    probability = np.mean([residues.probability for residues in answers], axis=0)
    return replace(answers[0], probability=probability, predicted=probability.argmax(axis=1).astype(np.uint8))


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
    pairs = list(protein_pairs(options.folder))
    for network in options.networks:
        annotator = Annotator(network, options.device)
        print(f"\n{Path(network).stem}, {len(orientations)} orientations\n")
        print(table_head("map", "recall: lowest", "mean", "highest", "precision: lowest", "mean", "highest"))
        maps = []
        for pair in pairs:
            maps.append(judged_turned(annotator, pair, orientations))
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
