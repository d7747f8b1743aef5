import csv
import io

import numpy as np
import pytest
from judging import judged

from haruspex_infer.grid import Grid
from haruspex_infer.structure import read_structure
from haruspex_train.evaluate import read_pairs
from haruspex_train.judged import COLUMNS, judge, residue_csv, together
from haruspex_train.secondary import residue_classes

TRUTH, PREDICTED, SIGMA = [1, 1, 2, 2, 0, 0, 3], [1, 0, 1, 2, 0, 2, 3], [2, 2, 2, 0.5, 2, 2, 1]


def test_verdicts_are_the_published_counting():
    residues = judged(TRUTH, PREDICTED, SIGMA)
    assert residues.verdict.tolist() == ["TP", "FN", "FP", "TP", "TN", "FP", "TP"]
    counted = residues.chosen(residues.resolved)
    figures = counted.figures()
    right, false, missed = ((counted.verdict == v).sum() for v in ("TP", "FP", "FN"))
    assert len(counted) == 6
    assert figures.recall == pytest.approx(right / (right + missed))
    assert figures.precision == pytest.approx(right / (right + false))


def test_the_table_can_be_counted_again():
    parts = {"EMD-1": judged(TRUTH, PREDICTED, SIGMA), "EMD-2": judged([1], [1], [np.nan])}
    rows = list(csv.DictReader(io.StringIO(residue_csv(parts))))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 8
    assert rows[2] == {
        "map": "EMD-1", "chain": "A", "number": "3", "insertion": "", "residue": "ALA",
        "truth": "strand", "predicted": "helix", "other": "0.100", "helix": "0.700", "strand": "0.100",
        "nucleotide": "0.100", "sigma_level": "2.000", "b_factor": "30.000",
        "counted": "yes", "verdict": "FP",
    }  # fmt: skip
    assert rows[-1]["sigma_level"] == ""
    counted = [row for row in rows if row["counted"] == "yes"]
    right = sum(row["verdict"] == "TP" for row in counted)
    missed = sum(row["verdict"] == "FN" for row in counted)
    whole = together(parts.values())
    assert right / (right + missed) == whole.chosen(whole.resolved).figures().recall


def test_residues_are_read_at_their_backbone(pairs):
    (pair,) = read_pairs(pairs, "val")
    structure = read_structure(pair.model_paths)
    grid = Grid((56, 56, 64), (1.1,) * 3, (-30.0, -30.0, -35.0))
    probabilities = np.zeros((4, *grid.shape), np.float32)
    probabilities[1, :28], probabilities[0, 28:] = 1, 1
    density = np.random.default_rng(0).normal(size=grid.shape).astype(np.float32)
    classes = residue_classes(structure)
    residues = judge(probabilities, density, grid, structure, classes)
    assert len(residues) == structure.n_residues == 32
    np.testing.assert_array_equal(residues.truth, classes)
    place = structure.main_chain()[:, :, 2].mean(axis=1)
    middle = grid.origin[0] + 27.5 * 1.1
    clear = np.abs(place - middle) > 3
    np.testing.assert_array_equal(residues.predicted[clear] == 1, place[clear] < middle)
