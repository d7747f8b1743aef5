"""Named configurations and TOML files."""

from dataclasses import replace

import pytest

from haruspex_infer.errors import HaruspexError
from haruspex_train.configuration import Configuration, load_configuration, shipped_names

WHOLE = """
name = "mine"
network = "residual"
steps = 10
batch = 2
crop = 16
[network_options]
channels = [4, 8]
blocks = [1, 1]
[simulation]
p_zone = 0.5
resolution_bins = [[1.0, 2.0, 3.0]]
b_total = [[0.0, 10.0]]
"""


def write(folder, text):
    path = folder / "mine.toml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", shipped_names())
def test_those_that_ship_can_be_loaded(name):
    configuration = load_configuration(name)
    assert configuration.name == name
    assert configuration.as_dict()["simulation"]["voxel_size"] == (1.0, 1.2)


def test_the_papers_settings():
    """Methods, Network Training."""
    paper = load_configuration("mostosi2020")
    assert (paper.network, paper.steps, paper.batch, paper.crop) == ("mostosi2020", 40000, 100, 40)
    adam = (paper.learning_rate, paper.beta1, paper.beta2, paper.epsilon, paper.weight_decay)
    assert adam == (0.001, 0.9, 0.999, 0.1, 0.0)
    assert paper.schedule == "constant"
    assert set(paper.weights) == {16.0}
    assert paper.true_negative * 16 == 1
    assert {"mostosi2020", "residual"} <= set(shipped_names())


def test_a_file_with_nested_settings(tmp_path):
    made = load_configuration(write(tmp_path, WHOLE))
    assert made.network_options == {"channels": (4, 8), "blocks": (1, 1)}
    assert made.simulation.p_zone == 0.5
    assert made.simulation.resolution_bins == ((1.0, 2.0, 3.0),)
    # what the file leaves out
    assert made.learning_rate == Configuration("", "", 1, 1, 1).learning_rate
    hash(made.simulation)


def test_a_base_gives_what_the_file_leaves_out(tmp_path):
    made = load_configuration(write(tmp_path, 'base = "residual"\nsteps = 7\n[simulation]\np_zone = 0.1'))
    residual = load_configuration("residual")
    assert made == replace(residual, steps=7, simulation=replace(residual.simulation, p_zone=0.1))
    assert residual.simulation.p_mirrored == 0.1  # of a base of its own


def test_a_base_may_be_a_file_beside(tmp_path, monkeypatch):
    write(tmp_path, WHOLE)
    (tmp_path / "longer.toml").write_text('base = "mine.toml"\nsteps = 20\n')
    monkeypatch.chdir("/")
    made = load_configuration(str(tmp_path / "longer.toml"))
    assert made == replace(load_configuration(str(tmp_path / "mine.toml")), steps=20)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("'mine.toml'", r"mine.toml is its own base"),
        ("'other.toml'", r"mine.toml is its own base"),
        ("'resnet'", "There is no configuration resnet, the base of mine.toml: give one of mostosi2020"),
        ("'faulty.toml'", "faulty.toml holds unknown settings: stepps"),
        ("3", "mine.toml gives base as 3; it must be str"),
    ],
)
def test_bases_that_are_none(tmp_path, base, message):
    (tmp_path / "other.toml").write_text("base = 'mine.toml'")
    (tmp_path / "faulty.toml").write_text("stepps = 3")
    with pytest.raises(HaruspexError, match=message):
        load_configuration(write(tmp_path, f"base = {base}\n{WHOLE}"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (WHOLE + "p_zones = 1", r"\[simulation\] holds unknown settings: p_zones"),
        (WHOLE.replace("steps", "stepps"), "holds unknown settings: stepps"),
        (WHOLE.replace("steps = 10", ""), "lacks the settings steps"),
        (WHOLE.replace('name = "mine"', "").replace("crop = 16", ""), "lacks the settings name, crop"),
        (WHOLE + "p_zone", "is not valid TOML"),
        (WHOLE.replace('"residual"', '"resnet"'), "network is 'resnet', and the networks are mostosi2020"),
        (WHOLE.replace("crop = 16", "crop = 96"), r"crop \(96\) exceeds segment \(64\)"),
        (WHOLE.replace("batch = 2", "batch = 5000"), r"batch \(5000\) exceeds pool \(1536\)"),
        (WHOLE.replace("crop", "weights = [1, 2]\ncrop"), "weights are 2, not 5"),
        (WHOLE.replace("crop", 'loss = "dice"\ncrop'), "loss is 'dice', and the losses are"),
        (WHOLE.replace("crop", 'optimiser = "sgd"\ncrop'), "optimiser is 'sgd', and the optimisers are"),
        (WHOLE.replace("crop", 'schedule = "step"\ncrop'), "schedule is 'step', and the schedules are"),
        (WHOLE.replace("steps = 10", 'steps = "10"'), "gives steps as '10'; it must be int"),
        (WHOLE.replace("steps = 10", "steps = 10.5"), "gives steps as 10.5; it must be int"),
        (WHOLE.replace("crop", "clip = true\ncrop"), "gives clip as True; it must be float"),
        (WHOLE + "noise = 0.5", r"gives noise as 0.5; it must be list\[float, float\]"),
        (WHOLE + "noise = [0.5]", r"gives noise as \(0.5,\); it must be list\[float, float\]"),
        ("simulation = 3\n" + WHOLE.split("[sim")[0], "is no table of settings"),
        (WHOLE.replace("steps = 10", "steps = 0"), "steps is 0, not greater than 0"),
        (WHOLE.replace("crop", "fresh = -1\ncrop"), "fresh is -1, not at least 0"),
        (WHOLE.replace("crop", "ema = 1.0\ncrop"), "ema is 1, not at least 0 and under 1"),
        (WHOLE.replace("crop", "segment_share = 1.5\ncrop"), "segment_share is 1.5, not at least 0"),
        (WHOLE.replace("crop", "learning_rate = nan\ncrop"), "gives learning_rate as nan"),
        (WHOLE.replace("crop = 16", "crop = 15"), "crop is 15, and the network takes multiples of 2 greater"),
        (WHOLE.replace("channels", "chanels"), "network_options do not suit the network .*chanels"),
        (WHOLE.replace("[1, 1]", "[1]"), "network_options do not suit the network"),
        (WHOLE.replace("p_zone = 0.5", "p_zone = 5"), "the probability p_zone is 5"),
        (WHOLE + "p_soft_mask = 0.4", "p_zone, p_soft_mask and p_flatten are 1.1 together"),
        (WHOLE.replace("b_total = [[0.0, 10.0]]", ""), "b_total has 3 pairs for 1 resolution_bins"),
    ],
)
def test_what_goes_wrong_is_told(tmp_path, text, message):
    with pytest.raises(HaruspexError, match=message) as caught:
        load_configuration(write(tmp_path, text))
    told = str(caught.value)
    assert "\n" not in told
    assert "mine.toml" in told


def test_absent_configurations(tmp_path):
    with pytest.raises(HaruspexError, match="no configuration nothing: give one of mostosi2020, residual"):
        load_configuration("nothing")
    with pytest.raises(HaruspexError, match="There is no configuration"):
        load_configuration(str(tmp_path / "absent.toml"))
