"""Merges weights of one training run, or of runs that went on from the same weights, into one network.

The mean of weights along a run lies in a flatter place than its end and carries over better to other data
(Izmailov et al. 2018, Averaging weights leads to wider optima), and so does the mean of runs that set out
from the same weights (Wortsman et al. 2022, Model soups). Here it matters: towards the end of a run the
network fits the simulator, and recall on experimental maps falls.
"""

import math
from pathlib import Path
from typing import Any

import torch

from haruspex_infer.classes import OTHER
from haruspex_infer.errors import HaruspexError
from haruspex_train.progress import read_weights, stored, write_state


def merge(snapshots: list[Path], out: Path, other_odds: float = 1.0) -> None:
    """Write the mean of snapshots, with another balance between *other* and the classes.

    Parameters
    ----------
    snapshots : list of path
        Weights of one run (``weights.pt``, ``weights-STEP.pt``), or of runs one of which started from the
        weights of the other, or both from the same. The mean of unrelated runs is no network at all, and
        nothing in the files tells: evaluate what comes out.
        The last one says what the merged network is: its configuration, training data and step.
    out : path
        Weights to write; they can be exported, evaluated and trained on.
    other_odds : float
        Factor on the odds of *other*: under 1 more is annotated, with more of it wrong.

    Raises
    ------
    HaruspexError
        If the networks differ in shape, or the factor is not positive.
    """
    if not other_odds > 0:
        raise HaruspexError(
            f"The odds of other cannot be multiplied by {other_odds}; give a positive factor."
        )
    runs = [read_weights(path, torch.device("cpu")) for path in snapshots]
    first = runs[0]
    for path, run in zip(snapshots, runs, strict=True):
        if _shapes(run) != _shapes(first):
            raise HaruspexError(
                f"{path} is of another network than {snapshots[0]}: weights of different shapes have no mean."
            )
    merged = {}
    for name, tensor in first["weights"].items():
        if tensor.is_floating_point():
            tensor = torch.stack([run["weights"][name].float() for run in runs]).mean(0)
        merged[name] = tensor
    merged["head.bias"][OTHER.number] += math.log(other_odds)
    # what earlier merges multiplied is in the mean of the biases
    earlier = math.exp(sum(math.log(run.get("other_odds", 1.0)) for run in runs) / len(runs))
    parts = [{"step": run["step"], "digest": run["digest"]} for run in runs]
    about = runs[-1] | {"merged": parts, "other_odds": earlier * other_odds}
    write_state(about | {"weights": stored(merged)}, out)


def _shapes(run: dict[str, Any]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in run["weights"].items()}
