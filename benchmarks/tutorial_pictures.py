"""Makes the pictures of the tutorial and of the page on validating a model.

    python benchmarks/tutorial_pictures.py docs/images --pairs ../shared/data/maps --pymol "python -m pymol"

The example map as PyMOL shows it by the script that the program writes, sections through it, and the strip
plot of EMD-2513 and its model. Needs matplotlib and PyMOL.
"""

import shlex
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib
import numpy as np
from commandline import parser_of
from numpy.typing import NDArray

import haruspex_infer
from haruspex_infer.annotation import Annotation
from haruspex_infer.classes import CLASSES, HELIX, NUCLEOTIDE, OTHER, STRAND
from haruspex_infer.example import example_map
from haruspex_train.pairs import read_pairs

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

VIEW = (
    "viewport 1000, 800; set two_sided_lighting, 1; set ray_interior_color, -1; set specular, 0.15; "
    "set ambient, 0.35; set orthoscopic, 1; zoom maps, 0, complete=1; turn y, 20; "
    "ray 1000, 800; png {classes}; "
    "disable helix; disable strand; disable nucleotide; set transparency, 0, density; "
    "ray 1000, 800; png {density}"
)
"""Commands added to the program's own script: a side on which all three classes show, without gloss."""

STRIPS = "EMD-2513"
"""Pair whose strip plot is kept."""


def photographs(folder: Path, pymol: list[str]) -> tuple[NDArray, NDArray]:
    """Pictures of the density and of the classes, by the script in a folder of results."""
    (script,) = folder.glob("*.pml")
    density, classes = folder / "density.png", folder / "classes.png"
    subprocess.run(
        [*pymol, "-cq", str(script), "-d", VIEW.format(density=density, classes=classes)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    pictures = [plt.imread(path)[..., :3] for path in (density, classes)]
    shown = np.any([(picture < 0.97).any(axis=2) for picture in pictures], axis=0)
    rows, columns = (np.flatnonzero(shown.any(axis=axis)) for axis in (1, 0))
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return pictures[0][part], pictures[1][part]


def draw_surfaces(folder: Path, pymol: list[str], out: Path) -> None:
    """Draw density and classes beside each other."""
    figure, panels = plt.subplots(1, 2, figsize=(10, 4.6), layout="constrained")
    for panel, picture, title in zip(
        panels, photographs(folder, pymol), ("the map", "annotated"), strict=True
    ):
        panel.imshow(picture)
        panel.set_title(title)
        panel.axis("off")
    legend(figure)
    figure.savefig(out, dpi=110)
    print(out)


def draw_sections(annotation: Annotation, out: Path) -> None:
    """Draw a section of the density, of the labels over it, and of the probability of helix."""
    middle = annotation.grid.shape[0] // 2
    density = annotation.map.density[middle]
    labels = np.ma.masked_where(
        (annotation.labels[middle] == OTHER.number) | (density < annotation.level(0.2)),
        annotation.labels[middle],
    )
    figure, panels = plt.subplots(1, 3, figsize=(10, 3.9), layout="constrained")
    grey = {
        "cmap": "Greys",
        "vmin": annotation.level(0),
        "vmax": annotation.level(2.2),
        "origin": "lower",
        "interpolation": "bicubic",
    }
    panels[0].imshow(density, **grey)
    panels[0].set_title("density")
    panels[1].imshow(density, **grey)
    colours = ListedColormap([c.colour for c in CLASSES])
    panels[1].imshow(labels, cmap=colours, vmin=-0.5, vmax=3.5, origin="lower", alpha=0.6)
    panels[1].set_title("most probable class")
    panels[2].imshow(
        annotation.probabilities[HELIX.number, middle], cmap="Blues", vmin=0, vmax=1, origin="lower"
    )
    panels[2].set_title("probability of helix")
    for panel in panels:
        panel.axis("off")
    legend(figure)
    figure.savefig(out, dpi=110)
    print(out)


def legend(figure: plt.Figure) -> None:
    """Add the colours of the classes below a figure."""
    patches = [Patch(color=c.colour, label=c.name) for c in (HELIX, STRAND, NUCLEOTIDE, OTHER)]
    figure.legend(handles=patches, loc="outside lower center", ncols=4, frameon=False)


def main() -> None:
    """Make the pictures."""
    parser = parser_of(__doc__)
    parser.add_argument("out", type=Path, help="folder for the pictures")
    parser.add_argument("--pairs", type=Path, required=True, help="folder of pairs with INDEX.tsv")
    parser.add_argument("--pymol", type=shlex.split, default=["pymol"], help="command that runs PyMOL")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    annotation = haruspex_infer.annotate(example_map())
    draw_sections(annotation, arguments.out / "tutorial_sections.png")
    with TemporaryDirectory() as folder:
        annotation.save(folder)
        draw_surfaces(Path(folder), arguments.pymol, arguments.out / "tutorial_surfaces.png")
    (pair,) = (each for each in read_pairs(arguments.pairs, "val") if each.name == STRIPS)
    report = haruspex_infer.annotate(pair.map_path).compare(pair.model_paths[0])
    with TemporaryDirectory() as folder:
        _, strips, _ = report.save(folder, STRIPS)
        shutil.copy(strips, arguments.out / "validation_strips.svg")
    print(arguments.out / "validation_strips.svg")


if __name__ == "__main__":
    main()
