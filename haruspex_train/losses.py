"""Losses over voxels, for logits (n, 4, d, h, w) and labels of `haruspex_train.labels`."""

import torch
from torch import Tensor
from torch.nn import functional

from haruspex_infer.classes import CLASSES, OTHER
from haruspex_train.labels import COIL, IGNORE


def cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor, true_negative: float) -> Tensor:
    """Weighted cross-entropy (paper, Network Training).

    Parameters
    ----------
    logits : Tensor (n, 4, d, h, w)
        Scores of the classes.
    labels : Tensor (n, d, h, w), uint8
        Class numbers, `COIL` or `IGNORE`.
    weights : Tensor (5,)
        Weights of the four classes and of coil.
    true_negative : float
        Factor on voxels that are *other* and are called so. The paper weighs everything else 16 times as
        much, which is 1/16 here; 1 treats all alike.

    Returns
    -------
    Tensor
        The weighted mean over voxels.
    """
    truth, weight = _truth_and_weight(labels, weights)
    entropy = functional.cross_entropy(logits.float(), truth, reduction="none")
    if true_negative != 1:
        called_other = logits.detach().argmax(1) == OTHER.number
        weight = torch.where((truth == OTHER.number) & called_other, weight * true_negative, weight)
    return (entropy * weight).sum() / weight.sum().clamp(min=1)


def focal_and_dice(logits: Tensor, labels: Tensor, weights: Tensor, gamma: float = 2.0) -> Tensor:
    """Focal loss (Lin et al. 2017) plus soft Dice over the batch (Milletari et al. 2016).

    The combination that Mu et al. (2024, Bioinform. Adv., vbae169) found best for strands. Parameters as in
    `cross_entropy`; `gamma` is the focal exponent.
    """
    truth, weight = _truth_and_weight(labels, weights)
    log_p = functional.log_softmax(logits.float(), 1)
    log_right = log_p.gather(1, truth[:, None])[:, 0]
    focal = (1 - log_right.exp()) ** gamma * -log_right * weight
    counted = (labels != IGNORE)[:, None]
    p = log_p.exp() * counted
    target = functional.one_hot(truth, len(CLASSES)).movedim(-1, 1) * counted
    axes = (0, 2, 3, 4)
    overlap = (p * target).sum(axes)
    dice = (2 * overlap + 1) / (p.sum(axes) + target.sum(axes) + 1)
    return focal.sum() / weight.sum().clamp(min=1) + (1 - dice).mean()


def _truth_and_weight(labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Class numbers, and the weight of every voxel."""
    ignored = labels == IGNORE
    truth = torch.where((labels == COIL) | ignored, OTHER.number, labels.long())
    weight = weights[torch.where(ignored, 0, labels.long())]
    return truth, torch.where(ignored, 0, weight)
