"""Reading and rewriting ONNX files, judged by the onnx package and ONNX Runtime."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from toys import lump, metadata, pointwise_network, save_network, valid_network

from haruspex_infer.halves import CannotHalveError, halved, read_metadata
from haruspex_infer.network import METADATA_KEY, find_network, shipped_networks


def answer(model, density):
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"density": density})[0]


def test_metadata_are_read_without_a_runtime(toy):
    assert json.loads(read_metadata(toy.read_bytes(), METADATA_KEY)) == metadata()
    assert read_metadata(toy.read_bytes(), "another") is None


@pytest.mark.parametrize("data", [b"", b"not a network", b"\x08", b"\xff" * 40])
def test_what_is_no_network_has_no_metadata(data):
    assert read_metadata(data, METADATA_KEY) is None


@pytest.mark.parametrize("name", sorted(shipped_networks()))
def test_networks_that_ship_compute_in_float16_between_float32_ends(name):
    original = find_network(name).read_bytes()
    half = halved(original)
    model = onnx.load_from_string(half)
    onnx.checker.check_model(model, full_check=True)
    assert len(half) <= len(original)
    inferred = onnx.shape_inference.infer_shapes(model).graph
    kinds = {v.name: v.type.tensor_type.elem_type for v in inferred.value_info}
    convolved = [node.output[0] for node in model.graph.node if node.op_type.startswith("Conv")]
    assert len(convolved) > 8
    assert {kinds[name] for name in convolved} == {onnx.TensorProto.FLOAT16}
    assert inferred.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert inferred.output[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    density = lump((40, 40, 48))[None, None]
    # ONNX Runtime computes the halved network on a CPU too, with the weights and biases of float16
    np.testing.assert_allclose(answer(half, density), answer(original, density), atol=5e-3)


def test_weights_in_float32_are_rounded(tmp_path):
    path = pointwise_network(tmp_path / "toy.onnx")
    density = lump((8, 8, 8))[None, None]
    np.testing.assert_allclose(
        answer(halved(path.read_bytes()), density), answer(str(path), density), atol=3e-3
    )


def test_what_cannot_be_halved_is_left_alone(tmp_path):
    with pytest.raises(CannotHalveError, match="AveragePool"):
        halved(valid_network(tmp_path / "valid.onnx").read_bytes())
    nodes = [helper.make_node("Concat", ["density"] * 4, ["probabilities"], axis=1)]
    path = save_network(tmp_path / "bare.onnx", nodes, {}, metadata())
    with pytest.raises(CannotHalveError, match="no softmax"):
        halved(path.read_bytes())
