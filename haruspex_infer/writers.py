"""Writes an annotation to a folder."""

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haruspex_infer import __version__
from haruspex_infer.annotation import MOLECULE, Annotation
from haruspex_infer.chimerax import CONTOUR, chimerax_script
from haruspex_infer.classes import CLASSES
from haruspex_infer.compare import ResidueReport
from haruspex_infer.files import prepare_folder, written_whole
from haruspex_infer.mapfile import Map, write_map_like
from haruspex_infer.pymol import pymol_script
from haruspex_infer.report import write_report


def save_annotation(
    annotation: Annotation,
    folder: Path,
    stem: str,
    report: ResidueReport | None,
    density_weighted: bool,
    html: bool,
    command: str | None,
) -> list[Path]:
    """Write all files of an annotation; see `Annotation.save`."""
    prepare_folder(folder)
    template = annotation.map
    class_files = {c.name: folder / f"{stem}_{c.name}.mrc" for c in CLASSES}
    for c in CLASSES:
        _write(template, annotation.probabilities[c.number], class_files[c.name], f"probability of {c.name}")
    labels = folder / f"{stem}_labels.mrc"
    _write(template, annotation.labels, labels, " ".join(f"{c.number}={c.name}" for c in CLASSES))
    files = [*class_files.values(), labels]
    if density_weighted:
        for c in CLASSES:
            files.append(folder / f"{stem}_{c.name}_weighted.mrc")
            weighted = annotation.probabilities[c.number] * (template.density - np.float32(annotation.offset))
            _write(template, weighted, files[-1], f"probability of {c.name} x (density - solvent)")
    if template.path is None or template.misread:
        density = folder / f"{stem}_density.mrc"
        _write(template, template.density, density, "density")
        files.append(density)
        shown = density.name
    else:
        shown = _seen_from(folder, template.path)
    model = None
    if report is not None:
        files += report.save(folder, stem)
        model = files[-1].name if report.source else None
    level = annotation.level(CONTOUR)
    names = {name: path.name for name, path in class_files.items()}
    texts = {
        f"{stem}.cxc": chimerax_script(shown, annotation.grid, level, names, labels.name, model),
        f"{stem}.pml": pymol_script(shown, level, names, model),
        f"{stem}_summary.json": json.dumps(_summary(annotation, report), indent=2, ensure_ascii=False) + "\n",
    }
    for name, text in texts.items():
        files.append(folder / name)
        with written_whole(files[-1]) as stream:
            stream.write(text.encode())
    if html:
        files.append(folder / f"{stem}_report.html")
        write_report(annotation, files[-1], report, command, title=stem)
    return files


def _seen_from(folder: Path, path: Path) -> str:
    """Return the way to a file from a folder: scripts then work wherever both are taken together."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive
        return str(path.resolve())


def _write(template: Map, volume: NDArray, path: Path, content: str) -> None:
    write_map_like(template, volume, path, f"haruspex-infer {__version__}: {content}")


def _summary(annotation: Annotation, report: ResidueReport | None) -> dict[str, Any]:
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
        **({} if report is None else {"model": report.summary()}),
        "warnings": annotation.warnings,
    }


_LIBRARIES = ("numpy", "mrcfile", "onnxruntime", "onnxruntime-gpu")


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
