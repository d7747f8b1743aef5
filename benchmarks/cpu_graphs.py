"""Other graphs of a network for CPUs, which network_only.py measures beside the one that ships.

`sliced` computes 3D convolutions as 2D ones over the sections of a tile, and `quantised` in 8-bit integers.
Both want the `onnx` package, and the second `onnxruntime`'s tools of quantisation.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper


def sliced(model: bytes) -> bytes:
    """Return the same network with sections as the batch of 2D convolutions, for tiles of batch 1.

    Activations have the shape (d, channels, h, w). A kernel of 3 along z becomes three times the channels:
    the sections before and after are laid beside each section. Kernels of 2 with a stride of 2 take two
    sections together, or make two out of one.
    """
    graph = onnx.load_from_string(model)
    _fold_casts(graph.graph)
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    new: dict[str, NDArray] = {
        "one_section": np.array([1]),
        "all_but_last": np.array([-1]),
        "far": np.array([2**62]),
        "none": np.array([0]),
        "axis_z": np.array([0]),
    }
    nodes = [helper.make_node("Transpose", ["density"], ["sections_5d"], perm=[2, 1, 0, 3, 4])]
    nodes.append(helper.make_node("Squeeze", ["sections_5d", "batch_axis"], ["sections"]))
    new["batch_axis"] = np.array([2])
    for node in graph.graph.node:
        node.input[:] = ["sections" if name == "density" else name for name in node.input]
        if node.op_type == "Conv":
            nodes += _convolution(node, weights, new)
        elif node.op_type == "ConvTranspose":
            nodes += _upsampling(node, weights, new)
        else:
            if node.output[0] == "probabilities":
                node.output[0] = "probabilities_of_sections"
            nodes.append(node)
    nodes.append(
        helper.make_node("Unsqueeze", ["probabilities_of_sections", "batch_axis"], ["probabilities_5d"])
    )
    nodes.append(helper.make_node("Transpose", ["probabilities_5d"], ["probabilities"], perm=[2, 1, 0, 3, 4]))
    used = {name for node in nodes for name in node.input}
    tensors = [numpy_helper.from_array(a, n) for n, a in (weights | new).items() if n in used]
    made = helper.make_graph(nodes, "sliced", graph.graph.input, graph.graph.output, tensors)
    return helper.make_model(
        made, opset_imports=graph.opset_import, ir_version=graph.ir_version
    ).SerializeToString()


def _convolution(
    node: NodeProto, weights: dict[str, NDArray], new: dict[str, NDArray]
) -> Iterator[NodeProto]:
    kernel = weights[node.input[1]]
    made, channels, depth = kernel.shape[:3]
    name, source = node.output[0], node.input[0]
    stride = next(a.ints[0] for a in node.attribute if a.name == "strides")
    if depth == 3:
        # a section of zeros, then all but the last; all but the first, then a section of zeros
        yield helper.make_node("Slice", [source, "none", "one_section", "axis_z"], [f"{name}_first"])
        yield helper.make_node("Sub", [f"{name}_first", f"{name}_first"], [f"{name}_zero"])
        yield helper.make_node("Slice", [source, "none", "all_but_last", "axis_z"], [f"{name}_head"])
        yield helper.make_node("Slice", [source, "one_section", "far", "axis_z"], [f"{name}_tail"])
        yield helper.make_node("Concat", [f"{name}_zero", f"{name}_head"], [f"{name}_before"], axis=0)
        yield helper.make_node("Concat", [f"{name}_tail", f"{name}_zero"], [f"{name}_after"], axis=0)
        beside = [f"{name}_before", source, f"{name}_after"]
        yield helper.make_node("Concat", beside, [f"{name}_beside"], axis=1)
        source = f"{name}_beside"
    elif stride == 2:
        yield from _regrouped(source, f"{name}_pairs", [-1, 2 * channels], new)
        source = f"{name}_pairs"
    flat = kernel.transpose(0, 2, 1, 3, 4).reshape(made, depth * channels, *kernel.shape[3:])
    new[f"{name}_kernel"] = np.ascontiguousarray(flat)
    pad = 1 if depth == 3 else 0
    yield helper.make_node(
        "Conv",
        [source, f"{name}_kernel", *node.input[2:]],
        [name],
        kernel_shape=list(kernel.shape[3:]),
        strides=[stride] * 2,
        pads=[pad] * 4,
    )


def _upsampling(node: NodeProto, weights: dict[str, NDArray], new: dict[str, NDArray]) -> Iterator[NodeProto]:
    kernel = weights[node.input[1]]
    channels, made, depth = kernel.shape[:3]
    name = node.output[0]
    flat = kernel.transpose(0, 2, 1, 3, 4).reshape(channels, depth * made, *kernel.shape[3:])
    new[f"{name}_kernel"] = np.ascontiguousarray(flat)
    new[f"{name}_bias"] = np.tile(weights[node.input[2]], depth)
    yield helper.make_node(
        "ConvTranspose",
        [node.input[0], f"{name}_kernel", f"{name}_bias"],
        [f"{name}_pairs"],
        kernel_shape=list(kernel.shape[3:]),
        strides=[2, 2],
    )
    yield from _regrouped(f"{name}_pairs", name, [-1, made], new)


def _regrouped(source: str, target: str, first: list[int], new: dict[str, NDArray]) -> Iterator[NodeProto]:
    """Take sections together or apart: (d, c, h, w) to (d / n, n c, h, w)."""
    new[f"{target}_first"] = np.array(first)
    yield helper.make_node("Shape", [source], [f"{target}_rest"], start=2)
    yield helper.make_node("Concat", [f"{target}_first", f"{target}_rest"], [f"{target}_shape"], axis=0)
    yield helper.make_node("Reshape", [source, f"{target}_shape"], [target])


def _fold_casts(graph: onnx.GraphProto) -> None:
    """Make weights that are stored in float16 float32."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Cast" and node.input[0] in stored]:
        half = stored[node.input[0]]
        graph.initializer.append(
            numpy_helper.from_array(numpy_helper.to_array(half).astype(np.float32), node.output[0])
        )
        graph.initializer.remove(half)
        graph.node.remove(node)


def quantised(model: bytes, tiles: list[NDArray[np.float32]]) -> bytes:
    """Return the network with convolutions in 8-bit integers, scaled by what it sees in some tiles.

    Weights have a scale for each channel; the first and the last convolution stay as they are.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.rest = iter(tiles)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            tile = next(self.rest, None)
            return None if tile is None else {"density": tile}

    graph = onnx.load_from_string(model)
    _fold_casts(graph.graph)
    convolutions = [node for node in graph.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    for number, node in enumerate(graph.graph.node):
        node.name = node.name or f"node_{number}"
    with tempfile.TemporaryDirectory() as folder:
        plain, made = Path(folder) / "plain.onnx", Path(folder) / "made.onnx"
        onnx.save(graph, plain)
        quantize_static(
            plain,
            made,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=[convolutions[0].name, convolutions[-1].name],
        )
        return made.read_bytes()
