"""Writes an annotation to a folder."""

import json
import os
import platform
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from haruspex_infer import __version__
from haruspex_infer.annotatedmap import MOLECULE, AnnotatedMap
from haruspex_infer.chimerax import CONTOUR, chimerax_script
from haruspex_infer.classes import CLASSES
from haruspex_infer.compare import ResidueReport
from haruspex_infer.files import prepare_folder, write_text
from haruspex_infer.mapfile import Map, write_map_like
from haruspex_infer.pymol import pymol_script
from haruspex_infer.report import write_report
from haruspex_infer.volumefile import VolumeFile

if TYPE_CHECKING:
    from haruspex_infer.elements import Elements


def save_annotation(
    annotation: AnnotatedMap,
    folder: Path,
    stem: str,
    report: ResidueReport | None,
    elements: "Elements | None",
    density_weighted: bool,
    html: bool,
    command: str | None,
) -> list[Path]:
    """Write all files of an annotation; see `Annotation.save`.

    An earlier summary goes first, and the new one comes last: where there is one, the folder is whole.
    """
    prepare_folder(folder)
    summary = folder / f"{stem}_summary.json"
    summary.unlink(missing_ok=True)
    template = annotation.map
    class_files = {c.name: folder / f"{stem}_{c.name}.mrc" for c in CLASSES}
    labels = folder / f"{stem}_labels.mrc"
    files = [*class_files.values(), labels]
    began = time.perf_counter()
    if density_weighted:
        files += [folder / f"{stem}_{c.name}_weighted.mrc" for c in CLASSES]
    _write_volumes(annotation, files)
    annotation.report.setdefault("seconds", {})["write"] = time.perf_counter() - began
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
    if elements is not None:
        files += elements.save(folder, stem)
    level = annotation.level(CONTOUR)
    names = {name: path.name for name, path in class_files.items()}
    texts = {
        f"{stem}.cxc": chimerax_script(shown, annotation.grid, level, names, labels.name, model),
        f"{stem}.pml": pymol_script(shown, level, names, model),
    }
    for name, text in texts.items():
        files.append(folder / name)
        write_text(files[-1], text)
    if html:
        files.append(folder / f"{stem}_report.html")
        write_report(annotation, files[-1], report, command, title=stem)
    files.append(summary)
    told = _summary(annotation, report, files)
    write_text(summary, json.dumps(told, indent=2, ensure_ascii=False) + "\n")
    return files


def _seen_from(folder: Path, path: Path) -> str:
    """Return the way to a file from a folder: scripts then work wherever both are taken together."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # another drive
        return str(path.resolve())


def _write_volumes(annotation: AnnotatedMap, files: list[Path]) -> None:
    """Write probabilities, labels and, where there are files for them, weighted densities, in one pass.

    Slabs are interpolated on all cores, and every file is written by a thread of its own.
    """
    contents = [f"probability of {c.name}" for c in CLASSES]
    contents.append(" ".join(f"{c.number}={c.name}" for c in CLASSES))
    contents += [f"probability of {c.name} x (density - solvent)" for c in CLASSES]
    template = annotation.map
    axis = template.header.section_axis
    with ExitStack() as stack:
        outputs = [
            stack.enter_context(
                VolumeFile(
                    template.header,
                    annotation.grid.shape,
                    path,
                    f"haruspex-infer {__version__}: {content}",
                    real=number != len(CLASSES),
                )
            )
            for number, (path, content) in enumerate(zip(files, contents[: len(files)], strict=True))
        ]
        writers = [stack.enter_context(ThreadPoolExecutor(1)) for _ in outputs]
        waiting: list[Future[None]] = []
        for box, part, labels in annotation.labelled_slabs(axis):
            volumes = [*part, labels]
            if len(outputs) > len(volumes):
                weighted = template.density[box] - np.float32(annotation.offset)
                volumes += [probability * weighted for probability in part]
            for written in waiting:
                written.result()
            waiting = [
                writer.submit(output.write, volume)
                for writer, output, volume in zip(writers, outputs, volumes, strict=True)
            ]
        for written in waiting:
            written.result()


def _write(template: Map, volume: NDArray, path: Path, content: str) -> None:
    write_map_like(template, volume, path, f"haruspex-infer {__version__}: {content}")


def _summary(annotation: AnnotatedMap, report: ResidueReport | None, files: list[Path]) -> dict[str, Any]:
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
        **_rounded(annotation.report),
        "host": platform.node(),
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
        "files": [file.name for file in files],
    }


def _rounded(report: dict[str, Any]) -> dict[str, Any]:
    """Return a report with times in milliseconds: more digits say nothing."""
    seconds = {stage: round(taken, 3) for stage, taken in report.get("seconds", {}).items()}
    return {**report, "seconds": seconds}


_LIBRARIES = ("numpy", "mrcfile", "onnxruntime", "onnxruntime-gpu", "openvino")


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
