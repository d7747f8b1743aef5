"""An annotation as layers of napari, the viewer of the Python world.

Plain data after napari's LayerData: tuples of array, attributes and kind of layer. napari itself is not
needed to make them, and whoever has it makes layers of them with ``napari.layers.Layer.create``.
"""

from typing import Any

import numpy as np

from haruspex_infer.annotatedmap import AnnotatedMap
from haruspex_infer.chimerax import CONTOUR
from haruspex_infer.classes import CLASSES, HELIX, NUCLEOTIDE, OTHER, STRAND

LayerData = tuple[np.ndarray, dict[str, Any], str]


def napari_layers(annotation: AnnotatedMap) -> list[LayerData]:
    """Return density, probabilities (hidden at first) and classes; see `Annotation.to_napari`."""
    grid = annotation.grid
    place = {
        "scale": grid.voxel_size,
        "translate": grid.origin,
        "units": ("angstrom",) * 3,
        "axis_labels": ("z", "y", "x"),
    }
    density = {
        "name": annotation.map.stem,
        "colormap": "gray",
        "contrast_limits": (annotation.level(0), annotation.level(1.5)),
        "rendering": "iso",
        "iso_threshold": annotation.level(CONTOUR),
    }
    layers: list[LayerData] = [(annotation.map.density, {**place, **density}, "image")]
    for c in (HELIX, STRAND, NUCLEOTIDE):
        probability = {
            "name": f"{c.name} probability",
            "colormap": ["#000000", c.colour],
            "contrast_limits": (0.0, 1.0),
            "blending": "additive",
            "rendering": "iso",
            "iso_threshold": 0.5,
            "visible": False,
        }
        layers.append((annotation.probabilities[c.number], {**place, **probability}, "image"))
    # the classes come last, on top; other is what napari calls background
    colours: dict[int | None, str] = {None: "transparent", OTHER.number: "transparent"}
    colours |= {c.number: c.colour for c in CLASSES if c is not OTHER}
    features = {"class": [c.name for c in CLASSES], "index": [c.number for c in CLASSES]}
    classes = {"name": "classes", "colormap": colours, "features": features, "opacity": 0.6}
    layers.append((annotation.labels, {**place, **classes}, "labels"))
    return layers
