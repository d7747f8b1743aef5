"""Reads density maps from MRC/CCP4 files and writes volumes on the same voxels."""

import bz2
import gzip
import math
import mmap
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from haruspex_infer.errors import HaruspexError
from haruspex_infer.grid import Grid, Triple
from haruspex_infer.mapheader import HEADER_BYTES, MapHeader, header_of
from haruspex_infer.mapsanity import COARSEST, FINEST, notes_on_name
from haruspex_infer.readheader import locate, parse_header
from haruspex_infer.resources import available_memory
from haruspex_infer.slabs import slabs
from haruspex_infer.volumefile import VolumeFile

VoxelSize: TypeAlias = float | Triple | np.recarray

_MAP_ENDINGS = (".mrc", ".map", ".ccp4")
# ending of packed files by their first bytes
_PACKED = {b"\x1f\x8b": ".gz", b"BZ": ".bz2"}
_ENDINGS = (*_PACKED.values(), *_MAP_ENDINGS)
_PIECE = 2**26
_OPENERS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open}


@dataclass(frozen=True)
class Map:
    """A density map.

    Attributes
    ----------
    density : ndarray, shape (z, y, x)
        Density. Float32; a read-only view of the file where that is plain and holds float32.
    grid : Grid
        Where the voxels lie.
    header : MapHeader
        Header for volumes on the same voxels.
    path : Path or None
        File it came from.
    warnings : tuple of str
        What was unusual about the file.
    misread : bool
        Whether other programs misread the file: the voxel size was given in place of its own, or its name
        does not tell what is in it.
    packed : str
        ``.gz`` or ``.bz2`` where the file is compressed.
    """

    density: NDArray[np.float32] = field(repr=False)
    grid: Grid
    header: MapHeader = field(repr=False)
    path: Path | None = None
    warnings: tuple[str, ...] = ()
    misread: bool = False
    packed: str = ""

    @classmethod
    def from_array(
        cls, density: ArrayLike, voxel_size: VoxelSize | None, origin: Triple = (0.0, 0.0, 0.0)
    ) -> "Map":
        """Make a map of an array.

        Parameters
        ----------
        density : array_like, shape (z, y, x)
            Density.
        voxel_size : float, tuple of float, or mrcfile's record
            Voxel edges in Å, one number or (z, y, x).
        origin : tuple of float
            Position (z, y, x) in Å of voxel [0, 0, 0].

        Raises
        ------
        HaruspexError
            If the array is not a volume of finite numbers, or the voxel size none that a map has.
        """
        try:
            volume = np.asarray(density)
        except ValueError as error:
            raise HaruspexError(
                "Rows of different lengths make no map, which is an array (z, y, x)."
            ) from error
        if volume.ndim == 0:
            raise HaruspexError(
                f"{type(density).__name__} is no map: give a file, a Map or an array (z, y, x)."
            )
        if volume.ndim != 3 or min(volume.shape) < 2:
            raise HaruspexError(f"The array has shape {volume.shape}: a map has three axes (z, y, x).")
        if volume.dtype.kind not in "iuf":
            raise HaruspexError(f"The array holds {volume.dtype}, not real numbers.")
        volume = volume.astype(np.float32, copy=False)
        _refuse_what_is_not_finite(volume, "The array")
        grid = Grid(volume.shape, edges(voxel_size), origin)
        return cls(volume, grid, header_of(grid))

    @property
    def mapped(self) -> bool:
        """Whether the density is a view of the file: memory is taken only where it was looked at lately."""
        return getattr(self.density, "_mmap", None) is not None

    def forget(self) -> None:
        """Give back the memory of what was looked at in a view of the file: it can be read again."""
        if self.mapped and hasattr(mmap, "MADV_DONTNEED"):
            self.density._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]

    @property
    def stem(self) -> str:
        """Name of the file without the endings of maps and of compression."""
        return stem_of(self.path) if self.path else "map"


def stem_of(path: Path) -> str:
    """Return the name of a file without .gz, .bz2, .mrc, .map and .ccp4."""
    name = path.name
    while name.lower().endswith(_ENDINGS) and name.lower() not in _ENDINGS:
        name = name[: name.rindex(".")]
    return name


def edges(voxel_size: VoxelSize | None) -> Triple:
    """Return voxel edges (z, y, x) in Å from one number or three, or from ``voxel_size`` of mrcfile.

    Raises
    ------
    HaruspexError
        If there are neither one nor three edges, or one is none that a map has.
    """
    if voxel_size is None:
        raise HaruspexError(
            "An array has no voxel size of its own: give it in Å as voxel_size, or make a map of both with "
            "Map.from_array."
        )
    try:
        given = np.asarray(voxel_size)
        if given.dtype.names == ("x", "y", "z"):
            given = np.array([given[axis] for axis in "zyx"])
        zyx = np.broadcast_to(given.astype(np.float64), 3)
    except (TypeError, ValueError) as error:
        raise HaruspexError(
            f"The voxel size must be one number or three (z, y, x), in Å, and is given as {voxel_size}."
        ) from error
    if not ((zyx >= FINEST) & (zyx <= COARSEST)).all():
        raise HaruspexError(
            f"The voxel size must be between {FINEST:g} and {COARSEST:g} Å, and is given as {voxel_size}."
        )
    return float(zyx[0]), float(zyx[1]), float(zyx[2])


def read_map(path: str | os.PathLike[str], voxel_size: VoxelSize | None = None) -> Map:
    """Read a map from an MRC/CCP4 file, plain or compressed by gzip or bzip2 whatever its name.

    Parameters
    ----------
    path : path-like
        The file. Modes 0, 1, 2, 6 and 12, any order of axes, either byte order.
    voxel_size : float or tuple of float, optional
        Voxel edges in Å, one number or (z, y, x), in place of the header's.

    Returns
    -------
    Map

    Raises
    ------
    HaruspexError
        If the file cannot be read, or holds something else than one map with right angles.
    """
    path = Path(path)
    given = None if voxel_size is None else edges(voxel_size)
    try:
        if path.is_dir():
            raise HaruspexError(f"{path} is a folder, not a map.")
        with path.open("rb") as stream:
            magic = stream.read(2)
        opener = _OPENERS.get(magic)
        if opener is None:
            header, data, warnings = _read_plain(path)
        else:
            with opener(path, "rb") as stream:
                header, data, warnings = _read_stream(stream, str(path))
    except FileNotFoundError as error:
        raise HaruspexError(f"{path} does not exist.") from error
    except EOFError as error:
        raise HaruspexError(f"{path} is truncated: its compressed data end too early.") from error
    except (zlib.error, gzip.BadGzipFile) as error:
        raise HaruspexError(f"{path} is corrupt: its compressed data cannot be read ({error}).") from error
    except OSError as error:
        raise HaruspexError(f"{path} cannot be read: {error.strerror or error}.") from error
    header, grid = locate(header, given, str(path), warnings)
    if data.dtype != np.float32 or not data.dtype.isnative:
        data = data.astype(np.float32)
    _refuse_what_is_not_finite(data, str(path))
    density = header.to_zyx(data)
    warnings += notes_on_name(path.name)
    packed = _PACKED.get(magic, "")
    misread = given is not None or not _named_for(path, packed)
    return Map(density, grid, header, path, tuple(warnings), misread, packed)


def write_map_like(
    template: Map,
    volume: NDArray[np.floating] | NDArray[np.integer],
    path: str | os.PathLike[str],
    label: str,
) -> None:
    """Write a volume with the shape, cell, axis order, nstart, origin, ISPG and labels of a map.

    Parameters
    ----------
    template : Map
        The map whose voxels these are.
    volume : ndarray, shape (z, y, x)
        Floating-point numbers are written as mode 2, integers as mode 0 (−128 to 127).
    path : path-like
        Where to write.
    label : str
        ASCII, at most 80 characters; added to the labels where there is room.

    Raises
    ------
    HaruspexError
        If the volume has other voxels than the map, or whole numbers that mode 0 cannot hold, or the file
        cannot be written.
    """
    if volume.shape != template.grid.shape:
        raise HaruspexError(
            f"The volume has shape {volume.shape} and the map {template.grid.shape}: they must have the same "
            "voxels (z, y, x)."
        )
    if volume.dtype.kind in "iu" and (volume.min() < -128 or volume.max() > 127):
        raise HaruspexError(
            f"The volume holds whole numbers from {volume.min()} to {volume.max()}, and -128 to 127 can be "
            "written: make real numbers of them."
        )
    axis = template.header.section_axis
    with VolumeFile(template.header, volume.shape, Path(path), label, volume.dtype.kind == "f") as out:
        for first, last in slabs(tuple(np.moveaxis(volume, axis, 0).shape)):
            part = [slice(None)] * 3
            part[axis] = slice(first, last)
            out.write(volume[tuple(part)])


def _read_plain(path: Path) -> tuple[MapHeader, NDArray, list[str]]:
    size = path.stat().st_size
    with path.open("rb") as stream:
        header, warnings = _read_header(stream, str(path))
    promised = header.data_offset + header.data_bytes
    if size < promised:
        raise HaruspexError(
            f"{path} is truncated: its header promises {promised:,} bytes and the file has {size:,}."
        )
    _refuse_what_memory_cannot_hold(header, str(path))
    data = np.memmap(path, dtype=header.dtype, mode="r", offset=header.data_offset, shape=header.file_shape)
    return header, data, warnings


def _read_stream(stream: BinaryIO, name: str) -> tuple[MapHeader, NDArray, list[str]]:
    header, warnings = _read_header(stream, name)
    # a few kilobytes can unpack to any length: nothing is unpacked that will not be kept
    _refuse_what_memory_cannot_hold(header, name)
    extended = int(header.fields.nsymbt)
    for size in _pieces(extended):
        stream.read(size)
    data = np.empty(header.data_bytes, dtype=np.uint8)
    filled = 0
    for size in _pieces(header.data_bytes):
        piece = stream.read(size)
        data[filled : filled + len(piece)] = np.frombuffer(piece, dtype=np.uint8)
        filled += len(piece)
        if len(piece) < size:
            raise HaruspexError(
                f"{name} is truncated: its header promises {header.data_bytes:,} bytes of density "
                f"and it holds {filled:,}."
            )
    return header, data.view(header.dtype).reshape(header.file_shape), warnings


def _read_header(stream: BinaryIO, name: str) -> tuple[MapHeader, list[str]]:
    raw = stream.read(HEADER_BYTES)
    if not raw:
        raise HaruspexError(f"{name} is empty.")
    if len(raw) < HEADER_BYTES:
        if raw.lstrip()[:1] == b"<":
            raise HaruspexError(f"{name} is a web page or XML, not a map: download the map again.")
        raise HaruspexError(f"{name} is not a map: it has {len(raw)} bytes, less than a header.")
    return parse_header(raw, name)


def _named_for(path: Path, packed: str) -> bool:
    """Return whether a name ends as its content asks for: viewers go by the name."""
    name = path.name.lower()
    return name.endswith(packed) and name.removesuffix(packed).endswith(_MAP_ENDINGS)


def _pieces(total: int) -> Iterator[int]:
    """Split a number of bytes, so that a corrupt header cannot ask for one huge read."""
    for start in range(0, total, _PIECE):
        yield min(_PIECE, total - start)


def _refuse_what_memory_cannot_hold(header: MapHeader, name: str) -> None:
    voxels = math.prod(header.file_shape)
    needed = voxels * (4 if header.dtype.itemsize == 4 else 4 + header.dtype.itemsize)
    if needed > available_memory():
        raise HaruspexError(
            f"{name} states {' × '.join(map(str, header.file_shape[::-1]))} voxels, which take "
            f"{needed / 1e9:,.0f} GB of memory: this machine has {available_memory() / 1e9:.0f} GB."
        )


def _refuse_what_is_not_finite(data: NDArray[np.float32], name: str) -> None:
    # section by section, in the order of the file: it may be larger than memory
    bad = sum(section.size - int(np.count_nonzero(np.isfinite(section))) for section in data)
    if bad:
        raise HaruspexError(
            f"{name} holds {bad:,} voxels that are not numbers (NaN or infinite) of {data.size:,}."
        )
