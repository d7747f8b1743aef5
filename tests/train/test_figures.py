import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from haruspex_train.evaluate import volume_figures
from haruspex_train.figures import Tally, spread
from haruspex_train.truth import IGNORE


def certain(predicted, confidence=1.0):
    """Probabilities of given predictions, shape (4, n)."""
    rest = (1 - confidence) / 3
    probabilities = np.full((4, len(predicted)), rest)
    probabilities[predicted, np.arange(len(predicted))] = confidence
    return probabilities


def test_published_figures_by_hand():
    truth = np.array([1, 1, 1, 2, 2, 3, 0, 0, 0, 0])
    predicted = np.array([1, 1, 0, 2, 1, 0, 0, 0, 2, 0])
    figures = Tally().add(certain(predicted), truth).figures()
    # right: 3; a class where the truth is another or none: 2; none where there is a class: 2
    assert figures.recall == pytest.approx(3 / 5)
    assert figures.precision == pytest.approx(3 / 5)
    assert figures.class_recall == pytest.approx((3 / 4, 2 / 3, 1 / 2, 0))
    assert figures.class_precision[:3] == pytest.approx((3 / 5, 2 / 3, 1 / 2))
    assert math.isnan(figures.class_precision[3])
    assert figures.class_f1 == pytest.approx((2 / 3, 2 / 3, 1 / 2, 0))
    assert figures.macro_f1 == pytest.approx((2 / 3 + 2 / 3 + 1 / 2) / 4)
    assert figures.confusion.tolist() == [[3, 0, 1, 0], [1, 2, 0, 0], [0, 1, 1, 0], [1, 0, 0, 0]]
    assert figures.cases == 10


@given(
    nps.arrays(np.int64, 50, elements=st.integers(0, 3)),
    nps.arrays(np.int64, 50, elements=st.integers(0, 3)),
)
def test_figures_against_counting(truth, predicted):
    figures = Tally().add(certain(predicted), truth).figures()
    hits = sum(t == p != 0 for t, p in zip(truth, predicted, strict=True))
    false = sum(p != 0 and t != p for t, p in zip(truth, predicted, strict=True))
    missed = sum(t != 0 and p == 0 for t, p in zip(truth, predicted, strict=True))
    if hits + missed:
        assert figures.recall == pytest.approx(hits / (hits + missed))
    else:
        assert math.isnan(figures.recall)
    if hits + false:
        assert figures.precision == pytest.approx(hits / (hits + false))
    for k in range(4):
        pairs = list(zip(truth, predicted, strict=True))
        mine, theirs, both = (truth == k).sum(), (predicted == k).sum(), pairs.count((k, k))
        if mine:
            assert figures.class_f1[k] == pytest.approx(2 * both / (mine + theirs))
        else:
            assert math.isnan(figures.class_f1[k])


def test_ignored_cases_do_not_count_and_parts_add_up():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(4), size=(6, 5, 7)).transpose(3, 0, 1, 2)
    truth = rng.choice([0, 1, 2, 3, IGNORE], size=(6, 5, 7)).astype(np.uint8)
    whole = Tally().add(probabilities, truth).figures()
    by_section = volume_figures(probabilities, truth)
    assert whole.cases == (truth != IGNORE).sum()
    np.testing.assert_array_equal(whole.confusion, by_section.confusion)
    assert whole.calibration_error == pytest.approx(by_section.calibration_error)


def test_calibration_error():
    # 80 % sure and right in 60 % of the cases
    truth = np.array([1] * 60 + [2] * 40)
    figures = Tally().add(certain(np.ones(100, int), 0.8), truth).figures()
    assert figures.calibration_error == pytest.approx(0.2)
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.ones(4), size=40000).T
    truth = (rng.random(40000) > probabilities.cumsum(axis=0)).sum(axis=0)
    assert Tally().add(probabilities, truth).figures().calibration_error < 0.02


def test_what_chance_alone_makes_of_a_perfect_calibration():
    figures = Tally().add(certain(np.ones(400, int), 0.8), np.ones(400, int)).figures()
    right = np.random.default_rng(2).binomial(400, 0.8, 20000)
    assert figures.calibration_floor == pytest.approx(np.abs(right / 400 - 0.8).mean(), rel=0.03)


def test_figures_without_a_case():
    figures = Tally().figures()
    assert math.isnan(figures.recall)
    assert math.isnan(figures.macro_f1)
    assert json.loads(json.dumps(figures.as_dict()))["recall"] is None


def test_spread_leaves_out_maps_without_the_figure():
    result = spread([0.1, math.nan, 0.5, 0.9])
    assert (result.median, result.maps) == (0.5, 3)
    assert result.tenth_percentile == pytest.approx(np.percentile([0.1, 0.5, 0.9], 10))
    assert spread([math.nan]).maps == 0
