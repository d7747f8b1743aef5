"""The strip plot: model and density side by side along each chain, as SVG that any browser opens."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.backbone import UNKNOWN
from haruspex_infer.classes import CLASSES, HELIX, NUCLEOTIDE, OTHER, STRAND
from haruspex_infer.comparison import Comparison
from haruspex_infer.verdicts import BORDER, DIFFERS, OUTSIDE, UNJUDGED, WEAK, neighbours

_COLUMNS = 120
_CELL = 7.6
_LEFT, _RIGHT, _TOP = 92.0, 36.0, 112.0
_WIDTH = _LEFT + _COLUMNS * _CELL + _RIGHT
_BAR, _STACK = 11.0, 26.0
# distances from the top of a line to its parts
_RULER, _MODEL, _DENSITY, _PROBABILITY, _VERDICT = 8.0, 14.0, 29.0, 45.0, 75.0
_LINE, _CHAIN = 104.0, 30.0
_INK, _PALE = "#1d2733", "#8a94a0"
_MARKS = {DIFFERS: _INK, BORDER: "#c8ced6", WEAK: "#b98ad9", OUTSIDE: "#e6e9ed", UNJUDGED: "#e6e9ed"}
_LEGEND = {DIFFERS: "differs", BORDER: "differs at an element's end", WEAK: "hardly any density"}
_STACKED = (HELIX, STRAND, NUCLEOTIDE, OTHER)
_STYLE = (
    ".strips text{font-family:system-ui,'Segoe UI',Helvetica,Arial,sans-serif;font-size:11px}"
    ".strips text{fill:" + _INK + "}"
    ".strips .pale{fill:" + _PALE + "}.strips .end{text-anchor:end}.strips .mid{text-anchor:middle}"
    ".strips .title{font-size:20px;font-weight:600}.strips .chain{font-size:14px;font-weight:600}"
    ".strips .said{font-size:13px}.strips .note{font-size:11px;font-weight:400}"
    ".strips .rank{font-size:10px;font-weight:600;text-anchor:middle}"
    ".strips .paper{fill:#fff}.strips .tip{fill:#000;fill-opacity:0}"
    ".strips .tip:hover{fill-opacity:.08}"
)


@dataclass(frozen=True)
class _Line:
    """Rows that stand on one line, and the column of each."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    top: float


def strip_plot(report: Comparison, title: str) -> str:
    """Draw model, density, class probabilities and verdict of every residue.

    Parameters
    ----------
    report : Comparison
        What a map says of a model.
    title : str
        Heading: which map.

    Returns
    -------
    str
        An SVG document. Hovering over a residue tells its figures.
    """
    parts, top = [], _TOP
    chains = report.table.chain
    for chain in dict.fromkeys(chains.tolist()):
        rows = np.flatnonzero(chains == chain)
        agree = (report.verdict[rows] == "agrees").mean()
        parts.append(
            f'<text x="24" y="{top + 16:.0f}" class="chain">Chain {escape(chain)}'
            f'<tspan dx="10" class="pale note">{len(rows):,} residues, '
            f"{agree:.0%} agree</tspan></text>"
        )
        top += _CHAIN
        for line in _lines(report, rows, top):
            parts += _draw(report, line)
            top = line.top + _LINE
        top += 6
    height = top + 6
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:.0f} {height:.0f}" '
        f'width="{_WIDTH:.0f}" height="{height:.0f}" role="img" class="strips" '
        'aria-labelledby="strips-title">\n'
        f'<title id="strips-title">{escape(title)}: model and density, residue by residue</title>\n'
        f'<style>{_STYLE}</style>\n<rect width="100%" height="100%" class="paper"/>'
    )
    return "\n".join([head, *_header(report, title), *parts, "</svg>"]) + "\n"


def _header(report: Comparison, title: str) -> Iterator[str]:
    model = report.source.name if report.source else "model"
    said = f"{model}: {report.line()}"
    yield f'<text x="24" y="38" class="title">{escape(title)}</text>'
    yield f'<text x="24" y="60" class="pale said">{escape(said)}</text>'
    x = 24.0
    entries = [(c.colour, "other, coil" if c is OTHER else c.name) for c in _STACKED]
    entries += [(_MARKS[kind], text) for kind, text in _LEGEND.items() if report.counts[kind]]
    for number, (colour, text) in enumerate(entries):
        if number == len(_STACKED):
            x += 16
        bar = 10 if number < len(_STACKED) else 4
        yield f'<rect x="{x:.1f}" y="{87 - bar / 2:.1f}" width="14" height="{bar}" rx="2" fill="{colour}"/>'
        yield f'<text x="{x + 20:.1f}" y="91">{escape(text)}</text>'
        x += 40 + 6.0 * len(text)


def _lines(report: Comparison, rows: NDArray[np.int64], top: float) -> Iterator[_Line]:
    """Break a chain into lines; a gap in its numbers takes a column."""
    joined = neighbours(report.table)[rows[:-1]] & (np.diff(rows) == 1)
    columns = np.concatenate([[0], np.cumsum(np.where(joined, 1, 2))])
    first = 0
    while first < len(rows):
        fitting = columns - columns[first] < _COLUMNS
        last = first + int(fitting[first:].argmin() if not fitting[-1] else len(rows) - first)
        yield _Line(rows[first:last], columns[first:last] - columns[first], top)
        top += _LINE
        first = last


def _draw(report: Comparison, line: _Line) -> Iterator[str]:
    table, top = report.table, line.top
    for y, text in (
        (_MODEL + 9, "model"),
        (_DENSITY + 9, "density"),
        (_PROBABILITY + 16, "probability"),
    ):
        yield f'<text x="{_LEFT - 10:.0f}" y="{top + y:.1f}" class="pale end">{text}</text>'
    for row, column in zip(line.rows, line.columns, strict=True):
        if table.number[row] % 10 == 0 and table.insertion[row] == " ":
            yield (
                f'<text x="{_LEFT + (column + 0.5) * _CELL:.1f}" y="{top + _RULER:.1f}" class="pale mid">'
                f"{table.number[row]}</text>"
            )
    yield from _bars(line, report.classes[line.rows], top + _MODEL)
    predicted = np.where(table.covered, table.predicted, UNKNOWN)
    yield from _bars(line, predicted[line.rows], top + _DENSITY)
    yield from _stack(line, table.probability[line.rows], top + _PROBABILITY)
    verdict = report.verdict[line.rows]
    for kind, colour in _MARKS.items():
        for x, width in _spans(line, verdict == kind):
            yield (
                f'<rect x="{x:.1f}" y="{top + _VERDICT:.1f}" width="{width:.1f}" height="4" fill="{colour}"/>'
            )
    for number, stretch in enumerate(report.stretches, 1):
        if stretch.rows.start in line.rows:
            inside = np.isin(line.rows, stretch.rows)
            middle = _LEFT + (line.columns[inside].mean() + 0.5) * _CELL
            yield f'<text x="{middle:.1f}" y="{top + _VERDICT + 15:.1f}" class="rank">{number}</text>'
    for row, column in zip(line.rows, line.columns, strict=True):
        yield (
            f'<rect x="{_LEFT + column * _CELL:.1f}" y="{top + _MODEL:.1f}" width="{_CELL}" '
            f'height="{_VERDICT + 4 - _MODEL:.1f}" class="tip">'
            f"<title>{escape(_tip(report, row))}</title></rect>"
        )


def _bars(line: _Line, classes: NDArray[np.integer], y: float) -> Iterator[str]:
    """Draw helices, strands and nucleic acid as bars, the rest as a thin line."""
    for c in CLASSES:
        height, radius = (2.0, 0.0) if c is OTHER else (_BAR, 3.0)
        for x, width in _spans(line, classes == c.number):
            yield (
                f'<rect x="{x:.1f}" y="{y + (_BAR - height) / 2:.1f}" width="{width:.1f}" '
                f'height="{height:.0f}" rx="{radius:.0f}" fill="{c.colour}"/>'
            )


def _stack(line: _Line, probability: NDArray[np.float32], y: float) -> Iterator[str]:
    """Draw the probabilities as areas on top of each other, the classes from below, other at the top."""
    for x, width in _spans(line, np.isfinite(probability[:, 0])):
        first = int(np.searchsorted(line.columns, round((x - _LEFT) / _CELL)))
        values = probability[first : first + round(width / _CELL)]
        base = np.full(len(values), y + _STACK)
        for c in _STACKED:
            edge = base - _STACK * values[:, c.number]
            steps = [f"{x + k * _CELL:.1f},{v:.1f}" for i, v in enumerate(edge) for k in (i, i + 1)]
            back = [f"{x + k * _CELL:.1f},{v:.1f}" for i, v in enumerate(base) for k in (i, i + 1)][::-1]
            opacity = 0.35 if c is OTHER else 0.85
            yield f'<polygon points="{" ".join(steps + back)}" fill="{c.colour}" fill-opacity="{opacity}"/>'
            base = edge


def _spans(line: _Line, member: NDArray[np.bool_]) -> Iterator[tuple[float, float]]:
    """Left edge and width of each run of members in neighbouring columns."""
    columns = line.columns[member]
    if len(columns) == 0:
        return
    for run in np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1):
        yield _LEFT + run[0] * _CELL, len(run) * _CELL


def _tip(report: Comparison, row: int) -> str:
    table = report.table
    place = f"{table.chain[row]} {table.number[row]}{table.insertion[row]}".strip()
    modelled = CLASSES[report.classes[row]].name if report.classes[row] != UNKNOWN else "?"
    text = f"{place} {table.name[row]}: model {modelled}"
    if not table.covered[row]:
        return f"{text}, outside the map"
    predicted = CLASSES[table.predicted[row]]
    share = table.probability[row, predicted.number]
    return f"{text}, density {predicted.name} ({share:.0%}), {table.sigma_level[row]:.1f} σ"
