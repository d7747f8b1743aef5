"""Measures the networks on experimental maps: the tables of the model cards.

    python benchmarks/accuracy.py ../shared/data/maps build/accuracy
    python benchmarks/accuracy.py ../shared/data/maps build/accuracy --network new.onnx --split test

Without ``--network`` all networks that ship are measured. The folder receives a table for each network (TSV,
Markdown, JSON); the comparison of medians is printed, and by how much the last network exceeds each other,
with an interval of 95 % (`haruspex_train.uncertainty`).
"""

from pathlib import Path

from commandline import add_pairs, parser_of

from haruspex_infer.network import shipped_networks
from haruspex_train.evaluate import evaluate_pairs
from haruspex_train.figures import headed, shown
from haruspex_train.scoreboard import PairScore, Scoreboard

COMPARED = ("recall", "precision", "helix_f1", "strand_f1", "macro_f1", "voxel_macro_f1", "calibration_error")


def comparison(boards: list[Scoreboard]) -> str:
    """Medians and 10th percentiles of several networks, a Markdown table."""
    heads = [headed(name) for name in COMPARED]
    lines = [f"| network | maps | {' | '.join(heads)} |", "|---|---|" + "---|" * len(heads)]
    for board in boards:
        for group, columns in board.summary().items():
            cells = [f"{shown(columns[n].median)} ({shown(columns[n].tenth_percentile)})" for n in COMPARED]
            lines.append(f"| {board.network} | {group}, {len(board.groups()[group])} | {' | '.join(cells)} |")
    return "\n".join(lines)


def tell(score: PairScore) -> None:
    """Print one line of progress."""
    print(f"  {score.line()}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    add_pairs(parser)
    parser.add_argument("out", type=Path, help="folder for the tables")
    parser.add_argument("--network", action="append", help="name or ONNX file; may be given several times")
    parser.add_argument("--split", default="val", help="val to choose by, test for the final figure only")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    boards = []
    for network in arguments.network or sorted(shipped_networks()):
        print(network)
        boards.append(
            evaluate_pairs(network, arguments.folder, arguments.split, arguments.out, arguments.device, tell)
        )
    print("\nMedian (10th percentile) over maps; residues with a mean backbone density of at least 1 σ\n")
    print(comparison(boards))
    *others, last = boards
    for other in others:
        print(f"\n{last.against(other)}", end="")


if __name__ == "__main__":
    main()
