import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
from judging import judged

from haruspex_train.breakdown import breakdown, by_density, by_resolution, confusion_table, reliability_table
from haruspex_train.figures import Tally, pooled
from haruspex_train.pairs import Pair
from haruspex_train.plots import draw
from haruspex_train.scoreboard import PairScore, Scoreboard


def result(name, resolution, residues, has_protein=True):
    voxels = residues.figures()
    return PairScore(
        pair=Pair(name, "-", "val", resolution, "no", Path("x"), ()),
        has_protein=has_protein,
        resolved=residues.chosen(residues.resolved).figures(),
        residues=residues.figures(),
        voxels=voxels,
        dense_voxels=voxels,
        judged=residues,
        unmodelled_nucleotide=math.nan,
        protein_nucleotide=math.nan,
    )


@pytest.fixture
def board():
    rng = np.random.default_rng(0)
    scores = []
    for k, resolution in enumerate((2.5, 2.6, 3.4, 4.0, 4.3)):
        truth = rng.integers(0, 3, 60)
        predicted = np.where(rng.random(60) < 0.7, truth, rng.integers(0, 3, 60))
        scores.append(result(f"EMD-{k}", resolution, judged(truth, predicted, rng.uniform(0, 12, 60))))
    return Scoreboard("toy", "1", "sha256:0", "val", scores)


def test_maps_fall_into_bins_of_resolution(board):
    bins = by_resolution(board.scores)
    assert [(name, len(maps)) for name, maps in bins] == [
        ("≤ 2.5 Å", 1), ("2.5–3 Å", 1), ("3–3.5 Å", 1), ("3.5–4 Å", 1), ("> 4 Å", 1),
    ]  # fmt: skip


def test_residues_fall_into_bins_of_density(board):
    bins = by_density(board.scores)
    assert sum(figures.cases for _, figures in bins) == 300
    assert bins[0][0] == "< 1 σ"
    assert bins[-1][0] == "≥ 9 σ"
    weak = sum(int((s.judged.sigma_level < 1).sum()) for s in board.scores)
    assert bins[0][1].cases == weak
    whole = pooled(s.residues for s in board.scores)
    np.testing.assert_array_equal(sum(figures.confusion for _, figures in bins), whole.confusion)


def test_pooled_figures_are_those_of_all_cases(board):
    tally = Tally()
    for s in board.scores:
        tally.add(s.judged.probability.T, s.judged.truth)
    one, other = tally.figures(), pooled(s.residues for s in board.scores)
    assert one.recall == other.recall
    assert one.calibration_error == pytest.approx(other.calibration_error)
    np.testing.assert_allclose(one.reliability, other.reliability)


def test_the_report_holds_the_counts(board):
    text = breakdown(board)
    within = pooled(s.resolved for s in board.scores[:4])
    assert f"| helix | {within.confusion[1, 0]:,} (" in text
    assert "### By backbone density, residues together (protein, 4 Å or better)" in text
    assert text.count("### Calibration, ") == 4
    assert confusion_table(within) in text
    rows = reliability_table(within).splitlines()
    # every answer is 70 % sure: one bin
    assert len(rows) == 5
    share = np.diag(within.confusion).sum() / within.cases
    assert rows[2] == f"| 0.67–0.73 | {within.cases:,} | 0.700 | {share:.3f} |"


def test_a_report_without_protein_is_short():
    board = Scoreboard("toy", "1", "sha256:0", "val", [result("EMD-1", 3.0, judged([3], [3], [2.0]), False)])
    assert breakdown(board) == ""


def test_pictures_are_the_same_bytes_again(board, tmp_path):
    digests = []
    for run in ("a", "b"):
        (tmp_path / run).mkdir()
        files = draw(board, tmp_path / run / "toy_val")
        assert [f.name for f in files] == [
            "toy_val_recall.png",
            "toy_val_density.png",
            "toy_val_calibration.png",
        ]
        digests.append([hashlib.sha256(f.read_bytes()).hexdigest() for f in files])
    assert digests[0] == digests[1]
    assert len(set(digests[0])) == 3


def test_maps_beyond_the_limit_have_no_picture_of_density(board, tmp_path):
    far = Scoreboard("toy", "1", "sha256:0", "val", board.scores[4:])
    assert [f.name for f in draw(far, tmp_path / "toy_val")] == ["toy_val_recall.png"]
