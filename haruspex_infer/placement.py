"""Whether a model lies in a map at all."""

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.errors import HaruspexError
from haruspex_infer.grid import Grid
from haruspex_infer.structure import Structure


def refuse_misplaced(structure: Structure, grid: Grid, name: str) -> None:
    """Refuse a model of which nothing lies in the map.

    Parameters
    ----------
    structure : Structure
    grid : Grid
        Where the voxels of the map lie.
    name : str
        How to call the model in messages.

    Raises
    ------
    HaruspexError
        If it has no residues to compare, or none of their backbone atoms lies inside the map.
    """
    backbone = structure.xyz[structure.backbone]
    if len(backbone) == 0:
        raise HaruspexError(f"{name} holds neither amino acids nor nucleotides that could be compared.")
    indices = grid.indices(backbone)
    if not ((indices >= 0) & (indices <= np.array(grid.shape) - 1)).all(axis=1).any():
        first, last = grid.positions(np.array([(0, 0, 0), grid.shape]) - [[0], [1]])
        raise HaruspexError(
            f"{name} lies outside the map: its backbone spans "
            f"{_span(backbone.min(axis=0), backbone.max(axis=0))}, the map {_span(first, last)}; "
            "fit it into this map, in its frame."
        )


def _span(low: NDArray[np.floating], high: NDArray[np.floating]) -> str:
    return ", ".join(f"{axis} {a:.0f} to {b:.0f}" for axis, a, b in zip("xyz", low, high, strict=True)) + " Å"
