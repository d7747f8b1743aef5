"""Protocol Buffers as they lie in a file: numbered fields, whose contents may be fields again.

It needs no schema compiler and copies nothing that it reads, and nothing of a file is believed but lengths
that fit. What the numbers mean, `haruspex_infer.onnxfile` and `haruspex_infer.halves` know.
"""

from collections.abc import Iterator
from typing import NamedTuple

NUMBER, BYTES = 0, 2
_SIZES = {1: 8, 5: 4}
_LARGEST_TAG = 2**32 - 1


class BrokenMessageError(ValueError):
    """These bytes are no Protocol Buffers, or hold a field of another kind than they should."""


class Field(NamedTuple):
    """One field of a message.

    Attributes
    ----------
    number : int
        What the field means, by the schema.
    kind : int
        How it is stored: `NUMBER`, `BYTES` (texts, messages, packed numbers), or a number of fixed size.
    value : int or memoryview
        The number, or the bytes.
    raw : memoryview
        The whole field as it lies in the file.
    """

    number: int
    kind: int
    value: int | memoryview
    raw: memoryview

    @property
    def content(self) -> memoryview:
        """The contents of a field of bytes.

        Raises
        ------
        BrokenMessageError
            If it is another kind of field.
        """
        if self.kind != BYTES or isinstance(self.value, int):
            raise BrokenMessageError(f"field {self.number} holds no bytes")
        return self.value

    @property
    def text(self) -> str:
        """The contents as text; raises as `content` does, or another ValueError where it is no text."""
        return str(self.content, "utf-8")


def fields(message: bytes | memoryview) -> Iterator[Field]:
    """Yield the fields of a message, in the order of the file.

    Raises
    ------
    BrokenMessageError
        Where the bytes are no such message.
    """
    message, at = memoryview(message), 0
    while at < len(message):
        begin = at
        tag, at = _number(message, at)
        number, kind = tag >> 3, tag & 7
        value: int | memoryview
        if kind == NUMBER:
            value, at = _number(message, at)
        else:
            if kind == BYTES:
                length, at = _number(message, at)
            elif kind in _SIZES:
                length = _SIZES[kind]
            else:
                raise BrokenMessageError(f"field {number} is stored as kind {kind}")
            value, at = message[at : at + length], at + length
        # other readers drop the bits of a tag beyond 32, and would see another field than this one
        if at > len(message) or number == 0 or tag > _LARGEST_TAG:
            raise BrokenMessageError(
                f"field {number} ends beyond its message, or has a number that cannot be"
            )
        yield Field(number, kind, value, message[begin:at])


def bytes_field(number: int, value: bytes) -> bytes:
    """Return a field of bytes as it lies in a file."""
    return _encoded(number << 3 | BYTES) + _encoded(len(value)) + value


def number_field(number: int, value: int) -> bytes:
    """Return a field that holds a number of 0 or more as it lies in a file."""
    return _encoded(number << 3 | NUMBER) + _encoded(value)


def _number(message: memoryview, at: int) -> tuple[int, int]:
    """Read seven bits a byte, the lowest first, until a byte says that it is the last; ten bytes at most."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise BrokenMessageError("a number has no end")


def _encoded(value: int) -> bytes:
    digits = bytearray()
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes([*digits, value])
