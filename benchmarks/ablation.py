"""Trains the default network from nothing, and without each change that mattered, and draws the curves.

    python benchmarks/ablation.py ATOMS PAIRS OUT [--only WHAT]… [--picture CURVES.png]

Short runs, alike but for what they lack. Their snapshots annotate the `val` maps; at a median recall of 0.95
(`operating_point.py`) precisions can be compared. A run or a snapshot that OUT holds already is not repeated,
so that the runs may be made one by one, side by side on one GPU.
"""

import re
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
from commandline import parser_of
from operating_point import COMMON_RECALL, at_common_recall, medians, resolved_residues

from haruspex_infer.annotator import Annotator
from haruspex_train.annotations import Annotations
from haruspex_train.configuration import Configuration, changed, load_configuration
from haruspex_train.export import export
from haruspex_train.settings import SimulationSettings
from haruspex_train.tables import read_table, write_table
from haruspex_train.train import Schedule, train

BLURRED = {
    "b_total": ((-25.0, 70.0), (-20.0, 170.0), (20.0, 230.0)),
    "low_pass": (0.95, 1.6),
    "p_unweighted": 0.0,
    "solvent_contrast": (0.0, 0.75),
    "p_solvent": 0.65,
}
"""The first simulator's ranges, whose maps are blurrier than deposited ones (`spectra.py`)."""

UNMASKED = {"p_zone": 0.0, "p_soft_mask": 0.0, "p_flatten": 0.0, "p_clamp": 0.0}

EVEN = {"channels": (32, 64, 128, 192), "blocks": (1, 2, 2, 2)}
"""The network of the release before, which did nearly half of its work on the voxels of the input."""

COLUMNS = ("step", "factor", "recall", "precision", "helix F1", "strand F1")


def variants(steps: int) -> dict[str, Configuration]:
    """Return the runs by what they lack."""
    shipped = load_configuration("residual")
    whole = changed(shipped, steps=steps, ema=0.998, seed=11, simulation=SimulationSettings(p_mirrored=0.1))
    blurred, unmasked = (replace(whole.simulation, **ranges) for ranges in (BLURRED, UNMASKED))
    return {
        "nothing": whole,
        "Muon": replace(whole, optimiser="adam", learning_rate=0.001, weight_decay=0.0001),
        "work at twice the voxel size": replace(whole, network_options=EVEN),
        "maps as sharp as real ones": replace(whole, simulation=blurred),
        "masks and flattened solvent": replace(whole, simulation=unmasked),
        "weight at the backbone and its ends": replace(whole, core=1.0, border=None),
        "cross-entropy (focal + Dice)": replace(whole, loss="focal_and_dice"),
    }


def measure(run: Path, pairs: Path, device: str) -> list[dict[str, float]]:
    """Annotate the maps with every snapshot of a run, and keep the figures in ``figures.tsv``."""
    table = run / "figures.tsv"
    kept = read_table(table) if table.is_file() else []
    rows = [{column: float(row[column]) for column in COLUMNS} for row in kept]
    snapshots = {int(m[1]): p for p in run.iterdir() if (m := re.fullmatch(r"weights-(\d+)\.pt", p.name))}
    for step in sorted(snapshots.keys() - {int(row["step"]) for row in rows}):
        network = run / f"{step}.onnx"
        export(snapshots[step], network)
        maps = resolved_residues(Annotations(Annotator(network, device)), pairs, "val")
        factor, shifted = at_common_recall(maps)
        rows.append(dict(zip(COLUMNS, (step, factor, *medians(shifted)), strict=True)))
        write_table(table, COLUMNS, ({column: str(row[column]) for column in COLUMNS} for row in rows))
    return rows


def draw(figures: dict[str, list[dict[str, float]]], picture: Path) -> None:
    """Draw precision and the classes' F1 at the common recall against steps."""
    panels = COLUMNS[3:]
    figure, axes = plt.subplots(1, len(panels), figsize=(13, 3.6), constrained_layout=True)
    for axis, column in zip(axes, panels, strict=True):
        for name, rows in figures.items():
            axis.plot([r["step"] for r in rows], [r[column] for r in rows], marker="o", label=name)
        axis.set_title(f"{column} at recall {COMMON_RECALL}, val maps", fontsize=10)
        axis.set_xlabel("step")
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, title="without", fontsize=8)
    figure.savefig(picture, dpi=110)


def main() -> None:
    """Train, measure, print and draw."""
    parser = parser_of(__doc__)
    parser.add_argument("atoms", type=Path, help="training file of haruspex prepare")
    parser.add_argument("pairs", type=Path, help="folder of pairs with INDEX.tsv")
    parser.add_argument("out", type=Path, help="folder of the runs")
    parser.add_argument("--only", action="append", help="a run, by what it lacks; several times for several")
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--device", default="cuda", help="where to train")
    parser.add_argument("--annotate-on", default="auto", help="where the networks annotate")
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    figures = {}
    schedule = Schedule(snapshot_every=options.steps // 4, validate_every=options.steps)
    for lacking, configuration in variants(options.steps).items():
        if options.only is None or lacking in options.only:
            run = options.out / lacking.replace(" ", "_")
            if not (run / f"weights-{options.steps}.pt").is_file():
                train(configuration, options.atoms, run, options.device, schedule=schedule)
            figures[lacking] = measure(run, options.pairs, options.annotate_on)
    print("| without | " + " | ".join(COLUMNS) + " |\n|---" + "|---" * len(COLUMNS) + "|")
    for lacking, rows in figures.items():
        for row in rows:
            cells = " | ".join(f"{row[column]:.3f}" for column in COLUMNS[1:])
            print(f"| {lacking} | {row['step']:.0f} | {cells} |")
    if options.picture:
        draw(figures, options.picture)


if __name__ == "__main__":
    main()
