"""Writes an annotation to a folder."""

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from haruspex_infer import __version__
from haruspex_infer.annotation import MOLECULE, Annotation
from haruspex_infer.chimerax import CONTOUR, chimerax_script
from haruspex_infer.classes import CLASSES
from haruspex_infer.files import prepare_folder, written_whole
from haruspex_infer.mapfile import write_map_like


def save_annotation(annotation: Annotation, folder: Path, stem: str) -> list[Path]:
    """Write all files of an annotation; see `Annotation.save`."""
    prepare_folder(folder)
    template = annotation.map
    class_files = {c.name: folder / f"{stem}_{c.name}.mrc" for c in CLASSES}
    for c in CLASSES:
        label = f"haruspex-infer {__version__}: probability of {c.name}"
        write_map_like(template, annotation.probabilities[c.number], class_files[c.name], label)
    labels = folder / f"{stem}_labels.mrc"
    numbers = " ".join(f"{c.number}={c.name}" for c in CLASSES)
    write_map_like(template, annotation.labels, labels, f"haruspex-infer {__version__}: {numbers}")
    files = [*class_files.values(), labels]
    if template.path is None:
        density = folder / f"{stem}_density.mrc"
        write_map_like(template, template.density, density, f"haruspex-infer {__version__}: density")
        files.append(density)
        shown = density.name
    else:
        shown = str(template.path.resolve())
    script = folder / f"{stem}.cxc"
    with written_whole(script) as stream:
        text = chimerax_script(
            shown,
            annotation.grid,
            annotation.level(CONTOUR),
            {name: path.name for name, path in class_files.items()},
            labels.name,
        )
        stream.write(text.encode())
    summary = folder / f"{stem}_summary.json"
    with written_whole(summary) as stream:
        stream.write((json.dumps(_summary(annotation), indent=2, ensure_ascii=False) + "\n").encode())
    return [*files, script, summary]


def _summary(annotation: Annotation) -> dict[str, Any]:
    grid = annotation.grid
    return {
        "versions": {
            "haruspex-infer": __version__,
            "python": platform.python_version(),
            **{name: found for name in _LIBRARIES if (found := _version(name))},
        },
        "input": {
            "file": str(annotation.map.path) if annotation.map.path else None,
            "shape_zyx": grid.shape,
            "voxel_size_zyx": grid.voxel_size,
            "origin_zyx": grid.origin,
        },
        **annotation.report,
        "density": {
            "solvent": annotation.offset,
            "strong": annotation.offset + annotation.scale,
            "molecule_from": annotation.level(MOLECULE),
            "contour_in_script": annotation.level(CONTOUR),
        },
        "composition": annotation.composition,
        "composition_note": "voxels and volume (Å³) count where a class is the most probable; molecule_… "
        f"count only voxels with density of at least molecule_from (normalised density {MOLECULE})",
        "warnings": annotation.warnings,
    }


_LIBRARIES = ("numpy", "mrcfile", "onnxruntime", "onnxruntime-gpu")


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
