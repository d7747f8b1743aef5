"""Recall and precision of networks when the odds of *other* are multiplied: their curves, not single points.

    python benchmarks/operating_point.py ../shared/data/maps models/residual.onnx models/mostosi2020.onnx

Two networks that lie on one curve differ by a prior, not in quality: the last row of each network is where
its median recall comes nearest to 0.95, and there they can be compared. Medians over maps of 4 Å or better
that hold protein, of the residues with a backbone density of at least 1 σ; then the residues of all these
maps together: macro F1, and the mean negative logarithm of the probability of what they are. The factor acts
on the residues' mean probabilities; ``haruspex merge --other-odds`` builds it into a network.
"""

from pathlib import Path

import numpy as np
from commandline import add_pairs, parser_of
from numpy.typing import NDArray

from haruspex_infer.annotator import Annotator
from haruspex_infer.classes import HELIX, OTHER, STRAND
from haruspex_infer.mapfile import read_map
from haruspex_infer.structure import AMINO_ACID, read_structure
from haruspex_train.figures import Tally
from haruspex_train.judged import JudgedResidues, judge
from haruspex_train.pairs import read_pairs
from haruspex_train.scoreboard import RESOLUTION_LIMIT
from haruspex_train.secondary import residue_classes

FACTORS = (1.5, 1.25, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
FINE = np.geomspace(0.25, 2.0, 151)  # factors among which the common recall is looked for
COMMON_RECALL = 0.95
COLUMNS = ("recall", "precision", "helix F1", "strand F1", "all: macro F1", "all: −log likelihood")

_LEAST = 1e-6  # probability


def resolved_residues(annotator: Annotator, folder: Path, split: str) -> list[JudgedResidues]:
    """Return the residues of each map that the published figures count."""
    found = []
    for pair in read_pairs(folder, split):
        if pair.resolution > RESOLUTION_LIMIT:
            continue
        structure = read_structure(pair.model_paths)
        if not (structure.kind == AMINO_ACID).any():
            continue
        seen = annotator.annotate(read_map(pair.map_path))
        classes = residue_classes(structure)
        judged = judge(seen.probabilities, seen.map.density, seen.grid, structure, classes)
        found.append(judged.chosen(judged.resolved))
    return found


def shifted(residues: JudgedResidues, factor: float) -> NDArray[np.float64]:
    """Return the probabilities of the residues with the odds of *other* multiplied, shape (4, n)."""
    probability = residues.probability.T.astype(np.float64)
    probability[OTHER.number] *= factor
    return probability / probability.sum(axis=0)


def together(maps: list[JudgedResidues], factor: float) -> list[float]:
    """Return macro F1 and mean negative log likelihood of the residues of all maps at one factor."""
    tally, surprise = Tally(), []
    for residues in maps:
        probability = shifted(residues, factor)
        tally.add(probability, residues.truth)
        of_truth = probability[residues.truth, np.arange(len(residues.truth))]
        surprise.append(-np.log(np.maximum(of_truth, _LEAST)))
    return [tally.figures().macro_f1, float(np.concatenate(surprise).mean())]


def medians(maps: list[JudgedResidues], factor: float) -> list[float]:
    """Return median recall, precision, helix F1 and strand F1 at one factor."""
    rows = []
    for residues in maps:
        figures = Tally().add(shifted(residues, factor), residues.truth).figures()
        f1 = figures.class_f1
        rows.append([figures.recall, figures.precision, f1[HELIX.number], f1[STRAND.number]])
    return [float(value) for value in np.nanmedian(rows, axis=0)]


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    add_pairs(parser)
    parser.add_argument("networks", nargs="+", help="names or ONNX files")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    print("| network | factor | " + " | ".join(COLUMNS) + " |\n|---|---" + "|---" * len(COLUMNS) + "|")
    for network in options.networks:
        maps = resolved_residues(Annotator(network, options.device), options.folder, "val")
        common = min(FINE, key=lambda f: abs(medians(maps, f)[0] - COMMON_RECALL))
        for factor in (*FACTORS, common):
            figures = medians(maps, factor) + together(maps, factor)
            cells = " | ".join(f"{value:.3f}" for value in figures)
            print(f"| {Path(network).stem} | {factor:.3g} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
