"""A ChimeraX script that shows an annotation.

Commands after the ChimeraX user guide: open, volume, hide, color, cartoon, transparency, key, view.
"""

from haruspex_infer.classes import CLASSES, HELIX, NUCLEOTIDE, OTHER, STRAND
from haruspex_infer.files import quoted
from haruspex_infer.grid import Grid, Triple
from haruspex_infer.modelfile import CERTAIN, CONFIRMED, CONTRADICTED

# half of the strong molecular density: main chains show and noise does not
CONTOUR = 0.5


def chimerax_script(
    density: str,
    grid: Grid,
    level: float,
    class_files: dict[str, str],
    labels: str,
    model: str | None = None,
) -> str:
    """Return a script that colours the surface of a map by class.

    ChimeraX runs a script in the folder where it lies, so files beside it need no path.

    Parameters
    ----------
    density : str
        File of the annotated map.
    grid : Grid
        Where its voxels lie.
    level : float
        Contour level of the map.
    class_files : dict
        File of the probabilities by class name.
    labels : str
        File of the label map.
    model : str, optional
        Model with agreement in its B factors.
    """
    shown = [HELIX, STRAND, NUCLEOTIDE, OTHER]
    last = len(shown) + 2
    lines = [
        "# Surface of the map coloured by class; written by haruspex-infer.",
        "# Models 2 to 5 are the probabilities of the classes, model 6 the labels: show them as you need.",
        "# Around the voxels of each class there is a surface with: segmentation surfaces #6 each segment",
        f"open {quoted(density)} id #1",
        *(f"open {quoted(class_files[c.name])} id #{i}" for i, c in enumerate(shown, 2)),
        f"open {quoted(labels)} id #{last}",
        # ChimeraX overlooks the origin of .map and .ccp4 files; and the header's voxel size may be wrong
        f"volume #1 voxelSize {_xyz(grid.voxel_size)}",
        f"volume #1 origin {_xyz(grid.origin)}",
        f"volume #1 style surface step 1 level {level:.6g} color {OTHER.colour} calculateSurfaces true",
        *(f"volume #{i} style surface step 1 level 0.5 color {c.colour}" for i, c in enumerate(shown, 2)),
        f"hide #2-{last} models",
        # labels lie inside the density, hence the offset, in Å, from the surface towards them
        f"color sample #1 map #{last} palette {_palette()} offset -1",
        "key " + " ".join(f"{c.colour}:{c.name}" for c in shown) + " colorTreatment distinct",
    ]
    if model is not None:
        lines += [
            f"open {quoted(model)} id #{last + 1}",
            f"hide #{last + 1} atoms",
            f"cartoon #{last + 1}",
            f"color bfactor #{last + 1} palette 0,{CONTRADICTED}:{CERTAIN},{CONFIRMED}",
            "transparency #1 60",
        ]
    lines.append("view")
    return "\n".join(lines) + "\n"


def _xyz(zyx: Triple) -> str:
    return ",".join(f"{value:.6g}" for value in reversed(zyx))


def _palette() -> str:
    """Return value,colour pairs for label values.

    Values between labels arise only where a surface passes from one class to the next. They are grey, or
    the border between helix and nucleotide (1 and 3) would look like strand (2).
    """
    pairs = []
    for c in CLASSES:
        if c is not OTHER:
            pairs += [
                (c.number - 0.15, OTHER.colour),
                (c.number - 0.05, c.colour),
                (c.number + 0.05, c.colour),
            ]
            pairs += [(c.number + 0.15, OTHER.colour)]
    return ":".join(f"{value:.2f},{colour}" for value, colour in pairs)
