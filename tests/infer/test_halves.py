"""Networks rewritten to float16, judged by the onnx package and ONNX Runtime."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from toys import lump, metadata, pointwise_network, save_network, valid_network

from haruspex_infer.halves import CannotHalveError, halved
from haruspex_infer.network import find_network, shipped_networks


def answer(model, density):
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"density": density})[0]


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


def without_inputs(model):
    del model.graph.node[-1].input[:]


def two_outputs(model):
    model.graph.output.append(model.graph.output[0])


def huge_weights(model):
    model.graph.initializer[0].raw_data = np.full(4, 1e6, np.float32).tobytes()


def odd_bytes(model):
    model.graph.initializer[0].raw_data = b"123"


@pytest.mark.parametrize("change", [without_inputs, two_outputs, huge_weights, odd_bytes])
def test_what_makes_no_sense_is_refused_as_such(tmp_path, change):
    """Strangers' networks are halved before ONNX Runtime has judged them."""
    model = onnx.load(pointwise_network(tmp_path / "toy.onnx"))
    change(model)
    with pytest.raises(ValueError, match=r"\w"):
        halved(model.SerializeToString())


def test_a_cast_of_nothing_is_left_to_the_runtime(tmp_path):
    model = onnx.load(pointwise_network(tmp_path / "toy.onnx"))
    model.graph.node.insert(0, helper.make_node("Cast", [], ["nothing"], to=1))
    assert len(onnx.load_from_string(halved(model.SerializeToString())).graph.node) == 5
