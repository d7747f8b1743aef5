"""Peak memory of the whole command on made maps, against the map's size and the estimate.

    python benchmarks/memory.py --edges 400 --occupied 0.15 --memory 0.7
    python benchmarks/memory.py --edges 1024 --occupied 0.002

Mapped files count as memory here (ru_maxrss), though the system can take them back at any time.
"""

import argparse
import tempfile
from pathlib import Path

from measuring import run_command, table, write_made_map


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--edges", type=int, nargs="+", default=[400])
    parser.add_argument("--occupied", type=float, default=0.15)
    parser.add_argument("--memory", help="GB, as the command takes it")
    parser.add_argument("--folder", type=Path, help="where the map and the results go")
    options = parser.parse_args()
    rows = []
    for edge in options.edges:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            path = write_made_map(Path(folder) / f"made_{edge}.mrc", edge, options.occupied)
            limit = [] if options.memory is None else ["--memory", options.memory]
            run = run_command([path], "--device", options.device, *limit)
        size = 4 * edge**3 / 1e9
        estimate = run.summary["memory_estimate"] / 1e9
        rows.append(
            [
                f"{edge}³",
                f"{size:.2f}",
                f"{run.peak:.2f}",
                f"{run.peak / size:.2f}",
                f"{estimate:.2f}",
                f"{run.wall:.0f}",
                f"{run.cpu:.0f}",
                f"{run.summary['tiles']['voxels'] / 1000000.0:.1f}",
            ]
        )
    head = ["box", "map GB", "peak GB", "peak / map", "estimate GB", "wall s", "CPU s", "Mvoxel computed"]
    print(table(head, rows))


if __name__ == "__main__":
    main()
