"""Networks from elsewhere: what they may not hold, and the seal."""

import json
import shutil

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from toys import metadata, pointwise_network

from haruspex_infer.errors import HaruspexError
from haruspex_infer.network import METADATA_KEY, shipped_networks
from haruspex_infer.onnxfile import SEAL, read_metadata, read_network, seal
from haruspex_infer.session import Session


def test_networks_that_ship_are_accepted():
    for path in shipped_networks().values():
        content = read_network(path)
        assert content == path.read_bytes()
        assert seal(content) == content  # it carries the digest of just these contents


def test_a_sealed_network_runs_and_a_changed_one_does_not(tmp_path):
    path = pointwise_network(tmp_path / "toy.onnx")
    plain = path.read_bytes()
    sealed = seal(plain)
    path.write_bytes(sealed)
    assert read_network(path) == sealed
    tiles = np.random.default_rng(0).normal(size=(1, 1, 8, 8, 8)).astype(np.float32)
    assert Session(path, "cpu").run(tiles).shape == (1, 4, 8, 8, 8)
    entries = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert entries[SEAL].startswith("sha256:")
    assert json.loads(entries["haruspex"]) == metadata()
    weight = plain.index(np.float32(4.0).tobytes())
    for place in (weight, plain.index(b'"overlap"') + 1, sealed.index(b"sha256:") + 10):
        changed = bytearray(sealed)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(HaruspexError, match="is not what was exported: its contents and the digest"):
            Session(path, "cpu")


def test_a_seal_is_renewed_not_added(tmp_path):
    plain = pointwise_network(tmp_path / "toy.onnx").read_bytes()
    assert seal(seal(plain)) == seal(plain)
    assert seal(plain).startswith(plain)
    # another program may write the fields in another order: that is another file
    model = onnx.load_model_from_string(seal(plain))
    assert seal(model.SerializeToString()) != b""
    (tmp_path / "again.onnx").write_bytes(seal(model.SerializeToString()))
    read_network(tmp_path / "again.onnx")


def test_metadata_are_read_without_a_runtime(toy):
    assert json.loads(read_metadata(toy.read_bytes(), METADATA_KEY)) == metadata()
    assert read_metadata(toy.read_bytes(), "another") is None


@pytest.mark.parametrize("data", [b"", b"not a network", b"\x08", b"\xff" * 40, b"\x72\x02\x0a\x05"])
def test_what_is_no_network_has_no_metadata(data):
    assert read_metadata(data, METADATA_KEY) is None


def external_data(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def external_data_without_saying_so(model):
    model.graph.initializer[0].external_data.add(key="location", value="../weights.bin")


def external_data_in_a_subgraph(model):
    constant = numpy_helper.from_array(np.zeros(3, np.float32), "c")
    external = TensorProto()
    external.CopyFrom(constant)
    external.data_location = TensorProto.EXTERNAL
    inner = helper.make_graph([], "inner", [], [], [external])
    model.graph.node.append(
        helper.make_node("If", ["density"], ["unused"], then_branch=inner, else_branch=inner)
    )


def external_data_in_an_attribute(model):
    external = numpy_helper.from_array(np.zeros(3, np.float32), "c")
    external.data_location = TensorProto.EXTERNAL
    model.graph.node.append(helper.make_node("Constant", [], ["unused"], value=external))


def custom_operator(model):
    model.graph.node.append(helper.make_node("Shell", ["density"], ["unused"], domain="com.evil"))


def custom_operator_set(model):
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def functions(model):
    node = helper.make_node("Relu", ["x"], ["y"])
    opset = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("", "Mine", ["x"], ["y"], [node], opset))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (external_data, "keeps its weights in another file"),
        (external_data_without_saying_so, "keeps its weights in another file"),
        (external_data_in_a_subgraph, "keeps its weights in another file"),
        (external_data_in_an_attribute, "keeps its weights in another file"),
        (custom_operator, "asks for operators that are not of the ONNX standard"),
        (custom_operator_set, "asks for operators that are not of the ONNX standard"),
        (functions, "holds functions or training steps of its own"),
    ],
)
def test_networks_that_reach_beyond_their_file(tmp_path, change, fault):
    path = pointwise_network(tmp_path / "toy.onnx")
    model = onnx.load(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(HaruspexError, match=fault) as error:
        Session(path, "cpu")
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00", b"not a network at all", b"\x3a\xff\xff\xff\xff\x7f", b"\xff" * 40, b"\x3a\x02\x0b"],
)
def test_bytes_that_are_no_network(tmp_path, content):
    path = tmp_path / "a.onnx"
    path.write_bytes(content)
    with pytest.raises(HaruspexError, match="is not an ONNX file, or is damaged"):
        Session(path, "cpu")


def test_a_field_that_readers_see_differently(tmp_path):
    """Protocol Buffers in C++ drop the bits of a tag beyond 32: a foreign domain could hide behind them."""
    path = pointwise_network(tmp_path / "toy.onnx")
    plain = path.read_bytes()
    path.write_bytes(plain + bytes([0xA2, 0x81, 0x80, 0x80, 0x10, 0]))  # 20, training steps, and bit 32
    with pytest.raises(HaruspexError, match="is not an ONNX file, or is damaged"):
        read_network(path)
    path.write_bytes(plain + bytes([0xA2, 0x81, 0x80, 0x80, 0x00, 0]))
    with pytest.raises(HaruspexError, match="holds functions or training steps of its own"):
        read_network(path)


def test_a_file_that_is_also_of_another_format(tmp_path):
    """ONNX Runtime takes a file with ORTM at its fifth byte for its own format, whatever else it is."""
    path = pointwise_network(tmp_path / "toy.onnx")
    path.write_bytes(b"\x12\x06xxORTM" + path.read_bytes())
    assert onnx.load(path).producer_name == "xxORTM"  # it is ONNX as well
    with pytest.raises(HaruspexError, match="is not an ONNX file, or is damaged"):
        Session(path, "cpu")


def test_a_truncated_network(tmp_path):
    path = pointwise_network(tmp_path / "toy.onnx")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(HaruspexError, match="is not an ONNX file, or is damaged"):
        Session(path, "cpu")


def test_graphs_nested_without_end(tmp_path):
    """A graph in a node of a graph in a node …: refused before the stack is."""
    path = pointwise_network(tmp_path / "toy.onnx")
    content = b""
    for _ in range(4000):
        for tag in (0x32, 0x2A, 0x0A):  # graph of an attribute of a node
            size = len(content)
            length = bytearray()
            while size > 127:
                length.append(size & 127 | 128)
                size >>= 7
            content = bytes([tag, *length, size]) + content
    whole = path.read_bytes()
    path.write_bytes(whole + b"\x3a" + _length(content) + content)
    with pytest.raises(HaruspexError, match="is not an ONNX file, or is damaged"):
        read_network(path)


def _length(content):
    size, digits = len(content), bytearray()
    while size > 127:
        digits.append(size & 127 | 128)
        size >>= 7
    return bytes([*digits, size])


def test_a_network_that_cannot_be_read(tmp_path):
    folder = tmp_path / "a.onnx"
    folder.mkdir()
    with pytest.raises(HaruspexError, match="cannot be read"):
        read_network(folder)
    shutil.rmtree(folder)
