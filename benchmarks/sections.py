"""Small pictures of annotated density: a few Å of depth, in grey, with the classes over it."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray

from haruspex_infer.annotatedmap import MOLECULE
from haruspex_infer.annotation import Annotation
from haruspex_infer.classes import CLASSES, OTHER

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.colors import ListedColormap
from PIL import Image

DEPTH = 5.0
"""Å of density that a section shows: the strongest of every line of sight, and its class."""

COLOURS = 48
"""Of the pictures: enough for grey and the classes, and a third of the bytes."""

_INCHES, _DOTS = 2.5, 96


@dataclass(frozen=True)
class Section:
    """One panel.

    Attributes
    ----------
    title : str
    annotation : Annotation
    centre : ndarray, shape (3,)
        (x, y, z) in Å, the middle of the panel.
    width : float
        Å across.
    axis : int
        Line of sight: 0 is z, 1 is y, 2 is x.
    marks : dict
        Positions (n, 3) in Å by colour, drawn as dots where they lie in the section.
    """

    title: str
    annotation: Annotation
    centre: NDArray[np.floating]
    width: float
    axis: int
    marks: dict[str, NDArray[np.floating]]


def draw(sections: list[Section], out: Path) -> None:
    """Write a row of sections as one PNG of few colours."""
    size = (_INCHES * len(sections), _INCHES + 0.22)
    figure, panels = plt.subplots(1, len(sections), figsize=size, squeeze=False)
    figure.subplots_adjust(0, 0, 1, 1 - 0.22 / size[1], 0.02)
    for panel, section in zip(panels[0], sections, strict=True):
        _draw_one(panel, section)
    figure.savefig(out, dpi=_DOTS)
    plt.close(figure)
    with Image.open(out) as picture:
        few = picture.convert("RGB").quantize(
            COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
        )
    few.save(out, optimize=True)


def _draw_one(panel: plt.Axes, section: Section) -> None:
    annotation, axis = section.annotation, section.axis
    grid = annotation.grid
    middle = np.asarray(section.centre, float)[::-1]  # (z, y, x)
    half = np.full(3, section.width / 2)
    half[axis] = DEPTH / 2
    start = [
        max(0, round((m - h - o) / e))
        for m, h, o, e in zip(middle, half, grid.origin, grid.voxel_size, strict=True)
    ]
    stop = [
        min(n, max(s, round((m + h - o) / e)) + 1)
        for m, h, o, e, n, s in zip(
            middle, half, grid.origin, grid.voxel_size, grid.shape, start, strict=True
        )
    ]
    z, y, x = (slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    density = (annotation.map.density[z, y, x] - annotation.offset) / annotation.scale
    labels = annotation.part((z, y, x)).argmax(axis=0)
    strongest = np.expand_dims(density.argmax(axis=axis), axis)
    seen = np.take_along_axis(density, strongest, axis).squeeze(axis)
    label = np.take_along_axis(labels, strongest, axis).squeeze(axis)
    shown = np.ma.masked_where((label == OTHER.number) | (seen < MOLECULE), label)
    down, across = (k for k in range(3) if k != axis)
    edges = [
        grid.origin[k] + (end - 0.5) * grid.voxel_size[k]
        for k in (across, down)
        for end in (start[k], stop[k])
    ]
    extent = (edges[0], edges[1], edges[2], edges[3])
    panel.imshow(seen, "Greys", vmin=0, vmax=1.6, interpolation="bilinear", origin="lower", extent=extent)
    colours = ListedColormap([c.colour for c in CLASSES])
    panel.imshow(shown, colours, vmin=-0.5, vmax=3.5, alpha=0.55, origin="lower", extent=extent)
    for colour, positions in section.marks.items():
        zyx = np.asarray(positions)[:, ::-1]
        near = zyx[np.abs(zyx[:, axis] - middle[axis]) <= DEPTH / 2]
        panel.plot(near[:, across], near[:, down], "o", color=colour, markersize=3.5, mec="white", mew=0.5)
    panel.set_xlim(middle[across] - section.width / 2, middle[across] + section.width / 2)
    panel.set_ylim(middle[down] - section.width / 2, middle[down] + section.width / 2)
    panel.set_title(section.title, fontsize=8, pad=3)
    panel.axis("off")
