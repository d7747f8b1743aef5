"""What the benchmarks of speed share: the command run as users run it, made maps, and medians."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from haruspex_infer.grid import Grid
from haruspex_infer.mapheader import header_of
from haruspex_infer.slabs import slabs
from haruspex_infer.volumefile import VolumeFile

_COMMAND = """
import atexit, pathlib, re, sys
from haruspex_infer.__main__ import main

peak, status = pathlib.Path(sys.argv.pop(1)), pathlib.Path("/proc/self/status")
atexit.register(lambda: peak.write_text(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]))
main()
"""


@dataclass(frozen=True)
class Run:
    """What one run of the command took.

    Attributes
    ----------
    wall, cpu : float
        Seconds that passed, and that all processor cores together worked.
    peak : float
        GB of memory at most, files that are mapped included: what the process read of itself at its end,
        since the system's count of a child's memory begins with its parent's.
    summary : dict
        What the command wrote of itself.
    """

    wall: float
    cpu: float
    peak: float
    summary: dict[str, Any]


def run_command(maps: list[Path], *options: str) -> Run:
    """Annotate maps in a process of its own; the summary is that of the first."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _COMMAND, str(Path(folder) / "peak")]
        began = time.perf_counter()
        process = subprocess.Popen(
            [*command, *map(str, maps), "-o", folder, "--quiet", "--no-report", *options]
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - began
        if status:
            raise SystemExit(f"the command failed on {maps[0]}")
        summary = json.loads(next(Path(folder).rglob("*_summary.json")).read_text())
        peak = int((Path(folder) / "peak").read_text()) * 1024 / 1e9
    return Run(wall, used.ru_utime + used.ru_stime, peak, summary)


def median_run(runs: list[Run]) -> Run:
    """Return the run with the median wall time."""
    return sorted(runs, key=lambda run: run.wall)[len(runs) // 2]


def median_seconds(work: Callable[[], object], repeats: int, longest: float = 60.0) -> float:
    """Return the median seconds of several calls; of fewer where one takes longer than a minute."""
    seconds: list[float] = []
    while len(seconds) < repeats and sum(seconds) < longest * max(1, len(seconds) > 1):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def write_made_map(path: Path, edge: int, occupied: float, seed: int = 0) -> Path:
    """Write a cubic map of 1.1 Å voxels: a ball of uneven density in weak noise.

    Parameters
    ----------
    path : Path
    edge : int
        Voxels of the box.
    occupied : float
        Share of the box that the ball takes.
    seed : int
    """
    rng = np.random.default_rng(seed)
    radius = (occupied * 3 / (4 * np.pi)) ** (1 / 3) * edge
    grid = Grid((edge,) * 3, (1.1,) * 3)
    across = (np.arange(edge, dtype=np.float32) - edge / 2) ** 2
    with VolumeFile(header_of(grid), grid.shape, path, "made for a benchmark") as out:
        for first, last in slabs(grid.shape):
            slab = rng.standard_normal((last - first, edge, edge), dtype=np.float32)
            distance = across[first:last, None, None] + across[:, None] + across
            np.multiply(slab, np.where(distance < radius**2, 0.4, 0.03).astype(np.float32), out=slab)
            slab += 0.6 * (distance < radius**2)
            out.write(slab)
    return path


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
