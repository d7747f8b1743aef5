import pytest
import torch

from haruspex_infer.errors import HaruspexError
from haruspex_train.merge import merge

ABOUT = {"configuration": {"name": "toy"}, "digest": "sha256:1", "entries": 2, "seconds": 1.0}


def snapshot(folder, step, **changes):
    state = {
        "head.bias": torch.tensor([0.5, -1.0, 0.0, 2.0]) * step,
        "norm.num_batches_tracked": torch.tensor(step),
    }
    path = folder / f"weights-{step}.pt"
    torch.save(ABOUT | {"step": step, "weights": state} | changes, path)
    return path


def test_merged_weights_are_the_mean_with_the_odds_of_other(tmp_path):
    paths = [snapshot(tmp_path, 1), snapshot(tmp_path, 3)]
    merge(paths, tmp_path / "merged.pt", other_odds=0.5)
    merged = torch.load(tmp_path / "merged.pt")
    expected = torch.tensor([1.0, -2.0, 0.0, 4.0])
    expected[0] += torch.log(torch.tensor(0.5))
    torch.testing.assert_close(merged["weights"]["head.bias"].float(), expected, atol=2e-3, rtol=0)
    assert merged["merged_steps"] == [1, 3]
    assert merged["other_odds"] == 0.5
    assert merged["step"] == 3
    assert merged["weights"]["head.bias"].dtype == torch.float16


def test_the_odds_multiply_what_softmax_gives(tmp_path):
    merge([snapshot(tmp_path, 1)], tmp_path / "merged.pt", other_odds=0.25)
    before = torch.softmax(torch.tensor([0.5, -1.0, 0.0, 2.0]), 0)
    after = torch.softmax(torch.load(tmp_path / "merged.pt")["weights"]["head.bias"].float(), 0)
    odds = (after[0] / after[1:]) / (before[0] / before[1:])
    torch.testing.assert_close(odds, torch.full((3,), 0.25), atol=1e-3, rtol=0)


def test_snapshots_of_different_runs_are_refused(tmp_path):
    paths = [snapshot(tmp_path, 1), snapshot(tmp_path, 2, digest="sha256:2")]
    with pytest.raises(HaruspexError, match="another run"):
        merge(paths, tmp_path / "merged.pt")
    assert not (tmp_path / "merged.pt").exists()


@pytest.mark.parametrize("odds", [0.0, -1.0, float("nan")])
def test_odds_must_be_positive(tmp_path, odds):
    with pytest.raises(HaruspexError, match="positive"):
        merge([snapshot(tmp_path, 1)], tmp_path / "merged.pt", other_odds=odds)
