"""Figures on simulated maps: whose voxels are judged, and how coil counts."""

import json

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from pairing import network
from toys import pointwise_network

from haruspex_infer.network import parse_contract
from haruspex_infer.session import Session
from haruspex_train.labels import COIL, CORE
from haruspex_train.library import load_training_atoms
from haruspex_train.simulate import Crops
from haruspex_train.simulated import simulated_residues, simulated_scores, truths
from haruspex_train.truth import IGNORE


@pytest.fixture(scope="module")
def scores(tmp_path_factory, training_file):
    path = network(tmp_path_factory.mktemp("networks") / "threshold.onnx")
    atoms = load_training_atoms(training_file, "val")
    return path, atoms, list(simulated_scores([path, path], atoms, (2.5, 4.0), crops=5, edge=32))


def with_margin(path, out, margin):
    """Return the same network with a valid convolution whose kernel is zero but at its centre."""
    model, edge = onnx.load(path), 2 * margin + 1
    weight = next(w for w in model.graph.initializer if w.name == "weight")
    kernel = np.zeros((4, 1, edge, edge, edge), np.float32)
    kernel[:, :, margin, margin, margin] = numpy_helper.to_array(weight)[..., 0, 0, 0]
    weight.CopyFrom(numpy_helper.from_array(kernel, "weight"))
    (shape,) = (a for node in model.graph.node for a in node.attribute if a.name == "kernel_shape")
    shape.ints[:] = [edge] * 3
    for k, name in enumerate("efg"):
        model.graph.output[0].type.tensor_type.shape.dim[2 + k].dim_param = name
    (entry,) = model.metadata_props
    entry.value = json.dumps(json.loads(entry.value) | {"margin": margin})
    onnx.save(model, out)
    return out


def test_truths():
    labels = torch.full((1, 8, 8, 8), IGNORE, dtype=torch.uint8)
    given = [0, 1, 3, COIL, CORE + 2, CORE + 3, CORE + COIL, IGNORE]
    labels[0, 3, 4, :] = torch.tensor(given, dtype=torch.uint8)
    backbone, voxels = truths(Crops(torch.zeros(labels.shape), labels, torch.tensor([3.0])), 0)
    assert voxels[0, 3, 4].tolist() == [0, 1, 3, 0, 2, 3, 0, IGNORE]
    assert backbone[0, 3, 4].tolist() == [IGNORE] * 4 + [2, 3, 0, IGNORE]
    inner, _ = truths(Crops(torch.zeros(labels.shape), labels, torch.tensor([3.0])), 2)
    np.testing.assert_array_equal(inner, backbone[:, 2:-2, 2:-2, 2:-2])


def test_networks_are_judged_on_the_same_voxels(scores):
    _, _, found = scores
    assert [(s.network, s.resolution) for s in found] == [("threshold", r) for r in (2.5, 2.5, 4.0, 4.0)]
    np.testing.assert_array_equal(found[0].backbone.confusion, found[1].backbone.confusion)
    # residues in doubt count neither way
    assert 0.99 * (5 * 32**3) < found[0].voxels.cases <= 5 * 32**3
    assert 100 < found[0].backbone.cases < found[0].voxels.cases
    # the network calls dense voxels helix and nothing else
    confusion = found[0].backbone.confusion
    assert confusion[:, 2:].sum() == 0
    assert (confusion.sum(1) > 0).all()
    assert found[0].backbone.recall > 0.5


def test_figures_are_the_same_again(scores):
    path, atoms, found = scores
    (again,) = simulated_scores([path], atoms, (4.0,), crops=5, edge=32)
    np.testing.assert_array_equal(again.backbone.confusion, found[2].backbone.confusion)
    assert again.backbone.calibration_error == found[2].backbone.calibration_error


def test_a_margin_is_left_out_for_everybody(scores, tmp_path):
    """A network that sees only the centre, beside one that sees all."""
    path, atoms, _ = scores
    narrow = with_margin(path, tmp_path / "narrow.onnx", 3)
    assert parse_contract(Session(narrow, "cpu").metadata, "narrow").margin == 3
    wide, cut = simulated_scores([path, narrow], atoms, (3.0,), crops=2, edge=32)
    assert wide.voxels.cases == cut.voxels.cases
    assert 0.99 * (2 * 26**3) < cut.voxels.cases <= 2 * 26**3
    # both apply the same threshold: were their outputs not over the same voxels, they would differ
    np.testing.assert_array_equal(wide.voxels.confusion, cut.voxels.confusion)


def test_residues_of_crops_are_read_at_their_backbone(tiny_atoms, tmp_path):
    """A network that knows only how dense a voxel is: its answer at a residue follows the density there."""
    path = pointwise_network(tmp_path / "n.onnx", weight=[-2, 2, 0, 0], bias=[1.5, -1.5, -9, -9])
    parts = list(simulated_residues(path, tiny_atoms, 3.0, crops=2, edge=40))
    again = list(simulated_residues(path, tiny_atoms, 3.0, crops=2, edge=40))
    assert len(parts) == 2
    classes = np.zeros(tiny_atoms.residue[-1] + 1, np.uint8)
    classes[tiny_atoms.residue] = tiny_atoms.cls
    for part, same in zip(parts, again, strict=True):
        np.testing.assert_array_equal(part.probability, same.probability)
        np.testing.assert_array_equal(part.truth, classes[part.row])
        np.testing.assert_allclose(part.probability.sum(axis=1), 1, atol=1e-5)
        assert len(part.row) > 5
        rank = np.corrcoef(part.sigma_level, part.probability[:, 1])[0, 1]
        assert rank > 0.6
