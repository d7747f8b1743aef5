"""Memory that a tile takes on a CPU, by network, runtime and size, beside what the program expects.

    python benchmarks/tile_memory.py --networks residual mostosi2020 --edges 64 88 120

Each row is a process of its own: the growth of its peak from a small tile on, for each voxel of the input,
without input and output themselves. Where OpenVINO is installed, its rows follow.
"""

import argparse
import importlib.util
import multiprocessing
from pathlib import Path

import numpy as np
from measuring import table

from haruspex_infer.engines import Engine, OpenVinoEngine, onnxruntime_engine
from haruspex_infer.network import METADATA_KEY, find_network, numbers_held
from haruspex_infer.onnxfile import read_metadata
from haruspex_infer.resources import available_cores

SMALL = 24


def load(model: bytes, runtime: str) -> Engine:
    """Return a network on a runtime: ``onnxruntime``, or the number format for OpenVINO."""
    if runtime == "onnxruntime":
        return onnxruntime_engine(model, runtime, available_cores())
    return OpenVinoEngine(model, available_cores(), runtime)


def peak() -> int:
    """Return the bytes of memory that this process has held at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(dict(line.split(":", 1) for line in lines)["VmHWM"].split()[0])


def measure(network: str, runtime: str, edge: int) -> list[str]:
    """Return the row of one tile."""
    model = find_network(network).read_bytes()
    engine = load(model, runtime)
    engine.run(np.zeros((1, 1, SMALL, SMALL, SMALL), np.float32), None)
    before = peak()
    tile = np.random.default_rng(0).normal(size=(1, 1, edge, edge, edge)).astype(np.float32)
    answer = engine.run(tile, None)
    measured = (peak() - before - tile.nbytes - answer.nbytes) / tile.size
    expected = numbers_held(read_metadata(model, METADATA_KEY)) * engine.bytes_per_number
    return [network, engine.name, f"{edge}³", f"{measured:.0f}", f"{expected:.0f}"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", default=["residual", "mostosi2020"])
    parser.add_argument("--edges", type=int, nargs="+", default=[64, 88, 120])
    options = parser.parse_args()
    runtimes = ["onnxruntime"]
    if importlib.util.find_spec("openvino") is not None:
        runtimes += ["f32", "bf16"]
    rows = [(n, r, e) for n in options.networks for r in runtimes for e in options.edges]
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as processes:
        measured = processes.starmap(measure, rows, 1)
    print(table(["network", "runtime", "tile", "bytes a voxel", "expected"], measured))


if __name__ == "__main__":
    main()
