"""A picture of a map and its model: central sections of the density with the model's classes over it."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from haruspex_infer.classes import CLASSES, OTHER
from haruspex_infer.grid import Grid
from haruspex_infer.mapfile import Map
from haruspex_infer.sampling import sample
from haruspex_infer.structure import Structure
from haruspex_train.groundtruth import near

EDGE = 224
"""Pixels of a section's edge."""

ROOM = 8.0
"""Å around the model that are shown."""

_TINT = {label.number: 0.42 if label is OTHER else 0.62 for label in CLASSES}
_BACKGROUND = np.array([14, 17, 22], np.float32)
_REACH = 2.0
_GAP = 8
_QUALITY = 70


def central_slices(density_map: Map, structure: Structure, classes: NDArray[np.uint8]) -> bytes:
    """Draw sections across x, y and z through the middle of the model, side by side.

    Density is grey, from its median in the section; voxels within 2 Å of a backbone atom have the colour of
    the atom's class.

    Parameters
    ----------
    density_map : Map
    structure : Structure
        The model, with *m* residues.
    classes : ndarray of uint8, shape (m,)
        Class of each residue.

    Returns
    -------
    bytes
        A WebP picture of three squares.
    """
    backbone = structure.xyz[structure.backbone]
    atom_classes = classes[structure.residue[structure.backbone]]
    if not len(backbone):
        backbone, atom_classes = structure.xyz, classes[structure.residue]
    low, high = backbone.min(axis=0)[::-1], backbone.max(axis=0)[::-1]
    middle = np.median(backbone, axis=0)[::-1].astype(float)
    edge = float((high - low).max()) + 2 * ROOM
    corner = (low + high) / 2 - edge / 2
    page = np.broadcast_to(_BACKGROUND, (EDGE, 3 * EDGE + 2 * _GAP, 3)).copy()
    for place, axis in enumerate((2, 1, 0)):
        plane = _plane(axis, middle, corner, edge)
        left = place * (EDGE + _GAP)
        page[:, left : left + EDGE] = _section(density_map, plane, backbone, atom_classes)
    buffer = io.BytesIO()
    Image.fromarray(page.round().astype(np.uint8)).save(buffer, "WEBP", quality=_QUALITY, method=4)
    return buffer.getvalue()


def _plane(axis: int, middle: NDArray[np.floating], corner: NDArray[np.floating], edge: float) -> Grid:
    """One layer of square pixels across an axis (0 = z, 1 = y, 2 = x)."""
    pixel = edge / EDGE
    shape, origin = [EDGE] * 3, [float(c) + pixel / 2 for c in corner]
    shape[axis], origin[axis] = 1, float(middle[axis])
    return Grid((shape[0], shape[1], shape[2]), (pixel,) * 3, (origin[0], origin[1], origin[2]))


def _section(
    density_map: Map, plane: Grid, backbone: NDArray[np.floating], classes: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Colours of one plane, shape (EDGE, EDGE, 3), the second axis upwards."""
    places = plane.positions(np.indices(plane.shape).reshape(3, -1).T)
    density = sample(density_map.density, density_map.grid, places).reshape(EDGE, EDGE)
    covered = np.isfinite(density)
    colours = np.broadcast_to(_BACKGROUND, (EDGE, EDGE, 3)).copy()
    if covered.any():
        black, white = np.percentile(density[covered], (50, 99.7))
        grey = np.clip((density - black) / max(white - black, 1e-12), 0, 1)[covered, None] ** 0.8
        colours[covered] += (245 - _BACKGROUND) * grey
    for label in CLASSES:
        chosen = near(plane, backbone[classes == label.number], _REACH).reshape(EDGE, EDGE)
        colour = np.array([int(label.colour[k : k + 2], 16) for k in (1, 3, 5)], np.float32)
        share = _TINT[label.number]
        # the density still shows through: dense voxels are bright, faint ones dark
        shade = 0.45 + 0.55 * colours[chosen].mean(axis=1, keepdims=True) / 245
        colours[chosen] = (1 - share) * colours[chosen] + share * colour * np.minimum(shade * 1.25, 1)
    return colours[::-1]
