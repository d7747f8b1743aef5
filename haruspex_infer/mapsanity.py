"""What header and name of a file say when it is no density map, or none that networks know."""

import re

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.errors import HaruspexError
from haruspex_infer.mapheader import MapHeader

FINEST, COARSEST = 0.1, 50.0
"""Voxel edges in Å beyond which a header is taken for wrong: a hydrogen atom, and a coarse tomogram."""

# run_half1_class001_unfil.mrc, emd_1234_half_map_1.map.gz, cryosparc_P1_J2_volume_map_half_A.mrc
_HALF_MAP = re.compile(r"(?<![a-z])half[ _.-]?(map|vol(ume)?)?[ _.-]?[12ab](?![a-z0-9])", re.IGNORECASE)

# cameras of tilt series have more pixels than this, and tilt series a few dozen sections
_CAMERA, _MOST_TILTS = 1000, 200


def refuse_what_is_no_volume(header: MapHeader, name: str) -> None:
    """Refuse images, stacks, tilt series and skewed cells.

    Raises
    ------
    HaruspexError
        If the file holds anything but one volume with right angles.
    """
    fields = header.fields
    sections, rows, columns = header.file_shape
    if 1 in header.file_shape:
        raise HaruspexError(f"{name} is a 2D image of {columns} × {rows} pixels, not a 3D map.")
    if int(fields.ispg) > 400:
        raise HaruspexError(
            f"{name} is a stack of volumes (space group {int(fields.ispg)}): "
            "save one volume to a file of its own."
        )
    tilts = sections <= _MOST_TILTS and min(rows, columns) >= _CAMERA
    if int(fields.ispg) == 0 and (int(fields.mz) == 1 or tilts):
        raise HaruspexError(
            f"{name} is a stack of {sections} 2D images of {columns} × {rows} pixels (space group 0), "
            "not a 3D map."
        )
    angles = [float(fields.cellb[axis]) for axis in ("alpha", "beta", "gamma")]
    if any(angles) and any(not abs(angle - 90) < 0.01 for angle in angles):
        shown = ", ".join(f"{angle:g}" for angle in angles)
        raise HaruspexError(
            f"{name} has a cell with angles {shown}°: only cells with right angles can be annotated; "
            "resample the map to one."
        )


def refuse_absurd_voxels(edges: NDArray[np.float64], name: str) -> None:
    """Refuse voxel sizes that no map has.

    Parameters
    ----------
    edges : ndarray, shape (3,)
        Voxel edges (x, y, z) in Å, as the header has them.
    name : str
        How to call the file in messages.

    Raises
    ------
    HaruspexError
        If an edge is not a positive number, or none that a microscope gives.
    """
    if not (np.isfinite(edges).all() and (edges > 0).all()):
        raise HaruspexError(f"{name} states no voxel size: give it in Å with --voxel-size.")
    if edges.min() < FINEST or edges.max() > COARSEST:
        shown = " × ".join(f"{edge:.4g}" for edge in edges)
        raise HaruspexError(
            f"{name} states voxels of {shown} Å, which cannot be right: give their size with --voxel-size."
        )


def notes_on_name(name: str) -> list[str]:
    """Return what a user should know of a map because of its name.

    Parameters
    ----------
    name : str
        Of the file.
    """
    if _HALF_MAP.search(name):
        return ["by its name a half-map, which is noisier than the whole map: annotate that one"]
    return []
