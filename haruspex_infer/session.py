"""Runs a network with ONNX Runtime, and says truly on which device."""

import contextlib
import ctypes
import io
import math
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from haruspex_infer.classes import CLASSES
from haruspex_infer.errors import HaruspexError
from haruspex_infer.network import METADATA_KEY
from haruspex_infer.onnxfile import read_network
from haruspex_infer.resources import available_cores

_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"
_FATAL, _ERROR = 4, 3
# input voxels of one batch: four tiles of 96³ keep a GPU busy; a CPU gains nothing beyond one
_BATCH_VOXELS = {"cpu": 96**3, "cuda": 4 * 96**3}


class Session:
    """A network, loaded on a device.

    Parameters
    ----------
    path : Path
        ONNX file.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Attributes
    ----------
    device : str
        Where it runs: ``cpu`` or ``cuda:N``.
    fallback : str or None
        Why ``auto`` did not take a GPU.
    threads : int
        CPU cores in use.
    metadata : str or None
        The network's own metadata, JSON.

    Raises
    ------
    HaruspexError
        If the file is no network of the right shape, the device is unknown, or a GPU was asked for and
        cannot be used.
    """

    def __init__(self, path: Path, device: str = "auto") -> None:
        number = _gpu_number(device)
        network = read_network(path)
        self.threads = available_cores()
        self.fallback: str | None = None
        session = None
        if device != "cpu":
            session, reason = _cuda_session(network, number, self.threads)
            if session is None and device != "auto":
                raise HaruspexError(f"The GPU ({device}) cannot be used: {reason}.")
            self.fallback = reason or None
        self.device = "cpu" if session is None else f"cuda:{number}"
        self._session = session or _cpu_session(network, path, self.threads)
        try:
            self.metadata: str | None = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
            _check_shape(self._session, path)
        except UnicodeDecodeError as error:
            raise HaruspexError(f"{path} is damaged: its names are not text; get it again.") from error

    def batch_size(self, edge: tuple[int, int, int]) -> int:
        """Return how many tiles of an edge (z, y, x) run at once."""
        return max(1, _BATCH_VOXELS[self.device.split(":")[0]] // math.prod(edge))

    def run(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return class probabilities.

        Parameters
        ----------
        tiles : ndarray, shape (n, 1, d, h, w)
            Normalised density.

        Returns
        -------
        ndarray of float32, shape (n, 4, d', h', w')
            Probabilities of the classes.

        Raises
        ------
        HaruspexError
            If the device fails, for instance for lack of memory.
        """
        try:
            return self._session.run(["probabilities"], {"density": tiles})[0]
        except Exception as error:  # ONNX Runtime's errors share no base class but this
            advice = "free its memory or use --device cpu" if self.device != "cpu" else "free memory"
            raise HaruspexError(
                f"The network failed on {self.device} ({_first_line(error)}); {advice}."
            ) from error


def _gpu_number(device: str) -> int:
    if device in ("auto", "cpu", "cuda"):
        return 0
    match = re.fullmatch(r"cuda:(\d+)", device)
    if not match:
        raise HaruspexError(f"There is no device {device!r}: use auto, cpu, cuda or cuda:N.")
    return int(match[1])


def _options(threads: int) -> Any:  # noqa: ANN401 - onnxruntime has no types
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = _FATAL
    return options


def _cpu_session(network: bytes, path: Path, threads: int) -> Any:  # noqa: ANN401
    try:
        return onnxruntime.InferenceSession(network, _options(threads), [_CPU])
    except Exception as error:  # ONNX Runtime's errors share no base class but this
        raise HaruspexError(f"{path} is not a network that can be run ({_first_line(error)}).") from error


def _cuda_session(network: bytes, number: int, threads: int) -> tuple[Any, str]:
    """Try a GPU; return the session or None, and the reason for None."""
    # a provider that is available need not work: only the session itself knows what it runs on
    if _CUDA not in onnxruntime.get_available_providers():
        return None, "the installed onnxruntime has no CUDA support (package onnxruntime-gpu)"
    if not _has_driver():
        return None, "this machine has no NVIDIA driver"
    settings = {
        "device_id": number,
        "arena_extend_strategy": "kSameAsRequested",
        # an exhaustive search times the algorithms, so that runs could differ in their last bits
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": 0,
    }
    with _captured_messages() as messages:
        try:
            onnxruntime.set_default_logger_severity(_ERROR)
            if hasattr(onnxruntime, "preload_dlls"):
                onnxruntime.preload_dlls()
            session = onnxruntime.InferenceSession(
                network, _options(threads), [(_CUDA, settings), _CPU], enable_fallback=0
            )
        except Exception as error:  # ONNX Runtime's errors share no base class but this
            return None, _first_line(error)
        finally:
            onnxruntime.set_default_logger_severity(_FATAL)
    if session.get_providers()[0] != _CUDA:
        return None, _reason(messages)
    return session, ""


@contextlib.contextmanager
def _captured_messages() -> Iterator[list[str]]:
    """Collect what ONNX Runtime prints while it looks for a GPU: it tells the reason nowhere else."""
    lines: list[str] = []
    sys.stderr.flush()
    with tempfile.TemporaryFile() as sink, contextlib.redirect_stdout(io.StringIO()):
        kept = os.dup(2)
        os.dup2(sink.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            sink.seek(0)
            lines += sink.read().decode(errors="replace").splitlines()


def _has_driver() -> bool:
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def _reason(messages: list[str]) -> str:
    """Say which library or device is at fault."""
    for line in messages:
        if missing := re.search(r"([\w.+-]*\.so[\w.]*): cannot open shared object file", line):
            return f"{missing[1]} is missing, which haruspex-infer[cuda] installs"
        if failure := re.search(r"CUDA failure \d+: [^;]*", line):
            return failure[0].strip()
    return "CUDA or cuDNN could not be loaded, which haruspex-infer[cuda] installs"


def _first_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    found = re.search(r"CUDA failure \d+: [^;]*", text)
    return (found[0] if found else text)[:200].strip()


def _check_shape(session: Any, path: Path) -> None:  # noqa: ANN401
    inputs = {entry.name: entry.shape for entry in session.get_inputs()}
    outputs = {entry.name: entry.shape for entry in session.get_outputs()}
    fits = (
        len(inputs.get("density", ())) == 5
        and len(outputs.get("probabilities", ())) == 5
        and outputs["probabilities"][1] == len(CLASSES)
    )
    if not fits:
        raise HaruspexError(
            f"{path} is not a network for this program: it needs an input density (n, 1, d, h, w) "
            f"and an output probabilities (n, {len(CLASSES)}, d, h, w)."
        )
