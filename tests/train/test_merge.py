"""Snapshots of a run, and the mean of them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_train import TINY

from haruspex_infer.errors import HaruspexError
from haruspex_train.export import load_network
from haruspex_train.merge import merge
from haruspex_train.progress import read_weights, write_state
from haruspex_train.train import Schedule, train


@pytest.fixture(scope="module")
def run(training_file, tmp_path_factory, few_held_out_crops):
    """Folder of a run with three snapshots, the last of which is its end."""
    folder = tmp_path_factory.mktemp("run")
    schedule = Schedule(log_every=4, validate_every=100, snapshot_every=4)
    train(replace(TINY, batch=2), training_file, folder, "cpu", schedule=schedule)
    return folder


def tensors(path):
    return read_weights(path, torch.device("cpu"))["weights"]


def test_snapshots_are_kept_beside_the_weights(run):
    names = sorted(path.name for path in run.glob("weights*.pt"))
    assert {"weights.pt", "weights-4.pt", "weights-8.pt"} <= set(names)
    steps = {name: read_weights(run / name, torch.device("cpu"))["step"] for name in names}
    assert (steps["weights-4.pt"], steps["weights-8.pt"], steps["weights.pt"]) == (4, 8, 12)


def test_the_mean_of_snapshots(run, tmp_path):
    parts = [run / "weights-4.pt", run / "weights-8.pt"]
    merge(parts, tmp_path / "mean.pt")
    mean = tensors(tmp_path / "mean.pt")
    for name, (first, second) in {k: (tensors(parts[0])[k], tensors(parts[1])[k]) for k in mean}.items():
        if first.is_floating_point():
            expected = (first.float() + second.float()) / 2
            torch.testing.assert_close(mean[name].float(), expected, atol=1e-3, rtol=1e-3)
    network, about = load_network(tmp_path / "mean.pt")
    assert [part["step"] for part in about["merged"]] == [4, 8]
    assert about["step"] == 8
    with torch.no_grad():
        assert torch.isfinite(network(torch.rand(1, 1, 16, 16, 16))).all()


def test_the_odds_of_other_change_by_the_factor(run, tmp_path):
    density = torch.rand(1, 1, 16, 16, 16)
    odds = []
    for factor in (1.0, 0.5):
        merge([run / "weights.pt"], tmp_path / "one.pt", factor)
        with torch.no_grad():
            p = torch.softmax(load_network(tmp_path / "one.pt")[0](density), 1)
        odds.append((p[:, 0] / p[:, 1:].sum(1)).log())
    np.testing.assert_allclose((odds[1] - odds[0]).numpy(), math.log(0.5), atol=2e-3)


def test_factors_on_the_odds_of_other_add_up(run, tmp_path):
    """The mean of weights of which one was shifted is shifted by half, on the scale of logarithms."""
    merge([run / "weights.pt"], tmp_path / "one.pt", 0.64)
    merge([tmp_path / "one.pt", run / "weights.pt"], tmp_path / "two.pt", 0.5)
    assert read_weights(tmp_path / "two.pt", torch.device("cpu"))["other_odds"] == pytest.approx(0.8 * 0.5)
    plain, shifted = tensors(run / "weights.pt")["head.bias"], tensors(tmp_path / "two.pt")["head.bias"]
    assert (shifted - plain)[0].item() == pytest.approx(math.log(0.8 * 0.5), abs=1e-3)


def test_what_has_no_mean_is_told(run, training_file, tmp_path):
    wider = replace(TINY, batch=2, steps=1, network_options={"channels": [8, 8], "blocks": [1, 1]})
    other = train(wider, training_file, tmp_path / "other", "cpu", schedule=Schedule(validate_every=100))
    with pytest.raises(HaruspexError, match="is of another network than"):
        merge([run / "weights.pt", other], tmp_path / "mean.pt")
    for odds in (0.0, -1.0, float("nan")):
        with pytest.raises(HaruspexError, match="give a positive factor"):
            merge([run / "weights.pt"], tmp_path / "mean.pt", odds)
    assert not (tmp_path / "mean.pt").exists()


def test_variances_beyond_float16_are_kept(run, tmp_path):
    """Without bound they would silence a channel: 65,504 is the largest float16."""
    state = read_weights(run / "weights.pt", torch.device("cpu"))
    name = next(name for name in state["weights"] if name.endswith("running_var"))
    state["weights"][name] = torch.full_like(state["weights"][name], 1e5)
    write_state(state, tmp_path / "wide.pt")
    merge([tmp_path / "wide.pt", tmp_path / "wide.pt"], tmp_path / "mean.pt")
    assert (tensors(tmp_path / "mean.pt")[name] == 1e5).all()


def test_weights_that_are_no_numbers_are_refused(run, tmp_path):
    state = read_weights(run / "weights.pt", torch.device("cpu"))
    state["weights"]["head.bias"][1] = torch.inf
    write_state(state, tmp_path / "lost.pt")
    with pytest.raises(HaruspexError, match=r"lost.pt holds weights that are no numbers"):
        merge([tmp_path / "lost.pt"], tmp_path / "mean.pt")
