"""Temperature and class odds that make a network's probabilities mean what they say.

Guo et al. 2017 (On calibration of modern neural networks): one number that divides the logits, fitted by
likelihood on held-out data, repairs most of what training leaves; it changes no decision of a voxel. The odds
of the classes can be fitted as well, but they move the network between recall and precision.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from haruspex_infer.classes import CLASSES, OTHER
from haruspex_infer.grid import Grid
from haruspex_infer.residues import RESOLVED, sigma_levels
from haruspex_infer.sampling import sample
from haruspex_infer.structure import OTHER_KIND, Structure
from haruspex_train.figures import Figures, Tally

_FLOOR = 1e-6  # probabilities are kept from 0: interpolation and float16 do not resolve less
_PRIOR = 1e-3  # on squared logarithms of odds: a class that no map holds keeps its odds


@dataclass(frozen=True)
class Correction:
    """What becomes of logits: divided by a temperature, shifted by logarithms of odds."""

    temperature: float = 1.0
    log_odds: tuple[float, ...] = (0.0,) * len(CLASSES)

    def __call__(self, probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
        """Correct probabilities of shape (n, 4)."""
        logits = np.log(np.maximum(probabilities, _FLOOR)) / self.temperature + np.array(self.log_odds)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Cases:
    """Backbone atoms of the residues that the published figures count, of one map.

    Attributes
    ----------
    name : str
        The map.
    probability : ndarray of float32, shape (n, 4)
        At each atom.
    residue : ndarray of int64, shape (n,)
        Residue of each atom, a row of `truth`.
    truth : ndarray of uint8, shape (m,)
        Class of each residue.
    """

    name: str
    probability: NDArray[np.float32]
    residue: NDArray[np.int64]
    truth: NDArray[np.uint8]

    def figures(self, correction: Correction) -> tuple[Figures, float]:
        """Figures over residues after a correction, and the mean negative log-likelihood of their truth."""
        corrected = correction(self.probability)
        count = np.bincount(self.residue, minlength=len(self.truth))
        columns = [
            np.bincount(self.residue, weights=column, minlength=len(self.truth)) for column in corrected.T
        ]
        probability = np.stack(columns, axis=1) / count[:, None]
        of_truth = probability[np.arange(len(self.truth)), self.truth]
        surprise = -np.log(np.maximum(of_truth, _FLOOR)).mean()
        return Tally().add(probability.T, self.truth).figures(), float(surprise)


@dataclass(frozen=True)
class LeftOut:
    """One map, corrected by what the other maps ask for."""

    name: str
    correction: Correction
    before: Figures
    after: Figures
    surprise_before: float
    surprise_after: float


def cases(
    name: str,
    probabilities: NDArray[np.float32],
    density: NDArray[np.floating],
    grid: Grid,
    structure: Structure,
    classes: NDArray[np.uint8],
) -> Cases:
    """Read probabilities at the backbone atoms of residues of at least 1 σ.

    Parameters
    ----------
    name : str
    probabilities : ndarray, shape (4, z, y, x)
    density : ndarray, shape (z, y, x)
        The map as deposited.
    grid : Grid
        Where the voxels of both lie.
    structure : Structure
    classes : ndarray of uint8, shape (m,)
        True class of each residue of the structure.

    Raises
    ------
    HaruspexError
        If the map is constant.
    """
    resolved = (sigma_levels(density, grid, structure) >= RESOLVED) & (structure.kind != OTHER_KIND)
    number = np.where(resolved, np.cumsum(resolved) - 1, -1)
    atoms = np.flatnonzero(structure.backbone & resolved[structure.residue])
    probability = np.stack([sample(volume, grid, structure.xyz[atoms]) for volume in probabilities], axis=1)
    inside = np.isfinite(probability).all(axis=1)
    return Cases(name, probability[inside], number[structure.residue[atoms[inside]]], classes[resolved])


def fit(maps: Sequence[Cases], class_odds: bool = False) -> Correction:
    """Find the correction that makes the truth most likely; every map weighs the same.

    Parameters
    ----------
    maps : sequence of Cases
        At least one.
    class_odds : bool
        Whether odds of the classes are fitted besides the temperature.
    """
    data = [
        (
            torch.from_numpy(np.log(np.maximum(part.probability, _FLOOR)).astype(np.float64)),
            torch.from_numpy(part.truth[part.residue].astype(np.int64)),
        )
        for part in maps
    ]
    log_temperature = torch.zeros((), dtype=torch.float64, requires_grad=True)
    log_odds = torch.zeros(len(CLASSES), dtype=torch.float64, requires_grad=class_odds)
    parameters = [log_temperature, log_odds] if class_odds else [log_temperature]
    optimiser = torch.optim.LBFGS(parameters, max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        losses = [
            torch.nn.functional.cross_entropy(logits / log_temperature.exp() + log_odds, truth)
            for logits, truth in data
        ]
        total = torch.stack(losses).mean() + _PRIOR * log_odds.square().sum()
        total.backward()
        return total

    optimiser.step(loss)
    odds = (log_odds - log_odds[OTHER.number]).detach()
    return Correction(float(log_temperature.detach().exp()), tuple(odds.tolist()))


def left_out(maps: Sequence[Cases], class_odds: bool = False) -> list[LeftOut]:
    """Correct every map by a fit to all others: what the correction does to maps it has not seen."""
    results = []
    for k, part in enumerate(maps):
        correction = fit([*maps[:k], *maps[k + 1 :]], class_odds)
        before, surprise_before = part.figures(Correction())
        after, surprise_after = part.figures(correction)
        results.append(LeftOut(part.name, correction, before, after, surprise_before, surprise_after))
    return results
