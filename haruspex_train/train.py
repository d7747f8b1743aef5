"""Training of a network on simulated segments: one loop, in one process or several."""

import math
import re
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from haruspex_infer.devicefaults import first_line, says_gpu_lost, says_no_memory
from haruspex_infer.errors import DeviceLostError, HaruspexError
from haruspex_infer.files import prepare_folder, sole_use
from haruspex_train.configuration import Configuration
from haruspex_train.library import TrainingAtoms, load_training_atoms
from haruspex_train.losses import counted, cross_entropy, focal_and_dice
from haruspex_train.networks import NETWORKS
from haruspex_train.optimiser import optimiser_of
from haruspex_train.parallel import ALONE, Processes, device_name, processes
from haruspex_train.pool import SegmentPool
from haruspex_train.progress import Log, MovingAverage, Progress, read_weights
from haruspex_train.simulate import Simulator
from haruspex_train.validation import HeldOut

if TYPE_CHECKING:
    from haruspex_train.experimental import ExperimentalSegments, MixedPool

SIMULATED_AT_ONCE = 64


@dataclass(frozen=True)
class Schedule:
    """How often things happen besides training steps."""

    log_every: int = 100
    validate_every: int = 1000
    checkpoint_minutes: float = 2.0
    snapshot_every: int = 4000


def train(
    configuration: Configuration,
    atoms: Path,
    out: Path,
    device: str = "cuda",
    start_from: Path | None = None,
    schedule: Schedule | None = None,
    segments: Path | None = None,
) -> Path:
    """Train a network, or go on where an earlier run in the same folder stopped.

    Writes into `out`: ``log.tsv`` (step, seconds, learning rate, losses, validation figures),
    ``checkpoint.pt`` (to go on from), ``weights.pt`` (the network, float16) and ``weights-STEP.pt`` on the
    way (what `haruspex_train.merge` takes the mean of). A run that was stopped at any moment goes on to the
    same weights as one that never was: bit by bit on a CPU, up to the order of sums on a GPU. Under torchrun
    the processes share each batch (`haruspex_train.parallel`).

    Parameters
    ----------
    configuration : Configuration
        What to train and how.
    atoms : path
        Training file that ``haruspex prepare`` wrote.
    out : path
        Folder of the run.
    device : str
        ``cuda``, ``cuda:N`` or ``cpu``.
    start_from : path, optional
        Weights of an earlier run to begin with.
    schedule : Schedule, optional
        Intervals of logging, validation and checkpoints.
    segments : path, optional
        Folder of experimental segments (``haruspex segment``), for a configuration with a `segment_share`.

    Returns
    -------
    path
        The weights.

    Raises
    ------
    HaruspexError
        If the device is absent, fails or runs out of memory, the folder cannot be written to, is in use or
        holds a run of another configuration, the weights to start from do not fit, or the loss is no longer a
        number.
    """
    where = training_device(device_name(device))
    if where.type == "cuda":
        torch.cuda.set_device(where)
    prepare_folder(out)
    with processes(where) as together, sole_use(out) if together.first else nullcontext():
        try:
            return _train(
                configuration, atoms, out, where, together, start_from, schedule or Schedule(), segments
            )
        except RuntimeError as fault:
            _refuse_failing_device(fault, where)
            raise


def _refuse_failing_device(fault: RuntimeError, where: torch.device) -> None:
    """Tell of a device that is full or lost; what else goes wrong is left alone."""
    again = "then give the same command again: it goes on from the last checkpoint"
    if says_no_memory(fault):
        raise HaruspexError(
            f"Memory is used up on {where} ({first_line(fault)}): free it, {again}."
        ) from fault
    if says_gpu_lost(fault):
        raise DeviceLostError(
            f"The GPU failed ({where}, {first_line(fault)}): see with nvidia-smi whether it is still there, "
            f"{again}."
        ) from fault


def _train(
    configuration: Configuration,
    atoms: Path,
    out: Path,
    where: torch.device,
    together: Processes,
    start_from: Path | None,
    schedule: Schedule,
    segments: Path | None,
) -> Path:
    torch.manual_seed(configuration.seed)
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True  # shapes never change

    network = NETWORKS[configuration.network](**configuration.network_options).to(where)
    started_from = None if start_from is None else _start_from(network, start_from, where)
    together.share_statistics(network)
    network.channels_last()
    average = MovingAverage(network, configuration.ema)
    optimiser = optimiser_of(configuration, network, fused=where.type == "cuda")
    library = load_training_atoms(atoms, "train")
    measured = _experimental(configuration, segments)
    if measured:
        library = replace(library, digest=f"{library.digest}, segments {measured.digest}")
    progress = Progress(out, configuration, library, network, average, optimiser)
    progress.started_from = started_from
    progress.resume(where)
    pool = _pool(configuration, library, measured, where, together, progress.step)
    held_out = HeldOut(load_training_atoms(atoms, "val"), configuration, where) if together.first else None
    log = Log(out / "log.tsv", progress.step) if together.first else None
    if together.first:
        size = f"{sum(p.numel() for p in network.parameters()):,} parameters, {len(library.ids)} models"
        print(f"{configuration.name}: {size}, step {progress.step}")

    compiled: Callable[[Tensor], Tensor] = torch.compile(network) if where.type == "cuda" else network
    weights = torch.tensor(configuration.weights, device=where)
    began, saved = time.perf_counter() - progress.seconds, time.perf_counter()
    while progress.step < configuration.steps:
        rate = learning_rate(configuration, progress.step)
        density, labels = pool.batch(configuration.batch, configuration.crop)
        loss = loss_of(configuration, compiled, density, labels, weights, together)
        network.zero_grad()
        loss.backward()
        together.average_gradients(network)
        if configuration.clip:
            nn.utils.clip_grad_norm_(network.parameters(), configuration.clip)
        optimiser.step(rate)
        average.update(network)
        progress.losses.append(loss.detach())
        progress.step += 1

        last = progress.step == configuration.steps
        if progress.step % schedule.log_every == 0 or last:
            progress.seconds = time.perf_counter() - began
            row = {"step": progress.step, "seconds": progress.seconds, "learning_rate": rate}
            row["loss"] = _mean_loss(progress, together)
            if held_out and (progress.step % schedule.validate_every == 0 or last):
                row |= held_out.figures(average.network)
            if log:
                log.write(row)
        snapshot = progress.step % schedule.snapshot_every == 0
        due = last or snapshot or time.perf_counter() - saved > 60 * schedule.checkpoint_minutes
        if together.first and due:
            progress.save(snapshot)
            saved = time.perf_counter()
    return progress.weights_file


def _pool(
    configuration: Configuration,
    library: TrainingAtoms,
    measured: "ExperimentalSegments | None",
    where: torch.device,
    together: Processes,
    step: int,
) -> "SegmentPool | MixedPool":
    """Make this process's part of the pool as it is after some steps."""
    c, seed = configuration, configuration.seed
    simulator = Simulator(library, c.segment, where, seed, c.simulation)
    lanes, own = together.lanes(c.batch)
    simulated = SegmentPool(simulator, c.pool, c.fresh, SIMULATED_AT_ONCE, seed, lanes, own, step)
    return measured.mixed_into(simulated, c.segment_share) if measured else simulated


def _mean_loss(progress: Progress, together: Processes) -> float:
    """Mean loss of all processes since the last row of the log; training ends where it is no number."""
    mean = float(together.mean(torch.stack(progress.losses).mean()))
    progress.losses.clear()
    if not math.isfinite(mean):
        raise progress.lost(f"The loss became {mean}")
    return mean


def _experimental(configuration: Configuration, folder: Path | None) -> "ExperimentalSegments | None":
    if (folder is None) != (configuration.segment_share == 0):
        raise HaruspexError(
            "Experimental segments need both a folder (--segments) and the share of a batch that they make "
            "(--segment-share, or segment_share in the configuration)."
        )
    if folder is None:
        return None
    # what reads segments reads maps and models too, which training from atoms does without
    from haruspex_train.experimental import ExperimentalSegments

    return ExperimentalSegments(folder)


def training_device(name: str) -> torch.device:
    """Return the device of a name such as ``cuda:1``.

    Raises
    ------
    HaruspexError
        If there is no such device, or PyTorch cannot use it.
    """
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise HaruspexError(f"There is no device {name!r}: use cuda, cuda:N or cpu.")
    where = torch.device(name)
    if where.type == "cuda" and not torch.cuda.is_available():
        raise HaruspexError(
            "Training was asked for on CUDA, but PyTorch finds no working GPU; use --device cpu."
        )
    if where.type == "cuda" and (where.index or 0) >= torch.cuda.device_count():
        last = torch.cuda.device_count() - 1
        raise HaruspexError(f"There is no GPU {where.index}: the last one here is cuda:{last}.")
    # set_device asks for a number
    return torch.device("cuda", where.index or 0) if where.type == "cuda" else where


def learning_rate(configuration: Configuration, step: int) -> float:
    """Learning rate at a step: linear warm-up, then constant or half a cosine down to zero."""
    rate = configuration.learning_rate * min(1.0, (step + 1) / max(1, configuration.warm_up))
    if configuration.schedule == "cosine":
        rate *= 0.5 * (1 + math.cos(math.pi * step / configuration.steps))
    return rate


def loss_of(
    configuration: Configuration,
    network: Callable[[Tensor], Tensor],
    density: Tensor,
    labels: Tensor,
    weights: Tensor,
    together: Processes = ALONE,
) -> Tensor:
    """Loss of a batch or a process's share of it; a network that sees only the centre is judged there."""
    with torch.autocast(density.device.type, torch.bfloat16, enabled=density.is_cuda):
        logits = network(density.contiguous(memory_format=torch.channels_last_3d))
    cut = (labels.shape[-1] - logits.shape[-1]) // 2
    if cut:
        labels = labels[:, cut:-cut, cut:-cut, cut:-cut]
    if configuration.loss == "focal_and_dice":
        loss = focal_and_dice(logits, labels, weights, configuration.core, configuration.border)
    else:
        loss = cross_entropy(
            logits, labels, weights, configuration.core, configuration.border, configuration.true_negative
        )
    return loss if together.count == 1 else loss * together.share(counted(labels, weights))


def _start_from(network: nn.Module, weights: Path, device: torch.device) -> dict[str, Any]:
    """Load weights of another run; return what they say of it."""
    run = read_weights(weights, device)
    try:
        network.load_state_dict(run.pop("weights"))
    except RuntimeError as fault:
        raise HaruspexError(
            f"{weights} comes from a network of another shape ({run['configuration']['network']}); "
            "start from weights of the same network."
        ) from fault
    return run
