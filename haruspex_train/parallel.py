"""Training by several processes that torchrun starts, one device each, as if they were one.

The segments of a run lie in lanes (`haruspex_train.pool`), and every batch takes the same number of parts
from each lane. Processes share the lanes among them, average their gradients, and normalise by the statistics
of the whole batch; so several processes do what one does with the same configuration, up to rounding. (The
Dice part of `losses.focal_and_dice` is an exception: it is taken over each process's share.)
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn

from haruspex_infer.errors import HaruspexError

MOST_LANES = 8


@dataclass(frozen=True)
class Processes:
    """The processes of a run, as one of them sees them.

    Attributes
    ----------
    rank, count : int
        Number of this process, from 0, and how many there are.
    """

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and talks."""
        return self.rank == 0

    def lanes(self, batch: int) -> tuple[int, range]:
        """Return the number of lanes for a batch, and those of this process.

        Raises
        ------
        HaruspexError
            If the processes cannot share the lanes evenly.
        """
        lanes = math.gcd(batch, MOST_LANES)
        if lanes % self.count:
            raise HaruspexError(
                f"A batch of {batch} cannot be shared by {self.count} processes; "
                f"start {', '.join(str(n) for n in (1, 2, 4, 8) if lanes % n == 0)}."
            )
        own = lanes // self.count
        return lanes, range(self.rank * own, (self.rank + 1) * own)

    def share(self, counted: Tensor) -> Tensor:
        """Return the factor on the mean loss of this process that makes the mean of all that of the batch.

        Parameters
        ----------
        counted : Tensor
            Number of voxels that count in this process's share of the batch.
        """
        own = counted.to(torch.float32)
        return own / self.mean(own).clamp(min=1)

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a value over the processes; no gradient passes."""
        if self.count == 1:
            return value
        total = value.detach().clone()
        distributed.all_reduce(total)
        return total / self.count

    def average_gradients(self, network: nn.Module) -> None:
        """Give all processes the mean of their gradients."""
        if self.count == 1:
            return
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        # in one piece: one message of some 30 MB is faster than sixty small ones
        mean = self.mean(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        for gradient, part in zip(gradients, mean.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view(gradient.shape))

    def share_statistics(self, network: nn.Module) -> None:
        """Make batch normalisation measure the whole batch, not this process's share of it."""
        if self.count == 1:
            return
        for module in list(network.modules()):
            for name, child in list(module.named_children()):
                if type(child) is nn.BatchNorm3d:
                    setattr(module, name, _SharedBatchNorm(child, self))


ALONE = Processes()
"""One process, without torchrun."""


@contextmanager
def processes(device: torch.device) -> Iterator[Processes]:
    """Meet the other processes that torchrun started; without torchrun there is only this one.

    Parameters
    ----------
    device : torch.device
        That of this process.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(distributed.get_rank(), count)
    finally:
        distributed.destroy_process_group()


def device_name(name: str) -> str:
    """Return the device of this process: under torchrun ``cuda`` is a GPU for each.

    Raises
    ------
    HaruspexError
        If torchrun started several processes and one GPU is named for all.
    """
    if "LOCAL_RANK" not in os.environ or not name.startswith("cuda"):
        return name
    if name != "cuda":
        raise HaruspexError(f"Under torchrun every process has a GPU of its own: give cuda, not {name}.")
    return f"cuda:{os.environ['LOCAL_RANK']}"


# PyTorch's own SyncBatchNorm refuses the CPU, where this is tested; and operators of one's own do not cut a
# compiled network into pieces, as other ways to talk in the midst of it do
@torch.library.custom_op("haruspex::gather", mutates_args=())
def _gather(value: Tensor, count: int, rank: int) -> Tensor:
    parts = [torch.empty_like(value) for _ in range(count)]
    distributed.all_gather(parts, value)
    return torch.stack(parts)


@_gather.register_fake
def _(value: Tensor, count: int, rank: int) -> Tensor:
    return value.new_empty(count, *value.shape)


@torch.library.custom_op("haruspex::sum_and_take", mutates_args=())
def _sum_and_take(value: Tensor, rank: int) -> Tensor:
    total = value.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total[rank].clone()


@_sum_and_take.register_fake
def _(value: Tensor, rank: int) -> Tensor:
    return value.new_empty(value.shape[1:])


def _keep_rank(ctx: Any, inputs: tuple[Tensor, int, int], output: Tensor) -> None:  # noqa: ANN401
    ctx.rank = inputs[2]


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
    return _sum_and_take(gradient, ctx.rank), None, None


_gather.register_autograd(_backward, setup_context=_keep_rank)


class _SharedBatchNorm(nn.BatchNorm3d):
    """Batch normalisation over the parts of a batch that several processes hold."""

    def __init__(self, like: nn.BatchNorm3d, processes: Processes) -> None:
        super().__init__(like.num_features, like.eps, like.momentum)
        self.to(like.weight).load_state_dict(like.state_dict())
        self.processes = processes

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` normalised by mean and variance of the whole batch, or by those kept."""
        if not self.training:
            return super().forward(x)
        exact = x.to(self.weight.dtype)
        var, mean = torch.var_mean(exact, (0, 2, 3, 4), correction=0)
        parts = _gather(torch.stack([mean, var]), self.processes.count, self.processes.rank)
        mean = parts[:, 0].mean(0)
        # variance of the whole: that within the parts and that between them
        var = parts[:, 1].mean(0) + parts[:, 0].var(0, correction=0)
        with torch.no_grad():
            n = x.numel() // x.shape[1] * self.processes.count
            assert self.running_mean is not None and self.running_var is not None
            assert self.momentum is not None and self.num_batches_tracked is not None
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * n / (n - 1), self.momentum)
            self.num_batches_tracked.add_(1)
        across = (1, -1, 1, 1, 1)
        scale = self.weight * torch.rsqrt(var + self.eps)
        return ((exact - mean.view(across)) * scale.view(across) + self.bias.view(across)).to(x.dtype)
