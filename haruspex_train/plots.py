"""Pictures of an evaluation, the first two after figure 2 of Mostosi et al. 2020."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from haruspex_infer.files import written_whole
from haruspex_train.figures import Figures, pooled, spread
from haruspex_train.judged import FALSE, MISSED, RIGHT, together
from haruspex_train.scoreboard import RESOLUTION_LIMIT, PairScore, Scoreboard

PAPER = (0.942, 0.792)
"""Median recall and precision over 167 maps as published."""

_STEP, _HIGHEST = 0.5, 12.0  # σ
# colours of the paper's figure 2
_VERDICTS = {RIGHT: ("#4a9b4a", "right"), FALSE: ("#ee8222", "false"), MISSED: ("#3b6fb6", "missed")}
_WITHIN, _BEYOND = "#ee8222", "#b9b9b9"


def draw(board: Scoreboard, stem: Path) -> list[Path]:
    """Draw precision against recall, verdicts against density, and calibration.

    Parameters
    ----------
    board : Scoreboard
    stem : path
        Beginning of the files' names; ``_recall.png`` follows, and where a map is of 4 Å or better,
        ``_density.png`` and ``_calibration.png`` over these maps.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    HaruspexError
        If a file cannot be written.
    """
    within = [s for s in board.scores if s.pair.resolution <= RESOLUTION_LIMIT]
    pictures = {"recall": _recall(board)}
    if within:
        pictures |= {"density": _density(within), "calibration": _calibration(within)}
    paths = []
    for name, picture in pictures.items():
        paths.append(stem.with_name(f"{stem.name}_{name}.png"))
        with written_whole(paths[-1]) as stream:
            # without the name of the program the same figures give the same bytes
            picture.savefig(stream, format="png", dpi=120, metadata={"Software": None})
    return paths


def _recall(board: Scoreboard) -> Figure:
    """Figure 2A: one marker a map."""
    figure, (axis,) = _panels(1, 5.2)
    for number, score in enumerate(board.scores):
        colour = _WITHIN if score.pair.resolution <= RESOLUTION_LIMIT else _BEYOND
        place = (score.resolved.recall, score.resolved.precision)
        if np.isfinite(place).all():
            axis.plot(*place, "o", color=colour, markersize=7, markeredgecolor="white")
            # the left side of crowded places is free: labels of neighbours go to both sides in turn
            side = -1 if number % 2 else 1
            axis.annotate(
                score.pair.name,
                place,
                xytext=(5 * side, -3),
                textcoords="offset points",
                horizontalalignment="left" if side > 0 else "right",
                fontsize=7,
                color="#555555",
            )
    group, scores = next(iter(board.groups().items()))
    if scores:
        recall, precision = (
            spread(getattr(s.resolved, name) for s in scores).median for name in ("recall", "precision")
        )
        label = f"median ({group}): {recall:.3f}, {precision:.3f}"
        axis.plot(recall, precision, "+", color="black", markersize=16, markeredgewidth=1.5, label=label)
    axis.plot(*PAPER, "x", color="#777777", markersize=8, label=f"paper: {PAPER[0]:.3f}, {PAPER[1]:.3f}")
    axis.set(xlabel="recall", ylabel="precision", title=f"{board.network}, {board.split}")
    axis.set(xlim=(min(0.5, axis.get_xlim()[0]), 1.01), ylim=(min(0.4, axis.get_ylim()[0]), 1.01))
    axis.legend(frameon=False, fontsize=8, loc="lower left")
    return figure


def _density(scores: list[PairScore]) -> Figure:
    """Figure 2B: how many residues are right, false and missed at each density, and their shares."""
    residues = together(s.judged for s in scores)
    edges = np.arange(-1.0, _HIGHEST + _STEP, _STEP)
    level = np.clip(residues.sigma_level, edges[0], _HIGHEST - _STEP / 2)
    figure, (counts, shares) = _panels(2, 5.2)
    every = np.stack([np.histogram(level[residues.verdict == v], edges)[0] for v in _VERDICTS])
    total = np.maximum(1, every.sum(axis=0))
    for (colour, label), number in zip(_VERDICTS.values(), every, strict=True):
        counts.stairs(number, edges, color=colour, label=label, linewidth=1.6)
        shares.stairs(np.where(every.sum(axis=0) > 0, number / total, np.nan), edges, color=colour)
    counts.legend(frameon=False, fontsize=8)
    for axis, label in ((counts, "residues"), (shares, "share of residues with a class or called one")):
        axis.axvline(1.0, color="#999999", linewidth=0.8, linestyle=":")
        axis.set(xlabel="mean density at the backbone, σ", ylabel=label)
    counts.set_title(f"{len(scores)} maps of {RESOLUTION_LIMIT:g} Å or better", fontsize=10)
    return figure


def _calibration(scores: list[PairScore]) -> Figure:
    """Reliability diagrams of residues and voxels."""
    figure, axes = _panels(2, 4.6)
    parts = {
        "residues of at least 1 σ": pooled(s.resolved for s in scores),
        "voxels of at least 1 σ": pooled(s.dense_voxels for s in scores),
    }
    for axis, (title, figures) in zip(axes, parts.items(), strict=True):
        _reliability(axis, figures)
        axis.set_title(f"{title}: error {figures.calibration_error:.3f}", fontsize=10)
    return figure


def _reliability(axis: Axes, figures: Figures) -> None:
    cases, confidence, right = figures.reliability.T
    held = cases > 0
    share = cases[held] / cases.sum()
    axis.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=":")
    axis.bar(confidence[held] / cases[held], share, width=0.04, color="#d8d8d8", label="share of cases")
    axis.plot(confidence[held] / cases[held], right[held] / cases[held], "o-", color="black", markersize=4)
    axis.set(xlabel="confidence", ylabel="right", xlim=(0.2, 1.01), ylim=(0, 1.01))
    axis.legend(frameon=False, fontsize=8, loc="upper left")


def _panels(n: int, height: float) -> tuple[Figure, list[Axes]]:
    with matplotlib.rc_context({"axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(height * n, height * 0.9), constrained_layout=True)
        axes = figure.subplots(1, n, squeeze=False)[0]
    for axis in axes:
        axis.grid(alpha=0.25)
    return figure, list(axes)
