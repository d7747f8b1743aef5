import math
from dataclasses import replace

import numpy as np
import pytest
from judging import judged

from haruspex_train.figures import HEADLINE, pooled, rates, spread
from haruspex_train.judged import together
from haruspex_train.uncertainty import (
    RESAMPLES,
    STRETCH,
    differences,
    drawn_counts,
    estimates,
    stretch_counts,
)


def made_map(rng, right, residues=200):
    """Residues of one map: helix, strand and coil in turn, of which a share is right."""
    truth = np.arange(residues) // 10 % 3
    predicted = np.where(rng.permutation(residues) < right * residues, truth, (truth + 1) % 3)
    return judged(truth, predicted, np.full(residues, 3.0))


@pytest.fixture
def maps():
    rng = np.random.default_rng(0)
    return [made_map(rng, right) for right in (0.6, 0.7, 0.8, 0.9, 0.95)]


def test_stretches_end_with_their_chain_and_hold_every_residue():
    residues = judged([1] * 50, [0] * 50, [3.0] * 50)
    residues = replace(residues, chain=np.array(["A"] * 25 + ["B"] * 25))
    counts = stretch_counts(residues)
    assert counts.sum(axis=(1, 2)).tolist() == [STRETCH, 5, STRETCH, 5]
    assert counts[:, 1, 0].sum() == 50
    assert stretch_counts(residues.chosen(np.zeros(50, bool))).shape == (0, 4, 4)


def test_what_is_drawn_is_maps_and_their_stretches():
    # stretches that are powers of a base of their map tell which were drawn how often
    counts = [np.array([1, 100, 10_000]), np.array([1_000_000, 100_000_000])]
    drawn = drawn_counts(counts)
    assert drawn.shape == (RESAMPLES, 2)
    digits = np.stack([drawn // 100**k % 100 for k in range(5)], axis=-1)
    first, second = digits[..., :3].sum(axis=-1), digits[..., 3:].sum(axis=-1)
    # each drawn map gives as many stretches as it has, and of no other map
    assert set(zip(first.ravel().tolist(), second.ravel().tolist(), strict=True)) == {(3, 0), (0, 2)}
    assert (first == 3).mean() == pytest.approx(0.5, abs=0.03)
    assert set(digits[..., 0].ravel().tolist()) == {0, 1, 2, 3}


def test_the_figures_are_those_of_the_table_and_lie_in_their_interval(maps):
    found = estimates(maps)
    figures = [residues.figures() for residues in maps]
    whole = pooled(figures)
    for name, of in HEADLINE.items():
        if name == "nucleotide_f1":
            continue
        sure = found[name]
        assert sure.median.value == pytest.approx(spread(of(f) for f in figures).median)
        assert sure.together.value == pytest.approx(of(whole))
        for estimate in (sure.median, sure.together):
            assert estimate.low < estimate.value < estimate.high
    assert math.isnan(found["nucleotide_f1"].median.low)
    assert together(maps).figures().recall == found["recall"].together.value


def test_the_same_maps_give_the_same_interval(maps):
    assert repr(estimates(maps)) == repr(estimates(maps))


def test_one_map_says_nothing_of_others(maps):
    only = estimates(maps[:1])["recall"]
    assert only.median.value == maps[0].figures().recall
    assert math.isnan(only.median.low)
    assert math.isnan(only.together.high)
    assert math.isnan(estimates([])["recall"].median.value)


def test_alike_networks_do_not_differ_and_the_worse_one_is_told(maps):
    alike = differences(maps, maps)["macro_f1"]
    assert (alike.median.low, alike.median.value, alike.median.high) == (0, 0, 0)
    rng = np.random.default_rng(1)
    worse = [made_map(rng, right - 0.1) for right in (0.6, 0.7, 0.8, 0.9, 0.95)]
    found, mirrored = differences(maps, worse), differences(worse, maps)
    for of in (lambda s: s.median, lambda s: s.together):
        better = of(found["macro_f1"])
        assert better.low > 0
        assert better.value == pytest.approx(0.1, abs=0.05)
        assert of(mirrored["macro_f1"]).value == pytest.approx(-better.value)
    # the maps differ far more than the networks: only a comparison on the same draws sees it
    alone = estimates(maps)["macro_f1"].together
    assert alone.high - alone.low > found["macro_f1"].together.high - found["macro_f1"].together.low


def test_networks_are_compared_on_the_same_residues_only(maps):
    with pytest.raises(ValueError, match="same residues"):
        differences(maps, [residues.chosen(np.arange(100)) for residues in maps])
    with pytest.raises(ValueError, match="zip"):
        differences(maps, maps[1:])


def test_intervals_hold_the_truth_as_often_as_told(monkeypatch):
    monkeypatch.setattr("haruspex_train.uncertainty.RESAMPLES", 300)
    rng = np.random.default_rng(1)

    def drawn_map():
        """A map of 7 to 44 stretches; residues of a stretch are right or wrong together, more or less."""
        k, right = rng.integers(7, 45), 1 / (1 + np.exp(-rng.normal(2.2, 0.7)))
        hits = rng.binomial(STRETCH, rng.beta(8 * right, 8 - 8 * right, k))
        truth = np.ones(k * STRETCH, int)
        predicted = (np.arange(STRETCH) < hits[:, None]).ravel().astype(int)
        return judged(truth, predicted, np.full(len(truth), 3.0))

    population = np.stack([stretch_counts(drawn_map()).sum(axis=0) for _ in range(3000)])
    median = np.median(rates(population).recall)
    whole = rates(population.sum(axis=0)).recall
    sets = 200
    found = [estimates([drawn_map() for _ in range(6)])["recall"] for _ in range(sets)]
    of_median = sum(f.median.low <= median <= f.median.high for f in found) / sets
    of_whole = sum(f.together.low <= whole <= f.together.high for f in found) / sets
    assert of_median == pytest.approx(0.95, abs=0.04)
    assert of_whole == pytest.approx(5 / 6, abs=0.07)
