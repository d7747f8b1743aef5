"""Draws the elements found in experimental maps, in their density, beside the ribbons of the models.

    python benchmarks/elements_picture.py ../shared/data/maps docs/images/elements.png EMD-2513 EMD-11007

One row a map, seen from the same side: cylinders are helix axes, bands strand traces, beads phosphates of
nucleic acid. Needs pyvista and matplotlib.
"""

from pathlib import Path

import pyvista
from commandline import parser_of
from elements import annotated
from numpy.typing import NDArray
from picture import SHINE, View, add_pictured, draw, named_pairs, photograph, plotter_for, ribbon, surface

from haruspex_infer.annotator import Annotator
from haruspex_infer.classes import HELIX, NUCLEOTIDE, OTHER, STRAND
from haruspex_infer.element import Element
from haruspex_infer.elements import Elements
from haruspex_infer.findelements import find_elements
from haruspex_infer.lines import evenly
from haruspex_infer.structure import read_structure
from haruspex_train.annotations import Annotations
from haruspex_train.pairs import Pair

RADIUS = {HELIX: 1.9, STRAND: 1.0, NUCLEOTIDE: 0.8}  # Å
BEAD = 1.6  # Å


def bodies(elements: Elements) -> list[tuple[Element, pyvista.PolyData]]:
    """Tubes along all elements, and beads at phosphates."""
    drawn = []
    for element in elements:
        line = pyvista.lines_from_points(evenly(element.points, 0.7))
        drawn.append((element, line.tube(radius=RADIUS[element.kind], n_sides=24, capping=True)))
        if element.kind is NUCLEOTIDE:
            drawn += [(element, pyvista.Sphere(radius=BEAD, center=point)) for point in element.points]
    return drawn


def row(pair: Pair, annotations: Annotations) -> tuple[NDArray, NDArray]:
    """Two pictures of one pair: elements in the density, and model; tells what was found."""
    annotation = annotated(pair, annotations)
    structure = read_structure(pair.model_paths)
    elements = find_elements(annotation)
    print(f"{pair.name}: {elements.line()}")
    tubes = bodies(elements)
    view = View.of(structure, [mesh for _, mesh in tubes])
    left = plotter_for(view)
    left.add_mesh(surface(annotation, structure), color=OTHER.colour, opacity=0.16, **SHINE)
    for element, mesh in tubes:
        left.add_mesh(mesh, color=element.kind.colour, smooth_shading=True, **SHINE)
    left.enable_depth_peeling(8)
    return photograph(left), ribbon(structure, view)


def main() -> None:
    """Draw the picture."""
    parser = parser_of(__doc__)
    add_pictured(parser)
    parser.add_argument("--annotations", type=Path, help="folder that keeps annotations")
    options = parser.parse_args()
    annotations = Annotations(Annotator(options.network, options.device), options.annotations)
    pairs = named_pairs(options.folder, options.names)
    pictures = [row(pair, annotations) for pair in pairs]
    names = {HELIX: "helix axis", STRAND: "strand", NUCLEOTIDE: "nucleic acid", OTHER: "density; coil"}
    draw(pairs, pictures, "elements found", {c.colour: name for c, name in names.items()}, options.out)


if __name__ == "__main__":
    main()
