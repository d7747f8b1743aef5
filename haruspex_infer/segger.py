"""An annotation as a segmentation of Segger, the tool *Segment Map* of ChimeraX.

Segger keeps segmentations in HDF5 files ending in .seg: an index of regions on the voxels of the map, and a
table of the regions (format ``segger``, version 2). h5py writes them; it is no dependency of this package.
"""

import io
import os
from pathlib import Path

import numpy as np

from haruspex_infer.annotatedmap import MOLECULE, AnnotatedMap
from haruspex_infer.chimerax import CONTOUR
from haruspex_infer.classes import HELIX, NUCLEOTIDE, STRAND
from haruspex_infer.errors import HaruspexError
from haruspex_infer.files import written_whole

_REGIONS = (HELIX, STRAND, NUCLEOTIDE)


def write_segger(annotation: AnnotatedMap, path: str | os.PathLike[str]) -> None:
    """Write helix, strand and nucleotide as regions 1, 2 and 3 of a segmentation.

    Regions end with the molecular density, as Segger's own do; classes that the map does not have are left
    out.

    Parameters
    ----------
    annotation : AnnotatedMap
        What to write.
    path : path-like
        The file; ChimeraX knows it by the ending ``.seg``.

    Raises
    ------
    HaruspexError
        If h5py is not installed, or the file cannot be written.
    """
    try:
        import h5py
    except ImportError as error:
        raise HaruspexError("Segger files need h5py, which is not installed: pip install h5py.") from error
    density, grid = annotation.map.density, annotation.grid
    mask = np.where(density >= annotation.level(MOLECULE), annotation.labels, 0).astype(np.uint32)
    present = [c for c in _REGIONS if (mask == c.number).any()]
    peaks = [
        np.unravel_index(np.where(mask == c.number, density, -np.inf).argmax(), mask.shape) for c in present
    ]
    x, y, z = grid.positions([0, 0, 0])
    edges = grid.voxel_size[::-1]
    # in memory first: HDF5 crashes on a disk that is full
    packed = io.BytesIO()
    with h5py.File(packed, "w") as file:
        file.attrs["format"] = "segger"
        file.attrs["format_version"] = 2
        file.attrs["name"] = Path(path).name
        if annotation.map.path is not None:
            file.attrs["map_path"] = str(annotation.map.path.resolve())
        file.attrs["map_size"] = np.array(grid.shape[::-1], np.int32)
        file.attrs["map_level"] = annotation.level(CONTOUR)
        file.attrs["ijk_to_xyz_transform"] = np.column_stack([np.diag(edges), (x, y, z)]).astype(np.float32)
        file.create_dataset("mask", data=mask, compression="gzip", chunks=True)
        file["region_ids"] = np.array([c.number for c in present], np.int32)
        file["region_colors"] = np.array([_rgba(c.colour) for c in present], np.float32).reshape(-1, 4)
        file["ref_points"] = np.array([peak[::-1] for peak in peaks], np.float32).reshape(-1, 3)
        file["smoothing_levels"] = np.zeros(len(present), np.float32)
        file["parent_ids"] = np.zeros(len(present), np.int32)
    with written_whole(Path(path)) as stream:
        stream.write(packed.getbuffer())


def _rgba(colour: str) -> tuple[float, float, float, float]:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue, 1.0
