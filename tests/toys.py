"""Small networks with known answers, and maps made for tests."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from haruspex_infer.classes import CLASS_NAMES

POINTWISE_WEIGHT = np.array([-3.0, 2.0, 1.0, 4.0], dtype=np.float32)
POINTWISE_BIAS = np.array([1.0, 0.2, 0.3, -2.5], dtype=np.float32)


def metadata(**changes) -> dict:
    """Metadata of a network, with changes."""
    return {
        "format": 1,
        "name": "toy",
        "version": "0.0.1",
        "licence": "BSD-3-Clause",
        "classes": list(CLASS_NAMES),
        "voxel_size": {"min": 1.0, "max": 1.2, "target": 1.1},
        "margin": 0,
        "multiple": 8,
        "overlap": 8,
        "normalisation": {},
        "training": {},
    } | changes


def save_network(path: Path, nodes, constants, meta, classes: int = 4) -> Path:
    """Write an ONNX file: input density, output probabilities."""
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("density", TensorProto.FLOAT, ["n", 1, "d", "h", "w"])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", classes, "e", "f", "g"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if meta is not None:
        helper.set_model_props(model, {"haruspex": meta if isinstance(meta, str) else json.dumps(meta)})
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def pointwise_network(path: Path, meta=None, weight=POINTWISE_WEIGHT, bias=POINTWISE_BIAS) -> Path:
    """A network whose answer at a voxel depends on that voxel alone: tiles must not show in the result."""
    nodes = [
        helper.make_node("Conv", ["density", "weight", "bias"], ["logits"], kernel_shape=[1, 1, 1]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    weight, bias = np.asarray(weight, np.float32), np.asarray(bias, np.float32)
    constants = {"weight": weight.reshape(4, 1, 1, 1, 1), "bias": bias}
    return save_network(path, nodes, constants, metadata() if meta is None else meta)


def valid_network(path: Path, margin: int = 3, **changes) -> Path:
    """A network of valid convolutions around a 2× pooling, whose answer depends on the pooling's phase."""
    rng = np.random.default_rng(3)
    edge = 2 * margin + 1
    constants = {
        "weight": rng.normal(size=(4, 1, edge, edge, edge)).astype(np.float32),
        "bias": np.zeros(4, dtype=np.float32),
        "scales": np.array([1, 1, 2, 2, 2], dtype=np.float32),
    }
    nodes = [
        helper.make_node("AveragePool", ["density"], ["pooled"], kernel_shape=[2] * 3, strides=[2] * 3),
        helper.make_node(
            "Resize",
            ["pooled", "", "scales"],
            ["coarse"],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        ),
        helper.make_node("Conv", ["coarse", "weight", "bias"], ["logits"], kernel_shape=[edge] * 3),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    meta = metadata(margin=margin, multiple=2, overlap=0) | changes
    return save_network(path, nodes, constants, meta)


def pointwise_probabilities(normalised: np.ndarray) -> np.ndarray:
    """What `pointwise_network` must answer, shape (4, z, y, x)."""
    logits = POINTWISE_WEIGHT.reshape(4, 1, 1, 1) * normalised + POINTWISE_BIAS.reshape(4, 1, 1, 1)
    powers = np.exp(logits - logits.max(axis=0))
    return powers / powers.sum(axis=0)


def lump(shape=(40, 36, 44), seed: int = 0, noise: float = 0.02) -> np.ndarray:
    """A lump of uneven density in noise, float32."""
    rng = np.random.default_rng(seed)
    places = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    radius = np.sqrt(sum(place**2 for place in places))
    density = noise * rng.standard_normal(shape)
    density += (radius < 0.7) * rng.gamma(2.0, 0.4, shape)
    return density.astype(np.float32)


def metadata_text(**changes) -> str:
    """Metadata as they stand in a file."""
    return json.dumps(metadata(**changes))
