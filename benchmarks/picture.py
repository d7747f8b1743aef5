"""Draws annotated experimental maps beside the secondary structure of their models.

    python benchmarks/picture.py ../shared/data/maps docs/images/annotation.png EMD-2513 EMD-11007

One row a map: the map's density in the colours of the predicted classes, and the model's ribbon in the
colours of its own secondary structure, seen from the same side. Needs pyvista and matplotlib.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pyvista
from cartoon import cartoon
from commandline import add_network, add_pairs, parser_of
from numpy.typing import NDArray

from haruspex_infer.annotation import Annotation
from haruspex_infer.annotator import Annotator
from haruspex_infer.classes import CLASSES, OTHER
from haruspex_infer.grid import Box, Grid
from haruspex_infer.mapfile import read_map
from haruspex_infer.resample import resample_density
from haruspex_infer.structure import Structure, read_structure
from haruspex_train.pairs import Pair, read_pairs
from haruspex_train.secondary import residue_classes

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import Patch

PANEL = 1200
"""Pixels of a panel's edge."""

CONTOUR = 0.38
"""Normalised density of the surface: solvent is 0, strong molecular density 1."""

SURFACE_STEP = 0.6
"""Å; the density is interpolated to this step so that the surface is smooth."""

SMALLEST_PIECE = 600
"""Triangles; smaller pieces of surface are noise and are not drawn."""

FIELD = 24.0
"""Å around the model in which the map is drawn, where it holds more."""

ROOM = 10.0
"""Å left free around the model."""

SHINE: dict[str, Any] = {"ambient": 0.3, "diffuse": 0.78, "specular": 0.12}


def surface(
    annotation: Annotation, structure: Structure, probability: NDArray[np.float32] | None = None
) -> pyvista.PolyData:
    """Surface of the density about a model, weighted by a probability if one is given, (z, y, x)."""
    box = near_box(annotation.grid, structure)
    near = annotation.grid.part(box)
    fine = near.working(SURFACE_STEP, SURFACE_STEP, SURFACE_STEP)
    shown = (annotation.map.density[box] - annotation.offset) / annotation.scale
    if probability is not None:
        shown = shown * probability[box]
    return smooth_surface(resample_density(shown, near, fine), fine)


def smooth_surface(volume: NDArray[np.float32], grid: Grid) -> pyvista.PolyData:
    """Surface of a volume at `CONTOUR` without its small pieces."""
    image = pyvista.ImageData(
        dimensions=grid.shape[::-1], spacing=grid.voxel_size[::-1], origin=grid.origin[::-1]
    )
    image["density"] = volume.ravel()
    mesh = image.contour([CONTOUR], scalars="density", compute_scalars=False)
    if mesh.n_cells == 0:
        return mesh
    pieces = mesh.connectivity("all")
    piece = pieces.cell_data["RegionId"]
    large = np.flatnonzero(np.bincount(piece)[piece] > SMALLEST_PIECE)
    if len(large) == 0:
        return pyvista.PolyData()
    mesh = pieces.extract_cells(large).extract_surface(algorithm="dataset_surface")
    return mesh.smooth_taubin(n_iter=12, pass_band=0.15).compute_normals(auto_orient_normals=False)


def near_box(grid: Grid, structure: Structure) -> Box:
    """Voxels of the box about the model."""
    indices = grid.indices(structure.xyz)
    room = FIELD / np.array(grid.voxel_size)
    low = np.clip(np.floor(indices.min(axis=0) - room), 0, None).astype(int)
    high = np.minimum(np.ceil(indices.max(axis=0) + room).astype(int) + 1, grid.shape)
    z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return z, y, x


@dataclass(frozen=True)
class View:
    """Where the eye is: looks at the broad side of a model, and sees all of it and of what else is drawn."""

    centre: NDArray
    up: NDArray
    toward: NDArray
    width: float
    height: float

    @classmethod
    def of(cls, structure: Structure, meshes: list[pyvista.PolyData]) -> "View":
        """Choose the view."""
        middle = structure.xyz.mean(axis=0)
        axes = np.linalg.svd(structure.xyz - middle, full_matrices=False)[2]
        # a proper rotation, so that the hand of the picture is the hand of the map
        axes[0] = np.cross(axes[1], axes[2])
        points = np.concatenate([structure.xyz, *(np.asarray(mesh.points) for mesh in meshes)])
        seen = (points - middle) @ axes.T
        low, high = seen.min(axis=0), seen.max(axis=0)
        centre = middle + (low + high) / 2 @ axes
        width, height = (high - low)[:2] + ROOM
        return cls(centre, axes[1], axes[2], float(width), float(height))


def plotter_for(view: View) -> pyvista.Plotter:
    """Empty white scene."""
    size = (PANEL, round(PANEL * view.height / view.width))
    plotter = pyvista.Plotter(off_screen=True, window_size=size, lighting="none")
    plotter.set_background("white")
    for position, strength in (((0.5, 0.9, 1.2), 0.75), ((-1, 0.2, 0.8), 0.3)):
        plotter.add_light(pyvista.Light(position=position, intensity=strength, light_type="camera light"))
    plotter.camera.focal_point = view.centre
    plotter.camera.position = view.centre + 400 * view.toward
    plotter.camera.up = view.up
    plotter.camera.parallel_projection = True
    plotter.camera.parallel_scale = view.height / 2
    return plotter


def photograph(plotter: pyvista.Plotter) -> NDArray[np.uint8]:
    """Picture of a scene, shape (height, width, 3)."""
    plotter.renderer.ResetCameraClippingRange()
    plotter.enable_anti_aliasing("ssaa")
    picture = plotter.screenshot(return_img=True)
    plotter.close()
    return np.asarray(picture)


def ribbon(structure: Structure, view: View) -> NDArray[np.uint8]:
    """Picture of a model, coloured by its secondary structure."""
    plotter = plotter_for(view)
    model = cartoon(structure, residue_classes(structure))
    plotter.add_mesh(model, scalars="colour", rgb=True, smooth_shading=True, **SHINE)
    plotter.enable_ssao(radius=6.0, bias=0.4, kernel_size=96)
    return photograph(plotter)


def draw(
    pairs: list[Pair], pictures: list[tuple[NDArray, NDArray]], title: str, names: dict[str, str], out: Path
) -> None:
    """Put two pictures of each pair beside each other; `names` are those of colours."""
    heights = [left.shape[0] / left.shape[1] for left, _ in pictures]
    width, heading, foot = 11.0, 0.45, 0.5
    figure, axes = plt.subplots(
        len(pairs),
        2,
        figsize=(width, sum(heights) * width / 2 + heading * len(pairs) + foot),
        gridspec_kw={"height_ratios": heights},
        squeeze=False,
        layout="constrained",
    )
    for line, pair, shown in zip(axes, pairs, pictures, strict=True):
        for panel, picture in zip(line, shown, strict=True):
            panel.imshow(picture)
            panel.axis("off")
        line[0].set_title(f"{pair.name} ({pair.resolution:g} Å), {title}", fontsize=13)
        line[1].set_title("its atomic model, for comparison", fontsize=13)
    legend = [Patch(color=colour, label=name) for colour, name in names.items()]
    figure.legend(handles=legend, loc="outside lower center", ncols=4, frameon=False, fontsize=12)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110, pil_kwargs={"optimize": True})
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


def add_pictured(parser: argparse.ArgumentParser) -> None:
    """Ask for the picture, its maps and the network."""
    add_pairs(parser)
    parser.add_argument("out", type=Path, help="PNG to write")
    parser.add_argument("names", nargs="+", help="maps to draw")
    add_network(parser)


def named_pairs(folder: Path, names: list[str]) -> list[Pair]:
    """Pairs of the ``val`` split, in the order of the names."""
    by_name = {pair.name: pair for pair in read_pairs(folder, "val")}
    return [by_name[name] for name in names]


def row(pair: Pair, annotator: Annotator) -> tuple[NDArray, NDArray]:
    """Two pictures of one pair: annotated map, and model."""
    annotation = annotator.annotate(read_map(pair.map_path))
    structure = read_structure(pair.model_paths)
    meshes = [surface(annotation, structure, probability) for probability in annotation.probabilities]
    view = View.of(
        structure, [m for c, m in zip(CLASSES, meshes, strict=True) if c is not OTHER and m.n_cells]
    )
    left = plotter_for(view)
    for one, mesh in zip(CLASSES, meshes, strict=True):
        if mesh.n_cells:
            opacity = 0.22 if one is OTHER else 1.0
            left.add_mesh(mesh, color=one.colour, opacity=opacity, smooth_shading=True, **SHINE)
    left.enable_depth_peeling(8)
    return photograph(left), ribbon(structure, view)


def main() -> None:
    """Draw the picture."""
    parser = parser_of(__doc__)
    add_pictured(parser)
    options = parser.parse_args()
    annotator = Annotator(options.network, options.device)
    pairs = named_pairs(options.folder, options.names)
    pictures = [row(pair, annotator) for pair in pairs]
    names = {c.colour: c.name for c in (*CLASSES[1:], OTHER)}
    draw(pairs, pictures, "annotated", names, options.out)


if __name__ == "__main__":
    main()
