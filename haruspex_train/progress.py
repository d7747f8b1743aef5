"""What a training run leaves on disk: log, checkpoint and weights; and the average of its weights."""

import copy
from pathlib import Path

import torch
from torch import nn

from haruspex_infer.errors import HaruspexError
from haruspex_train.configuration import Configuration
from haruspex_train.library import TrainingAtoms


class MovingAverage:
    """Exponential moving average of a network's weights and statistics.

    Parameters
    ----------
    network : nn.Module
        The network that trains.
    decay : float
        Share kept at each step; at 0 the average is the network itself.

    Attributes
    ----------
    network : nn.Module
        The network that validates and ships.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.network = copy.deepcopy(network).requires_grad_(False) if decay else network

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move towards the weights of `network`; a young average moves faster."""
        if not self.decay:
            return
        self.steps += 1
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        ours = [t for t in self.network.state_dict().values() if t.is_floating_point()]
        theirs = [t for t in network.state_dict().values() if t.is_floating_point()]
        torch._foreach_lerp_(ours, theirs, 1 - keep)


class Progress:
    """Where a run stands, kept in ``checkpoint.pt`` and ``weights.pt`` of its folder.

    Attributes
    ----------
    step : int
        Steps done.
    seconds : float
        Time spent on them.
    """

    def __init__(
        self,
        folder: Path,
        configuration: Configuration,
        library: TrainingAtoms,
        network: nn.Module,
        average: MovingAverage,
        optimiser: torch.optim.Optimizer,
    ) -> None:
        self.checkpoint_file = folder / "checkpoint.pt"
        self.weights_file = folder / "weights.pt"
        self.step, self.seconds = 0, 0.0
        self._configuration, self._library = configuration, library
        self._network, self._average, self._optimiser = network, average, optimiser

    def resume(self, device: torch.device) -> None:
        """Take up the checkpoint of the folder, if there is one.

        Raises
        ------
        HaruspexError
            If it belongs to another configuration or other training data.
        """
        if not self.checkpoint_file.exists():
            return
        state = torch.load(self.checkpoint_file, map_location=device)
        if state["configuration"] != self._configuration.as_dict() or state["digest"] != self._library.digest:
            raise HaruspexError(
                f"{self.checkpoint_file} belongs to another configuration or other training data; "
                "give another folder."
            )
        self._network.load_state_dict(state["network"])
        self._average.network.load_state_dict(state["average"])
        self._average.steps = state["step"]
        self._optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]

    def save(self) -> None:
        """Write both files, each under a temporary name first."""
        about = {
            "configuration": self._configuration.as_dict(),
            "digest": self._library.digest,
            "entries": len(self._library.ids),
            "step": self.step,
            "seconds": self.seconds,
        }
        average = self._average.network.state_dict()
        half = {k: v.half() if v.is_floating_point() else v for k, v in average.items()}
        _write(about | {"weights": half}, self.weights_file)
        state = {
            "network": self._network.state_dict(),
            "average": average,
            "optimiser": self._optimiser.state_dict(),
        }
        _write(about | state, self.checkpoint_file)


class Log:
    """A table of training, a row at a time, and the same on the terminal.

    Columns that a row lacks stay empty, so that validation shares the table with training.
    """

    columns = (
        "step", "seconds", "learning_rate", "loss",
        "val_loss", "val_recall", "val_precision", "val_f1_helix", "val_f1_strand", "val_f1_nucleotide",
    )  # fmt: skip

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            path.write_text("\t".join(self.columns) + "\n")

    def write(self, row: dict[str, float]) -> None:
        """Append a row."""
        cells = [f"{row[c]:.6g}" if c in row else "" for c in self.columns]
        with self.path.open("a") as table:
            table.write("\t".join(cells) + "\n")
        print(
            "  ".join(f"{c} {cell}" for c, cell in zip(self.columns, cells, strict=True) if cell), flush=True
        )


def _write(state: dict[str, object], path: Path) -> None:
    temporary = path.with_suffix(".partial")
    torch.save(state, temporary)
    temporary.replace(path)
