"""The header of an MRC/CCP4 file: what it says about the place and the axes of its data, and its bytes.

Format: Cheng et al. 2015, J. Struct. Biol. 192, 146 (MRC2014).
"""

from dataclasses import dataclass

import mrcfile.dtypes
import mrcfile.utils
import numpy as np
from numpy.typing import NDArray

from haruspex_infer.grid import Grid

HEADER_BYTES = 1024
MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
"""Type of a voxel by mode, of the modes that hold density."""

MODE_NAMES = {
    **{0: "8-bit integers", 1: "16-bit integers", 2: "32-bit floats", 3: "complex integers"},
    **{4: "complex numbers", 6: "unsigned 16-bit integers", 12: "16-bit floats", 101: "4-bit integers"},
}
"""What a mode holds, of all modes of the format."""

LABELS = 10
"""Labels that a header has room for."""

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
    def origin_makes_sense(self) -> bool:
        """Whether the field origin can be a position."""
        return bool((np.abs(self.position_by_origin) < _FARTHEST).all())

    @property
    def placed_by_origin(self) -> bool:
        """Whether origin tells the position; otherwise nstart does."""
        return self.origin_makes_sense and bool(self.position_by_origin.any())

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
    if used < LABELS:
        fields.label[used] = label.encode("ascii")[:80].ljust(80)
        fields.nlabl = used + 1
    return fields.tobytes()
