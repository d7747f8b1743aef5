"""How fast pairs become ground truth: curate, annotate and segment with one process, two, and a Dask cluster.

Maps a minute by the clock, and seconds of CPU a map, which other programs on the machine hardly change; what
takes the time of the whole deposited map among the pairs; and what 10,000 entries would take after it.

    python benchmarks/curation_pace.py ../shared/data/maps --whole EMD-11007
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from distributed import LocalCluster

from haruspex_infer.mapfile import read_map
from haruspex_infer.normalise import Normaliser
from haruspex_infer.scheduling import Machines
from haruspex_train.annotate import annotate
from haruspex_train.candidates import Candidate, read_candidates
from haruspex_train.copies import read_model
from haruspex_train.curate import curate
from haruspex_train.groundtruth import voxel_truth
from haruspex_train.measure import measure_fit
from haruspex_train.secondary import residue_classes
from haruspex_train.segments import Rules
from haruspex_train.slices import central_slices
from haruspex_train.store import segment
from haruspex_train.working import working_density, working_grid

ENTRIES = 10_000
EDGE = 320
"""Voxels along each edge that an entry's map is taken to have."""


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def run(folder: Path, machines: Machines) -> dict[str, float]:
    """Return the clock seconds of each command, from nothing."""
    with tempfile.TemporaryDirectory() as made:
        out = Path(made)
        rules = Rules(annotated=0.01)
        steps: dict[str, Callable[[], Any]] = {
            "curate": lambda: curate(folder, out / "curated", machines),
            "annotate": lambda: annotate(folder, out / "truth", None, machines),
            "segment": lambda: segment(folder, out / "truth", out / "segments", None, "val", rules, machines),
        }
        return {name: seconds(step, time.perf_counter)[0] for name, step in steps.items()}


def seconds(step: Callable[[], Any], clock: Callable[[], float]) -> tuple[float, Any]:
    """Return how long a call took, and what it returned."""
    began = clock()
    result = step()
    return clock() - began, result


def parts(candidate: Candidate) -> dict[str, float]:
    """Return the CPU seconds of what is done with one pair."""
    pair, clock, took = candidate.pair, time.process_time, {}
    took["reading the map, three times"], density_map = seconds(lambda: read_map(pair.map_path), clock)
    took["reading the map, three times"] *= 3
    took["model and copies"], model = seconds(lambda: read_model(pair.model_paths, density_map), clock)
    structure = model.structure
    took["secondary structure, twice"], classes = seconds(lambda: residue_classes(structure), clock)
    took["secondary structure, twice"] *= 2
    took["figures of the fit"], _ = seconds(
        lambda: measure_fit(density_map, structure, classes, pair.resolution), clock
    )
    took["picture"], _ = seconds(lambda: central_slices(density_map, structure, classes), clock)
    took["ground truth"], _ = seconds(
        lambda: voxel_truth(density_map.density, density_map.grid, structure, classes), clock
    )
    took["other voxels, normalisation"], _ = seconds(
        lambda: Normaliser()(
            working_density(density_map.density, density_map.grid), working_grid(density_map.grid).voxel_size
        ),
        clock,
    )
    return took


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--whole", default="EMD-11007", help="pair whose map is a whole deposited one")
    settings = parser.parse_args()
    candidates = {candidate.name: candidate for candidate in read_candidates(settings.pairs)}
    number = len(candidates)
    print("| workers | curate, s | annotate, s | segment, s | maps/minute | CPU s/map |")
    print("|---|---|---|---|---|---|")
    for name in ("1", "2", "Dask, 2"):
        used = cpu_seconds()
        with ExitStack() as stack:
            machines = Machines(workers=int(name[-1]))
            if name.startswith("Dask"):
                cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
                machines = Machines(scheduler=stack.enter_context(cluster).scheduler_address)
            took = run(settings.pairs, machines)
        whole = sum(took.values())
        cells = " | ".join(f"{one:.0f}" for one in took.values())
        used = cpu_seconds() - used
        print(f"| {name} | {cells} | {60 * number / whole:.1f} | {used / number:.1f} |", flush=True)

    candidate = candidates[settings.whole]
    took = parts(candidate)
    voxels = read_map(candidate.pair.map_path).grid.voxels
    print(f"\n{settings.whole}, {voxels / 1e6:.1f} million voxels: {sum(took.values()):.1f} s of CPU")
    for what, one in sorted(took.items(), key=lambda item: -item[1]):
        print(f"  {one:4.1f} s  {what}")
    times = ENTRIES * EDGE**3 / voxels
    hours = sum(took.values()) * times / 3600
    size = candidate.pair.map_path.stat().st_size * times
    print(f"\n{ENTRIES:,} entries of {EDGE}³ voxels: {hours:.0f} hours of one core, {size / 1e12:.1f} TB")


if __name__ == "__main__":
    main()
