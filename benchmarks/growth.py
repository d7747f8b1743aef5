"""How the cost grows: with the box at a fixed molecule, and with the molecule in a fixed box.

    python benchmarks/growth.py --device cpu|cuda [--plot growth.svg]

The maps are made: balls of uneven density in weak noise, 1.1 Å voxels, plain files. Wall and processor
seconds of the whole command.
"""

import argparse
import math
import tempfile
from pathlib import Path

from measuring import median_run, run_command, table, write_made_map


def main() -> None:
    """Measure, print and plot."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--boxes", type=int, nargs="+", default=[100, 150, 200, 300, 400])
    parser.add_argument("--radius", type=int, default=25, help="of the molecule in voxels, for the boxes")
    parser.add_argument("--box", type=int, default=200)
    parser.add_argument("--radii", type=int, nargs="+", default=[15, 25, 40, 60, 80])
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    cases = [("box", box, box, options.radius) for box in options.boxes]
    cases += [("molecule", radius, options.box, radius) for radius in options.radii]
    rows, points = [], []
    with tempfile.TemporaryDirectory() as folder:
        for kind, size, box, radius in cases:
            share = 4 / 3 * math.pi * radius**3 / box**3
            path = write_made_map(Path(folder) / "made.mrc", box, share)
            run = median_run(
                [run_command([path], "--device", options.device) for _ in range(options.repeats)]
            )
            path.unlink()
            tiles = run.summary["tiles"]["voxels"] / 1e6
            seconds = run.summary["seconds"]
            rows.append(
                [f"{box}³", str(radius), f"{share:.2%}", f"{tiles:.2f}"]
                + [f"{value:.2f}" for value in (run.wall, run.cpu, seconds["network"], seconds["write"])]
                + [f"{run.peak:.2f}"]
            )
            points.append((kind, size, box, radius, run.wall, seconds["network"]))
            print(rows[-1], flush=True)
    head = [
        "box",
        "radius",
        "occupied",
        "Mvoxel computed",
        "wall s",
        "CPU s",
        "network s",
        "write s",
        "peak GB",
    ]
    print(table(head, rows))
    if options.plot:
        plot(points, options.plot)


def plot(points: list[tuple[str, int, int, int, float, float]], path: Path) -> None:
    """Draw seconds against box and against molecule."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True, layout="constrained")
    for axis, kind, label in zip(
        axes, ("box", "molecule"), ("Mvoxel of the box", "Mvoxel of the molecule"), strict=True
    ):
        chosen = [point for point in points if point[0] == kind]
        sizes = [
            (box**3 if kind == "box" else 4 / 3 * math.pi * radius**3) / 1e6
            for _, _, box, radius, _, _ in chosen
        ]
        axis.plot(sizes, [wall for *_, wall, _ in chosen], "o-", label="whole command")
        axis.plot(sizes, [network for *_, network in chosen], "o-", label="network")
        axis.set(xlabel=label, ylim=(0, None), xlim=(0, None))
    axes[0].set(ylabel="seconds", title=f"molecule of {4 / 3 * math.pi * points[0][3] ** 3 / 1e6:.2f} Mvoxel")
    axes[1].set(title=f"box of {points[-1][2]}³")
    axes[0].legend(frameon=False)
    figure.savefig(path)


if __name__ == "__main__":
    main()
