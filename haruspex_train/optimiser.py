"""What moves the weights: Adam, or Muon for the kernels and Adam for the rest.

Muon (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks") makes the step of a
matrix orthogonal, so that all its directions learn at one pace. A kernel is a matrix, a row for each channel.
"""

from typing import Any

import torch
from torch import Tensor, nn

from haruspex_train.configuration import Configuration


def optimiser_of(configuration: Configuration, network: nn.Module, fused: bool) -> "Optimiser":
    """Return the optimiser that a configuration asks for.

    Parameters
    ----------
    configuration : Configuration
    network : nn.Module
        With channels last in its kernels (`AnnotationNetwork.channels_last`).
    fused : bool
        Whether one GPU kernel steps all of Adam's weights.

    Raises
    ------
    ValueError
        If channels do not lie last in the kernels that Muon is to step.
    """
    c = configuration
    kernels = _kernels(network) if c.optimiser == "muon" else []
    by_muon = set(map(id, kernels))
    rest = [p for p in network.parameters() if id(p) not in by_muon]
    adam = torch.optim.AdamW(
        rest,
        lr=c.learning_rate,
        betas=(c.beta1, c.beta2),
        eps=c.epsilon,
        weight_decay=c.weight_decay,
        fused=fused,
    )
    return Optimiser(adam, kernels, c)


def _kernels(network: nn.Module) -> list[nn.Parameter]:
    """Return the kernels between hidden layers: all but the first and the last that a network defines."""
    convolutions = [m for m in network.modules() if isinstance(m, (nn.Conv3d, nn.ConvTranspose3d))]
    return [m.get_parameter("weight") for m in convolutions[1:-1]]


class Optimiser:
    """Steps all weights of a network at one learning rate.

    Parameters
    ----------
    adam : torch.optim.Optimizer
        Steps those that are not kernels.
    kernels : list of Parameter
        What Muon steps, of five dimensions; may be empty.
    configuration : Configuration
        Learning rate and weight decay.
    """

    def __init__(
        self,
        adam: torch.optim.Optimizer,
        kernels: list[nn.Parameter],
        configuration: Configuration,
    ) -> None:
        self._kernels = kernels
        # matrices that share the kernels' memory: a step of one is a step of the other
        self._matrices = [nn.Parameter(_matrix(kernel.data)) for kernel in kernels]
        if any(m.data_ptr() != k.data_ptr() for m, k in zip(self._matrices, kernels, strict=True)):
            raise ValueError("Channels do not lie last in the kernels: call the network's channels_last().")
        self._parts: list[torch.optim.Optimizer] = [adam]
        if kernels:
            muon = torch.optim.Muon(
                self._matrices,
                lr=configuration.learning_rate,
                weight_decay=configuration.weight_decay,
                adjust_lr_fn="match_rms_adamw",  # one learning rate suits both
            )
            self._parts.append(muon)

    def step(self, rate: float) -> None:
        """Take a step down the gradients that the parameters hold, at a learning rate."""
        for matrix, kernel in zip(self._matrices, self._kernels, strict=True):
            matrix.grad = None if kernel.grad is None else _matrix(kernel.grad)
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = rate
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""
        return {str(number): part.state_dict() for number, part in enumerate(self._parts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what a checkpoint kept."""
        for number, part in enumerate(self._parts):
            part.load_state_dict(state[str(number)])


def _matrix(kernel: Tensor) -> Tensor:
    """Return a kernel as a matrix, a row for each of its first channels: a view where channels lie last."""
    return kernel.permute(0, 2, 3, 4, 1).reshape(len(kernel), -1)
