"""What the medians hide: figures by resolution and by local density, confusion, calibration."""

import math
from collections.abc import Sequence
from itertools import pairwise

from haruspex_infer.classes import CLASS_NAMES
from haruspex_train.figures import HEADLINE, Figures, headed, pooled, shown, spread
from haruspex_train.judged import together
from haruspex_train.scoreboard import PairScore, Scoreboard

RESOLUTION_BINS = (0.0, 2.5, 3.0, 3.5, 4.0, math.inf)
"""Å; a map belongs to the bin whose upper end it does not exceed."""

DENSITY_BINS = (-math.inf, 1.0, 2.0, 3.0, 4.0, 6.0, 9.0, math.inf)
"""σ levels of a residue's backbone; the lower end belongs to the bin."""

_HEADS = [*map(headed, HEADLINE), "calibration error"]


def by_resolution(scores: Sequence[PairScore]) -> list[tuple[str, list[PairScore]]]:
    """Sort maps with protein into bins of resolution; bins without a map are left out."""
    bins = []
    for low, high in pairwise(RESOLUTION_BINS):
        members = [s for s in scores if s.has_protein and low < s.pair.resolution <= high]
        if members:
            bins.append((_range(low, high, "Å"), members))
    return bins


def by_density(scores: Sequence[PairScore]) -> list[tuple[str, Figures]]:
    """Figures over the residues of all given maps together, by their backbone density."""
    residues = together(s.judged for s in scores)
    bins = []
    for low, high in pairwise(DENSITY_BINS):
        rows = (residues.sigma_level >= low) & (residues.sigma_level < high)
        bins.append((_range(low, high, "σ"), residues.chosen(rows).figures()))
    return bins


def breakdown(board: Scoreboard) -> str:
    """Sections for a report, Markdown; residues of at least 1 σ unless another level is named."""
    parts = []
    if bins := by_resolution(board.scores):
        rows = [(name, str(len(maps)), _medians(maps)) for name, maps in bins]
        parts.append(_section("By resolution, medians over maps with protein", "resolution", "maps", rows))
    for group, scores in board.groups().items():
        if not scores:
            continue
        rows = [(name, str(part.cases), _values(part)) for name, part in by_density(scores)]
        parts.append(
            _section(f"By backbone density, residues together ({group})", "density", "residues", rows)
        )
        for what, all_figures in (
            ("residues", [s.resolved for s in scores]),
            ("voxels of at least 1 σ", [s.dense_voxels for s in scores]),
        ):
            figures = pooled(all_figures)
            title = f"{what} together ({group})"
            parts.append(f"### Taken for, {title}\n\n{confusion_table(figures)}")
            parts.append(f"### Calibration, {title}\n\n{reliability_table(figures)}")
    return "\n".join(parts)


def confusion_table(figures: Figures) -> str:
    """Cases by truth (rows) and prediction (columns), with the share of each row, Markdown."""
    lines = [f"| truth | {' | '.join(CLASS_NAMES)} | cases |", "|---" * (len(CLASS_NAMES) + 2) + "|"]
    for name, row in zip(CLASS_NAMES, figures.confusion, strict=True):
        cells = [f"{count:,} ({count / max(1, row.sum()):.3f})" for count in row]
        lines.append(f"| {name} | {' | '.join(cells)} | {row.sum():,} |")
    return "\n".join(lines) + "\n"


def reliability_table(figures: Figures) -> str:
    """Mean confidence against the share of right answers in each bin of confidence, Markdown."""
    bins = len(figures.reliability)
    lines = ["| confidence | cases | mean confidence | right |", "|---|---|---|---|"]
    for k, (cases, confidence, right) in enumerate(figures.reliability):
        if cases:
            mean, share = confidence / cases, right / cases
            span = f"{k / bins:.2f}–{(k + 1) / bins:.2f}"
            lines.append(f"| {span} | {int(cases):,} | {mean:.3f} | {share:.3f} |")
    lines.append(f"| **expected calibration error** | | | {shown(figures.calibration_error)} |")
    lines.append(f"| of a perfect calibration, by chance | | | {shown(figures.calibration_floor)} |")
    return "\n".join(lines) + "\n"


def _section(title: str, first: str, second: str, rows: list[tuple[str, str, list[float]]]) -> str:
    lines = [f"| {first} | {second} | {' | '.join(_HEADS)} |", "|---" * (len(_HEADS) + 2) + "|"]
    lines += [f"| {name} | {n} | {' | '.join(map(shown, values))} |" for name, n, values in rows]
    return f"### {title}\n\n" + "\n".join(lines) + "\n"


def _values(figures: Figures) -> list[float]:
    return [*(of(figures) for of in HEADLINE.values()), figures.calibration_error]


def _medians(scores: list[PairScore]) -> list[float]:
    return [spread(values).median for values in zip(*(_values(s.resolved) for s in scores), strict=True)]


def _range(low: float, high: float, unit: str) -> str:
    if math.isinf(high):
        return f"> {low:g} {unit}" if unit == "Å" else f"≥ {low:g} {unit}"
    if low <= 0:
        return f"≤ {high:g} {unit}" if unit == "Å" else f"< {high:g} {unit}"
    return f"{low:g}–{high:g} {unit}"
