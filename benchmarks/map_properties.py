"""Properties of reading and annotating maps, on generated cases: how many were run and how far any deviates.

    python benchmarks/map_properties.py [--headers 5000] [--cases 500]

*Headers*: files of every mode, byte order, axis order and machine stamp (right, missing, contradicting), with
nstart, origin, both or neither, space group 0 or 1, extended headers and packing are written byte by byte and
read. Density and position must come back exactly as they were meant.

*Annotation*: a map is stored in another axis order, moved (origin or nstart), padded with solvent, multiplied
and shifted in density, all at once. Its annotation must be the first one, so moved and padded. The bound is
stated for a network that looks at one voxel at a time, so that nothing but the program can deviate.
"""

import argparse
import gzip
import itertools
import struct
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from haruspex_infer.annotator import Annotator
from haruspex_infer.mapfile import Map, read_map

BOUND = 2e-4
"""Largest deviation of a probability."""

_CLEAR = 3  # voxels of 1.1 Å
_TYPES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_STAMPS = {"<": bytes((0x44, 0x44, 0, 0)), ">": bytes((0x11, 0x11, 0, 0))}


@dataclass(frozen=True)
class Storage:
    """How a map lies in a file.

    Attributes
    ----------
    order : tuple of 3
        Spatial axis (1 = x) of columns, rows and sections.
    mode : int
        Type of the numbers.
    byte_order : str
        ``<`` or ``>``.
    stamp : str
        ``right``, ``missing`` or ``wrong``.
    start : tuple of 3
        First voxel (x, y, z) from the origin of the cell, voxels.
    origin : tuple of 3
        Position (x, y, z), Å.
    ispg, extended : int
        Space group, and bytes between header and data.
    packed : bool
        Whether by gzip.
    """

    order: tuple[int, ...] = (1, 2, 3)
    mode: int = 2
    byte_order: str = "<"
    stamp: str = "right"
    start: tuple[int, ...] = (0, 0, 0)
    origin: tuple[float, ...] = (0.0, 0.0, 0.0)
    ispg: int = 1
    extended: int = 0
    packed: bool = False


def storages(modes: tuple[int, ...] = tuple(_TYPES)) -> st.SearchStrategy[Storage]:
    """Every way to store a map."""
    position = st.floats(-500, 500, width=32)
    return st.builds(
        Storage,
        order=st.sampled_from(list(itertools.permutations((1, 2, 3)))),
        mode=st.sampled_from(modes),
        byte_order=st.sampled_from("<>"),
        stamp=st.sampled_from(("right", "missing", "wrong")),
        start=st.just((0, 0, 0)) | st.tuples(*[st.integers(-500, 500)] * 3),
        origin=st.just((0.0, 0.0, 0.0)) | st.tuples(position, position, position),
        ispg=st.sampled_from((0, 1)),
        extended=st.sampled_from((0, 80, 160, 1024, 3000)),
        packed=st.booleans(),
    )


def write(path: Path, volume: NDArray[Any], voxel: tuple[float, ...], how: Storage) -> None:
    """Write a volume (z, y, x) with voxel edges (x, y, z), field by field, with no library's help."""
    column, row, section = how.order
    data = volume.transpose(3 - section, 3 - row, 3 - column)
    shape = volume.shape[::-1]
    stamps = {"right": how.byte_order, "wrong": "<" if how.byte_order == ">" else ">"}
    stamp = _STAMPS[stamps[how.stamp]] if how.stamp in stamps else bytes(4)
    header = struct.pack(
        how.byte_order + "10i6f3i3f2i8s4si84x3f4s4sfi800x",
        *data.shape[::-1],
        how.mode,
        *(how.start[axis - 1] for axis in how.order),
        *shape,
        *(n * edge for n, edge in zip(shape, voxel, strict=True)),
        *(90.0, 90.0, 90.0),
        *how.order,
        *(0.0, -1.0, -2.0),
        how.ispg,
        how.extended,
        *(b"", b""),
        0,
        *how.origin,
        b"MAP ",
        stamp,
        -1.0,
        0,
    )
    raw = header + b"\xa5" * how.extended + data.astype(how.byte_order + _TYPES[how.mode]).tobytes()
    path.write_bytes(gzip.compress(raw, compresslevel=1, mtime=0) if how.packed else raw)


def headers_are_read_right(folder: Path, examples: int) -> int:
    """Write and read generated files; return how many. A file read wrong raises AssertionError."""
    count = 0

    @settings(max_examples=examples, database=None, deadline=None, derandomize=True)
    @given(
        how=storages(),
        shape=st.tuples(*[st.integers(2, 7)] * 3),
        voxel=st.tuples(*[st.floats(0.3, 9)] * 3),
        seed=st.integers(0, 2**32 - 1),
    )
    def check(how: Storage, shape: tuple[int, ...], voxel: tuple[float, ...], seed: int) -> None:
        nonlocal count
        count += 1
        low, high = {0: (-128, 127), 6: (0, 65535), 12: (-2048, 2048)}.get(how.mode, (-32768, 32767))
        volume = np.random.default_rng(seed).integers(low, high, shape, endpoint=True)
        path = folder / "generated.map"
        write(path, volume, voxel, how)
        got = read_map(path)
        assert np.array_equal(got.density, volume)
        np.testing.assert_allclose(got.grid.voxel_size, voxel[::-1], rtol=1e-6)
        by_start = np.multiply(how.start, got.grid.voxel_size[::-1])
        place = how.origin if any(how.origin) else by_start
        np.testing.assert_allclose(got.grid.origin[::-1], place, rtol=1e-6, atol=1e-6)
        assert bool(got.warnings) >= (how.stamp != "right")

    check()
    return count


def annotations_agree(annotator: Annotator, folder: Path, examples: int) -> tuple[int, float]:
    """Annotate generated maps twice; return how many, and the largest deviation of a probability."""
    cases, worst = 0, 0.0

    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        how=storages(modes=(2,)),
        shape=st.tuples(*[st.integers(18, 40)] * 3),
        padding=st.tuples(*[st.tuples(*[st.integers(0, 12)] * 2)] * 3),
        factor=st.floats(1e-3, 1e3),
        shift=st.floats(-10, 10),
        seed=st.integers(0, 2**32 - 1),
    )
    def check(
        how: Storage,
        shape: tuple[int, ...],
        padding: tuple[tuple[int, int], ...],
        factor: float,
        shift: float,
        seed: int,
    ) -> None:
        nonlocal cases, worst
        cases += 1
        volume = _molecule(shape, seed)
        first = annotator.annotate(Map.from_array(volume, 1.1)).probabilities
        path = folder / "changed.map"
        changed = (np.pad(volume, padding) * factor + shift * factor).astype(np.float32)
        write(path, changed, (1.1, 1.1, 1.1), how)
        second = annotator.annotate(read_map(path)).probabilities
        inside = tuple(slice(low, low + n) for (low, _), n in zip(padding, shape, strict=True))
        worst = max(worst, float(np.abs(second[:, *inside] - first).max()))
        outside = np.ones(changed.shape, bool)
        outside[inside] = False
        worst = max(worst, float(1 - second[0][outside].min(initial=1)))

    check()
    return cases, worst


def _molecule(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Uneven density within a soft ellipsoid, exactly nothing outside, nor close to the faces of the box."""
    rng = np.random.default_rng(seed)
    # the scale is measured within 3 Å of strong density: what lies beyond the box must be nothing as well
    ends = [(n - 1) / (n - 1 - 2 * _CLEAR) for n in shape]
    places = np.meshgrid(*(np.linspace(-e, e, n) for e, n in zip(ends, shape, strict=True)), indexing="ij")
    radius = np.sqrt(sum(place**2 for place in places))
    return (np.clip(1 - radius, 0, 0.4) * rng.gamma(2.0, 1.0, shape)).astype(np.float32)


def solvent_is_other(folder: Path) -> Path:
    """Write a network that looks at single voxels and calls solvent *other* beyond doubt, as trained ones do.

    Tiles that hold only solvent are not run, and their voxels are *other*.
    """
    import json

    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from haruspex_infer.classes import CLASS_NAMES

    weight = np.array([-80, 2, 1, 4], np.float32).reshape(4, 1, 1, 1, 1)
    bias = np.array([40, 0.2, 0.3, -2.5], np.float32)
    nodes = [
        helper.make_node("Conv", ["density", "weight", "bias"], ["logits"], kernel_shape=[1, 1, 1]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "voxelwise",
        [helper.make_tensor_value_info("density", TensorProto.FLOAT, ["n", 1, "d", "h", "w"])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 4, "d", "h", "w"])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    about = {
        "format": 1, "name": "voxelwise", "version": "1", "classes": CLASS_NAMES,
        "voxel_size": {"min": 1.0, "max": 1.2, "target": 1.1},
        "margin": 0, "multiple": 8, "overlap": 8, "normalisation": {},
    }  # fmt: skip
    helper.set_model_props(model, {"haruspex": json.dumps(about)})
    path = folder / "voxelwise.onnx"
    onnx.save(model, path)
    return path


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--headers", type=int, default=5000)
    parser.add_argument("--cases", type=int, default=500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        count = headers_are_read_right(folder, options.headers)
        print(f"headers generated and read as they were meant: {count:,} of {count:,}")
        annotator = Annotator(solvent_is_other(folder), "cpu")
        cases, worst = annotations_agree(annotator, folder, options.cases)
        print(f"maps annotated as stored otherwise, moved, padded and scaled: {cases:,}")
        print(f"largest deviation of a probability: {worst:.2g} (bound {BOUND:g})")


if __name__ == "__main__":
    main()
