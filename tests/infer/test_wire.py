"""The walker of Protocol Buffers, judged by Google's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import AttributeProto

from haruspex_infer.wire import BrokenMessageError, bytes_field, fields, number_field


@given(st.integers(0, 2**63 - 1), st.binary(max_size=300), st.floats(width=32, allow_nan=False))
def test_what_protobuf_writes_is_walked_and_what_is_written_it_reads(number, content, real):
    made = AttributeProto(i=number, s=content, f=real)
    written = made.SerializeToString()
    walked = list(fields(written))
    assert b"".join(field.raw for field in walked) == written
    by_number = {field.number: field for field in walked}
    assert by_number[3].value == number
    assert by_number[4].content == content
    again = AttributeProto.FromString(number_field(3, number) + bytes_field(4, content))
    assert (again.i, again.s) == (number, content)


@given(st.binary(max_size=60))
def test_whatever_bytes_are_walked_to_their_end_or_refused(data):
    try:
        walked = list(fields(data))
    except BrokenMessageError:
        return
    assert b"".join(field.raw for field in walked) == data


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"\x08", "no end"),
        (b"\x08" + b"\xff" * 11, "no end"),
        (b"\x0a\x05abc", "ends beyond"),
        (b"\x0d\x00", "ends beyond"),
        (b"\x00\x00", "ends beyond"),
        (b"\x0b", "stored as kind 3"),
    ],
)
def test_what_is_broken_is_refused(data, fault):
    with pytest.raises(BrokenMessageError, match=fault):
        list(fields(data))


def test_a_number_is_no_content():
    (field,) = fields(number_field(7, 300))
    assert (field.number, field.value) == (7, 300)
    with pytest.raises(BrokenMessageError, match="holds no bytes"):
        _ = field.content
