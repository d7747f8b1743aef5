"""Models and networks that cannot be used, for tests and for the table of bad inputs."""

import numpy as np
import onnx
from onnx import TensorProto
from toys import lump, metadata, metadata_text, pointwise_network, save_network

from haruspex_infer.inputs import as_mask
from haruspex_infer.mapfile import Map, read_map, write_map_like
from haruspex_infer.normalise import Normaliser
from haruspex_infer.onnxfile import seal
from haruspex_infer.placement import refuse_misplaced
from haruspex_infer.structure import read_structure

ATOM = "ATOM      1  CA  ALA A   1      11.104   6.134  -6.504  1.00 20.00           C\n"


def bad_models(folder):
    """Yield the names of atomic models that cannot be read."""
    contents = {
        "empty.pdb": b"",
        "text.pdb": b"no coordinates here\n",
        "waters.pdb": ATOM.replace("ALA", "HOH").replace("ATOM  ", "HETATM").encode(),
        "truncated.pdb.gz": b"\x1f\x8b\x08\x00",
        "not_text.pdb": ATOM.replace(" A   1", " \xff   1").encode("latin-1"),
        "nowhere.pdb": ATOM.replace("  11.104", "     nan").encode(),
        "broken.cif": b"data_x\nloop_\n_atom_site.id\n_atom_site.type_symbol\n1\n",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        yield name
    yield "missing.pdb"


def bad_companions(folder):
    """Yield the names of masks and models that do not suit a map, of a map of nothing, and readers."""
    map_ = Map.from_array(lump((16, 16, 16)), 1.1)
    volumes = {
        "other_mask.mrc": np.ones((8, 9, 10)),
        "empty_mask.mrc": np.zeros((16, 16, 16)),
        "density_as_mask.mrc": 20 * lump((16, 16, 16)),
        "constant.mrc": np.ones((16, 16, 16)),
    }
    for name, volume in volumes.items():
        density = volume.astype(np.float32)
        write_map_like(Map.from_array(density, 1.1), density, folder / name, "made for a test")
    for name in ("other_mask.mrc", "empty_mask.mrc", "density_as_mask.mrc"):
        yield name, lambda path: as_mask(path, map_)
    yield "constant.mrc", lambda path: Normaliser().measure(read_map(path).density, map_.grid.voxel_size)
    (folder / "elsewhere.pdb").write_text(ATOM.replace("  11.104", " 711.104"))
    yield "elsewhere.pdb", lambda path: refuse_misplaced(read_structure(path), map_.grid, path.name)


def bad_networks(folder):
    """Yield the names of networks that cannot be run."""
    (folder / "text.onnx").write_bytes(b"not a network")
    yield "text.onnx"
    good = pointwise_network(folder / "good.onnx")
    (folder / "truncated.onnx").write_bytes(good.read_bytes()[:-3])
    yield "truncated.onnx"
    changed = bytearray(seal(good.read_bytes()))
    changed[changed.index(np.float32(4.0).tobytes())] ^= 1
    (folder / "changed.onnx").write_bytes(changed)
    yield "changed.onnx"
    model = onnx.load(good)
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    (folder / "elsewhere.onnx").write_bytes(model.SerializeToString())
    yield "elsewhere.onnx"
    model = onnx.load(good)
    model.graph.node[0].domain = "com.example"
    (folder / "foreign.onnx").write_bytes(model.SerializeToString())
    yield "foreign.onnx"
    nodes = [onnx.helper.make_node("Concat", ["density"] * 3, ["probabilities"], axis=1)]
    save_network(folder / "three_classes.onnx", nodes, {}, metadata(), classes=3)
    yield "three_classes.onnx"
    abouts = {
        "no_metadata.onnx": None,
        "later_format.onnx": metadata_text(format=2),
        "impossible.onnx": metadata_text(multiple=0),
        "nested.onnx": "[" * 100_000,
    }
    for name, text in abouts.items():
        made = pointwise_network(folder / name, metadata())
        model = onnx.load(made)
        del model.metadata_props[:]
        if text is not None:
            onnx.helper.set_model_props(model, {"haruspex": text})
        made.write_bytes(model.SerializeToString())
        yield name
