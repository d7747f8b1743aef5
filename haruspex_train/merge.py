"""Merges snapshots of one training run into the network that ships.

The mean of weights along a run lies in a flatter place than its end and carries over better to other data
(Izmailov et al. 2018, Averaging weights leads to wider optima). Here it matters: towards the end of a run the
network fits the simulator, and recall on experimental maps falls.
"""

import math
from pathlib import Path

import torch

from haruspex_infer.classes import OTHER
from haruspex_infer.errors import HaruspexError
from haruspex_train.progress import read_weights, write_state


def merge(snapshots: list[Path], out: Path, other_odds: float = 1.0) -> None:
    """Write the mean of snapshots, with another balance between *other* and the classes.

    Parameters
    ----------
    snapshots : list of path
        Weights of one run (``weights.pt``, ``weights-STEP.pt``).
    out : path
        Weights to write; they can be exported, evaluated and trained on.
    other_odds : float
        Factor on the odds of *other*: under 1 more is annotated, with more of it wrong.

    Raises
    ------
    HaruspexError
        If the snapshots are not of one run, or the factor is not positive.
    """
    if not other_odds > 0:
        raise HaruspexError(
            f"The odds of other cannot be multiplied by {other_odds}; give a positive factor."
        )
    runs = [read_weights(path, torch.device("cpu")) for path in snapshots]
    first = runs[0]
    for path, run in zip(snapshots, runs, strict=True):
        if (run["configuration"], run["digest"]) != (first["configuration"], first["digest"]):
            raise HaruspexError(
                f"{path} is of another run than {snapshots[0]}: weights of different runs have no mean."
            )
    merged = {}
    for name, tensor in first["weights"].items():
        if tensor.is_floating_point():
            tensor = torch.stack([run["weights"][name].float() for run in runs]).mean(0)
        merged[name] = tensor
    merged["head.bias"][OTHER.number] += math.log(other_odds)
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in merged.items()}
    latest = max(runs, key=lambda run: run["step"])
    about = {"merged_steps": sorted(run["step"] for run in runs), "other_odds": other_odds}
    write_state(latest | about | {"weights": half}, out)
