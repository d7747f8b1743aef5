"""Training from a file to weights, on the CPU, with a network of two levels."""

import csv
import itertools
import json
from dataclasses import replace

import pytest
import torch

from haruspex_infer.errors import HaruspexError
from haruspex_infer.network import METADATA_KEY
from haruspex_infer.onnxfile import read_metadata
from haruspex_train import validation
from haruspex_train.configuration import Configuration
from haruspex_train.export import export, load_network
from haruspex_train.networks import NETWORKS
from haruspex_train.optimiser import optimiser_of
from haruspex_train.progress import Log, MovingAverage, Progress, read_weights
from haruspex_train.train import Schedule, learning_rate, loss_of, train, training_device

TINY = Configuration(
    name="tiny",
    network="residual",
    network_options={"channels": (6, 8), "blocks": (1, 1)},
    steps=12,
    batch=4,
    crop=16,
    segment=20,
    pool=4,
    fresh=0,
    learning_rate=0.01,
    schedule="constant",
    ema=0.5,
)
OFTEN = Schedule(log_every=4, validate_every=8)


pytestmark = pytest.mark.usefixtures("few_held_out_crops")


def stop_at(step, monkeypatch):
    """Interrupt training as soon as it has logged a step; returns what logged before."""

    def stop(self, row):
        write(self, row)
        if row["step"] == step:
            raise KeyboardInterrupt

    write = Log.write
    monkeypatch.setattr(Log, "write", stop)
    return write


def rows(folder):
    with (folder / "log.tsv").open(newline="") as table:
        return list(csv.DictReader(table, delimiter="\t"))


def test_files_of_a_run(training_file, tmp_path):
    weights = train(TINY, training_file, tmp_path / "run", "cpu", schedule=OFTEN)
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["checkpoint.pt", "log.tsv", "weights.pt"]
    log = rows(tmp_path / "run")
    assert tuple(log[0]) == Log.columns
    assert [row["step"] for row in log] == ["4", "8", "12"]
    # figures of validation every eight steps and at the end
    assert [bool(row["val_recall"]) for row in log] == [False, True, True]
    for row in log[1:]:
        assert all(0 <= float(row[c]) <= 1 for c in Log.columns if c.startswith("val_") and c != "val_loss")
    network, run = load_network(weights)
    assert (run["step"], run["entries"]) == (12, 3)
    assert run["digest"].startswith("sha256:")
    assert run["configuration"] == TINY.as_dict()
    stored = read_weights(weights, torch.device("cpu"))["weights"].values()
    assert {t.dtype for t in stored if t.ndim > 1} == {torch.float16}
    assert {t.dtype for t in stored if t.ndim <= 1} == {torch.float32, torch.int64}
    with torch.no_grad():
        assert torch.isfinite(network(torch.rand(1, 1, 16, 16, 16))).all()


def test_a_small_pool_can_be_learned_by_heart(training_file, tmp_path):
    """Loss falls far when the same few crops come again and again."""
    by_heart = replace(TINY, steps=90, crop=20, learning_rate=0.02)
    train(by_heart, training_file, tmp_path, "cpu", schedule=Schedule(log_every=10, validate_every=1000))
    losses = [float(row["loss"]) for row in rows(tmp_path)]
    assert losses[-1] < 0.5 * losses[0]
    assert sum(losses[-3:]) < sum(losses[3:6])


def test_gradients_are_clipped_and_weights_decay(training_file, tmp_path):
    short = replace(TINY, steps=3, epsilon=1.0, learning_rate=0.1)
    seldom = Schedule(validate_every=1000)

    def moved(name, **settings):
        train(replace(short, **settings), training_file, tmp_path / name, "cpu", schedule=seldom)
        state = torch.load(tmp_path / name / "checkpoint.pt")["network"]
        return torch.cat([state[key].flatten() for key in sorted(state) if key.endswith("weight")])

    start = moved("start", learning_rate=0.0)
    freely = (moved("freely") - start).norm()
    # with so large an ε the step follows the gradient, which here may hardly have a length
    assert (moved("clipped", clip=1e-6) - start).norm() < 1e-3 * freely
    decayed = moved("decayed", clip=1e-6, weight_decay=0.5)
    torch.testing.assert_close(decayed, start * (1 - 0.1 * 0.5) ** 3, rtol=1e-3, atol=1e-5)


def test_a_run_goes_on_where_it_stopped(training_file, tmp_path, monkeypatch):
    schedule = Schedule(log_every=2, validate_every=100, checkpoint_minutes=0)
    write = stop_at(8, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(TINY, training_file, tmp_path, "cpu", schedule=schedule)
    stopped = torch.load(tmp_path / "checkpoint.pt")
    assert stopped["step"] == 7
    assert [row["step"] for row in rows(tmp_path)] == ["2", "4", "6", "8"]

    monkeypatch.setattr(Log, "write", write)
    ages = []

    def update(self, network):
        ages.append(self.steps)
        original(self, network)

    original = MovingAverage.update
    monkeypatch.setattr(MovingAverage, "update", update)
    train(TINY, training_file, tmp_path, "cpu", schedule=schedule)
    # five steps were left, and the average knew how old it was; step 8 was done again and stands there once
    assert ages == [7, 8, 9, 10, 11]
    assert [row["step"] for row in rows(tmp_path)] == ["2", "4", "6", "8", "10", "12"]
    seconds = [float(row["seconds"]) for row in rows(tmp_path)]
    assert seconds == sorted(seconds)
    done = torch.load(tmp_path / "checkpoint.pt")
    assert done["step"] == 12
    moments = next(iter(done["optimiser"]["0"]["state"].values()))
    assert moments["step"] == 12


def test_a_finished_run_is_left_alone(training_file, tmp_path):
    train(TINY, training_file, tmp_path, "cpu", schedule=OFTEN)
    before = (tmp_path / "weights.pt").read_bytes(), (tmp_path / "log.tsv").read_bytes()
    train(TINY, training_file, tmp_path, "cpu", schedule=OFTEN)
    assert before == ((tmp_path / "weights.pt").read_bytes(), (tmp_path / "log.tsv").read_bytes())


def test_a_run_of_another_configuration_is_refused(training_file, tmp_path):
    train(TINY, training_file, tmp_path, "cpu", schedule=OFTEN)
    with pytest.raises(HaruspexError, match="belongs to another configuration or other training data"):
        train(replace(TINY, batch=3), training_file, tmp_path, "cpu")
    (tmp_path / "checkpoint.pt").write_bytes(b"half of it")
    with pytest.raises(HaruspexError, match="cannot be read as a checkpoint"):
        train(TINY, training_file, tmp_path, "cpu")


def test_weights_to_start_from(training_file, tmp_path):
    weights = train(TINY, training_file, tmp_path / "a", "cpu", schedule=OFTEN)
    still = replace(TINY, steps=1, learning_rate=0.0)
    train(still, training_file, tmp_path / "b", "cpu", weights, OFTEN)
    before, after = (
        read_weights(tmp_path / run / "weights.pt", torch.device("cpu"))["weights"] for run in "ab"
    )
    assert all(torch.equal(before[k], after[k]) for k in before if k.endswith("weight") and "body" in k)
    # an end of a run, gone on without naming its start again, still tells where it came from
    train(still, training_file, tmp_path / "b", "cpu", schedule=OFTEN)
    export(tmp_path / "b" / "weights.pt", tmp_path / "b.onnx")
    about = json.loads(read_metadata((tmp_path / "b.onnx").read_bytes(), METADATA_KEY))["training"]
    assert (about["steps"], about["started_from"]["steps"]) == (1, TINY.steps)
    assert about["started_from"]["configuration"]["learning_rate"] == TINY.learning_rate
    assert "started_from" not in about["started_from"]
    wider = replace(TINY, network_options={"channels": (8, 8), "blocks": (1, 1)})
    with pytest.raises(HaruspexError, match="comes from a network of another shape"):
        train(wider, training_file, tmp_path / "c", "cpu", weights)
    for absent in (tmp_path / "absent.pt", training_file):
        with pytest.raises(HaruspexError, match="cannot be read as weights"):
            train(TINY, training_file, tmp_path / "d", "cpu", absent)


def test_the_log_drops_rows_that_will_be_written_again(tmp_path):
    path = tmp_path / "log.tsv"
    log = Log(path)
    for step in (10, 20, 30):
        log.write({"step": step, "loss": 1 / step})
    with path.open("a") as table:
        table.write("40\t1.5")  # killed while writing
    Log(path, 20).write({"step": 30, "loss": 0.5})
    lines = path.read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["step", "10", "20", "30"]
    assert lines[-1].split("\t")[3] == "0.5"
    assert all(line.count("\t") == len(Log.columns) - 1 for line in lines)


def test_devices_are_checked(monkeypatch):
    assert training_device("cpu").type == "cpu"
    for name in ("tpu", "cuda:x", "cuda0", ""):
        with pytest.raises(HaruspexError, match="There is no device"):
            training_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(HaruspexError, match="finds no working GPU"):
        training_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert training_device("cuda:1").index == 1
    assert training_device("cuda").index == 0  # without a number it cannot be made the current one
    with pytest.raises(HaruspexError, match="no GPU 2: the last one here is cuda:1"):
        training_device("cuda:2")


def test_a_loss_that_is_no_number_stops_the_run(training_file, tmp_path):
    wild = replace(TINY, learning_rate=1e30, clip=0.0)
    with pytest.raises(HaruspexError, match="The loss became"):
        train(wild, training_file, tmp_path, "cpu", schedule=OFTEN)
    assert not (tmp_path / "weights.pt").exists()


def test_weights_that_are_no_numbers_do_not_replace_those_that_are(training_file, tiny_atoms, tmp_path):
    kept = train(TINY, training_file, tmp_path, "cpu", schedule=OFTEN).read_bytes()
    checkpoint = (tmp_path / "checkpoint.pt").read_bytes()
    network = NETWORKS[TINY.network](**TINY.network_options)
    network.channels_last()
    optimiser = optimiser_of(TINY, network, fused=False)
    progress = Progress(tmp_path, TINY, tiny_atoms, network, MovingAverage(network, 0.0), optimiser)
    with torch.no_grad():
        network.head.weight[0] = torch.nan
    with pytest.raises(HaruspexError, match="Weights became no numbers by step 0"):
        progress.save()
    assert (tmp_path / "weights.pt").read_bytes() == kept
    assert (tmp_path / "checkpoint.pt").read_bytes() == checkpoint


def test_learning_rates():
    cosine = replace(TINY, steps=100, warm_up=10, learning_rate=1.0, schedule="cosine")
    rates = [learning_rate(cosine, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9]
    assert rates[50] == pytest.approx(0.5)
    assert rates[-1] < 1e-3
    assert all(a > b for a, b in itertools.pairwise(rates[9:]))
    constant = replace(cosine, schedule="constant")
    assert [learning_rate(constant, s) for s in (0, 4, 9, 99)] == pytest.approx([0.1, 0.5, 1, 1])


def test_the_moving_average():
    network = torch.nn.BatchNorm1d(1)
    average = MovingAverage(network, 0.9)
    expected = 1.0
    for step in range(1, 40):
        with torch.no_grad():
            network.weight.fill_(float(step))
        average.update(network)
        keep = min(0.9, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * step
    assert average.network.weight.item() == pytest.approx(expected, rel=1e-5)
    assert not average.network.weight.requires_grad
    assert MovingAverage(network, 0.0).network is network


def test_the_loss_of_a_network_that_sees_the_centre():
    """Labels are cut to the output; what lies outside cannot matter."""
    labels = torch.randint(0, 4, (2, 12, 12, 12), dtype=torch.uint8)
    weights = torch.ones(5)

    def network(density):
        return torch.randn(2, 4, 8, 8, 8, generator=torch.Generator().manual_seed(0)) + density.sum() * 0

    density = torch.zeros(2, 1, 12, 12, 12)
    changed = labels.clone()
    changed[:, :2], changed[..., -2:] = 3, 3
    for loss in ("cross_entropy", "focal_and_dice"):
        configuration = replace(TINY, loss=loss)
        first = loss_of(configuration, network, density, labels, weights)
        assert loss_of(configuration, network, density, changed, weights) == first
        changed_inside = labels.clone()
        changed_inside[:, 5, 5, 5] = (labels[:, 5, 5, 5] + 1) % 4
        assert loss_of(configuration, network, density, changed_inside, weights) != first


class Constant(torch.nn.Module):
    """Calls everything one class."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def forward(self, density):
        logits = torch.zeros(len(density), 4, *density.shape[2:])
        logits[:, self.number] = 5
        return logits


def test_held_out_figures_by_counting(training_file):
    from haruspex_train.labels import COIL, plain
    from haruspex_train.library import load_training_atoms

    atoms = load_training_atoms(training_file, "val")
    held_out = validation.HeldOut(atoms, TINY, torch.device("cpu"))
    labels = torch.cat([plain(labels) for _, labels in held_out._batches])
    assert len(labels) == 8
    counts = {number: int((labels == number).sum()) for number in (1, 2, 3, COIL)}
    found = held_out.figures(Constant(1))
    near = sum(counts.values())
    assert found["val_recall"] == 1  # nothing is called other
    assert found["val_precision"] == pytest.approx(counts[1] / near)
    assert found["val_f1_helix"] == pytest.approx(2 * counts[1] / (near + counts[1]))
    assert found["val_f1_strand"] == 0
    assert held_out.figures(Constant(0))["val_recall"] == 0
    again = validation.HeldOut(atoms, replace(TINY, seed=5), torch.device("cpu")).figures(Constant(1))
    assert again == found
