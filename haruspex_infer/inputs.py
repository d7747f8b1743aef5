"""What users give as a map or a mask, in whatever form, as a map or a mask."""

import os
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from haruspex_infer.errors import HaruspexError
from haruspex_infer.grid import Triple
from haruspex_infer.mapfile import Map, edges, read_map
from haruspex_infer.readheader import locate

MapLike = str | os.PathLike[str] | Map | ArrayLike


def as_map(source: MapLike, voxel_size: float | Triple | None = None) -> Map:
    """Return a map from a file, a map or an array; see `haruspex_infer.annotate`."""
    if isinstance(source, Map):
        if voxel_size is None:
            return source
        header, grid = locate(source.header, edges(voxel_size), "The map", [])
        return replace(source, header=header, grid=grid, misread=True)
    if isinstance(source, str | os.PathLike):
        return read_map(source, voxel_size)
    if voxel_size is None:
        raise HaruspexError("An array has no voxel size of its own: give it in Å as voxel_size.")
    return Map.from_array(source, voxel_size)


def as_mask(source: MapLike, map_: Map) -> NDArray[np.bool_]:
    """Return the voxels of at least 0.5 of a mask on the grid of a map.

    Raises
    ------
    HaruspexError
        If the mask lies on another grid, or is empty.
    """
    if isinstance(source, str | os.PathLike):
        # many programs write masks without position or with 1 Å voxels: the voxels are what counts
        source = read_map(source, map_.grid.voxel_size)
    values = source.density if isinstance(source, Map) else np.asarray(source)
    refuse_another_shape(values, map_)
    inside = values >= 0.5
    if not inside.any():
        raise HaruspexError(
            f"The mask keeps nothing: its highest value is {float(values.max()):.3g}, "
            "and voxels of at least 0.5 are annotated."
        )
    return inside


def refuse_another_shape(mask: NDArray, map_: Map) -> None:
    """Raise HaruspexError if a mask has another shape than a map."""
    if mask.shape != map_.grid.shape:
        raise HaruspexError(
            f"The mask has {times(mask.shape)} voxels and the map {times(map_.grid.shape)}: "
            "they must have the same grid."
        )


def times(numbers: tuple[int, ...]) -> str:
    """Return a shape (z, y, x) as users read it, x first."""
    return " × ".join(str(n) for n in reversed(numbers))
