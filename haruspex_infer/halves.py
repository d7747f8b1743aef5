"""Rewrites a network to compute in float16, without a runtime or the onnx package."""

from dataclasses import dataclass

import numpy as np

from haruspex_infer.onnxfile import GRAPH_NODE, GRAPH_TENSOR, MODEL_GRAPH, NODE_ATTRIBUTE
from haruspex_infer.wire import Field, bytes_field, fields, number_field

_GRAPH_OUTPUT, _GRAPH_VALUE_INFO, _VALUE_NAME = 12, 13, 1
_NODE_INPUT, _NODE_OUTPUT, _NODE_TYPE = 1, 2, 4
_TENSOR_TYPE, _TENSOR_FLOATS, _TENSOR_NAME, _TENSOR_RAW = 2, 4, 8, 9
_ATTRIBUTE_NAME, _ATTRIBUTE_INT, _ATTRIBUTE_KIND, _KIND_INT = 1, 3, 20, 2
_FLOAT, _FLOAT16 = 1, 10

# operations that keep the type of what they are given, so that halving their inputs halves all
_HALVED = {
    *("Add", "BatchNormalization", "Clip", "Concat", "Conv", "ConvTranspose", "MaxPool", "Relu"),
    *("Identity", "LeakyRelu", "Mul", "Pad", "Sigmoid", "Slice"),
}


class CannotHalveError(ValueError):
    """The network holds something that this module does not know how to halve."""


@dataclass
class _Node:
    inputs: list[str]
    outputs: list[str]
    type: str
    rest: list[bytes | memoryview]

    def encoded(self) -> bytes:
        texts = [(_NODE_INPUT, name) for name in self.inputs] + [(_NODE_OUTPUT, n) for n in self.outputs]
        named = [bytes_field(number, text.encode()) for number, text in [*texts, (_NODE_TYPE, self.type)]]
        return bytes_field(GRAPH_NODE, b"".join([*named, *self.rest]))


def halved(model: bytes) -> bytes:
    """Return a network that computes in float16 between its float32 input and its float32 softmax.

    Weights that are stored as float16 and cast to float32 are used as they are stored; all others are
    rounded. Both ends stay float32: neither clipped density nor probabilities lose anything outside.

    Raises
    ------
    ValueError
        `CannotHalveError` if there is an operation whose types are not known here; another if something is
        missing or not as it should be.
    """
    whole = list(fields(model))
    graph = list(fields(_only(whole, MODEL_GRAPH).content))
    tensors = [list(fields(field.content)) for field in graph if field.number == GRAPH_TENSOR]
    stored = {_only(tensor, _TENSOR_NAME).text: _only(tensor, _TENSOR_TYPE).value for tensor in tensors}
    (output,) = (
        _only(list(fields(field.content)), _VALUE_NAME).text
        for field in graph
        if field.number == _GRAPH_OUTPUT
    )
    nodes = [_node(field.content) for field in graph if field.number == GRAPH_NODE]

    renamed = {"density": "density_half"}
    half = {"density_half", *(name for name, kind in stored.items() if kind in (_FLOAT, _FLOAT16))}
    kept: list[_Node] = [_cast("density", "density_half", _FLOAT16)]
    for node in nodes:
        if node.type == "Cast" and len(node.inputs) == 1 and stored.get(node.inputs[0]) == _FLOAT16:
            renamed.update(dict.fromkeys(node.outputs, node.inputs[0]))
            continue
        node.inputs = [renamed.get(name, name) for name in node.inputs]
        if node.type == "Softmax" and node.outputs == [output] and len(node.inputs) == 1:
            kept.append(_cast(node.inputs[0], "logits_full", _FLOAT))
            node.inputs = ["logits_full"]
        elif output in node.outputs:
            raise CannotHalveError("the last operation is no softmax")
        elif node.type in _HALVED and half.intersection(node.inputs):
            half.update(node.outputs)
        elif node.type != "Shape" and half.intersection(node.inputs):
            raise CannotHalveError(f"operation {node.type}")
        kept.append(node)  # what has no density among its inputs computes with shapes, in whole numbers
    new = [node.encoded() for node in kept] + [bytes_field(GRAPH_TENSOR, _half(tensor)) for tensor in tensors]
    made = bytes_field(
        MODEL_GRAPH, b"".join(new) + _without(graph, GRAPH_NODE, GRAPH_TENSOR, _GRAPH_VALUE_INFO)
    )
    return b"".join(made if field.number == MODEL_GRAPH else field.raw for field in whole)


def _node(message: memoryview) -> _Node:
    named: dict[int, list[str]] = {_NODE_INPUT: [], _NODE_OUTPUT: [], _NODE_TYPE: []}
    rest: list[bytes | memoryview] = []
    for field in fields(message):
        if field.number in named:
            named[field.number].append(field.text)
        else:
            rest.append(field.raw)
    (kind,) = named[_NODE_TYPE]
    return _Node(named[_NODE_INPUT], named[_NODE_OUTPUT], kind, rest)


def _cast(source: str, target: str, kind: int) -> _Node:
    to = bytes_field(_ATTRIBUTE_NAME, b"to") + number_field(_ATTRIBUTE_INT, kind)
    to += number_field(_ATTRIBUTE_KIND, _KIND_INT)
    return _Node([source], [target], "Cast", [bytes_field(NODE_ATTRIBUTE, to)])


def _half(tensor: list[Field]) -> bytes:
    """Return a tensor with its numbers as float16, if they are float32."""
    if _only(tensor, _TENSOR_TYPE).value != _FLOAT:
        return _without(tensor)
    values = b"".join(field.content for field in tensor if field.number in (_TENSOR_FLOATS, _TENSOR_RAW))
    with np.errstate(over="ignore"):
        numbers = np.frombuffer(values, "<f4").astype("<f2")
    if not np.isfinite(numbers).all():
        raise CannotHalveError("weights that float16 cannot hold")
    rest = _without(tensor, _TENSOR_TYPE, _TENSOR_FLOATS, _TENSOR_RAW)
    return rest + number_field(_TENSOR_TYPE, _FLOAT16) + bytes_field(_TENSOR_RAW, numbers.tobytes())


def _only(message: list[Field], number: int) -> Field:
    (field,) = (field for field in message if field.number == number)
    return field


def _without(message: list[Field], *numbers: int) -> bytes:
    return b"".join(field.raw for field in message if field.number not in numbers)
