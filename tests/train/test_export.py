"""ONNX files against the PyTorch networks they were made from."""

import copy
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from haruspex_infer.errors import HaruspexError
from haruspex_infer.network import METADATA_KEY, numbers_held, parse_contract
from haruspex_infer.normalise import Normaliser
from haruspex_infer.session import Session
from haruspex_train import export as module
from haruspex_train.configuration import Configuration
from haruspex_train.export import BOUND, export, load_network, simulated_crops
from haruspex_train.library import load_training_atoms
from haruspex_train.networks import NETWORKS
from haruspex_train.optimiser import optimiser_of
from haruspex_train.progress import MovingAverage, Progress

OPTIONS = {"mostosi2020": {}, "residual": {"channels": (6, 8, 10, 12), "blocks": (1, 1, 1, 1)}}
EDGES = {"mostosi2020": (28, 36, 32), "residual": (16, 32, 24)}


SHALLOW = {"channels": (4, 6), "blocks": (1, 1)}


def save_weights(folder, name, atoms, options=None):
    """Weights as a run writes them, with statistics that batch normalisation has really gathered."""
    options = OPTIONS[name] if options is None else options
    configuration = Configuration(name, name, steps=7, batch=2, crop=40, network_options=options)
    torch.manual_seed(1)
    network = NETWORKS[name](**options).train()
    with torch.no_grad():
        for _ in range(3):
            network(0.3 + 0.7 * torch.randn(2, 1, 40, 40, 40))
    optimiser = optimiser_of(configuration, network, fused=False)
    progress = Progress(folder, configuration, atoms, network, MovingAverage(network, 0.0), optimiser)
    progress.step = 7
    progress.save()
    return progress.weights_file


@pytest.fixture(scope="module", params=list(OPTIONS))
def exported(request, tmp_path_factory, training_file, tiny_atoms):
    """Name, weights, ONNX file and the difference that was found."""
    folder = tmp_path_factory.mktemp(request.param)
    weights = save_weights(folder, request.param, tiny_atoms)
    out = folder / f"{request.param}.onnx"
    return request.param, weights, out, export(weights, out, simulated_crops(training_file)[:1])


def run(path, density):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"density": density})[0]


def by_torch(weights, density):
    network, _ = load_network(weights)
    with torch.no_grad():
        return torch.softmax(network(torch.from_numpy(density)), 1).numpy()


def test_probabilities_agree_at_sizes_never_traced(exported):
    name, weights, path, found = exported
    assert 0 < found <= BOUND
    rng = np.random.default_rng(5)
    for count in (1, 2):
        density = rng.normal(0.3, 0.7, (count, 1, *EDGES[name])).astype(np.float32)
        ours, theirs = run(path, density), by_torch(weights, density)
        assert ours.shape == theirs.shape
        assert abs(ours - theirs).max() <= BOUND
        np.testing.assert_allclose(ours.sum(1), 1, atol=1e-5)
        assert ours.std() > 1e-3  # the networks do tell voxels apart


def test_probabilities_agree_on_simulated_density(exported, training_file):
    _, weights, path, _ = exported
    crops = simulated_crops(training_file)[1:3]
    assert crops.std() > 0.1
    assert abs(run(path, crops) - by_torch(weights, crops)).max() <= BOUND


def test_the_contract_is_what_inference_reads(exported, training_file):
    name, weights, path, _ = exported
    session = Session(path, "cpu")
    contract = parse_contract(session.metadata, str(path))
    geometry = load_network(weights)[0].geometry
    assert contract.name == name
    assert (contract.finest, contract.coarsest, contract.voxel_size) == (1.0, 1.2, 1.1)
    for field in ("margin", "multiple", "overlap"):
        assert getattr(contract, field) == getattr(geometry, field)
    assert numbers_held(session.metadata) == geometry.held
    assert contract.normaliser == Normaliser()
    about = json.loads(session.metadata)
    assert about["licence"] == "BSD-3-Clause"
    assert about["training"]["digest"] == load_training_atoms(training_file, "val").digest
    assert (about["training"]["entries"], about["training"]["steps"]) == (3, 7)
    assert about["training"]["configuration"]["network"] == name


def test_kernels_are_stored_as_float16(exported):
    _, weights, path, _ = exported
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    kernels = [w for w in model.graph.initializer if len(w.dims) == 5]
    assert len(kernels) >= 11
    assert {w.data_type for w in kernels} == {onnx.TensorProto.FLOAT16}
    network, _ = load_network(weights)
    # half of what float32 takes, but for the graph itself
    assert path.stat().st_size < 2.2 * sum(p.numel() for p in network.parameters()) + 120_000
    # batch normalisations have gone into the convolutions
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}


def test_batch_and_edges_are_free(exported):
    name, _, path, _ = exported
    model = onnx.load(path)
    (density,), (probabilities,) = model.graph.input, model.graph.output
    shape = [d.dim_value for d in density.type.tensor_type.shape.dim]
    assert shape == [0, 1, 0, 0, 0]
    assert [d.dim_value for d in probabilities.type.tensor_type.shape.dim][:2] == [0, 4]
    assert (density.name, probabilities.name) == ("density", "probabilities")
    assert METADATA_KEY in {entry.key for entry in model.metadata_props}
    margin = NETWORKS[name]().geometry.margin
    out = run(path, np.zeros((1, 1, *EDGES[name]), np.float32))
    assert out.shape == (1, 4, *(e - 2 * margin for e in EDGES[name]))


def test_a_network_carries_no_path_of_the_machine_that_made_it(exported):
    network = exported[2].read_bytes()
    assert b".py" not in network
    assert str(Path(module.__file__).parent).encode() not in network


def test_exporting_again_gives_the_same_bytes(tmp_path, tiny_atoms):
    weights = save_weights(tmp_path, "residual", tiny_atoms, SHALLOW)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        export(weights, tmp_path / name / "residual.onnx")
    assert (tmp_path / "a" / "residual.onnx").read_bytes() == (tmp_path / "b" / "residual.onnx").read_bytes()


def test_nothing_is_laid_side_by_side_in_the_residual_network(tmp_path, tiny_atoms):
    """Of convolutions and deconvolutions in a row one is left, which is the same but for rounding."""
    network, _ = load_network(save_weights(tmp_path, "residual", tiny_atoms))
    model = module.Probabilities(network).eval()
    for up in network.up:
        nn.init.normal_(up.bias)
    merged = module.folded(model)
    density = torch.randn(1, 1, 16, 24, 32)
    with torch.no_grad():
        torch.testing.assert_close(merged(density), model(density), atol=1e-5, rtol=0)
    kinds = {node.op_type for node in module.onnx_model(merged, network.geometry).graph.node}
    assert {"Conv", "ConvTranspose", "Add"} <= kinds
    assert not kinds & {"Concat", "BatchNormalization"}


def test_an_export_that_differs_is_refused(tmp_path, tiny_atoms, monkeypatch):
    weights = save_weights(tmp_path, "residual", tiny_atoms, SHALLOW)
    network, _ = load_network(weights)
    traced = module.onnx_model(module.folded(module.Probabilities(network).eval()), network.geometry)
    monkeypatch.setattr(module, "onnx_model", lambda *_: copy.deepcopy(traced))
    bias = next(w for w in traced.graph.initializer if list(w.dims) == [4])
    for value in (0.5, np.nan):
        bias.CopyFrom(onnx.numpy_helper.from_array(np.array([value, 0, 0, 0], np.float32), bias.name))
        with pytest.raises(HaruspexError, match="differs from PyTorch by"):
            export(weights, tmp_path / "bad.onnx", np.zeros((1, 1, 16, 16, 16), np.float32))
        assert [p.name for p in tmp_path.iterdir() if "bad" in p.name] == []


def test_what_goes_wrong_is_told(tmp_path, tiny_atoms):
    with pytest.raises(HaruspexError, match="cannot be read as weights"):
        export(tmp_path / "absent.pt", tmp_path / "a.onnx")
    torch.save({"weights": {}}, tmp_path / "other.pt")
    with pytest.raises(HaruspexError, match="holds no weights of a training run"):
        export(tmp_path / "other.pt", tmp_path / "a.onnx")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(HaruspexError, match="holds something else"):
        export(tmp_path / "list.pt", tmp_path / "a.onnx")
    weights = save_weights(tmp_path, "residual", tiny_atoms, SHALLOW)
    with pytest.raises(HaruspexError, match=r"files that end in \.onnx"):
        export(weights, tmp_path / "residual.pt")
    with pytest.raises(HaruspexError, match="There is no folder"):
        export(weights, tmp_path / "absent" / "residual.onnx")
    run = torch.load(weights)
    run["configuration"]["network"] = "unknown"
    torch.save(run, weights)
    with pytest.raises(HaruspexError, match="holds no network that this version knows"):
        export(weights, tmp_path / "a.onnx")
