"""What the header of an MRC/CCP4 file says about the place and the axes of its data.

Format: Cheng et al. 2015, J. Struct. Biol. 192, 146 (MRC2014). The header is read and written here as
bytes: files with odd machine stamps, permuted axes or foreign extended headers are common among deposited
maps and must be read for what they hold.
"""

from dataclasses import dataclass

import mrcfile.dtypes
import mrcfile.utils
import numpy as np
from numpy.typing import NDArray

from haruspex_infer.errors import HaruspexError
from haruspex_infer.grid import Grid, Triple
from haruspex_infer.mapsanity import refuse_absurd_voxels, refuse_what_is_no_volume

HEADER_BYTES = 1024
MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_UNUSABLE_MODES = {3: "complex integers", 4: "complex numbers", 101: "4-bit integers"}
_LABELS = 10
# Å; old programs kept other things where origin stands now
_FARTHEST = 1e6


@dataclass(frozen=True)
class MapHeader:
    """Header of a map, little-endian, and the order of its bytes in the file it came from."""

    fields: np.record
    byte_order: str = "<"

    @property
    def dtype(self) -> np.dtype:
        """Type of a voxel in the file."""
        return np.dtype(self.byte_order + MODES[int(self.fields.mode)])

    @property
    def file_shape(self) -> tuple[int, int, int]:
        """Sections, rows and columns, in the order of the file."""
        return int(self.fields.nz), int(self.fields.ny), int(self.fields.nx)

    @property
    def data_offset(self) -> int:
        """Bytes before the first voxel."""
        return HEADER_BYTES + int(self.fields.nsymbt)

    @property
    def data_bytes(self) -> int:
        """Bytes of all voxels."""
        sections, rows, columns = self.file_shape
        return sections * rows * columns * self.dtype.itemsize

    @property
    def axes(self) -> tuple[int, int, int]:
        """Spatial axis (1 = x, 2 = y, 3 = z) of columns, rows and sections."""
        return int(self.fields.mapc), int(self.fields.mapr), int(self.fields.maps)

    @property
    def start(self) -> NDArray[np.float64]:
        """First voxel (x, y, z) in voxels from the origin of the cell."""
        start = np.empty(3)
        in_file = (self.fields.nxstart, self.fields.nystart, self.fields.nzstart)
        for spatial, value in zip(self.axes, in_file, strict=True):
            start[spatial - 1] = float(value)
        return start

    @property
    def position_by_origin(self) -> NDArray[np.float64]:
        """Position (x, y, z) in Å that the field origin states."""
        return np.array([self.fields.origin[axis] for axis in "xyz"], dtype=np.float64)

    @property
    def placed_by_origin(self) -> bool:
        """Whether origin tells the position; otherwise nstart does."""
        return bool((np.abs(self.position_by_origin) < _FARTHEST).all() and self.position_by_origin.any())

    @property
    def section_axis(self) -> int:
        """Axis of (z, y, x) along which the file's sections follow each other."""
        return 3 - self.axes[2]

    def to_zyx(self, data: NDArray) -> NDArray:
        """View file data (sections, rows, columns) as (z, y, x)."""
        column, row, section = self.axes
        place = {section: 0, row: 1, column: 2}
        return data.transpose(place[3], place[2], place[1])

    def to_file(self, volume: NDArray) -> NDArray:
        """View a volume (z, y, x) as (sections, rows, columns)."""
        column, row, section = self.axes
        return volume.transpose(3 - section, 3 - row, 3 - column)


def parse_header(raw: bytes, name: str) -> tuple[MapHeader, list[str]]:
    """Read a header.

    Parameters
    ----------
    raw : bytes
        The first 1024 bytes of the file.
    name : str
        How to call the file in messages.

    Returns
    -------
    header : MapHeader
    warnings : list of str
        What is unusual but was understood.

    Raises
    ------
    HaruspexError
        If this is no header, or one of data that are not a volume.
    """
    warnings: list[str] = []
    header = _in_likely_byte_order(raw, name, warnings)
    fields = header.fields
    mode = int(fields.mode)
    if mode in _UNUSABLE_MODES:
        raise HaruspexError(f"{name} holds {_UNUSABLE_MODES[mode]} (mode {mode}), not a density map.")
    if bytes(fields.map)[:3] != b"MAP":
        warnings.append("the header lacks the identifier MAP; it was read as a map all the same")
    if header.axes == (0, 0, 0):
        fields.mapc, fields.mapr, fields.maps = 1, 2, 3
        warnings.append("the header states no axis order; columns, rows, sections were taken as x, y, z")
    if sorted(header.axes) != [1, 2, 3]:
        raise HaruspexError(
            f"{name} states the impossible axis order {header.axes} (mapc, mapr, maps): it is corrupt."
        )
    refuse_what_is_no_volume(header, name)
    if int(fields.nsymbt) < 0:
        raise HaruspexError(f"{name} states an extended header of {int(fields.nsymbt)} bytes: it is corrupt.")
    fields.nlabl = min(max(int(fields.nlabl), 0), _LABELS)
    return header, warnings


def _in_likely_byte_order(raw: bytes, name: str, warnings: list[str]) -> MapHeader:
    """Return the header in the byte order of its stamp or, where that makes no sense, in the other."""
    layout = np.frombuffer(raw, dtype=mrcfile.dtypes.HEADER_DTYPE)[0]
    stamped = stamped_byte_order(layout)
    if stamped is None:
        stamp = " ".join(f"{byte:02x}" for byte in bytes(layout["machst"]))
        warnings.append(f"unusual machine stamp {stamp}; the byte order was found from the header's values")
    order = [stamped, ">" if stamped == "<" else "<"] if stamped else ["<", ">"]
    for byte_order in order:
        native = np.frombuffer(raw, dtype=mrcfile.dtypes.HEADER_DTYPE.newbyteorder(byte_order))
        fields = native.astype(mrcfile.dtypes.HEADER_DTYPE.newbyteorder("<")).view(np.recarray)[0]
        sizes = (int(fields.nx), int(fields.ny), int(fields.nz))
        known = int(fields.mode) in MODES or int(fields.mode) in _UNUSABLE_MODES
        if known and all(0 < n < 2**16 for n in sizes):
            if stamped and byte_order != stamped:
                warnings.append("the machine stamp contradicts the header's values; the values were followed")
            return MapHeader(fields, byte_order)
    if raw.lstrip()[:1] == b"<":
        raise HaruspexError(f"{name} is a web page or XML, not a map: download the map again.")
    raise HaruspexError(f"{name} is not an MRC/CCP4 map: its header makes no sense in either byte order.")


def stamped_byte_order(fields: np.record) -> str | None:
    """Return the byte order that a header's machine stamp states, ``<`` or ``>``; None if it states none."""
    try:
        return mrcfile.utils.byte_order_from_machine_stamp(fields["machst"])
    except ValueError:
        return None


def locate(
    header: MapHeader, voxel_size: Triple | None, name: str, warnings: list[str]
) -> tuple[MapHeader, Grid]:
    """Find the grid of a map, and correct the header's cell where another voxel size is given.

    The position is `origin` where that is not zero, and nstart × voxel size otherwise: EMDB places maps by
    nstart, most programs by origin.

    Parameters
    ----------
    header : MapHeader
    voxel_size : tuple of float or None
        Voxel edges (z, y, x) in Å to use in place of the header's.
    name : str
        How to call the file in messages.
    warnings : list of str
        Gains a sentence where nstart and origin disagree.

    Raises
    ------
    HaruspexError
        If the header states no voxel size, or none that can be right, and none is given.
    """
    fields = header.fields.copy()
    shape = header.to_zyx(np.broadcast_to(np.uint8(0), header.file_shape)).shape
    sampling = np.array([fields.mx, fields.my, fields.mz], dtype=np.int64)
    if voxel_size is not None:
        if not (sampling > 0).all():
            sampling = np.array(shape[::-1])
            fields.mx, fields.my, fields.mz = (int(n) for n in sampling)
        edges = np.array(voxel_size[::-1], dtype=np.float64)
        for axis, edge in zip("xyz", sampling * edges, strict=True):
            fields.cella[axis] = edge
    else:
        cell = np.array([fields.cella[axis] for axis in "xyz"], dtype=np.float64)
        edges = np.divide(cell, sampling, out=np.zeros(3), where=sampling > 0)
        refuse_absurd_voxels(edges, name)
    by_origin, by_start = header.position_by_origin, header.start * edges
    agree = np.allclose(by_origin, by_start, rtol=0, atol=0.01 * edges.min())
    if header.placed_by_origin and header.start.any() and not agree:
        warnings.append(
            f"origin ({_angstrom(by_origin)}) and nstart ({_angstrom(by_start)}) "
            "place the map differently; origin was used"
        )
    if not (np.abs(by_origin) < _FARTHEST).all():
        warnings.append(f"origin ({_angstrom(by_origin)}) makes no sense; nstart was used")
    position = by_origin if header.placed_by_origin else by_start
    grid = Grid(shape, _zyx(edges), _zyx(position))
    return MapHeader(fields, header.byte_order), grid


def header_of(grid: Grid) -> MapHeader:
    """Return a header for a volume that came without a file, placed by origin."""
    fields = np.zeros(1, dtype=mrcfile.dtypes.HEADER_DTYPE.newbyteorder("<")).view(np.recarray)[0]
    fields.nz, fields.ny, fields.nx = grid.shape
    fields.mz, fields.my, fields.mx = grid.shape
    for axis, n, edge, start in zip("zyx", grid.shape, grid.voxel_size, grid.origin, strict=True):
        fields.cella[axis] = n * edge
        fields.origin[axis] = start
    for angle in ("alpha", "beta", "gamma"):
        fields.cellb[angle] = 90
    fields.mode = 2
    fields.mapc, fields.mapr, fields.maps = 1, 2, 3
    fields.ispg = 1
    return MapHeader(fields)


def sibling_header(
    header: MapHeader, figures: tuple[float, float, float, float], mode: int, label: str
) -> bytes:
    """Return the bytes of a header like `header` for other data on the same voxels.

    `figures` are the lowest, highest and mean value and their standard deviation.

    The extended header is left out, since it describes the data of the input. One label is added where
    there is room.
    """
    fields = header.fields.copy()
    fields.mode = mode
    fields.nsymbt = 0
    fields.exttyp = b""
    fields.nversion = 20141
    fields.map = b"MAP "
    fields.machst = mrcfile.utils.machine_stamp_from_byte_order("<")
    fields.dmin, fields.dmax, fields.dmean, fields.rms = figures
    used = int(fields.nlabl)
    if used < _LABELS:
        fields.label[used] = label.encode("ascii")[:80].ljust(80)
        fields.nlabl = used + 1
    return fields.tobytes()


def _zyx(xyz: NDArray[np.float64]) -> Triple:
    return float(xyz[2]), float(xyz[1]), float(xyz[0])


def _angstrom(xyz: NDArray[np.float64]) -> str:
    return ", ".join(f"{value:.2f}" for value in xyz) + " Å"
