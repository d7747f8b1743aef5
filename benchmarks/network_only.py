"""Voxels a second of the network alone, by runtime, number format and tile.

    python benchmarks/network_only.py --device cpu --edges 48 --map MAP
    python benchmarks/network_only.py --device cuda --edges 40 96 128

Every row is one runtime on one tile, in the same run on the same input: medians of five, times of input and
output included, the largest difference of a probability and the share of other labels (where there is
density) against ONNX Runtime in float32 on the same device. The tile is the middle of a map, or noise. On a
CPU graphs of `cpu_graphs.py` follow; 8-bit integers are scaled by four tiles beside the middle. PyTorch runs
the weights that lie beside the network (NETWORK.pt).
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from measuring import median_seconds, table
from numpy.typing import NDArray

from haruspex_infer.engines import (
    Engine,
    OnnxRuntimeEngine,
    OpenVinoEngine,
    cuda_session,
    gpu_trials,
    onnxruntime_engine,
)
from haruspex_infer.mapfile import read_map
from haruspex_infer.network import METADATA_KEY, find_network, parse_contract
from haruspex_infer.onnxfile import read_metadata
from haruspex_infer.plan import find_molecule
from haruspex_infer.resources import available_cores

Call = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def runtimes(
    network: str, device: str, threads: int, beside: Callable[[], list[NDArray[np.float32]]]
) -> Iterator[tuple[str, Callable[[], Call]]]:
    """Yield the name of each runtime that is there, and what loads it; `beside` makes tiles to scale by."""
    path = find_network(network)
    model = path.read_bytes()
    if device == "cpu":
        yield "onnxruntime float32", lambda: _call(onnxruntime_engine(model, network, threads))
        for precision in ("f32", "bf16"):
            yield f"openvino {precision}", partial(_openvino, model, threads, precision)
        yield from _other_graphs(model, network, threads, beside)
    else:
        for name, graph, extra, _ in reversed(gpu_trials(model)):
            yield name, partial(_cuda, name, graph, threads, extra)
    for kind in ("float32", "bfloat16") if device == "cpu" else ("float32", "float16"):
        yield f"pytorch {kind}", partial(_pytorch, path.with_suffix(".pt"), device, kind)


def _other_graphs(
    model: bytes, network: str, threads: int, beside: Callable[[], list[NDArray[np.float32]]]
) -> Iterator[tuple[str, Callable[[], Call]]]:
    def load(make: Callable[[], bytes], openvino: bool) -> Call:
        return (
            _openvino(make(), threads, "f32")
            if openvino
            else _call(onnxruntime_engine(make(), network, threads))
        )

    def in_sections() -> bytes:
        from cpu_graphs import sliced

        return sliced(model)

    def in_integers() -> bytes:
        from cpu_graphs import quantised

        return quantised(model, beside())

    for name, make in (("float32, 2D over sections", in_sections), ("8-bit integers", in_integers)):
        for openvino in (False, True):
            yield (
                f"{'openvino' if openvino else 'onnxruntime'} {name}",
                partial(load, make, openvino),
            )


def _call(engine: Engine) -> Call:
    return lambda tile: engine.run(tile, None)


def _openvino(model: bytes, threads: int, precision: str) -> Call:
    return _call(OpenVinoEngine(model, threads, precision))


def _cuda(name: str, model: bytes, threads: int, extra: dict[str, str]) -> Call:
    session, reason = cuda_session(model, 0, threads, extra)
    if session is None:
        raise RuntimeError(reason)
    return _call(OnnxRuntimeEngine(session, name, 0))


def _pytorch(weights: Path, device: str, kind: str) -> Call:
    import torch

    from haruspex_train.networks import NETWORKS
    from haruspex_train.progress import read_weights

    run = read_weights(weights, torch.device("cpu"))
    configuration = run["configuration"]
    network = NETWORKS[configuration["network"]](**configuration["network_options"])
    network.load_state_dict(run["weights"])
    network = network.float().eval().to(device)
    dtype = getattr(torch, kind)
    torch.backends.cudnn.benchmark = True
    layout = torch.channels_last_3d

    def call(tile: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode(), torch.autocast(device, dtype, enabled=dtype != torch.float32):
            given = torch.from_numpy(tile).to(device).contiguous(memory_format=layout)
            return torch.softmax(network(given).float(), 1).cpu().numpy()

    return call


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", default="residual")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--edges", type=int, nargs="+", default=[64, 96])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--map", type=Path, help="map to cut tiles from")
    options = parser.parse_args()
    source = normalised(options.map, options.network) if options.map else noise(max(options.edges) + 32)

    def beside() -> list[NDArray[np.float32]]:
        edge = min(options.edges)
        return [
            density(edge, source, shift) for shift in ((0, 0, 16), (0, 16, -16), (16, 0, 0), (-16, -16, 0))
        ]

    rows = []
    reference: dict[int, NDArray[np.float32]] = {}
    for name, load in runtimes(options.network, options.device, available_cores(), beside):
        try:
            began = time.perf_counter()
            call = load()
            loading = time.perf_counter() - began
        except Exception as error:  # one that is not installed, or fails, is a row as well
            rows.append([name, "", "", "", "", "", " ".join(str(error).split())[:60]])
            continue
        for edge in options.edges:
            tile = density(edge, source)
            try:
                answer = call(tile)  # a first call prepares for a shape
                worked: list[float] = []
                seconds = median_seconds(partial(_timed, call, tile, worked), options.repeats)
                processor = statistics.median(worked)
            except Exception as error:  # lack of memory, for instance
                rows.append([name, str(edge), "", "", "", "", " ".join(str(error).split())[:60]])
                continue
            plain = reference.setdefault(edge, answer)
            strong = tile[0, 0] >= 0.2
            differing = (answer[0].argmax(0) != plain[0].argmax(0))[strong].mean()
            rows.append(
                [
                    name,
                    str(edge),
                    f"{edge**3 / seconds / 1e6:.2f}",
                    f"{processor:.2f}",
                    f"{np.abs(answer - plain).max():.1e}",
                    f"{differing:.2%}",
                    f"loaded in {loading:.1f} s",
                ]
            )
    head = ["runtime", "tile", "Mvoxel/s", "CPU s a tile", "largest difference", "labels that differ", ""]
    print(table(head, rows))


def _timed(call: Call, tile: NDArray[np.float32], worked: list[float]) -> None:
    """Call, and note the seconds that all processor cores worked."""
    began = time.process_time()
    call(tile)
    worked.append(time.process_time() - began)


def noise(edge: int) -> NDArray[np.float32]:
    """Return a cube of what looks like normalised density to a runtime: mostly small, never constant."""
    return np.random.default_rng(0).gamma(0.3, 1.0, (edge,) * 3).clip(0, 8).astype(np.float32)


def normalised(path: Path, network: str) -> NDArray[np.float32]:
    """Return a map as the network wants it."""
    model = find_network(network)
    contract = parse_contract(read_metadata(model.read_bytes(), METADATA_KEY), network)
    plan = find_molecule(read_map(path), None, contract)
    return contract.normaliser.apply(plan.density, plan.offset, plan.scale)


def density(edge: int, source: NDArray[np.float32], shift: tuple[int, int, int] = (0, 0, 0)) -> NDArray:
    """Return a tile around the middle of a volume, or beside it, shape (1, 1, edge, edge, edge)."""
    first = [max(0, (n - edge) // 2 + by) for n, by in zip(source.shape, shift, strict=True)]
    values = source[tuple(slice(at, at + edge) for at in first)]
    values = np.pad(values, [(0, edge - n) for n in values.shape])
    return np.ascontiguousarray(values)[None, None]


if __name__ == "__main__":
    main()
