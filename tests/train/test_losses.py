"""Losses against arithmetic by hand."""

import numpy as np
import pytest
import torch

from haruspex_train.labels import BORDER, COIL, CORE
from haruspex_train.losses import counted, cross_entropy, focal_and_dice
from haruspex_train.truth import IGNORE

WEIGHTS = (0.5, 1.0, 1.2, 1.5, 0.7)
LABELS = [0, 1, 2, 3, COIL, CORE + 1, CORE + COIL, IGNORE]


@pytest.fixture
def case():
    """Eight voxels, one of each kind of label."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(1, 4, 2, 2, 2))
    labels = np.array(LABELS, np.uint8).reshape(1, 2, 2, 2)
    return torch.tensor(logits, dtype=torch.float32), torch.tensor(labels), torch.tensor(WEIGHTS)


def by_hand(logits, core):
    """-log p of the truth, p, and the weight of each voxel."""
    scores = logits.numpy().reshape(4, 8)
    p = np.exp(scores) / np.exp(scores).sum(0)
    truth = np.array([0, 1, 2, 3, 0, 1, 0, 0])
    weight = np.array([0.5, 1.0, 1.2, 1.5, 0.7, core * 1.0, core * 0.7, 0.0])
    return p, truth, weight


def test_what_is_ignored_or_weighs_nothing_does_not_count(case):
    _, labels, weights = case
    assert counted(labels, weights) == 7
    weights[4] = 0  # coil: one voxel away from the backbone, one at it
    assert counted(labels, weights) == 5


@pytest.mark.parametrize("core", [1.0, 4.0])
def test_cross_entropy(case, core):
    p, truth, weight = by_hand(case[0], core)
    expected = -(weight * np.log(p[truth, np.arange(8)])).sum() / 7
    assert cross_entropy(*case, core=core).item() == pytest.approx(expected, rel=1e-5)


def test_residues_at_a_border_weigh_more(case):
    logits, labels, weights = case
    labels = torch.where(labels == CORE + COIL, BORDER + COIL, labels)
    p, truth, weight = by_hand(logits, 2.0)
    weight[6] *= 3
    expected = -(weight * np.log(p[truth, np.arange(8)])).sum() / 7
    got = cross_entropy(logits, labels, weights, core=2.0, border=6.0).item()
    assert got == pytest.approx(expected, rel=1e-5)


def test_true_negatives_weigh_less(case):
    p, truth, weight = by_hand(case[0], 1.0)
    weight = np.where((truth == 0) & (p.argmax(0) == 0), weight / 16, weight)
    assert ((truth == 0) & (p.argmax(0) == 0))[:7].any()
    assert ((truth == 0) & (p.argmax(0) != 0))[:7].any()
    expected = -(weight * np.log(p[truth, np.arange(8)])).sum() / 7
    assert cross_entropy(*case, true_negative=1 / 16).item() == pytest.approx(expected, rel=1e-5)


def test_focal_and_dice(case):
    p, truth, weight = by_hand(case[0], 2.0)
    right = p[truth, np.arange(8)]
    focal = ((1 - right) ** 3 * -np.log(right) * weight).sum() / 7
    counted = np.arange(8) < 7
    target = (np.arange(4)[:, None] == truth) & counted
    overlap = (p * target).sum(1)
    dice = (2 * overlap + 1) / ((p * counted).sum(1) + target.sum(1) + 1)
    expected = focal + (1 - dice).mean()
    assert focal_and_dice(*case, core=2.0, gamma=3.0).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", [cross_entropy, focal_and_dice])
def test_ignored_voxels_have_no_gradient(case, loss):
    logits, labels, weights = case
    logits = logits.requires_grad_()
    loss(logits, labels, weights).backward()
    gradient = logits.grad.reshape(4, 8).abs().sum(0)
    assert gradient[7] == 0
    assert (gradient[:7] > 0).all()


@pytest.mark.parametrize("loss", [cross_entropy, focal_and_dice])
def test_everything_ignored_is_no_fault(case, loss):
    logits, labels, weights = case
    assert torch.isfinite(loss(logits, torch.full_like(labels, IGNORE), weights))


@pytest.mark.parametrize("loss", [cross_entropy, focal_and_dice])
def test_right_answers_cost_nearly_nothing(case, loss):
    _, labels, weights = case
    truth = torch.tensor([0, 1, 2, 3, 0, 1, 0, 0]).view(1, 2, 2, 2)
    sure = 20.0 * torch.nn.functional.one_hot(truth, 4).movedim(-1, 1)
    assert loss(sure, labels, weights) < 1e-3
    assert loss(-sure, labels, weights) > 1
