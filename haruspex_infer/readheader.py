"""Reads the header of a map from its bytes, and finds from it where the voxels lie.

Files with odd machine stamps, permuted axes or foreign extended headers are common among deposited maps and
must be read for what they hold.
"""

import mrcfile.dtypes
import mrcfile.utils
import numpy as np
from numpy.typing import NDArray

from haruspex_infer.errors import HaruspexError
from haruspex_infer.grid import Grid, Triple
from haruspex_infer.mapheader import LABELS, MODE_NAMES, MODES, MapHeader
from haruspex_infer.mapsanity import refuse_absurd_voxels, refuse_what_is_no_volume


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
    if mode not in MODES:
        raise HaruspexError(f"{name} holds {MODE_NAMES[mode]} (mode {mode}), not a density map.")
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
    fields.nlabl = min(max(int(fields.nlabl), 0), LABELS)
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
        if int(fields.mode) in MODE_NAMES and all(0 < n < 2**16 for n in sizes):
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
    if not header.origin_makes_sense:
        warnings.append(f"origin ({_angstrom(by_origin)}) makes no sense; nstart was used")
    position = by_origin if header.placed_by_origin else by_start
    grid = Grid(shape, _zyx(edges), _zyx(position))
    return MapHeader(fields, header.byte_order), grid


def _zyx(xyz: NDArray[np.float64]) -> Triple:
    return float(xyz[2]), float(xyz[1]), float(xyz[0])


def _angstrom(xyz: NDArray[np.float64]) -> str:
    return ", ".join(f"{value:.2f}" for value in xyz) + " Å"
