"""Tiles through one device or several, and through one that has too little memory."""

import re

import numpy as np
import onnxruntime
import pytest
from toys import lump

from haruspex_infer.annotator import Annotator
from haruspex_infer.devicefaults import says_no_memory
from haruspex_infer.errors import HaruspexError
from haruspex_infer.mapfile import Map
from haruspex_infer.session import OutOfMemoryError, Session
from haruspex_infer.sweep import Sweep

# as ONNX Runtime says it on a GPU
ARENA = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. "
    "Name:'node_conv3d_1' Status Message: /onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:376 "
    "void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*) "
    "Failed to allocate memory for requested buffer of size 4718592000\n"
)
FULL = ARENA.replace(
    "Failed to allocate memory for requested buffer of size 4718592000",
    "Available memory of 592950784 is smaller than requested bytes of 1073741824",
)


@pytest.fixture
def given():
    return Map.from_array(lump((64, 60, 56)), 1.1)


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(Session, "most_voxels", lambda self, memory: 40**3)


def failing_beyond(monkeypatch, voxels, message):
    """Make every engine fail on tiles of more voxels; return the sizes that were asked for."""
    from haruspex_infer.engines import OnnxRuntimeEngine

    asked, real = [], OnnxRuntimeEngine.run

    def run(self, tiles, out, last=False):
        asked.append(tiles.size)
        if tiles.size > voxels:
            raise onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException(message)
        return real(self, tiles, out, last)

    monkeypatch.setattr(OnnxRuntimeEngine, "run", run)
    return asked


def test_tiles_are_halved_until_they_fit(toy, given, monkeypatch):
    plain = Annotator(toy, "cpu").annotate(given)
    asked = failing_beyond(monkeypatch, 40**3, ARENA)
    found = Annotator(toy, "cpu").annotate(given)
    assert asked[0] > 40**3
    assert found.report["tiles"]["run"] > plain.report["tiles"]["run"]
    np.testing.assert_allclose(found.probabilities, plain.probabilities, atol=1e-4)


def test_a_device_without_room_for_the_smallest_tile_is_told_of(toy, given, monkeypatch):
    failing_beyond(monkeypatch, 0, ARENA)
    with pytest.raises(OutOfMemoryError, match=r"ran out of memory on cpu .*; free memory\."):
        Annotator(toy, "cpu").annotate(given)


@pytest.mark.parametrize(
    "message",
    [
        ARENA,
        FULL,
        "std::bad_alloc",
        "CUDNN failure 4: CUDNN_STATUS_ALLOC_FAILED",
        "CUDA failure 2: out of memory",
    ],
)
def test_what_runtimes_say_when_memory_is_short(toy, monkeypatch, message):
    failing_beyond(monkeypatch, 0, message)
    with pytest.raises(OutOfMemoryError):
        Session(toy, "cpu").run(np.zeros((1, 1, 8, 8, 8), np.float32))


def test_the_runtime_s_own_message_is_understood():
    # more than any machine has: the allocation itself fails, with what ONNX Runtime says then
    with pytest.raises(Exception, match=r"(?s).") as error:
        onnxruntime.OrtValue.ortvalue_from_shape_and_type((2**20, 2**20, 2**16), np.float32)
    assert says_no_memory(error.value)


def test_another_failure_is_no_reason_for_smaller_tiles(toy, given, monkeypatch):
    asked = failing_beyond(monkeypatch, 0, "CUDA failure 719: unspecified launch failure")
    with pytest.raises(HaruspexError, match=re.escape("failed on cpu (CUDA failure 719")):
        Annotator(toy, "cpu").annotate(given)
    assert len(asked) == 1


def test_several_devices_give_the_same_bytes_as_one(toy, given, small_tiles):
    annotator = Annotator(toy, "cpu")
    plan = annotator.plan(given)
    assert len(plan.tiles.tiles) > 3
    everything = tuple(slice(0, n) for n in given.grid.shape)
    fields = [
        Sweep(plan, annotator.contract.normaliser).run([Session(toy, "cpu") for _ in range(number)])
        for number in (1, 3)
    ]
    np.testing.assert_array_equal(fields[0].block(everything), fields[1].block(everything))


def test_several_helpers_beside_a_device_give_the_same_bytes(toy, given, small_tiles, monkeypatch):
    annotator = Annotator(toy, "cpu")
    plan = annotator.plan(given)
    everything = tuple(slice(0, n) for n in given.grid.shape)
    plain = Sweep(plan, annotator.contract.normaliser).run([annotator.session])
    monkeypatch.setattr(Session, "helpers", 5)
    helped = Sweep(plan, annotator.contract.normaliser).run([annotator.session, Session(toy, "cpu")])
    np.testing.assert_array_equal(helped.block(everything), plain.block(everything))


def test_a_failure_on_one_of_several_devices_ends_the_run(toy, given, small_tiles, monkeypatch):
    annotator = Annotator(toy, "cpu")
    plan = annotator.plan(given)
    sessions = [Session(toy, "cpu"), Session(toy, "cpu")]
    monkeypatch.setattr(sessions[1], "run", lambda *_, **__: (_ for _ in ()).throw(HaruspexError("it broke")))
    with pytest.raises(HaruspexError, match="it broke"):
        Sweep(plan, annotator.contract.normaliser).run(sessions)


def test_the_wait_for_the_first_tile_is_reported(toy, given):
    found = Annotator(toy, "cpu").annotate(given)
    assert found.report["first_tile_seconds_after_start"] > 0


def test_binding_to_given_memory_changes_nothing(toy):
    session = Session(toy, "cpu")
    tile = lump((16, 24, 8))[None, None]
    out = np.full((1, 4, 16, 24, 8), -1, dtype=np.float32)
    assert session.run(tile, out) is out
    np.testing.assert_array_equal(out, session.run(tile))


def test_where_binding_fails_the_plain_call_answers(toy, monkeypatch):
    session = Session(toy, "cpu")
    tile = lump((8, 8, 8))[None, None]
    plain = session.run(tile)

    def fail(*_):
        raise RuntimeError("no binding here")

    monkeypatch.setattr(session._engine, "_run_bound", fail)
    out = np.full((1, 4, 8, 8, 8), -1, dtype=np.float32)
    assert session.run(tile, out) is out
    np.testing.assert_array_equal(out, plain)
