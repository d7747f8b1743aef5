"""The runtimes that compute a network: ONNX Runtime on CPU and GPU, and OpenVINO on CPU where installed."""

import contextlib
import importlib.util
import io
import math
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.devicefaults import first_line, says_gpu_lost
from haruspex_infer.devices import free_gpu_memory, gpu_count, has_driver
from haruspex_infer.errors import HaruspexError
from haruspex_infer.halves import halved

_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"
_FATAL, _ERROR = 4, 3
# edges of tiles for a GPU, multiples of what networks ask for as long as they pool at most five times: larger
# ones save nothing, and cuDNN chooses slower algorithms for them
_GPU_EDGES = (128, 96, 64)
_SHARE_OF_GPU = 0.7
_capturing = threading.Lock()

Axes = dict[str, tuple[int, int | None]]
Ranks = tuple[Axes, Axes]


class Engine(Protocol):
    """A loaded network.

    Attributes
    ----------
    name : str
        Runtime and number format.
    bytes_per_number : float
        Memory that each of the numbers takes that a network holds at once, what goes with them included,
        measured with the networks that ship.
    edge : int or None
        Edge of the largest tile it takes, where another shape than that of the last tile costs more than it
        saves: cuDNN plans every convolution anew for every shape, which takes as long as ten tiles.
    """

    name: str
    bytes_per_number: float
    edge: int | None

    def run(
        self, tiles: NDArray[np.float32], out: NDArray[np.float32] | None, last: bool = False
    ) -> NDArray[np.float32]:
        """Return probabilities, in `out` if it is given; give back the memory it took, if it is the last."""
        ...

    def ranks(self) -> Ranks:
        """Return the number of axes of inputs and outputs by name, and the fixed channels of outputs."""
        ...


class OnnxRuntimeEngine:
    """A session of ONNX Runtime, whatever its device."""

    def __init__(self, session: Any, name: str, bytes_per_number: float) -> None:  # noqa: ANN401 - no types
        self.name, self.bytes_per_number = name, bytes_per_number
        self.edge: int | None = None
        self._session = session
        self._binds = True

    def run(
        self, tiles: NDArray[np.float32], out: NDArray[np.float32] | None, last: bool = False
    ) -> NDArray[np.float32]:
        """Return probabilities, in `out` if it is given; give back the memory it took, if it is the last."""
        settings = _giving_back() if last and self.edge is None else None
        if out is not None and self._binds:
            try:
                return self._run_bound(tiles, out, settings)
            except Exception as error:  # the plain call works where binding does not, or says what is wrong
                if says_gpu_lost(error):
                    raise
                self._binds = False
        answer = self._session.run(["probabilities"], {"density": tiles}, settings)[0]
        if out is None:
            return answer
        np.copyto(out, answer)
        return out

    def _run_bound(
        self,
        tiles: NDArray[np.float32],
        out: NDArray[np.float32],
        settings: Any,  # noqa: ANN401 - it has no types
    ) -> NDArray[np.float32]:
        """Let ONNX Runtime read and write the caller's memory: nothing is allocated or copied for it."""
        binding = self._session.io_binding()
        for bind, name, array in (
            (binding.bind_input, "density", tiles),
            (binding.bind_output, "probabilities", out),
        ):
            bind(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        self._session.run_with_iobinding(binding, settings)
        binding.synchronize_outputs()
        return out

    def ranks(self) -> Ranks:
        """Return the number of axes of inputs and outputs by name, and the fixed channels of outputs."""
        inputs: Axes = {entry.name: (len(entry.shape), None) for entry in self._session.get_inputs()}
        outputs: Axes = {
            entry.name: (len(entry.shape), entry.shape[1] if len(entry.shape) > 1 else None)
            for entry in self._session.get_outputs()
        }
        return inputs, outputs


@contextlib.contextmanager
def unreported() -> Iterator[None]:
    """Keep OpenVINO, imported meanwhile, from reporting its use to its makers over the network.

    It does so from a process that it forks among running threads, which can stand still for good.
    """
    reporter = "openvino_telemetry"
    if reporter in sys.modules:  # imported already by somebody who uses it
        yield
        return
    sys.modules[reporter] = None  # type: ignore[assignment]  # so Python knows what cannot be imported
    try:
        yield
    finally:
        del sys.modules[reporter]


class OpenVinoEngine:
    """A network compiled by OpenVINO, in bfloat16 where the processor computes that faster.

    What bfloat16 changes is measured by ``benchmarks/network_only.py``.
    """

    edge: int | None = None

    def __init__(self, model: bytes, threads: int, precision: str | None = None) -> None:
        with unreported():
            import openvino

        core = openvino.Core()
        hints = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        if precision is not None:
            hints["INFERENCE_PRECISION_HINT"] = precision
        self._compiled = core.compile_model(core.read_model(model), "CPU", hints)
        self._request = self._compiled.create_infer_request()
        used = self._compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        self.name = f"openvino {used.replace('bf16', 'bfloat16').replace('f32', 'float32')}"
        self.bytes_per_number = 2.6 if used == "bf16" else 5.0
        self._tensor = openvino.Tensor

    def run(
        self, tiles: NDArray[np.float32], out: NDArray[np.float32] | None, last: bool = False
    ) -> NDArray[np.float32]:
        """Return probabilities, in `out` if it is given; give back the memory it took, if it is the last."""
        self._request.infer({0: self._tensor(np.ascontiguousarray(tiles), shared_memory=True)})
        answer = self._request.get_output_tensor(0).data
        out = np.empty_like(answer) if out is None else out
        np.copyto(out, answer)
        if last:
            del answer
            self._compiled.release_memory()
        return out

    def ranks(self) -> Ranks:
        """Return the number of axes of inputs and outputs by name, and the fixed channels of outputs."""
        inputs: Axes = {port.any_name: (len(port.partial_shape), None) for port in self._compiled.inputs}
        outputs: Axes = {}
        for port in self._compiled.outputs:
            axes = list(port.partial_shape)
            fixed = len(axes) > 1 and axes[1].is_static
            outputs[port.any_name] = (len(axes), axes[1].get_length() if fixed else None)
        return inputs, outputs


def cpu_engine(model: bytes, name: str, threads: int) -> Engine:
    """Load a network on the CPU: with OpenVINO if that is installed, otherwise with ONNX Runtime.

    Raises
    ------
    HaruspexError
        If neither can run it.
    """
    if importlib.util.find_spec("openvino") is not None:
        with contextlib.suppress(Exception):  # ONNX Runtime then runs it, or says what is wrong with it
            return OpenVinoEngine(model, threads)
    return onnxruntime_engine(model, name, threads)


def onnxruntime_engine(model: bytes, name: str, threads: int) -> Engine:
    """Load a network on the CPU with ONNX Runtime.

    Raises
    ------
    HaruspexError
        If it cannot be run.
    """
    import onnxruntime

    options = _options(threads)
    # the pattern of one tile is of no use for the next, and doubles the memory
    options.enable_mem_pattern = False
    try:
        session = onnxruntime.InferenceSession(model, options, [_CPU])
    except Exception as error:  # ONNX Runtime's errors share no base class but this
        raise HaruspexError(f"{name} is not a network that can be run ({first_line(error)}).") from error
    return OnnxRuntimeEngine(session, "onnxruntime float32", 4.1)


def cuda_engine(model: bytes, number: int, threads: int, held: float) -> tuple[Engine | None, str]:
    """Try to load a network on a GPU; return it or None, and the reason for None.

    Float16 with channels last is fastest by far; what a runtime or a network cannot do is left out step by
    step. The largest tile that there is memory for is tried here, while the map is read: `held` numbers for
    each of its voxels.
    """
    import onnxruntime

    # a provider that is available need not work: only the session itself knows what it runs on
    if _CUDA not in onnxruntime.get_available_providers():
        return None, "the installed onnxruntime has no CUDA support (package onnxruntime-gpu)"
    if not has_driver():
        return None, "this machine has no NVIDIA driver"
    count = gpu_count()
    if count is not None and number >= count:
        return None, f"there are {count} GPUs, counted from 0" if count else "no GPU is visible"
    for name, graph, extra, bytes_per_number in gpu_trials(model):
        session, reason = cuda_session(graph, number, threads, extra)
        if session is not None:
            engine = OnnxRuntimeEngine(session, name, bytes_per_number)
            free = free_gpu_memory(number)
            if _find_edge(engine, held, math.inf if free is None else _SHARE_OF_GPU * free):
                return engine, ""
            reason = "the network fails there, or there is no memory for a tile"
    return None, reason


def gpu_trials(model: bytes) -> list[tuple[str, bytes, dict[str, str], float]]:
    """Return what to try on a GPU, the fastest first: name, graph, settings, bytes for a number held."""
    # without TF32, ONNX Runtime keeps cuDNN from tensor cores altogether, in float16 as well
    trials = [("onnxruntime float32", model, {"use_tf32": "0"}, 12.0)]
    with contextlib.suppress(ValueError):
        half = halved(model)
        trials.insert(0, ("onnxruntime float16", half, {}, 7.5))
        trials.insert(0, ("onnxruntime float16 channels-last", half, {"prefer_nhwc": "1"}, 7.5))
    return trials


def _find_edge(engine: OnnxRuntimeEngine, held: float, memory: float) -> bool:
    """Set the largest edge of tiles that an engine answers with probabilities; return if there is one."""
    for edge in _GPU_EDGES:
        if edge**3 * held * engine.bytes_per_number > memory:
            continue
        ramp = np.linspace(-1, 2, edge, dtype=np.float32)
        try:
            answer = engine.run(np.ascontiguousarray(np.broadcast_to(ramp, (1, 1, edge, edge, edge))), None)
        except Exception:  # less memory than it seemed, or whatever else: a plainer engine may work
            continue
        if np.abs(answer.sum(axis=1) - 1).max() < 1e-3:  # nothing overflowed
            engine.edge = edge
            return True
    return False


def _options(threads: int) -> Any:  # noqa: ANN401 - onnxruntime has no types
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # which it sends on Windows
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = _FATAL
    return options


def _giving_back() -> Any:  # noqa: ANN401 - onnxruntime has no types
    """Return the settings of a run after which the memory of activations goes back to the system."""
    import onnxruntime

    settings = onnxruntime.RunOptions()
    settings.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return settings


def cuda_session(model: bytes, number: int, threads: int, extra: dict[str, str]) -> tuple[Any, str]:
    """Try a GPU; return the session or None, and the reason for None."""
    import onnxruntime

    settings = {
        "device_id": number,
        "arena_extend_strategy": "kSameAsRequested",
        # an exhaustive search times the algorithms, so that runs could differ in their last bits
        "cudnn_conv_algo_search": "HEURISTIC",
        **extra,
    }
    with _captured_messages() as messages:
        try:
            onnxruntime.set_default_logger_severity(_ERROR)
            if hasattr(onnxruntime, "preload_dlls"):
                onnxruntime.preload_dlls()
            session = onnxruntime.InferenceSession(
                model, _options(threads), [(_CUDA, settings), _CPU], enable_fallback=0
            )
        except Exception as error:  # ONNX Runtime's errors share no base class but this
            return None, first_line(error)
        finally:
            onnxruntime.set_default_logger_severity(_FATAL)
    if session.get_providers()[0] != _CUDA:
        return None, _reason(messages)
    return session, ""


@contextlib.contextmanager
def _captured_messages() -> Iterator[list[str]]:
    """Collect what ONNX Runtime prints while it looks for a GPU: it tells the reason nowhere else."""
    lines: list[str] = []
    # the streams belong to the whole program: with several GPUs, one after the other
    with _capturing, tempfile.TemporaryFile() as sink, contextlib.redirect_stdout(io.StringIO()):
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(sink.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            sink.seek(0)
            lines += sink.read().decode(errors="replace").splitlines()


def _reason(messages: list[str]) -> str:
    """Say which library or device is at fault."""
    for line in messages:
        if missing := re.search(r"([\w.+-]*\.so[\w.]*): cannot open shared object file", line):
            return f"{missing[1]} is missing, which onnxruntime-gpu[cuda,cudnn] brings"
        if says_gpu_lost(fault := RuntimeError(line)):
            return first_line(fault)
    return "CUDA or cuDNN could not be loaded, which onnxruntime-gpu[cuda,cudnn] brings"
