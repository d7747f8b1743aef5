"""Wall time of the whole command on a map, split by stage.

    python benchmarks/wall_time.py ../shared/data/maps/EMD-11007/emd_11007.map.gz --device cpu --repeats 3

Starts ``haruspex-infer`` as a user would, so that loading the program and reading and writing files count.
Prints medians in seconds.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def run(map_: Path, network: str, device: str) -> tuple[float, dict[str, float]]:
    """Annotate a map once; return the wall time and that of each stage."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", "from haruspex_infer.cli import main; main()"]
        options = [str(map_), "-o", folder, "--network", network, "--device", device, "--quiet"]
        began = time.perf_counter()
        subprocess.run([*command, *options], check=True)
        wall = time.perf_counter() - began
        summary = json.loads(next(Path(folder).glob("*_summary.json")).read_text())
    return wall, summary["seconds"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("map", type=Path)
    parser.add_argument("--network", action="append", help="may be given several times; residual if not")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    for network in options.network or ["residual"]:
        runs = [run(options.map, network, options.device) for _ in range(options.repeats)]
        stages = {name: statistics.median(seconds[name] for _, seconds in runs) for name in runs[0][1]}
        wall = statistics.median(wall for wall, _ in runs)
        rest = wall - sum(stages.values())
        parts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in stages.items())
        print(f"{options.map.name}  {network}  {wall:.1f} s: {parts}, start, files and the rest {rest:.1f}")


if __name__ == "__main__":
    main()
