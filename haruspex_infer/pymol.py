"""A PyMOL script that shows an annotation.

Commands after the PyMOL reference: load, set, set_color, isosurface, spectrum, group, orient.
"""

from haruspex_infer.classes import CLASSES, HELIX, NUCLEOTIDE, OTHER, STRAND, StructureClass
from haruspex_infer.files import quoted
from haruspex_infer.modelfile import CERTAIN, CONFIRMED, CONTRADICTED


def pymol_script(density: str, level: float, class_files: dict[str, str], model: str | None = None) -> str:
    """Return a script that shows helices, strands and nucleic acid as surfaces inside the density.

    Parameters
    ----------
    density : str
        File of the annotated map.
    level : float
        Contour level of the map.
    class_files : dict
        File of the probabilities by class name, beside the script.
    model : str, optional
        Model with agreement in its B factors, beside the script.
    """
    shown = [HELIX, STRAND, NUCLEOTIDE, OTHER]
    lines = [
        "# Density with the predicted classes inside, written by haruspex-infer.",
        # files lie beside the script, wherever it is run from
        "/import os, pymol",
        "/os.chdir(os.path.dirname(os.path.abspath(pymol.__script__)))",
        "# levels are those of the map, not σ",
        "set normalize_ccp4_maps, 0",
        *(f"set_color {_colour(c)}, {_rgb(c.colour)}" for c in CLASSES),
        f"load {quoted(density)}, density_map",
        f"isosurface density, density_map, {level:.6g}",
        f"color {_colour(OTHER)}, density",
        "set transparency, 0.7, density",
    ]
    for c in shown:
        lines += [
            f"load {quoted(class_files[c.name])}, {c.name}_map",
            f"isosurface {c.name}, {c.name}_map, 0.5",
            f"color {_colour(c)}, {c.name}",
        ]
    lines += [
        f"group maps, density_map {' '.join(f'{c.name}_map' for c in shown)}",
        f"disable {OTHER.name}",
    ]
    if model is not None:
        lines += [
            f"set_color haruspex_agrees, {_rgb(CONFIRMED)}",
            f"set_color haruspex_disagrees, {_rgb(CONTRADICTED)}",
            f"load {quoted(model)}, compared",
            "as cartoon, compared and polymer",
            f"spectrum b, haruspex_disagrees haruspex_agrees, compared, 0, {CERTAIN}",
            "color grey60, compared and b<0",
            *(f"set transparency, 0.6, {c.name}" for c in shown),
        ]
    lines += ["bg_color white", "set ray_shadows, 0", "orient"]
    return "\n".join(lines) + "\n"


def _colour(c: StructureClass) -> str:
    return f"haruspex_{c.name}"


def _rgb(colour: str) -> str:
    return "[" + ", ".join(f"{int(colour[i : i + 2], 16) / 255:.3f}" for i in (1, 3, 5)) + "]"
