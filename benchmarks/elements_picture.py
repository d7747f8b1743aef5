"""Draws the elements found in experimental maps, in their density, beside the ribbons of the models.

    python benchmarks/elements_picture.py ../shared/data/maps docs/images/elements.png EMD-2513 EMD-11007

One row a map, seen from the same side: cylinders are helix axes, bands strand traces, beads phosphates of
nucleic acid. Needs pyvista and matplotlib.
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np
import pyvista
from cartoon import cartoon
from elements import annotated
from matplotlib.patches import Patch
from numpy.typing import NDArray
from picture import SHINE, SURFACE_STEP, View, near_box, photograph, plotter_for, smooth_surface

from haruspex_infer.annotation import Annotation
from haruspex_infer.annotator import Annotator
from haruspex_infer.classes import CLASSES, HELIX, NUCLEOTIDE, OTHER, STRAND
from haruspex_infer.element import Element
from haruspex_infer.elements import Elements
from haruspex_infer.findelements import find_elements
from haruspex_infer.grid import Grid
from haruspex_infer.lines import evenly
from haruspex_infer.resample import resample_density
from haruspex_infer.structure import Structure, read_structure
from haruspex_train.pairs import Pair, read_pairs
from haruspex_train.secondary import residue_classes

matplotlib.use("Agg")
import matplotlib.pyplot as plt

RADIUS = {HELIX: 1.9, STRAND: 1.0, NUCLEOTIDE: 0.8}  # Å
BEAD = 1.6  # Å


def whole_surface(annotation: Annotation, structure: Structure) -> pyvista.PolyData:
    """Surface of the density about the model."""
    grid = annotation.grid
    box = near_box(grid, structure)
    first = [o + s.start * e for o, s, e in zip(grid.origin, box, grid.voxel_size, strict=True)]
    size = [s.stop - s.start for s in box]
    part = Grid((size[0], size[1], size[2]), grid.voxel_size, (first[0], first[1], first[2]))
    fine = part.working(SURFACE_STEP, SURFACE_STEP, SURFACE_STEP)
    normalised = (annotation.map.density[box] - annotation.offset) / annotation.scale
    return smooth_surface(resample_density(normalised, part, fine), fine)


def bodies(elements: Elements) -> list[tuple[Element, pyvista.PolyData]]:
    """Tubes along all elements, and beads at phosphates."""
    drawn = []
    for element in elements:
        line = pyvista.lines_from_points(evenly(element.points, 0.7))
        drawn.append((element, line.tube(radius=RADIUS[element.kind], n_sides=24, capping=True)))
        if element.kind is NUCLEOTIDE:
            drawn += [(element, pyvista.Sphere(radius=BEAD, center=point)) for point in element.points]
    return drawn


def row(pair: Pair, annotator: Annotator, kept: Path | None) -> tuple[NDArray, NDArray, str]:
    """Two pictures of one pair, and what was found."""
    annotation = annotated(pair, annotator, kept)
    structure = read_structure(pair.model_paths)
    elements = find_elements(annotation)
    tubes = bodies(elements)
    view = View.of(structure, [mesh for _, mesh in tubes])
    left = plotter_for(view)
    left.add_mesh(whole_surface(annotation, structure), color=OTHER.colour, opacity=0.16, **SHINE)
    for element, mesh in tubes:
        left.add_mesh(mesh, color=element.kind.colour, smooth_shading=True, **SHINE)
    left.enable_depth_peeling(8)
    right = plotter_for(view)
    model = cartoon(structure, residue_classes(structure))
    right.add_mesh(model, scalars="colour", rgb=True, smooth_shading=True, **SHINE)
    right.enable_ssao(radius=6.0, bias=0.4, kernel_size=96)
    return photograph(left), photograph(right), elements.line()


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder of pairs with INDEX.tsv")
    parser.add_argument("out", type=Path, help="PNG to write")
    parser.add_argument("names", nargs="+", help="maps to draw")
    parser.add_argument("--network", default="residual")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--annotations", type=Path, help="folder that keeps annotations")
    arguments = parser.parse_args()
    annotator = Annotator(arguments.network, arguments.device)
    by_name = {pair.name: pair for pair in read_pairs(arguments.folder, "val")}
    pairs = [by_name[name] for name in arguments.names]
    rows = [row(pair, annotator, arguments.annotations) for pair in pairs]
    heights = [left.shape[0] / left.shape[1] for left, _, _ in rows]
    width, heading, foot = 11.0, 0.45, 0.5
    figure, axes = plt.subplots(
        len(rows),
        2,
        figsize=(width, sum(heights) * width / 2 + heading * len(rows) + foot),
        gridspec_kw={"height_ratios": heights},
        squeeze=False,
        layout="constrained",
    )
    for line, pair, (left, right, told) in zip(axes, pairs, rows, strict=True):
        print(f"{pair.name}: {told}")
        for panel, picture in zip(line, (left, right), strict=True):
            panel.imshow(picture)
            panel.axis("off")
        line[0].set_title(f"{pair.name} ({pair.resolution:g} Å), elements found", fontsize=13)
        line[1].set_title("its atomic model, for comparison", fontsize=13)
    names = {HELIX: "helix axis", STRAND: "strand", NUCLEOTIDE: "nucleic acid", OTHER: "density; coil"}
    legend = [Patch(color=c.colour, label=names[c]) for c in (*CLASSES[1:], OTHER)]
    figure.legend(handles=legend, loc="outside lower center", ncols=4, frameon=False, fontsize=12)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.out, dpi=110, pil_kwargs={"optimize": True})
    print(arguments.out, np.round(arguments.out.stat().st_size / 1e6, 2), "MB")


if __name__ == "__main__":
    main()
