"""Coverage-guided fuzzing of everything that reads a file from strangers.

    python benchmarks/fuzz.py [--seconds 600] [--corpus PAIRS] [map structure contract network]

Mutates maps (plain and packed), atomic models (PDB and mmCIF), the metadata of networks and whole networks,
led by the coverage of haruspex_infer (atheris, which is libFuzzer for Python). Whatever a file holds, it is
read or refused with one sentence (`HaruspexError`). Anything else counts as a crash: another exception, a
sentence of several lines, a signal from native code, more than 10 seconds, or more memory than 1.5 GB. The
files to begin with are written here, or are the networks that ship, without their weights; ``--corpus`` adds
the headers and beginnings of a folder of real maps and models.

Prints a row for each target. Inputs that failed are kept in the folder ``--kept`` (fuzz-failures).
"""

import argparse
import bz2
import gzip
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

TARGETS = ("map", "structure", "contract", "network")
SECONDS_EACH, MEGABYTES = 10, 1536

_PDB = """\
HELIX    1   1 ALA A    1  ALA A    3  1                                   3
SHEET    1   A 1 ALA A   4  ALA A   5  0
ATOM      1  N   ALA A   1      11.104   6.134  -6.504  1.00 20.00           N
ATOM      2  CA  ALA A   1      11.639   6.071  -5.147  1.00 20.00           C
ATOM      3  C   ALA A   1      13.140   6.300  -5.200  1.00 20.00           C
ATOM      4  O   ALA A   1      13.700   6.900  -6.100  1.00 20.00           O
ATOM      5  P    DA B   2      15.700   6.900  -6.100  1.00 20.00           P
HETATM    6  O   HOH C   3A     18.700   6.900  -6.100  0.50 20.00           O
END
"""
_CIF = """\
data_X
loop_
_atom_site.group_PDB
_atom_site.id
_atom_site.type_symbol
_atom_site.label_atom_id
_atom_site.label_alt_id
_atom_site.label_comp_id
_atom_site.label_asym_id
_atom_site.label_entity_id
_atom_site.label_seq_id
_atom_site.Cartn_x
_atom_site.Cartn_y
_atom_site.Cartn_z
_atom_site.occupancy
_atom_site.B_iso_or_equiv
_atom_site.auth_seq_id
_atom_site.auth_asym_id
ATOM 1 N N . ALA A 1 1 11.1 6.1 -6.5 1.0 20.0 1 A
ATOM 2 C CA . ALA A 1 1 11.6 6.0 -5.1 1.0 20.0 1 A
"""


def seeds(target: str, pairs: Path | None) -> Iterator[bytes]:
    """Small files of every kind, and the beginnings of real ones."""
    from haruspex_infer.network import METADATA_KEY, shipped_networks
    from haruspex_infer.onnxfile import read_metadata

    shipped = [path.read_bytes() for _, path in sorted(shipped_networks().items())]
    if target == "map":
        plain = _small_map("<"), _small_map(">")
        yield from plain
        yield gzip.compress(plain[0], mtime=0)
        yield bz2.compress(plain[0])
        for path in sorted(pairs.rglob("*.gz")) if pairs else ():
            if re.search(r"\.(mrc|map|ccp4)\.gz$", path.name):
                with gzip.open(path) as stream:
                    header = stream.read(1024)
                yield struct.pack("<3i", 4, 4, 4) + header[12:] + bytes(range(256))
    elif target == "structure":
        yield _PDB.encode()
        yield _CIF.encode()
        for path in sorted(pairs.rglob("*.gz")) if pairs else ():
            if re.search(r"\.(pdb|cif)\.gz$", path.name):
                with gzip.open(path) as stream:
                    text = stream.read(400_000)
                atoms = text.find(b"\nATOM")
                yield text[:1500] + text[max(0, atoms - 2500) : atoms + 2500]
    elif target == "contract":
        yield json.dumps(_contract()).encode()
        yield from ((read_metadata(network, METADATA_KEY) or "").encode() for network in shipped)
    else:
        yield _small_network()
        yield from map(_without_weights, shipped)


def _small_map(order: str) -> bytes:
    header = struct.pack(
        order + "10i6f3i3f2i8s4si84x3f4s4sfi800x",
        *(4, 4, 4, 2, 1, 2, 3, 4, 4, 4),
        *(4.4, 4.4, 4.4, 90, 90, 90, 3, 2, 1, 0, 1, 2),
        *(1, 0, b"", b"", 20141, 1, 2, 3, b"MAP "),
        *(b"DD\0\0" if order == "<" else b"\x11\x11\0\0", 1.0, 1),
    )
    return header + struct.pack(order + "64f", *(float(k % 7) for k in range(64)))


def _contract() -> dict[str, object]:
    from haruspex_infer.classes import CLASS_NAMES

    return {
        "format": 1, "name": "seed", "version": "1", "classes": CLASS_NAMES,
        "voxel_size": {"min": 1.0, "max": 1.2, "target": 1.1},
        "margin": 0, "multiple": 8, "overlap": 8, "normalisation": {"percentile": 90.0},
    }  # fmt: skip


def _small_network() -> bytes:
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.ones((4, 1, 1, 1, 1), np.float32), "weight")
    nodes = [
        helper.make_node("Conv", ["density", "weight"], ["logits"], kernel_shape=[1, 1, 1]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    given, answer = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", channels, "d", "h", "w"])
        for name, channels in (("density", 1), ("probabilities", 4))
    )
    graph = helper.make_graph(nodes, "seed", [given], [answer], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"haruspex": json.dumps(_contract())})
    return model.SerializeToString()


def _without_weights(network: bytes) -> bytes:
    import onnx

    model = onnx.load_from_string(network)
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) > 64:
            tensor.ClearField("raw_data")
            tensor.dims[0] = 0
    model.graph.ClearField("value_info")
    return model.SerializeToString()


def reader(target: str, folder: Path) -> Callable[[bytes], None]:
    """Return what reads one input."""
    from haruspex_infer.backbone import modelled_classes
    from haruspex_infer.errors import HaruspexError
    from haruspex_infer.halves import halved
    from haruspex_infer.mapcheck import check_map
    from haruspex_infer.network import parse_contract
    from haruspex_infer.onnxfile import read_network
    from haruspex_infer.session import Session
    from haruspex_infer.structure import read_structure

    path = folder / "input"

    def read(content: bytes) -> None:
        if target == "contract":
            parse_contract(content.decode(errors="replace"), "input")
            return
        path.write_bytes(content)
        if target == "map":
            check_map(path)
        elif target == "structure":
            modelled_classes(read_structure(path))
        else:
            with suppress(ValueError):  # for a GPU; what cannot be halved is taken as it is
                halved(read_network(path))
            session = Session(path, "cpu")
            parse_contract(session.metadata, "input")

    def guarded(content: bytes) -> None:
        try:
            read(content)
        except HaruspexError as refusal:
            assert "\n" not in str(refusal), f"more than one line: {refusal}"

    return guarded


def fuzz(target: str, arguments: list[str]) -> None:
    """Fuzz one target in this process; never returns."""
    import atheris

    shared_memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=shared_memory) as folder:
        with atheris.instrument_imports(include=["haruspex_infer", "mrcfile"]):
            read = reader(target, Path(folder))
        atheris.Setup([sys.argv[0], *arguments], read)
        atheris.Fuzz()


def run(target: str, limit: list[str], seconds: float, options: argparse.Namespace) -> dict[str, float]:
    """Fuzz a target in processes of its own until the time is up; count what happened."""
    counts = {"inputs": 0.0, "coverage": 0.0, "crashes": 0.0, "hangs": 0.0, "memory": 0.0}
    options.kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds(target, options.corpus)):
            (Path(corpus) / f"seed{number}").write_bytes(seed)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 1:
            flags = [f"-max_total_time={int(left)}", f"-timeout={SECONDS_EACH}", f"-rss_limit_mb={MEGABYTES}"]
            flags += [f"-artifact_prefix={options.kept}/{target}-", "-print_final_stats=1", "-max_len=20000"]
            done = subprocess.run(
                [sys.executable, __file__, "--worker", target, *flags, *limit, corpus],
                capture_output=True,
                text=True,
                errors="replace",
                env=os.environ | {"PYTHONWARNINGS": "ignore"},
                check=False,
            )
            said = done.stderr
            counts["inputs"] += max([int(n) for n in re.findall(r"^#(\d+)", said, re.M)], default=0)
            covered = [int(n) for n in re.findall(r"cov: (\d+)", said)]
            counts["coverage"] = max([counts["coverage"], *covered])
            memory = [int(n) for n in re.findall(r"(?:rss: |peak_rss_mb: +)(\d+)", said)]
            counts["memory"] = max([counts["memory"], *memory])
            if done.returncode == 0:
                break
            hang = "ALARM" in said or "timeout" in said
            counts["hangs" if hang else "crashes"] += 1
            (options.kept / f"{target}-{time.time_ns()}.log").write_text(said[-20_000:])
    return counts


def main() -> None:
    """Fuzz the targets asked for, and print a table."""
    if sys.argv[1:2] == ["--worker"]:
        fuzz(sys.argv[2], sys.argv[3:])
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", default=TARGETS)
    parser.add_argument("--seconds", type=float, default=600, help="for each target")
    parser.add_argument("--runs", type=int, help="inputs for each target, whatever time they take")
    parser.add_argument("--corpus", type=Path, help="folder of real maps and models (.gz)")
    parser.add_argument("--kept", type=Path, default=Path("fuzz-failures"))
    options = parser.parse_args()
    limit = [f"-runs={options.runs}", "-seed=1"] if options.runs else []
    print("target      inputs  coverage  crashes  hangs  peak memory")
    failures = 0.0
    for target in options.targets:
        c = run(target, limit, options.seconds, options)
        failures += c["crashes"] + c["hangs"]
        figures = f"{c['inputs']:9,.0f}  {c['coverage']:8.0f}  {c['crashes']:7.0f}  {c['hangs']:5.0f}"
        print(f"{target:9} {figures}  {c['memory']:8.0f} MB", flush=True)
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
