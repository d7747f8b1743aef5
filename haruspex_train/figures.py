"""Figures of merit: how well predicted classes agree with the truth."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.classes import CLASS_NAMES, HELIX, NUCLEOTIDE, OTHER, STRAND
from haruspex_train.truth import IGNORE

CALIBRATION_BINS = 15
"""Bins of equal width in which confidence is compared with the share of right answers."""


@dataclass(frozen=True)
class Figures:
    """Figures of one map, or of several pooled; a figure without a case is not a number.

    Attributes
    ----------
    recall, precision : float
        The published ones: a right class is TP, a class where the truth is another or none is FP, none
        where the truth has a class is FN (Mostosi et al. 2020, main text).
    class_recall, class_precision, class_f1 : tuple of float
        Strict figures of each class, *other* included. A class that the truth lacks has none.
    macro_f1 : float
        Mean F1 of the classes that the truth has.
    calibration_error : float
        Expected calibration error of the winning class' probability.
    confusion : ndarray of int64, shape (4, 4)
        Cases by true class (row) and predicted class (column).
    reliability : ndarray, shape (bins, 3)
        Cases, sum of confidence and right answers in each bin of confidence (the winning class'
        probability); the bins are of equal width.
    """

    recall: float
    precision: float
    class_recall: tuple[float, ...]
    class_precision: tuple[float, ...]
    class_f1: tuple[float, ...]
    macro_f1: float
    calibration_error: float
    confusion: NDArray[np.int64]
    reliability: NDArray[np.float64]

    @property
    def cases(self) -> int:
        """Number of residues or voxels."""
        return int(self.confusion.sum())

    @property
    def calibration_floor(self) -> float:
        """Calibration error to expect of perfectly calibrated probabilities with so few cases.

        The right answers of a bin then scatter binomially about the sum of confidence.
        """
        cases, confidence, _ = self.reliability.T
        mean = np.divide(confidence, cases, out=np.zeros_like(cases), where=cases > 0)
        scatter = np.sqrt(2 / np.pi * cases * mean * (1 - mean)).sum()
        return float(_ratio(scatter, cases.sum()))

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON; what is not a number becomes None."""
        by_class = {
            name: {
                "recall": _plain(self.class_recall[k]),
                "precision": _plain(self.class_precision[k]),
                "f1": _plain(self.class_f1[k]),
            }
            for k, name in enumerate(CLASS_NAMES)
        }
        return {
            "cases": self.cases,
            "recall": _plain(self.recall),
            "precision": _plain(self.precision),
            "macro_f1": _plain(self.macro_f1),
            "calibration_error": _plain(self.calibration_error),
            "calibration_floor": _plain(self.calibration_floor),
            "classes": by_class,
            "confusion": self.confusion.tolist(),
            "reliability": [[int(n), round(c, 4), int(r)] for n, c, r in self.reliability.tolist()],
        }


HEADLINE: dict[str, Callable[["Figures | Rates"], Any]] = {
    "recall": lambda f: f.recall,
    "precision": lambda f: f.precision,
    "helix_f1": lambda f: f.class_f1[HELIX.number],
    "strand_f1": lambda f: f.class_f1[STRAND.number],
    "nucleotide_f1": lambda f: f.class_f1[NUCLEOTIDE.number],
    "macro_f1": lambda f: f.macro_f1,
}
"""The figures that sum up a network: published recall and precision, strict F1."""


@dataclass(frozen=True)
class Rates:
    """What `Figures` says of counts alone, for many tables of counts at once.

    Attributes
    ----------
    recall, precision, macro_f1 : ndarray, shape (...)
    class_recall, class_precision, class_f1 : ndarray, shape (4, ...)
    """

    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    class_recall: NDArray[np.float64]
    class_precision: NDArray[np.float64]
    class_f1: NDArray[np.float64]
    macro_f1: NDArray[np.float64]


def rates(confusion: NDArray[np.integer]) -> Rates:
    """Recall, precision and F1 of counts.

    Parameters
    ----------
    confusion : ndarray of int, shape (..., 4, 4)
        Cases by true class (row) and predicted class (column).
    """
    table = np.moveaxis(confusion, (-2, -1), (0, 1))
    right = np.stack([table[k, k] for k in range(len(table))])
    true, predicted = table.sum(axis=1), table.sum(axis=0)
    structured = np.arange(len(table)) != OTHER.number
    true_positive = right[structured].sum(axis=0)
    false_negative = table[structured, OTHER.number].sum(axis=0)
    in_truth = true > 0
    class_f1 = np.where(in_truth, _ratio(2 * right, predicted + true), np.nan)
    return Rates(
        recall=_ratio(true_positive, true_positive + false_negative),
        precision=_ratio(true_positive, predicted[structured].sum(axis=0)),
        class_recall=_ratio(right, true),
        class_precision=np.where(in_truth, _ratio(right, predicted), np.nan),
        class_f1=class_f1,
        macro_f1=_ratio(np.nansum(class_f1, axis=0), in_truth.sum(axis=0)),
    )


class Tally:
    """Counts of predictions against the truth, to which residues or voxels are added bit by bit."""

    def __init__(self) -> None:
        self.confusion = np.zeros((len(CLASS_NAMES), len(CLASS_NAMES)), np.int64)
        self._reliability = np.zeros((CALIBRATION_BINS, 3))

    def add(self, probabilities: NDArray[np.floating], truth: NDArray[np.integer]) -> "Tally":
        """Count cases.

        Parameters
        ----------
        probabilities : ndarray, shape (4, ...)
            Probability of each class; the highest is the prediction.
        truth : ndarray of int, shape (...)
            True class numbers; cases with `haruspex_train.truth.IGNORE` do not count.

        Returns
        -------
        Tally
            Itself.
        """
        counted = truth != IGNORE
        true = truth[counted].astype(np.int64)
        chosen = probabilities[:, counted]
        predicted = chosen.argmax(axis=0)
        np.add.at(self.confusion, (true, predicted), 1)
        confidence = chosen.max(axis=0)
        bins = np.minimum((confidence * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
        for column, weights in enumerate((None, confidence, predicted == true)):
            self._reliability[:, column] += np.bincount(bins, weights=weights, minlength=CALIBRATION_BINS)
        return self

    def include(self, figures: Figures) -> "Tally":
        """Count all cases of figures again; returns itself."""
        self.confusion += figures.confusion
        self._reliability += figures.reliability
        return self

    def figures(self) -> Figures:
        """Figures of everything counted so far."""
        found = rates(self.confusion)
        error = np.abs(self._reliability[:, 1] - self._reliability[:, 2]).sum()
        return Figures(
            recall=float(found.recall),
            precision=float(found.precision),
            class_recall=tuple(found.class_recall.tolist()),
            class_precision=tuple(found.class_precision.tolist()),
            class_f1=tuple(found.class_f1.tolist()),
            macro_f1=float(found.macro_f1),
            calibration_error=float(_ratio(error, self.confusion.sum())),
            confusion=self.confusion.copy(),
            reliability=self._reliability.copy(),
        )


def pooled(parts: Iterable[Figures]) -> Figures:
    """Figures over the cases of several maps together."""
    tally = Tally()
    for part in parts:
        tally.include(part)
    return tally.figures()


@dataclass(frozen=True)
class Spread:
    """One figure over several maps: median, 10th percentile, and how many maps have the figure."""

    median: float
    tenth_percentile: float
    maps: int


def spread(values: Iterable[float]) -> Spread:
    """Summarise a figure over maps; maps without it do not count."""
    known = np.array([value for value in values if np.isfinite(value)])
    if len(known) == 0:
        return Spread(np.nan, np.nan, 0)
    return Spread(float(np.median(known)), float(np.percentile(known, 10)), len(known))


def shown(value: float, digits: int = 3, missing: str = "–") -> str:
    """Return a figure as text, and what stands for one that is not a number."""
    return f"{value:.{digits}f}" if np.isfinite(value) else missing


def headed(name: str) -> str:
    """Return a figure's name as it stands in the head of a table."""
    return name.replace("_f1", " F1").replace("_", " ")


def _ratio(part: NDArray | np.number, whole: NDArray | np.number) -> NDArray[np.float64]:
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _plain(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None
