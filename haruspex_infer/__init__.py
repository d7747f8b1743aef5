"""Annotates cryo-EM maps voxel by voxel: helix, strand, nucleotide or other.

>>> import haruspex_infer
>>> annotation = haruspex_infer.annotate("map.mrc")  # doctest: +SKIP
>>> annotation.save("map_haruspex")  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from haruspex_infer.annotation import Annotation
    from haruspex_infer.annotator import Annotator, annotate
    from haruspex_infer.compare import ResidueReport
    from haruspex_infer.elements import Elements
    from haruspex_infer.errors import HaruspexError
    from haruspex_infer.findelements import find_elements
    from haruspex_infer.grid import Grid
    from haruspex_infer.mapfile import Map, read_map

__all__ = [
    "Annotation",
    "Annotator",
    "Elements",
    "Grid",
    "HaruspexError",
    "Map",
    "ResidueReport",
    "annotate",
    "find_elements",
    "read_map",
]

# looked up on first use: the training package imports constants from here without ONNX Runtime
_HOMES = {
    "Annotation": "annotation",
    "Annotator": "annotator",
    "Elements": "elements",
    "Grid": "grid",
    "HaruspexError": "errors",
    "Map": "mapfile",
    "ResidueReport": "compare",
    "annotate": "annotator",
    "find_elements": "findelements",
    "read_map": "mapfile",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """Name what is looked up on first use too, for help() and completion."""
    return sorted({*globals(), *__all__})
