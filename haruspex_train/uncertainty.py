"""How sure the figures of a few maps are, and the difference of two networks on the same maps: a bootstrap.

Two things are left to chance: which maps were judged, and which residues they hold. So maps are drawn with
replacement, and of each map drawn stretches of its chains, with replacement too (Davison & Hinkley 1997,
Bootstrap methods and their application, 3.8). Stretches and not residues, because neighbours fail together.
Two networks are judged by the same draws, so what makes a map hard for both cancels in their difference.

Of six made-up maps of a known population an interval of 95 % holds the truth nineteen times in twenty where
it is of a median, and five times in six where it is of all residues together: few maps show too little of how
maps differ (``tests/train/test_uncertainty.py``). Copies of a chain count as if they were independent, and
what maps of another kind would give no draw tells.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.classes import CLASSES
from haruspex_train.figures import HEADLINE, rates
from haruspex_train.judged import JudgedResidues

STRETCH = 20
"""Residues of a chain that are drawn together: errors of residues 8 apart are hardly correlated any more."""

RESAMPLES = 4000
LEVEL = 0.95
SEED = 2020


@dataclass(frozen=True)
class Estimate:
    """A figure and the ends of its interval of confidence; not a number where fewer than two maps have it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Sureness:
    """One figure in the two ways to sum up several maps.

    Attributes
    ----------
    median : Estimate
        Median over maps; of two networks, the median of the maps' differences.
    together : Estimate
        Of the residues of all maps together.
    """

    median: Estimate
    together: Estimate


UNKNOWN = Sureness(*2 * [Estimate(np.nan, np.nan, np.nan)])


def estimates(maps: Sequence[JudgedResidues]) -> dict[str, Sureness]:
    """Every figure of `haruspex_train.figures.HEADLINE` over several maps, with its interval.

    Parameters
    ----------
    maps : sequence of JudgedResidues
        Residues of each map, in the order of its chains.
    """
    return _estimates([stretch_counts(residues)[:, None] for residues in maps], lambda of: of[..., 0])


def differences(ours: Sequence[JudgedResidues], theirs: Sequence[JudgedResidues]) -> dict[str, Sureness]:
    """How much more one network has of every figure than another on the same residues, with its interval.

    Raises
    ------
    ValueError
        If the residues of the two are not the same.
    """
    for one, other in zip(ours, theirs, strict=True):
        if not np.array_equal(one.truth, other.truth):
            raise ValueError("Two networks can be compared on the same residues only.")
    pairs = [
        np.stack([stretch_counts(one), stretch_counts(other)], axis=1)
        for one, other in zip(ours, theirs, strict=True)
    ]
    return _estimates(pairs, lambda of: of[..., 0] - of[..., 1])


def stretch_counts(residues: JudgedResidues) -> NDArray[np.int64]:
    """Count residues by true class (row) and predicted class (column) in each stretch, shape (k, 4, 4)."""
    rows = np.arange(len(residues))
    begins = np.r_[True, residues.chain[1:] != residues.chain[:-1]][: len(rows)]
    within = rows - np.maximum.accumulate(np.where(begins, rows, 0))
    stretch = np.cumsum(within % STRETCH == 0) - 1
    n = len(CLASSES)
    cell = (stretch * n + residues.truth) * n + residues.predicted
    stretches = stretch.max(initial=-1) + 1
    return np.bincount(cell, minlength=stretches * n * n).reshape(stretches, n, n)


def drawn_counts(maps: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Draw maps and stretches.

    Parameters
    ----------
    maps : sequence of ndarray, each of shape (k, ...)
        What is counted in the stretches of each map.

    Returns
    -------
    ndarray of int64, shape (resamples, maps, ...)
        The sums over the stretches of each map drawn; the same numbers each time.
    """
    rng = np.random.default_rng(SEED)
    chosen = rng.integers(len(maps), size=(RESAMPLES, len(maps)))
    sums = np.zeros((*chosen.shape, *maps[0].shape[1:]), np.int64)
    for number, counts in enumerate(maps):
        here = chosen == number
        k = len(counts)
        if k:
            times = rng.multinomial(k, np.full(k, 1 / k), size=int(here.sum()))
            sums[here] = np.tensordot(times, counts, axes=1)
    return sums


def _estimates(
    maps: Sequence[NDArray[np.int64]], contrast: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> dict[str, Sureness]:
    """Sum up counts of shape (stretches, networks, 4, 4); the contrast takes the axis of networks away."""
    if not maps:
        return dict.fromkeys(HEADLINE, UNKNOWN)
    seen = np.stack([counts.sum(axis=0) for counts in maps])[None]
    drawn = drawn_counts(maps)
    found = {}
    for name, of in HEADLINE.items():
        by_map, by_map_drawn = (contrast(of(rates(counts))) for counts in (seen, drawn))
        whole, whole_drawn = (contrast(of(rates(counts.sum(axis=1)))) for counts in (seen, drawn))
        enough = np.isfinite(by_map).sum() > 1
        found[name] = Sureness(
            _estimate(_median(by_map), _median(by_map_drawn), enough), _estimate(whole, whole_drawn, enough)
        )
    return found


def _estimate(seen: NDArray[np.float64], drawn: NDArray[np.float64], enough: np.bool_) -> Estimate:
    known = drawn[np.isfinite(drawn)]
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(known, [tail, 100 - tail]) if enough and len(known) else (np.nan, np.nan)
    return Estimate(float(seen[0]), float(low), float(high))


def _median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    with warnings.catch_warnings():
        # no map of a draw has the figure
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmedian(values, axis=1)
