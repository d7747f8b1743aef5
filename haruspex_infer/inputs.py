"""What users give as a map or a mask, in whatever form, as a map or a mask."""

import os
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from haruspex_infer.errors import HaruspexError
from haruspex_infer.mapfile import Map, VoxelSize, edges, read_map
from haruspex_infer.readheader import locate

# Of what is above a tenth of the maximum, so much must be above half of it: in masks with soft edges of 20
# voxels 0.6 is and more, in densities of 4 Å or better 0.01 to 0.13 (EMD-20353).
_PLATEAU = 0.15

MapLike = str | os.PathLike[str] | Map | ArrayLike


def as_map(source: MapLike, voxel_size: VoxelSize | None = None) -> Map:
    """Return a map from a file, a map or an array; see `haruspex_infer.annotate`."""
    if isinstance(source, Map):
        if voxel_size is None:
            return source
        header, grid = locate(source.header, edges(voxel_size), "The map", [])
        return replace(source, header=header, grid=grid, misread=True)
    if isinstance(source, str | os.PathLike):
        return read_map(source, voxel_size)
    return Map.from_array(source, voxel_size)


def as_mask(source: MapLike, map_: Map) -> NDArray[np.bool_]:
    """Return the voxels of at least 0.5 of a mask on the grid of a map.

    Raises
    ------
    HaruspexError
        If the mask lies on another grid, is empty, or looks like density.
    """
    if isinstance(source, str | os.PathLike):
        # many programs write masks without position or with 1 Å voxels: the voxels are what counts
        source = read_map(source, map_.grid.voxel_size)
    values = source.density if isinstance(source, Map) else np.asarray(source)
    _refuse_what_is_no_mask(values, map_)
    inside = values >= 0.5
    if not inside.any():
        raise HaruspexError(
            f"The mask keeps nothing: its highest value is {float(values.max()):.3g}, "
            "and voxels of at least 0.5 are annotated."
        )
    return inside


def _refuse_what_is_no_mask(values: NDArray, map_: Map) -> None:
    if values.shape != map_.grid.shape:
        size = f"{times(values.shape)} voxels" if values.ndim == 3 else f"shape {values.shape}"
        raise HaruspexError(
            f"The mask has {size} and the map {times(map_.grid.shape)}: they must have the same grid."
        )
    if values.dtype.kind not in "biuf":
        raise HaruspexError(f"The mask holds {values.dtype}, not numbers.")
    lowest, highest = float(values.min()), float(values.max())
    labels = lowest == 0 and bool((values == np.rint(values)).all())
    if highest <= 0 or (lowest >= 0 and highest <= 1) or labels:
        return
    # resampling makes masks leave 0 to 1 at their edge, and some programs write other levels
    plateau, all_above = ((values >= share * highest).sum() for share in (0.5, 0.1))
    if plateau < _PLATEAU * all_above:
        raise HaruspexError(
            f"The mask looks like a density map (from {lowest:.3g} to {highest:.3g}, with few voxels that "
            "strong): a mask is 1 inside and 0 outside, with or without a soft edge."
        )


def times(numbers: tuple[int, ...]) -> str:
    """Return a shape (z, y, x) as users read it, x first."""
    return " × ".join(str(n) for n in reversed(numbers))
