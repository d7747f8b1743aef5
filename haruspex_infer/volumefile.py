"""Writes a volume to an MRC file slab by slab: nothing of it has to stay in memory."""

import math
import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.files import written_whole
from haruspex_infer.mapheader import HEADER_BYTES, MapHeader, sibling_header
from haruspex_infer.slabs import is_uniform


class VolumeFile:
    """A map file on the voxels of another, written in slabs along its sections.

    The file appears under its name when the block that writes it ends without an error. The statistics in
    its header are gathered on the way.

    Parameters
    ----------
    header : MapHeader
        Header of the map whose voxels these are: shape, cell, axis order, nstart, origin and labels.
    shape : tuple of int
        Voxels (z, y, x).
    path : Path
        Where to write.
    label : str
        ASCII, at most 80 characters; added to the labels where there is room.
    real : bool
        Whether to write real numbers (mode 2), or whole ones (mode 0, -128 to 127).

    Raises
    ------
    HaruspexError
        If the file cannot be written.
    """

    def __init__(
        self, header: MapHeader, shape: tuple[int, ...], path: Path, label: str, real: bool = True
    ) -> None:
        self._header, self._path, self._label = header, path, label
        self._mode = 2 if real else 0
        self._dtype: np.dtype = np.dtype("<f4" if real else "i1")
        self._voxels = math.prod(shape)
        self._lowest, self._highest = math.inf, -math.inf
        self._sum = self._squares = 0.0
        self._stack = ExitStack()
        self._stream: BinaryIO

    def __enter__(self) -> Self:
        self._stream = self._stack.enter_context(written_whole(self._path))
        self._stream.seek(HEADER_BYTES)
        return self

    def write(self, slab: NDArray) -> None:
        """Write the next sections; `slab` has the axes (z, y, x) whatever the order of the file."""
        if is_uniform(slab):
            self._fill(float(slab.flat[0]), slab.size)
            return
        data = np.ascontiguousarray(self._header.to_file(slab), dtype=self._dtype)
        self._lowest = min(self._lowest, float(data.min()))
        self._highest = max(self._highest, float(data.max()))
        for section in data:  # float64 all at once would take twice the memory of the slab
            self._sum += float(section.sum(dtype=np.float64))
            # no product of vectors: its threads would wait for each other across files
            self._squares += float(np.square(section, dtype=np.float64).sum())
        self._stream.write(data.data)

    def _fill(self, value: float, voxels: int) -> None:
        """Write one number for many voxels; zeros take no space where the file system knows holes."""
        self._lowest, self._highest = min(self._lowest, value), max(self._highest, value)
        self._sum += value * voxels
        self._squares += value * value * voxels
        if value == 0:
            self._stream.seek(voxels * self._dtype.itemsize, os.SEEK_CUR)
            self._stream.truncate()
        else:
            self._stream.write(np.full(voxels, value, self._dtype).data)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            mean = self._sum / self._voxels
            spread = math.sqrt(max(0.0, self._squares / self._voxels - mean * mean))
            figures = (self._lowest, self._highest, mean, spread)
            self._stream.seek(0)
            self._stream.write(sibling_header(self._header, figures, self._mode, self._label))
        self._stack.__exit__(kind, error, trace)
