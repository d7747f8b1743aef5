"""Rewrites a network to compute in float16, and reads its metadata, without a runtime or the onnx package.

An ONNX file is a protocol buffer: a list of (field number, value), where values may be such lists again. The
numbers below are those of onnx.proto, which never change.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MODEL_GRAPH, _MODEL_METADATA = 7, 14
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_OUTPUT, _GRAPH_VALUE_INFO = 1, 5, 12, 13
_NODE_INPUT, _NODE_OUTPUT, _NODE_TYPE, _NODE_ATTRIBUTE = 1, 2, 4, 5
_TENSOR_TYPE, _TENSOR_FLOATS, _TENSOR_NAME, _TENSOR_RAW = 2, 4, 8, 9
_ATTRIBUTE_NAME, _ATTRIBUTE_INT, _ATTRIBUTE_KIND, _KIND_INT = 1, 3, 20, 2
_FLOAT, _FLOAT16 = 1, 10

# operations that keep the type of what they are given, so that halving their inputs halves all
_HALVED = {
    *("Add", "BatchNormalization", "Clip", "Concat", "Conv", "ConvTranspose", "MaxPool", "Relu"),
    *("Identity", "LeakyRelu", "Mul", "Pad", "Sigmoid", "Slice"),
}

Field = tuple[int, int, int | bytes]


class CannotHalveError(Exception):
    """The network holds something that this module does not know how to halve."""


@dataclass
class _Node:
    inputs: list[str]
    outputs: list[str]
    type: str
    rest: list[Field]

    def encoded(self) -> bytes:
        texts = [(_NODE_INPUT, name) for name in self.inputs] + [(_NODE_OUTPUT, n) for n in self.outputs]
        fields: list[Field] = [(number, _BYTES, text.encode()) for number, text in texts]
        return _encode([*fields, (_NODE_TYPE, _BYTES, self.type.encode()), *self.rest])


def read_metadata(model: bytes, key: str) -> str | None:
    """Return an entry of an ONNX file's metadata, or None where it has none of that key."""
    try:
        for number, _, value in _decode(model):
            if number == _MODEL_METADATA and isinstance(value, bytes):
                entry = {n: v for n, _, v in _decode(value)}
                if entry.get(1) == key.encode() and isinstance(text := entry.get(2), bytes):
                    return text.decode()
    except (IndexError, ValueError):  # no protocol buffer: the runtime will say so
        return None
    return None


def halved(model: bytes) -> bytes:
    """Return a network that computes in float16 between its float32 input and its float32 softmax.

    Weights that are stored as float16 and cast to float32 are used as they are stored; all others are
    rounded. Both ends stay float32: neither clipped density nor probabilities lose anything outside.

    Raises
    ------
    CannotHalveError
        If there is an operation whose types are not known here.
    """
    fields = _decode(model)
    graph = _decode(_only(fields, _MODEL_GRAPH))
    initializers = [_decode(_bytes(value)) for number, _, value in graph if number == _GRAPH_INITIALIZER]
    stored = {_text(tensor, _TENSOR_NAME): _int(tensor, _TENSOR_TYPE) for tensor in initializers}
    outputs = [_decode(_bytes(value)) for number, _, value in graph if number == _GRAPH_OUTPUT]
    (output,) = (_text(entry, 1) for entry in outputs)
    nodes = [_node(_bytes(value)) for number, _, value in graph if number == _GRAPH_NODE]

    renamed = {"density": "density_half"}
    half = {"density_half", *(name for name, kind in stored.items() if kind in (_FLOAT, _FLOAT16))}
    kept: list[_Node] = [_cast("density", "density_half", _FLOAT16)]
    for node in nodes:
        if node.type == "Cast" and stored.get(node.inputs[0]) == _FLOAT16:
            renamed[node.outputs[0]] = node.inputs[0]
            continue
        node.inputs = [renamed.get(name, name) for name in node.inputs]
        if node.type == "Softmax" and node.outputs == [output]:
            kept.append(_cast(node.inputs[0], "logits_full", _FLOAT))
            node.inputs = ["logits_full"]
        elif output in node.outputs:
            raise CannotHalveError("the last operation is no softmax")
        elif node.type in _HALVED and half.intersection(node.inputs):
            half.update(node.outputs)
        elif node.type != "Shape" and half.intersection(node.inputs):
            raise CannotHalveError(f"operation {node.type}")
        kept.append(node)  # what has no density among its inputs computes with shapes, in whole numbers
    rest = [f for f in graph if f[0] not in (_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_VALUE_INFO)]
    new = [(_GRAPH_NODE, _BYTES, node.encoded()) for node in kept]
    new += [(_GRAPH_INITIALIZER, _BYTES, _encode(_half_tensor(tensor))) for tensor in initializers]
    encoded = _encode([*new, *rest])
    return _encode([(n, w, encoded if n == _MODEL_GRAPH else value) for n, w, value in fields])


def _node(data: bytes) -> _Node:
    fields = _decode(data)
    named: dict[int, list[str]] = {_NODE_INPUT: [], _NODE_OUTPUT: []}
    for number, _, value in fields:
        if number in named:
            named[number].append(_bytes(value).decode())
    rest = [field for field in fields if field[0] not in (_NODE_INPUT, _NODE_OUTPUT, _NODE_TYPE)]
    return _Node(named[_NODE_INPUT], named[_NODE_OUTPUT], _text(fields, _NODE_TYPE), rest)


def _cast(source: str, target: str, kind: int) -> _Node:
    to = _encode(
        [
            (_ATTRIBUTE_NAME, _BYTES, b"to"),
            (_ATTRIBUTE_INT, _VARINT, kind),
            (_ATTRIBUTE_KIND, _VARINT, _KIND_INT),
        ]
    )
    return _Node([source], [target], "Cast", [(_NODE_ATTRIBUTE, _BYTES, to)])


def _half_tensor(tensor: list[Field]) -> list[Field]:
    if _int(tensor, _TENSOR_TYPE) != _FLOAT:
        return tensor
    values = b"".join(_bytes(v) for n, _, v in tensor if n in (_TENSOR_FLOATS, _TENSOR_RAW))
    half = np.frombuffer(values, "<f4").astype("<f2").tobytes()
    rest = [f for f in tensor if f[0] not in (_TENSOR_TYPE, _TENSOR_FLOATS, _TENSOR_RAW)]
    return [*rest, (_TENSOR_TYPE, _VARINT, _FLOAT16), (_TENSOR_RAW, _BYTES, half)]


def _only(fields: list[Field], number: int) -> bytes:
    (value,) = (value for n, _, value in fields if n == number)
    return _bytes(value)


def _text(fields: list[Field], number: int) -> str:
    return _only(fields, number).decode()


def _int(fields: list[Field], number: int) -> int:
    (value,) = (value for n, _, value in fields if n == number)
    if isinstance(value, bytes):
        raise ValueError(f"field {number} is no number")
    return value


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a number where a message should be")
    return value


def _decode(data: bytes) -> list[Field]:
    return list(_walk(data))


def _walk(data: bytes) -> Iterator[Field]:
    place = 0
    while place < len(data):
        tag, place = _read_varint(data, place)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, place = _read_varint(data, place)
            yield number, wire, value
            continue
        if wire == _BYTES:
            length, place = _read_varint(data, place)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire}")
        if place + length > len(data):
            raise ValueError("the message ends too early")
        yield number, wire, data[place : place + length]
        place += length


def _encode(fields: list[Field]) -> bytes:
    parts = []
    for number, wire, value in fields:
        parts.append(_varint(number << 3 | wire))
        if isinstance(value, int):
            parts.append(_varint(value))
        else:
            if wire == _BYTES:
                parts.append(_varint(len(value)))
            parts.append(value)
    return b"".join(parts)


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("no number ends here")


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)
