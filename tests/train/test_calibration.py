import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairing import network
from toys import lump, valid_network

from haruspex_infer.annotator import Annotator
from haruspex_infer.classes import NUCLEOTIDE
from haruspex_infer.errors import HaruspexError
from haruspex_infer.network import METADATA_KEY
from haruspex_infer.session import Session
from haruspex_train.calibrate import calibrate, fold, write_corrected
from haruspex_train.calibration import Cases, Correction, fit, left_out
from haruspex_train.export import halve_weights
from haruspex_train.figures import Tally


def made_cases(name, seed, temperature, n=800):
    """Atoms, one a residue, whose truth follows probabilities that are then made too sure."""
    rng = np.random.default_rng(seed)
    true = rng.dirichlet(np.ones(4), size=n)
    truth = (rng.random((n, 1)) > true.cumsum(axis=1)).sum(axis=1).clip(max=3)
    stated = Correction(1 / temperature)(true)
    return Cases(name, stated.astype(np.float32), np.arange(n), truth.astype(np.uint8))


def test_the_temperature_is_found():
    maps = [made_cases(str(k), k, 2.0) for k in range(4)]
    correction = fit(maps)
    assert correction.temperature == pytest.approx(2.0, rel=0.1)
    assert correction.log_odds == (0, 0, 0, 0)
    for part in left_out(maps):
        assert part.surprise_after < part.surprise_before
        assert part.after.calibration_error < part.before.calibration_error / 2
        # one atom a residue: the decision is a voxel's, which a temperature leaves as it is
        np.testing.assert_array_equal(part.after.confusion, part.before.confusion)


def test_odds_are_found():
    shift = Correction(1.0, (0.0, -1.0, 0.5, 0.0))
    maps = []
    for k in range(4):
        part = made_cases(str(k), k, 1.0)
        maps.append(Cases(part.name, shift(part.probability).astype(np.float32), part.residue, part.truth))
    found = fit(maps, class_odds=True)
    np.testing.assert_allclose(found.log_odds, [0, 1, -0.5, 0], atol=0.2)


def test_a_class_that_no_map_holds_is_not_abolished():
    maps = []
    for k in range(3):
        part = made_cases(str(k), k, 1.0)
        held = part.truth[part.residue] != NUCLEOTIDE.number
        maps.append(replace(part, probability=part.probability[held], residue=part.residue[held]))
    found = fit(maps, class_odds=True)
    assert -6 < found.log_odds[NUCLEOTIDE.number] < 0


def test_the_left_out_map_has_no_part_in_its_correction():
    maps = [made_cases("a", 0, 2.0), made_cases("b", 1, 2.0), made_cases("c", 2, 0.5)]
    last = left_out(maps)[-1]
    assert last.correction == fit(maps[:2])
    assert last.surprise_after > last.surprise_before


@settings(max_examples=30)
@given(st.floats(0.3, 3), st.lists(st.floats(-2, 2), min_size=4, max_size=4), st.booleans())
def test_a_folded_correction_is_the_correction(tmp_path_factory, temperature, odds, half):
    folder = tmp_path_factory.mktemp("fold")
    model = onnx.load(network(folder / "n.onnx"))
    if half:
        halve_weights(model)
        onnx.save(model, folder / "n.onnx")
    correction = Correction(temperature, tuple(odds))
    write_corrected(folder / "n.onnx", correction, folder / "c.onnx", ["EMD-1"])
    density = lump((16, 8, 8))[None, None]
    before, after = (Session(folder / name, "cpu").run(density) for name in ("n.onnx", "c.onnx"))
    expected = correction(np.moveaxis(before, 1, -1).reshape(-1, 4).astype(np.float64))
    sure = before.min() > 1e-6  # below, the correction itself rounds
    got = np.moveaxis(after, 1, -1).reshape(-1, 4)
    rows = slice(None) if sure else np.moveaxis(before, 1, -1).reshape(-1, 4).min(axis=1) > 1e-5
    np.testing.assert_allclose(got[rows], expected[rows], atol=5e-3)


def test_metadata_tell_of_the_correction(tmp_path):
    path = network(tmp_path / "n.onnx")
    write_corrected(path, Correction(1.25), tmp_path / "better.onnx", ["EMD-1", "EMD-2"])
    about = json.loads(Session(tmp_path / "better.onnx", "cpu").metadata)
    assert about["name"] == "better"
    assert about["calibration"] == {"temperature": 1.25, "log_odds": [0, 0, 0, 0], "maps": ["EMD-1", "EMD-2"]}
    assert Annotator(tmp_path / "better.onnx", "cpu").contract.name == "better"
    assert METADATA_KEY in {entry.key for entry in onnx.load(path).metadata_props}


def test_networks_that_end_otherwise_are_refused(tmp_path):
    model = onnx.load(valid_network(tmp_path / "n.onnx"))
    model.graph.node[-1].op_type = "LogSoftmax"
    with pytest.raises(HaruspexError, match="does not end in a convolution and softmax"):
        fold(model, Correction(), "n.onnx")


def test_one_map_is_too_few(pairs, tmp_path):
    with pytest.raises(HaruspexError, match="two or more"):
        calibrate(network(tmp_path / "n.onnx"), pairs, tmp_path / "c.onnx", device="cpu")
    with pytest.raises(HaruspexError, match=r"end in \.onnx"):
        calibrate("residual", pairs, Path("c.pt"))
    with pytest.raises(HaruspexError, match="There is no folder absent"):
        calibrate("residual", pairs, Path("absent/c.onnx"))


def test_the_floor_is_what_a_perfect_calibration_shows():
    rng = np.random.default_rng(0)
    errors, floors = [], []
    for _ in range(40):
        probabilities = rng.dirichlet(np.ones(4), size=200)
        truth = (rng.random((200, 1)) > probabilities.cumsum(axis=1)).sum(axis=1).clip(max=3)
        figures = Tally().add(probabilities.T, truth).figures()
        errors.append(figures.calibration_error)
        floors.append(figures.calibration_floor)
    assert np.mean(floors) == pytest.approx(np.mean(errors), rel=0.1)
