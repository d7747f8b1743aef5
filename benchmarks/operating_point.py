"""Recall and precision of networks when the odds of *other* are multiplied: their curves, not single points.

    python benchmarks/operating_point.py ../shared/data/maps models/residual.onnx models/mostosi2020.onnx
    python benchmarks/operating_point.py PAIRS residual mostosi2020 --annotations build/accuracy/annotations

Two networks that lie on one curve differ by a prior, not in quality: the last row of each network is where
its median recall comes nearest to 0.95, and there they can be compared. Medians over maps of 4 Å or better
that hold protein, of the residues with a backbone density of at least 1 σ; then the residues of all these
maps together: macro F1, and the mean negative logarithm of the probability of what they are. The factor acts
on the residues' mean probabilities; ``haruspex merge --other-odds`` builds it into a network.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from commandline import add_pairs, parser_of
from numpy.typing import NDArray

from haruspex_infer.annotator import Annotator
from haruspex_infer.classes import HELIX, OTHER, STRAND
from haruspex_infer.mapfile import Map
from haruspex_infer.structure import AMINO_ACID, Structure, read_structure
from haruspex_train.annotations import Annotations
from haruspex_train.figures import pooled
from haruspex_train.judged import JudgedResidues, judge
from haruspex_train.pairs import Pair, read_pairs
from haruspex_train.scoreboard import RESOLUTION_LIMIT, difference_table
from haruspex_train.secondary import residue_classes
from haruspex_train.uncertainty import differences

FACTORS = (1.5, 1.25, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
FINE = np.geomspace(0.25, 2.0, 151)  # factors among which the common recall is looked for
COMMON_RECALL = 0.95
COLUMNS = ("recall", "precision", "helix F1", "strand F1", "all: macro F1", "all: −log likelihood")

_LEAST = 1e-6  # probability


def protein_pairs(folder: Path, split: str) -> Iterator[tuple[Pair, Structure]]:
    """Yield the pairs of 4 Å or better that hold protein, with their models."""
    for pair in read_pairs(folder, split):
        if pair.resolution <= RESOLUTION_LIMIT:
            structure = read_structure(pair.model_paths)
            if (structure.kind == AMINO_ACID).any():
                yield pair, structure


def resolved(probabilities: NDArray[np.float32], map_: Map, structure: Structure) -> JudgedResidues:
    """Return the residues of a map that the published figures count."""
    judged = judge(probabilities, map_.density, map_.grid, structure, residue_classes(structure))
    return judged.chosen(judged.resolved)


def resolved_residues(annotations: Annotations, folder: Path, split: str) -> list[JudgedResidues]:
    """Return the residues of each map that the published figures count."""
    found = []
    for pair, structure in protein_pairs(folder, split):
        seen = annotations.of(pair.map_path)
        found.append(resolved(seen.probabilities, seen.map, structure))
    return found


def answered(residues: JudgedResidues, probability: NDArray[np.float32]) -> JudgedResidues:
    """Return residues with other probabilities, and the classes that follow."""
    return replace(residues, probability=probability, predicted=probability.argmax(axis=1).astype(np.uint8))


def shifted(residues: JudgedResidues, factor: float) -> JudgedResidues:
    """Return residues with the odds of *other* multiplied."""
    probability = residues.probability.copy()
    probability[:, OTHER.number] *= factor
    probability /= probability.sum(axis=1, keepdims=True)
    return answered(residues, probability)


def together(maps: list[JudgedResidues]) -> list[float]:
    """Return macro F1 and mean negative log likelihood of the residues of all maps."""
    of_truth = [residues.probability[np.arange(len(residues)), residues.truth] for residues in maps]
    surprise = -np.log(np.maximum(np.concatenate(of_truth), _LEAST))
    return [pooled(residues.figures() for residues in maps).macro_f1, float(surprise.mean())]


def medians(maps: list[JudgedResidues]) -> list[float]:
    """Return median recall, precision, helix F1 and strand F1."""
    rows = []
    for figures in (residues.figures() for residues in maps):
        f1 = figures.class_f1
        rows.append([figures.recall, figures.precision, f1[HELIX.number], f1[STRAND.number]])
    return [float(value) for value in np.nanmedian(rows, axis=0)]


def at_common_recall(maps: list[JudgedResidues]) -> tuple[float, list[JudgedResidues]]:
    """Return the factor that brings the median recall nearest to the common one, and the residues with it."""

    def tried(factor: float) -> list[JudgedResidues]:
        return [shifted(residues, factor) for residues in maps]

    best = min(FINE, key=lambda factor: abs(medians(tried(factor))[0] - COMMON_RECALL))
    return float(best), tried(best)


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    add_pairs(parser)
    parser.add_argument("networks", nargs="+", help="names or ONNX files")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--annotations", type=Path, help="folder that keeps annotations, as accuracy.py does")
    options = parser.parse_args()
    print("| network | factor | " + " | ".join(COLUMNS) + " |\n|---|---" + "|---" * len(COLUMNS) + "|")
    common = {}
    for network in options.networks:
        annotations = Annotations(Annotator(network, options.device), options.annotations)
        maps = resolved_residues(annotations, options.folder, "val")
        factor, common[network] = at_common_recall(maps)
        for shown in (*FACTORS, factor):
            moved = [shifted(residues, shown) for residues in maps]
            cells = " | ".join(f"{value:.3f}" for value in medians(moved) + together(moved))
            print(f"| {Path(network).stem} | {shown:.3g} | {cells} |", flush=True)
    (name, first), *others = common.items()
    compared = {Path(other).stem: differences(first, residues) for other, residues in others}
    if compared:
        print(
            f"\n{difference_table(f'{Path(name).stem} at a recall of {COMMON_RECALL} −', compared)}", end=""
        )


if __name__ == "__main__":
    main()
