"""Losses over voxels, for logits (n, 4, d, h, w) and labels of `haruspex_train.labels`."""

import torch
from torch import Tensor
from torch.nn import functional

from haruspex_infer.classes import CLASSES, OTHER
from haruspex_train.labels import BORDER, COIL, CORE, plain
from haruspex_train.truth import IGNORE


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    weights: Tensor,
    core: float = 1.0,
    border: float | None = None,
    true_negative: float = 1.0,
) -> Tensor:
    """Weighted cross-entropy (paper, Network Training).

    Parameters
    ----------
    logits : Tensor (n, 4, d, h, w)
        Scores of the classes.
    labels : Tensor (n, d, h, w), uint8
        As `haruspex_train.labels` makes them.
    weights : Tensor (5,)
        Weights of the four classes and of coil.
    core : float
        Factor on voxels at the backbone atoms themselves, where residues are judged.
    border : float, optional
        The same at residues where the class changes along the chain; as `core` by default.
    true_negative : float
        Factor on voxels that are *other* and are called so; 1 treats all alike. The paper weighs everything
        else 16-fold: weights of 16 and a factor of 1/16.

    Returns
    -------
    Tensor
        Sum over voxels, divided by the number of those that count (not by their weights: with the paper's
        large ε, Adam's pace depends on the size of the loss).
    """
    truth, weight = _truth_and_weight(labels, weights, core, border)
    entropy = functional.cross_entropy(logits.float(), truth, reduction="none")
    if true_negative != 1:
        called_other = logits.detach().argmax(1) == OTHER.number
        weight = torch.where((truth == OTHER.number) & called_other, weight * true_negative, weight)
    return (entropy * weight).sum() / counted(labels, weights).clamp(min=1)


def focal_and_dice(
    logits: Tensor,
    labels: Tensor,
    weights: Tensor,
    core: float = 1.0,
    border: float | None = None,
    gamma: float = 2.0,
) -> Tensor:
    """Focal loss (Lin et al. 2017) plus soft Dice over the batch (Milletari et al. 2016).

    The combination that Mu et al. (2024, Bioinform. Adv., vbae169) found best for strands. Parameters as in
    `cross_entropy`; `gamma` is the focal exponent.
    """
    truth, weight = _truth_and_weight(labels, weights, core, border)
    log_p = functional.log_softmax(logits.float(), 1)
    log_right = log_p.gather(1, truth[:, None])[:, 0]
    focal = (1 - log_right.exp()) ** gamma * -log_right * weight
    known = (labels != IGNORE)[:, None]
    p = log_p.exp() * known
    target = functional.one_hot(truth, len(CLASSES)).movedim(-1, 1) * known
    axes = (0, 2, 3, 4)
    overlap = (p * target).sum(axes)
    dice = (2 * overlap + 1) / (p.sum(axes) + target.sum(axes) + 1)
    return focal.sum() / counted(labels, weights).clamp(min=1) + (1 - dice).mean()


def counted(labels: Tensor, weights: Tensor) -> Tensor:
    """Return how many voxels count in a loss: those whose truth is known and whose class has a weight."""
    return ((labels != IGNORE) & (weights[_codes(labels)] > 0)).sum()


def _codes(labels: Tensor) -> Tensor:
    """Return classes and coil as indices of weights; what is ignored as *other*."""
    return torch.where(labels == IGNORE, OTHER.number, plain(labels).long())


def _truth_and_weight(
    labels: Tensor, weights: Tensor, core: float, border: float | None
) -> tuple[Tensor, Tensor]:
    """Class numbers, and the weight of every voxel."""
    code = _codes(labels)
    factor = torch.where(labels >= CORE, core, 1.0)
    factor = torch.where(labels >= BORDER, core if border is None else border, factor)
    weight = weights[code] * factor
    truth = torch.where(code == COIL, OTHER.number, code)
    return truth, torch.where(labels == IGNORE, 0, weight)
