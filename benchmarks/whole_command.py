"""The whole command, split by stage, against the scheme of 2019, PyTorch's network and the floor.

    python benchmarks/whole_command.py MAP... --device cpu|cuda [--made 400] [--repeats 5]

For each map: the median run of the command as users start it (report off), its stages, then in the same run
(a) the scheme of the 2019 program with the same weights: tiles of 40³ every 20 voxels over the whole box,
    all in memory at once, no solvent skipped, the central 20³ of each answer kept; where there are more tiles
    than --sample says, so many are run and the time is scaled to all of them (marked ~); ratios of that to
    our network's stage, and of the whole command with the one or the other,
(b) PyTorch with the same weights on the same tiles as ours (with --pytorch),
(c) the floor: bytes read and written at the rate measured here for files of that size, and the voxels of our
    tiles at the rate of the fastest tile measured here.
"""

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from measuring import Run, median_run, median_seconds, run_command, table, write_made_map

from haruspex_infer.annotator import Annotator
from haruspex_infer.mapfile import read_map
from haruspex_infer.plan import Plan


def scheme_2019(annotator: Annotator, plan: Plan, sample: int) -> tuple[float, float, bool]:
    """Return the wall and processor seconds of the scheme of 2019, and whether they were scaled."""
    began, worked = time.perf_counter(), time.process_time()
    normalised = annotator.contract.normaliser.apply(plan.density, plan.offset, plan.scale)
    wide = np.pad(normalised, 20)
    starts = [(z, y, x) for z in _starts(wide, 0) for y in _starts(wide, 1) for x in _starts(wide, 2)]
    run = starts if len(starts) <= sample else starts[:: -(-len(starts) // sample)]
    tiles = np.stack([wide[z : z + 40, y : y + 40, x : x + 40] for z, y, x in run])[:, None]
    batch = 1 if annotator.session.device == "cpu" else 32
    answers = [annotator.session.run(tiles[first : first + batch]) for first in range(0, len(tiles), batch)]
    result = np.zeros((4, *wide.shape), dtype=np.float32)
    for (z, y, x), answer in zip(run, np.concatenate(answers), strict=True):
        result[:, z + 10 : z + 30, y + 10 : y + 30, x + 10 : x + 30] = answer[:, 10:30, 10:30, 10:30]
    scale = len(starts) / len(run)
    seconds, processor = time.perf_counter() - began, time.process_time() - worked
    return seconds * scale, processor * scale, len(run) < len(starts)


def _starts(wide: np.ndarray, axis: int) -> list[int]:
    return list(range(0, wide.shape[axis] - 39, 20))


def disk_rate(folder: Path, size: int) -> tuple[float, float]:
    """Return bytes a second of writing and of reading back a file, as the command does: through the cache."""
    data = np.random.default_rng(0).integers(0, 255, min(size, 2**28), dtype=np.uint8).tobytes()
    path = folder / "rate"
    writing = median_seconds(lambda: path.write_bytes(data), 3)
    reading = median_seconds(lambda: np.fromfile(path, np.uint8).sum(dtype=np.uint8), 3)
    path.unlink()
    return len(data) / writing, len(data) / reading


def network_rate(annotator: Annotator, plan: Plan) -> float:
    """Return voxels a second of the faster of two tiles: the ceiling of this device."""
    margin = annotator.contract.margin
    rates = []
    for edge in (64, 96) if annotator.session.device == "cpu" else (96, 128):
        tile = np.random.default_rng(0).gamma(0.3, 1.0, (1, 1, edge, edge, edge)).astype(np.float32)
        out = np.empty((1, 4, *[edge - 2 * margin] * 3), np.float32)
        annotator.session.run(tile, out)
        rates.append(edge**3 / median_seconds(partial(annotator.session.run, tile, out), 3))
    return max(rates)


def pytorch_seconds(annotator: Annotator, plan: Plan, network: str, device: str) -> float:
    """Return the seconds that PyTorch takes for the tiles of a plan."""
    from network_only import _pytorch

    from haruspex_infer.network import find_network

    kind, place = ("float32", "cpu") if device == "cpu" else ("float16", "cuda")
    call = _pytorch(find_network(network).with_suffix(".pt"), place, kind)
    tiles = [np.zeros((1, 1, *tile.shape), np.float32) for tile in plan.tiles.tiles]
    for tile in tiles:
        call(tile)
    return median_seconds(lambda: [call(tile) for tile in tiles], 3)


def measure(path: Path, options: argparse.Namespace, folder: Path) -> list[str]:
    """Measure one map; return a row of the table."""
    arguments = ["--device", options.device, "--network", options.network]
    runs: list[Run] = []
    while len(runs) < options.repeats and sum(run.wall for run in runs) < 60:
        runs.append(run_command([path], *arguments))
    run = median_run(runs)
    annotator = Annotator(options.network, options.device)
    map_ = read_map(path)
    plan = annotator.plan(map_)
    old, old_cpu, scaled = scheme_2019(annotator, plan, options.sample)
    writing, reading = disk_rate(folder, 16 * map_.grid.voxels)
    floor = path.stat().st_size / reading + 17 * map_.grid.voxels / writing
    floor += plan.tiles.voxels / network_rate(annotator, plan)
    seconds = run.summary["seconds"]
    stages = ", ".join(f"{name} {taken:.2f}" for name, taken in seconds.items())
    rest = run.wall - sum(seconds.values())
    size = 4 * map_.grid.voxels / 1e9
    pytorch = pytorch_seconds(annotator, plan, options.network, options.device) if options.pytorch else None
    return [
        path.name,
        f"{run.wall:.1f}",
        f"{stages}, start and the rest {rest:.2f}",
        f"{run.cpu:.1f}",
        f"{run.peak:.2f} ({run.peak / size:.1f} ×)",
        f"{run.summary['first_tile_seconds_after_start'] or 0:.1f}",
        f"{plan.tiles.voxels / 1e6:.1f}",
        f"{'~' if scaled else ''}{old:.1f} ({old / seconds['network']:.0f} ×, whole "
        f"{(run.wall - seconds['network'] + old) / run.wall:.1f} ×), CPU s {old_cpu:.0f}",
        "" if pytorch is None else f"{pytorch:.2f} (ours {seconds['network']:.2f})",
        f"{floor:.1f} ({run.wall / floor:.1f} ×)",
        str(len(runs)),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("maps", type=Path, nargs="*")
    parser.add_argument("--made", type=int, help="also a made map with this many voxels along an edge")
    parser.add_argument("--network", default="residual")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N,M")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sample", type=int, default=10_000, help="tiles of 40³ to run at most")
    parser.add_argument("--pytorch", action="store_true")
    options = parser.parse_args()
    head = ["map", "wall s", "stages", "CPU s", "peak GB (map as float32)", "first tile s", "Mvoxel computed"]
    head += ["(a) 2019 s", "(b) PyTorch's network s", "(c) floor s", "runs"]
    with tempfile.TemporaryDirectory() as folder:
        maps = list(options.maps)
        if options.made:
            maps.append(write_made_map(Path(folder) / f"made_{options.made}.mrc", options.made, 0.15))
        rows = []
        for path in maps:
            rows.append(measure(path, options, Path(folder)))
            print(table(head, rows[-1:]), flush=True)


if __name__ == "__main__":
    main()
