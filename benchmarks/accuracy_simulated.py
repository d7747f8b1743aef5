"""Measures networks on maps simulated from the library's val entries, at five resolutions.

    python benchmarks/accuracy_simulated.py ATOMS
    python benchmarks/accuracy_simulated.py ATOMS --network new.onnx --network residual
    python benchmarks/accuracy_simulated.py ATOMS --network residual --resolution 3 --crops 128 --split train

ATOMS is the file that ``haruspex prepare`` wrote. Without ``--network`` all networks that ship are measured.
Prints figures at the backbone (voxels within 1.5 Å of a backbone atom), then over all voxels, then what was
taken for what at the backbone.
"""

from collections.abc import Callable
from pathlib import Path

from commandline import parser_of

from haruspex_infer.classes import CLASS_NAMES
from haruspex_infer.network import shipped_networks
from haruspex_train.figures import Figures, shown
from haruspex_train.library import load_training_atoms
from haruspex_train.simulated import CROPS, RESOLUTIONS, SimulatedScore, simulated_scores


def table(scores: list[SimulatedScore], of: Callable[[SimulatedScore], Figures]) -> str:
    """Figures of every network at every resolution, a Markdown table."""
    heads = ["recall", "precision", *(f"{name} F1" for name in CLASS_NAMES), "macro F1", "calibration error"]
    lines = [f"| network | Å | {' | '.join(heads)} |", "|---|---|" + "---|" * len(heads)]
    for score in sorted(scores, key=lambda s: s.network):
        figures = of(score)
        values = (figures.recall, figures.precision, *figures.class_f1, figures.macro_f1)
        cells = [shown(value) for value in (*values, figures.calibration_error)]
        lines.append(f"| {score.network} | {score.resolution:g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def confusions(scores: list[SimulatedScore]) -> str:
    """Share of each true class that was called each class, a Markdown table."""
    heads = ["network", "Å", "truth", *CLASS_NAMES, "voxels"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for score in sorted(scores, key=lambda s: s.network):
        for name, row in zip(CLASS_NAMES, score.backbone.confusion, strict=True):
            shares = " | ".join(shown(count / max(1, row.sum())) for count in row)
            lines.append(f"| {score.network} | {score.resolution:g} | {name} | {shares} | {row.sum():,} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("atoms", type=Path, help="training file")
    parser.add_argument("--split", choices=("val", "train"), default="val", help="train: models already seen")
    parser.add_argument("--network", action="append", help="name or ONNX file; may be given several times")
    parser.add_argument("--resolution", action="append", type=float, help="Å; several times for several")
    parser.add_argument("--crops", type=int, default=CROPS, help="crops a resolution")
    parser.add_argument("--device", default="auto", help="where networks run; crops are made on the CPU")
    arguments = parser.parse_args()
    scores = []
    for score in simulated_scores(
        arguments.network or sorted(shipped_networks()),
        load_training_atoms(arguments.atoms, arguments.split),
        arguments.resolution or RESOLUTIONS,
        arguments.crops,
        device=arguments.device,
    ):
        print(
            f"  {score.network} {score.resolution:g} Å: recall {shown(score.backbone.recall)}, "
            f"precision {shown(score.backbone.precision)}",
            flush=True,
        )
        scores.append(score)
    print("\nAt the backbone\n")
    print(table(scores, lambda s: s.backbone))
    print("\nAll voxels\n")
    print(table(scores, lambda s: s.voxels))
    print("\nTaken for, at the backbone\n")
    print(confusions(scores))


if __name__ == "__main__":
    main()
