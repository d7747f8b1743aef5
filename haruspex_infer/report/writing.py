"""Puts a report together: template, style, viewer, script and data in one file."""

import base64
import hashlib
import json
import platform
from functools import cache
from html import escape
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from haruspex_infer import __version__
from haruspex_infer.annotatedmap import MOLECULE, AnnotatedMap
from haruspex_infer.backbone import UNKNOWN
from haruspex_infer.chimerax import CONTOUR
from haruspex_infer.classes import CLASSES, OTHER
from haruspex_infer.comparison import Comparison
from haruspex_infer.files import write_text
from haruspex_infer.report import sections
from haruspex_infer.report.shown import ShownVolume, shown_volume
from haruspex_infer.sampling import mean_and_sigma
from haruspex_infer.strips import strip_plot
from haruspex_infer.verdicts import neighbours

if TYPE_CHECKING:
    import os

# normalised densities where the threshold begins and between which it moves
_START, _LEAST, _MOST = CONTOUR, MOLECULE / 2, 2.5
_FARTHEST = 8.0  # Å between residues that are drawn as joined
# a plot of some 16,000 residues; those of more stay in a file of their own, or the page would be too heavy
_LONGEST_STRIPS = 6_000_000
_AROUND = 7.0  # Å around a stretch that the view shows


def write_report(
    annotation: AnnotatedMap,
    path: "str | os.PathLike[str]",
    residues: Comparison | None = None,
    command: str | None = None,
    title: str | None = None,
) -> None:
    """Write an annotation as one HTML file that opens in any browser, without a network.

    Parameters
    ----------
    annotation : AnnotatedMap
        What to show.
    path : path-like
        The file; appears only when it is complete.
    residues : Comparison, optional
        Comparison with a model (`Annotation.compare`), shown too.
    command : str, optional
        Command line that made the annotation.
    title : str, optional
        Heading; the name of the map without its endings if left out.

    Raises
    ------
    HaruspexError
        If the file cannot be written.
    """
    title = title or annotation.map.stem
    shown = shown_volume(annotation)
    network = annotation.report.get("network", {}).get("name", "a network")
    warnings = [*annotation.warnings, *(residues.notes if residues else ())]
    texts = {
        "title": escape(title),
        "program": f"haruspex-infer {__version__}",
        "network": escape(str(network)),
        "policy": _policy(),
        "style": _part("report.css"),
        "viewer": _part("ngl.js"),
        "licences": escape(_part("ngl.LICENSE.txt")),
        "script": _part("report.js"),
        "facts_line": sections.facts_line(annotation, residues),
        "notes": sections.notes(warnings),
        "toggles": sections.class_toggles(annotation),
        "model_toggle": "" if residues is None else _part("model_toggle.html"),
        "composition": sections.composition(annotation),
        "confidence": sections.confidence_figure(annotation),
        "model": "" if residues is None else _model(residues, title),
        "model_link": "" if residues is None else '<a href="#model">Model</a>',
        "provenance": sections.provenance(annotation, command, _versions(), shown),
        "facts": _as_json(_facts(annotation, shown, residues)),
        "volume": shown.packed(),
    }
    page = Template(_part("report.html")).substitute(texts)
    write_text(Path(path), page)


def _model(residues: Comparison, title: str) -> str:
    strips = strip_plot(residues, title)
    if len(strips) > _LONGEST_STRIPS:
        strips = ""
    content = sections.model(residues, strips)
    head = '<h2 id="model-head">Model</h2>'
    return f'<section id="model" aria-labelledby="model-head">{head}{content}</section>'


def _facts(annotation: AnnotatedMap, shown: ShownVolume, residues: Comparison | None) -> dict[str, Any]:
    """Return what the script of the page needs to know."""
    mean, sigma = mean_and_sigma(annotation.map.density)

    def level(normalised: float) -> float:
        return round((annotation.level(normalised) - mean) / sigma, 2)

    return {
        "shape": shown.grid.shape,
        "voxel": shown.grid.voxel_size,
        "origin": shown.grid.origin,
        "low": shown.low,
        "step": shown.step,
        "mean": mean,
        "sigma": sigma,
        "threshold": {"start": level(_START), "least": level(_LEAST), "most": level(_MOST)},
        "solvent": annotation.offset,
        "strong": annotation.level(1.5),
        "classes": [{"number": c.number, "name": c.name, "colour": c.colour} for c in CLASSES],
        "model": None if residues is None else _trace(residues),
    }


def _trace(residues: Comparison) -> dict[str, Any]:
    """Return the places of residues, their classes, which are joined, and the stretches to look at."""
    placed = ~np.isnan(residues.position.sum(axis=1))
    position = np.where(placed[:, None], residues.position, 0)
    joined = neighbours(residues.table) & placed[1:] & placed[:-1]
    joined &= np.linalg.norm(np.diff(position, axis=0), axis=1) <= _FARTHEST
    places = []
    for stretch in residues.stretches:
        inside = residues.position[stretch.rows.start : stretch.rows.stop]
        inside = inside[np.isfinite(inside).all(axis=1)]
        if len(inside) == 0:
            inside = np.zeros((1, 3), np.float32)
        middle = (inside.min(axis=0) + inside.max(axis=0)) / 2
        reach = np.linalg.norm(inside - middle, axis=1).max() + _AROUND
        places.append(
            {
                "name": f"chain {stretch.chain} {stretch.first}–{stretch.last}",
                "centre": np.round(middle, 2).tolist(),
                "reach": round(float(reach), 1),
                "rows": [stretch.rows.start, stretch.rows.stop],
            }
        )
    classes = np.where(residues.classes == UNKNOWN, OTHER.number, residues.classes)
    return {
        "position": np.round(position.astype(np.float64), 2).ravel().tolist(),
        "class": classes.tolist(),
        "joined": joined.astype(int).tolist(),
        "places": places,
    }


def _policy() -> str:
    """Return the content security policy: the scripts of this package, no others, and no network."""
    digests = [hashlib.sha256(_part(name).encode()).digest() for name in ("ngl.js", "report.js")]
    allowed = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:"


def _as_json(facts: dict[str, Any]) -> str:
    """Return facts as JSON that no name in them can end or turn into markup."""
    text = json.dumps(facts, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _versions() -> list[tuple[str, str]]:
    rows = [("haruspex-infer", __version__), ("Python", platform.python_version())]
    for name in ("numpy", "onnxruntime", "onnxruntime-gpu"):
        try:
            rows.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return rows


@cache
def _part(name: str) -> str:
    return files("haruspex_infer.report").joinpath("page", name).read_text(encoding="utf-8")
