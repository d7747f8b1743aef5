import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import helper
from toys import metadata, pointwise_probabilities, save_network

from haruspex_infer.errors import HaruspexError
from haruspex_infer.resources import available_cores
from haruspex_infer.session import Session


def test_it_runs_on_the_cpu(toy):
    session = Session(toy, "cpu")
    tiles = np.random.default_rng(0).normal(size=(3, 1, 4, 5, 6)).astype(np.float32)
    answers = session.run(tiles)
    assert session.device == "cpu"
    assert session.fallback is None
    for tile, answer in zip(tiles, answers, strict=True):
        np.testing.assert_allclose(answer, pointwise_probabilities(tile[0]), atol=1e-6)


def test_tiles_are_as_large_as_the_memory_allows(toy):
    session = Session(toy, "cpu")
    few, many = session.most_voxels(3e8), session.most_voxels(6e8)
    assert 1.9 < many / few < 2.1
    assert session.activations(few) <= 3e8
    assert session.most_voxels(0) >= 32**3
    assert session.activations(session.most_voxels()) <= 1e9


def test_auto_says_why_it_did_not_take_a_gpu(toy):
    session = Session(toy, "auto")
    assert (session.device == "cpu") == bool(session.fallback)


def test_a_gpu_asked_for_and_absent_is_an_error(toy):
    if Session(toy, "auto").device != "cpu":
        pytest.skip("there is a GPU here")
    for device in ("cuda", "cuda:1"):
        with pytest.raises(HaruspexError, match=rf"The GPU \({device}\) cannot be used: \w"):
            Session(toy, device)


class DeadGpu:
    """A session that was asked for CUDA and silently took the CPU, as ONNX Runtime does."""

    words = b"error loading libcublasLt.so.13: cannot open shared object file: No such file\n"

    def __init__(self, real):
        self.real = real

    def __call__(self, path, options, providers, **extra):
        if providers[0] != "CPUExecutionProvider":
            os.write(2, self.words)
        return self.real(path, options, ["CPUExecutionProvider"])


@pytest.fixture
def dead_gpu(monkeypatch):
    """An onnxruntime that lists CUDA as available and cannot use it."""
    providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    monkeypatch.setattr(onnxruntime, "InferenceSession", DeadGpu(onnxruntime.InferenceSession))
    monkeypatch.setattr("haruspex_infer.engines.has_driver", lambda: True)


def test_an_available_provider_is_not_believed(dead_gpu, toy, capfd):
    session = Session(toy, "auto")
    assert session.device == "cpu"
    assert session.fallback == "libcublasLt.so.13 is missing, which onnxruntime-gpu[cuda,cudnn] brings"
    with pytest.raises(HaruspexError, match=r"The GPU \(cuda\) cannot be used: libcublasLt.so.13 is missing"):
        Session(toy, "cuda")
    assert capfd.readouterr() == ("", "")


def test_a_machine_without_a_driver_is_told_so(dead_gpu, toy, monkeypatch):
    monkeypatch.setattr("haruspex_infer.engines.has_driver", lambda: False)
    with pytest.raises(HaruspexError, match="this machine has no NVIDIA driver"):
        Session(toy, "cuda")


CALL = "/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:129 onnxruntime::CudaCall"
SET_DEVICE = "; GPU=-1 ; hostname=node1 ; file=cuda_execution_provider.cc ; expr=cudaSetDevice(id); "
GET = "[E:onnxruntime:Default, provider_bridge_ort.cc:2167]"


@pytest.mark.parametrize(
    ("raised", "advice"),
    [
        ("CUDA failure 101: invalid device ordinal", ""),
        ("CUDA failure 100: no CUDA-capable device is detected", ""),
        ("CUDA failure 999: unknown error", ""),
        ("CUDNN failure 1001: CUDNN_STATUS_NOT_INITIALIZED", ""),
        (
            "CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version",
            ", update NVIDIA's driver, which is too old",
        ),
        (
            "CUDA failure 209: no kernel image is available for execution on the device",
            ", this installation is for other kinds of GPU",
        ),
    ],
)
def test_a_gpu_that_fails_is_told_by_its_reason(dead_gpu, toy, monkeypatch, capfd, raised, advice):
    """What ONNX Runtime raises, word for word but for paths."""
    real = onnxruntime.InferenceSession

    def failing(path, options, providers, **extra):
        if providers != ["CPUExecutionProvider"]:
            raise RuntimeError(f"{CALL} [with ERRTYPE = cudaError; bool THRW = true] {raised} {SET_DEVICE}")
        return real(path, options, providers)

    monkeypatch.setattr(onnxruntime, "InferenceSession", failing)
    with pytest.raises(HaruspexError) as error:
        Session(toy, "cuda:7")
    assert str(error.value) == f"The GPU (cuda:7) cannot be used: {raised}{advice}."
    session = Session(toy, "auto")
    assert (session.device, session.fallback) == ("cpu", raised + advice)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        (
            f"{GET} Failed to load library libonnxruntime_providers_cuda.so with error: libcudnn.so.9: "
            "cannot open shared object file: No such file or directory",
            "libcudnn.so.9 is missing, which onnxruntime-gpu[cuda,cudnn] brings",
        ),
        (
            f'{GET} LoadLibrary failed with error 126 "" when trying to load "providers_cuda.dll"',
            "CUDA or cuDNN could not be loaded, which onnxruntime-gpu[cuda,cudnn] brings",
        ),
        (f"{CALL} CUDA failure 999: unknown error {SET_DEVICE}", "CUDA failure 999: unknown error"),
    ],
)
def test_what_is_only_printed_is_told_of(dead_gpu, toy, monkeypatch, printed, told):
    monkeypatch.setattr(DeadGpu, "words", printed.encode() + b"\n")
    assert Session(toy, "auto").fallback == told


@pytest.fixture
def two_gpus(monkeypatch):
    """GPUs that are the CPU: all that is asked of CUDA is asked of it."""
    from haruspex_infer import engines

    asked = []

    def session(model, number, threads, extra):
        asked.append(extra)
        options = engines._options(threads)
        return onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"]), ""

    monkeypatch.setattr(engines, "_CUDA", "CPUExecutionProvider")
    monkeypatch.setattr(engines, "has_driver", lambda: True)
    monkeypatch.setattr(engines, "gpu_count", lambda: 2)
    monkeypatch.setattr(engines, "free_gpu_memory", lambda number: 10**9)
    monkeypatch.setattr(engines, "cuda_session", session)
    monkeypatch.setattr(engines, "_GPU_EDGES", (128, 32, 16))
    return asked


def test_a_gpu_computes_in_half_precision_and_tells_the_largest_tile_it_takes(two_gpus, toy):
    session = Session(toy, "cuda:1")
    assert (session.device, session.engine) == ("cuda:1", "onnxruntime float16 channels-last")
    assert two_gpus == [{"prefer_nhwc": "1"}]
    assert session.most_voxels() == 32**3  # 128³ would take more than the GPU's memory
    assert session.one_shape
    assert session.helpers >= 1


def test_what_a_gpu_cannot_do_is_left_out_step_by_step(two_gpus, toy, monkeypatch):
    from haruspex_infer.engines import OnnxRuntimeEngine

    real = OnnxRuntimeEngine.run

    def run(self, tiles, out, last=False):
        if "float16" in self.name or len(tiles[0, 0]) > 16:
            raise RuntimeError("CUDNN failure")
        return real(self, tiles, out, last)

    monkeypatch.setattr(OnnxRuntimeEngine, "run", run)
    session = Session(toy, "cuda")
    assert session.engine == "onnxruntime float32"
    assert two_gpus[-1] == {"use_tf32": "0"}
    assert session.most_voxels() == 16**3


def test_a_gpu_that_answers_nothing_is_told_of(two_gpus, toy, monkeypatch):
    monkeypatch.setattr("haruspex_infer.engines._GPU_EDGES", ())
    with pytest.raises(HaruspexError, match="the network fails there, or there is no memory for a tile"):
        Session(toy, "cuda")


def test_a_gpu_beyond_those_there_are_is_told_of(two_gpus, toy):
    with pytest.raises(
        HaruspexError, match=r"GPU \(cuda:2\) cannot be used: there are 2 GPUs, counted from 0"
    ):
        Session(toy, "cuda:2")


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "CPU", "cuda:-1", ""])
def test_unknown_devices(toy, device):
    with pytest.raises(HaruspexError, match="There is no device"):
        Session(toy, device)


def test_files_that_are_no_networks(tmp_path):
    for content in (b"not a network", b""):
        (tmp_path / "text.onnx").write_bytes(content)
        with pytest.raises(HaruspexError, match="is not an ONNX file"):
            Session(tmp_path / "text.onnx", "cpu")
    # Protocol Buffers with a graph, but none that means anything
    (tmp_path / "empty.onnx").write_bytes(b"\x3a\x00")
    with pytest.raises(HaruspexError, match="is not a network that can be run"):
        Session(tmp_path / "empty.onnx", "cpu")


def test_a_network_of_another_kind_is_refused(tmp_path):
    nodes = [helper.make_node("Concat", ["density"] * 3, ["probabilities"], axis=1)]
    path = save_network(tmp_path / "three.onnx", nodes, {}, metadata(), classes=3)
    with pytest.raises(HaruspexError, match=r"needs an input density \(n, 1, d, h, w\)"):
        Session(path, "cpu")


def test_a_failing_run_is_told_in_one_sentence(toy):
    with pytest.raises(HaruspexError, match="The network failed on cpu") as error:
        Session(toy, "cpu").run(np.zeros((1, 2, 4, 4, 4), np.float32))
    assert "\n" not in str(error.value)


def test_cores_follow_the_affinity_of_the_process():
    assert 1 <= available_cores() <= len(os.sched_getaffinity(0))


def test_openvino_answers_like_onnx_runtime(toy):
    pytest.importorskip("openvino")
    from haruspex_infer.engines import OpenVinoEngine, onnxruntime_engine

    model = toy.read_bytes()
    plain, other = onnxruntime_engine(model, "toy", 1), OpenVinoEngine(model, 1, "f32")
    assert other.name == "openvino float32"
    assert other.ranks() == plain.ranks()
    out = np.full((1, 4, 16, 16, 8), -1, dtype=np.float32)
    for seed in range(3):
        tile = np.random.default_rng(seed).normal(size=(1, 1, 16, 16, 8)).astype(np.float32)
        answer = other.run(tile, out, last=seed == 1)
        assert answer is out
        np.testing.assert_allclose(answer, plain.run(tile, None), atol=1e-5)
        np.testing.assert_array_equal(other.run(tile, None), answer)


def test_openvino_reports_to_nobody(tmp_path):
    """Its package imports a reporter, and does without where there is none."""
    (tmp_path / "openvino_telemetry.py").write_text("print('reported')\n")
    (tmp_path / "openvino.py").write_text(
        "try:\n    import openvino_telemetry\nexcept ImportError:\n    print('nothing')\n"
    )
    script = "from haruspex_infer.engines import unreported\nwith unreported():\n    import openvino\n"
    script += "print('theirs')\nimport openvino_telemetry\n"
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["nothing", "theirs", "reported"]


def test_memory_is_given_back_after_the_last_tile_and_the_next_answers_as_before(toy):
    from haruspex_infer.engines import onnxruntime_engine

    session = onnxruntime_engine(toy.read_bytes(), "toy", 1)
    tile = np.random.default_rng(0).normal(size=(1, 1, 96, 96, 96)).astype(np.float32)
    out = np.empty((1, 4, 96, 96, 96), np.float32)

    def held():
        return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) * 1024

    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not tell a process its memory")
    first = session.run(tile, out).copy()
    before = held()
    session.run(tile, out, last=True)
    assert held() < before - tile.nbytes
    np.testing.assert_array_equal(session.run(tile, out), first)
