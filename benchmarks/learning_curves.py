"""Draws learning curves from the logs of training runs.

python benchmarks/learning_curves.py docs/images/learning.png models/*.log.tsv
"""

import csv
from pathlib import Path

import matplotlib.pyplot as plt
from commandline import parser_of

PANELS = {
    "loss": "training loss",
    "val_recall": "recall, held-out simulated maps",
    "val_precision": "precision, held-out simulated maps",
    "val_f1_strand": "strand F1, held-out simulated maps",
}


def curve(log: Path, column: str) -> tuple[list[float], list[float]]:
    """Return steps and values of a column, where the log has them."""
    with log.open(newline="") as table:
        rows = [row for row in csv.DictReader(table, delimiter="\t") if row[column]]
    return [float(row["step"]) for row in rows], [float(row[column]) for row in rows]


def main() -> None:
    """Draw."""
    parser = parser_of(__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("logs", type=Path, nargs="+")
    options = parser.parse_args()
    figure, axes = plt.subplots(1, len(PANELS), figsize=(16, 3.6), constrained_layout=True)
    for axis, (column, title) in zip(axes, PANELS.items(), strict=True):
        for log in options.logs:
            steps, values = curve(log, column)
            shown = [v / values[0] for v in values] if column == "loss" else values
            axis.plot(steps, shown, label=log.name.split(".")[0], linewidth=1.5)
        axis.set_title(title + (" (relative)" if column == "loss" else ""), fontsize=10)
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False)
    options.picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.picture, dpi=110)


if __name__ == "__main__":
    main()
