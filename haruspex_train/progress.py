"""What a training run leaves on disk: log, checkpoint and weights; and the average of its weights."""

import copy
import io
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from haruspex_infer.errors import CannotWriteError, HaruspexError
from haruspex_infer.files import written_whole
from haruspex_train.configuration import Configuration
from haruspex_train.library import TrainingAtoms
from haruspex_train.optimiser import Optimiser


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
    losses : list of Tensor
        Losses of the steps since the last row of the log.
    started_from : dict, optional
        What the weights that the run began with say of theirs; nothing for a run that began from nothing.
    """

    def __init__(
        self,
        folder: Path,
        configuration: Configuration,
        library: TrainingAtoms,
        network: nn.Module,
        average: MovingAverage,
        optimiser: Optimiser,
    ) -> None:
        self.checkpoint_file = folder / "checkpoint.pt"
        self.weights_file = folder / "weights.pt"
        self.step, self.seconds = 0, 0.0
        self.losses: list[Tensor] = []
        self.started_from: dict[str, Any] | None = None
        self._configuration, self._library = configuration, library
        self._network, self._average, self._optimiser = network, average, optimiser

    def resume(self, device: torch.device) -> None:
        """Take up the checkpoint of the folder, if there is one.

        Raises
        ------
        HaruspexError
            If it cannot be read, or belongs to another configuration or other training data.
        """
        if not self.checkpoint_file.exists():
            return
        state = _read(self.checkpoint_file, device, "a checkpoint of a training run")
        if not {"losses", "configuration", "digest"} <= state.keys():
            raise HaruspexError(
                f"{self.checkpoint_file} is of another version of this program; give another folder."
            )
        if state["configuration"] != self._configuration.as_dict() or state["digest"] != self._library.digest:
            raise HaruspexError(
                f"{self.checkpoint_file} belongs to another configuration or other training data; "
                "give another folder."
            )
        self._network.load_state_dict(state["network"])
        self._average.network.load_state_dict(state["average"])
        self._average.steps = state["step"]
        self._optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds, self.losses = state["step"], state["seconds"], state["losses"]
        self.started_from = state.get("started_from")

    def lost(self, what: str) -> HaruspexError:
        """Return what to tell of a run that cannot go on."""
        return HaruspexError(
            f"{what} by step {self.step}; start again in another folder with a lower learning rate, with "
            f"--start-from {self.weights_file} if it exists."
        )

    def save(self, snapshot: bool = False) -> None:
        """Write both files, and on request a copy of the weights that later steps leave alone.

        Raises
        ------
        HaruspexError
            If a weight is no number: the files of before are better. Or if they cannot be written.
        """
        about: dict[str, Any] = {
            "configuration": self._configuration.as_dict(),
            "digest": self._library.digest,
            "entries": len(self._library.ids),
            "step": self.step,
            "seconds": self.seconds,
        }
        if self.started_from is not None:
            about["started_from"] = self.started_from
        average = self._average.network.state_dict()
        weights = stored(average)
        if not all_numbers(weights):
            raise self.lost("Weights became no numbers")
        write_state(about | {"weights": weights}, self.weights_file)
        if snapshot:
            write_state(about | {"weights": weights}, self.weights_file.with_stem(f"weights-{self.step}"))
        state = {
            "network": self._network.state_dict(),
            "average": average,
            "optimiser": self._optimiser.state_dict(),
            "losses": self.losses,
        }
        write_state(about | state, self.checkpoint_file)


class Log:
    """A table of training, a row at a time, and the same on the terminal.

    Columns that a row lacks stay empty, so that validation shares the table with training.

    Parameters
    ----------
    path : Path
        The table; what an earlier run wrote there is kept.
    step : int
        Step at which training goes on: later rows of a run that ended after its last checkpoint are dropped,
        since these steps are done again.
    """

    columns = (
        "step", "seconds", "learning_rate", "loss",
        "val_loss", "val_recall", "val_precision", "val_f1_helix", "val_f1_strand", "val_f1_nucleotide",
    )  # fmt: skip

    def __init__(self, path: Path, step: int = 0) -> None:
        self.path = path
        rows = path.read_text().splitlines()[1:] if path.exists() else []
        # a row that was being written when the run was killed lacks columns
        whole = [row for row in rows if row.count("\t") == len(self.columns) - 1]
        kept = [row for row in whole if float(row.split("\t")[0]) <= step]
        with written_whole(path) as table:
            table.write(("\n".join(["\t".join(self.columns), *kept]) + "\n").encode())

    def write(self, row: dict[str, float]) -> None:
        """Append a row.

        Raises
        ------
        CannotWriteError
            If it cannot be written.
        """
        cells = [f"{row[c]:.6g}" if c in row else "" for c in self.columns]
        try:
            with self.path.open("a") as table:
                table.write("\t".join(cells) + "\n")
        except OSError as fault:
            raise CannotWriteError(f"{self.path} cannot be written: {fault.strerror or fault}.") from fault
        print(
            "  ".join(f"{c} {cell}" for c, cell in zip(self.columns, cells, strict=True) if cell), flush=True
        )


def stored(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights as files keep them: kernels as float16, all else as it is.

    Variances that batch normalisation keeps can exceed what float16 holds, and take next to no room.
    """
    return {name: weight.half() if weight.ndim > 1 else weight for name, weight in weights.items()}


def all_numbers(weights: dict[str, Tensor]) -> bool:
    """Whether no weight is infinite or no number."""
    return all(bool(weight.isfinite().all()) for weight in weights.values())


def read_weights(path: Path, device: torch.device) -> dict[str, Any]:
    """Read ``weights.pt`` of a training run.

    Returns
    -------
    dict
        The state of the network under ``weights``, and what the file says of its run: configuration, digest,
        entries, step, seconds.

    Raises
    ------
    HaruspexError
        If the file is not one that training wrote, or a weight is no number.
    """
    run = _read(path, device, "weights of a training run")
    if not {"weights", "configuration", "digest", "entries", "step", "seconds"} <= run.keys():
        raise HaruspexError(f"{path} holds no weights of a training run; give its weights.pt.")
    if not all_numbers(run["weights"]):
        raise HaruspexError(f"{path} holds weights that are no numbers; give others of the same run.")
    return run


def _read(path: Path, device: torch.device, what: str) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except OSError as fault:
        raise HaruspexError(f"{path} cannot be read as {what}: {fault.strerror or fault}.") from fault
    except Exception as fault:  # bytes of another kind lead torch's reader to any exception whatever
        raise HaruspexError(f"{path} cannot be read as {what} ({type(fault).__name__}).") from fault
    if not isinstance(state, dict):
        raise HaruspexError(f"{path} cannot be read as {what}: it holds something else.")
    return state


def write_state(state: dict[str, Any], path: Path) -> None:
    """Write what PyTorch can keep, whole or not at all.

    Raises
    ------
    HaruspexError
        If the file cannot be written.
    """
    # to memory first: PyTorch tells of a full disk in many ways, a file in one
    packed = io.BytesIO()
    torch.save(state, packed)
    with written_whole(path) as stream:
        stream.write(packed.getbuffer())
        stream.flush()
        os.fsync(stream.fileno())  # hours of a GPU are not lost with the power
