"""A network on a device: says truly on which, and what it has room for."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.classes import CLASSES
from haruspex_infer.devicefaults import first_line, says_gpu_lost, says_no_memory
from haruspex_infer.devices import gpu_numbers
from haruspex_infer.engines import Engine, cpu_engine, cuda_engine
from haruspex_infer.errors import DeviceLostError, HaruspexError
from haruspex_infer.network import METADATA_KEY, numbers_held
from haruspex_infer.onnxfile import read_metadata, read_network
from haruspex_infer.resources import available_cores, free_memory

# a CPU computes tiles of this much memory about as fast as larger ones
_CPU_BYTES = 1_000_000_000
_LEAST_VOXELS = 32**3
# enough to keep up with a GPU; each holds a tile's answer
_MOST_HELPERS = 8


class OutOfMemoryError(HaruspexError):
    """The device has no room for a tile of this size; smaller ones may fit."""


class Session:
    """A network, loaded on a device.

    Parameters
    ----------
    path : Path
        ONNX file.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    model : bytes, optional
        What `haruspex_infer.onnxfile.read_network` found in the file, to spare reading it again.

    Attributes
    ----------
    device : str
        Where it runs: ``cpu`` or ``cuda:N``.
    engine : str
        Runtime and number format, for instance ``onnxruntime float16``.
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

    def __init__(self, path: Path, device: str = "auto", model: bytes | None = None) -> None:
        number = gpu_numbers(device)[0]
        self.threads = available_cores()
        self.fallback: str | None = None
        model = model or read_network(path)
        self.metadata = read_metadata(model, METADATA_KEY)
        held = numbers_held(self.metadata)
        engine = None
        if device != "cpu":
            engine, reason = cuda_engine(model, number, self.threads, held)
            if engine is None and device != "auto":
                raise HaruspexError(f"The GPU ({device}) cannot be used: {reason}.")
            self.fallback = reason or None
        self.device = "cpu" if engine is None else f"cuda:{number}"
        self._engine: Engine = engine or cpu_engine(model, str(path), self.threads)
        self.engine = self._engine.name
        self._bytes_per_voxel = held * self._engine.bytes_per_number
        try:
            _check_shape(self._engine, path)
        except UnicodeDecodeError as error:
            raise HaruspexError(f"{path} is damaged: its names are not text; get it again.") from error

    def most_voxels(self, memory: float | None = None) -> int:
        """Return the voxels of the largest tile that there is room for and that is worth it.

        Parameters
        ----------
        memory : float, optional
            Bytes to use at most on a CPU; what is best for speed if left out.
        """
        if self._engine.edge is not None:
            return self._engine.edge**3
        room = min(free_memory() / 2, _CPU_BYTES) if memory is None else memory
        return max(_LEAST_VOXELS, int(room / self._bytes_per_voxel))

    @property
    def one_shape(self) -> bool:
        """Whether many tiles should have the same shape."""
        return self._engine.edge is not None

    @property
    def helpers(self) -> int:
        """Threads that cut tiles and store answers beside the network; on a CPU it needs the cores itself."""
        return 1 if self.device == "cpu" else max(1, min(_MOST_HELPERS, self.threads - 1))

    def activations(self, voxels: int) -> int:
        """Return the bytes that a tile of so many voxels takes, on the device."""
        return int(voxels * self._bytes_per_voxel)

    def run(
        self, tiles: NDArray[np.float32], out: NDArray[np.float32] | None = None, last: bool = False
    ) -> NDArray[np.float32]:
        """Return class probabilities.

        Parameters
        ----------
        tiles : ndarray, shape (n, 1, d, h, w)
            Normalised density, contiguous.
        out : ndarray, shape (n, 4, d', h', w'), optional
            Where to write the answer, contiguous: nothing needs to be allocated then.
        last : bool
            Whether the memory that a CPU took for it is given back, because no tile follows soon.

        Returns
        -------
        ndarray of float32, shape (n, 4, d', h', w')
            Probabilities of the classes.

        Raises
        ------
        OutOfMemoryError
            If the device has no memory for tiles of this size.
        DeviceLostError
            If a GPU fails for another reason.
        HaruspexError
            If the device fails for another reason.
        """
        try:
            return self._engine.run(tiles, out, last)
        except Exception as error:  # the runtimes' errors share no base class but this
            text = first_line(error)
            if says_no_memory(error):
                advice = "free its memory or use --device cpu" if self.device != "cpu" else "free memory"
                raise OutOfMemoryError(
                    f"The network ran out of memory on {self.device} ({text}); {advice}."
                ) from error
            if self.device != "cpu" and says_gpu_lost(error):
                raise DeviceLostError(
                    f"The GPU failed ({self.device}, {text}): see with nvidia-smi whether it is still there, "
                    "and start again, on another with --device cuda:N or on the CPU with --device cpu."
                ) from error
            raise HaruspexError(f"The network failed on {self.device} ({text}).") from error


def _check_shape(engine: Engine, path: Path) -> None:
    inputs, outputs = engine.ranks()
    if inputs != {"density": (5, None)} or outputs != {"probabilities": (5, len(CLASSES))}:
        raise HaruspexError(
            f"{path} is not a network for this program: it needs an input density (n, 1, d, h, w) "
            f"and an output probabilities (n, {len(CLASSES)}, d, h, w)."
        )
