"""How the cost grows: with the box at a fixed molecule, and with the molecule in a fixed box.

    python benchmarks/growth.py --device cpu|cuda [--plot growth.svg]

The maps are made: balls of uneven density in weak noise, 1.1 Å voxels, plain files. Wall and processor
seconds of the whole command; the plot shows the former on a GPU, and the latter on a CPU.
"""

import argparse
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

from measuring import median_run, run_command, table, write_made_map


@dataclass(frozen=True)
class Point:
    """What one map took: voxels of its box's edge, radius of its ball, seconds."""

    kind: str
    box: int
    radius: int
    seconds: float

    @property
    def molecule(self) -> float:
        """Millions of voxels of the ball."""
        return 4 / 3 * math.pi * self.radius**3 / 1e6


def main() -> None:
    """Measure, print and plot."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--boxes", type=int, nargs="+", default=[100, 200, 300, 400])
    parser.add_argument("--radius", type=int, default=20, help="of the molecule in voxels, for the boxes")
    parser.add_argument("--box", type=int, default=200)
    parser.add_argument("--radii", type=int, nargs="+", default=[15, 25, 40, 50])
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    cases = [("box", box, options.radius) for box in options.boxes]
    cases += [("molecule", options.box, radius) for radius in options.radii]
    rows, points = [], list[Point]()
    with tempfile.TemporaryDirectory() as folder:
        for kind, box, radius in cases:
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
            points.append(Point(kind, box, radius, run.wall if options.device == "cuda" else run.cpu))
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
        plot(points, "seconds" if options.device == "cuda" else "processor seconds", options.plot)


def plot(points: list[Point], seconds: str, path: Path) -> None:
    """Draw seconds against box and against molecule."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True, layout="constrained")
    boxes = [point for point in points if point.kind == "box"]
    molecules = [point for point in points if point.kind == "molecule"]
    axes[0].plot([point.box**3 / 1e6 for point in boxes], [point.seconds for point in boxes], "o-")
    axes[1].plot([point.molecule for point in molecules], [point.seconds for point in molecules], "o-")
    axes[0].set(xlabel="Mvoxel of the box", ylabel=f"{seconds}, whole command")
    axes[0].set(title=f"molecule of {boxes[0].molecule:.2f} Mvoxel")
    axes[1].set(xlabel="Mvoxel of the molecule", title=f"box of {molecules[0].box}³")
    for axis in axes:
        axis.set(ylim=(0, None), xlim=(0, None))
    figure.savefig(path)


if __name__ == "__main__":
    main()
