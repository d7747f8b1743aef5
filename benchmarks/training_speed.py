"""What bounds training: time of simulating crops, of the network's step, and of both together.

    python benchmarks/training_speed.py ATOMS [--device cuda]

Prints one row for each configuration: medians over repeats, milliseconds.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from commandline import add_atoms, parser_of

from haruspex_train.configuration import Configuration, load_configuration
from haruspex_train.library import TrainingAtoms, load_training_atoms
from haruspex_train.networks import NETWORKS
from haruspex_train.pool import SegmentPool
from haruspex_train.simulate import Simulator
from haruspex_train.train import SIMULATED_AT_ONCE, loss_of


def milliseconds(action: Callable[[], object], repeats: int) -> float:
    """Median time of an action on the device, after two warm-up calls."""
    times = []
    for repeat in range(repeats + 2):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        began = time.perf_counter()
        action()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if repeat >= 2:
            times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


@dataclass(frozen=True)
class Pace:
    """Milliseconds that the parts of training take."""

    simulate: float
    cut: float
    step: float
    fresh: int

    @property
    def simulate_per_step(self) -> float:
        """Time that a step pays for its fresh crops."""
        return self.fresh * self.simulate

    @property
    def steps_per_second(self) -> float:
        """Pace of all parts one after another."""
        return 1000 / (self.simulate_per_step + self.cut + self.step)


def measure(c: Configuration, atoms: TrainingAtoms, device: torch.device, repeats: int) -> Pace:
    """Measure the parts of one configuration."""
    simulator = Simulator(atoms, c.segment, device, 0, c.simulation)
    simulate = milliseconds(lambda: simulator.batch(SIMULATED_AT_ONCE), repeats) / SIMULATED_AT_ONCE
    pool = SegmentPool(simulator, max(c.batch, SIMULATED_AT_ONCE), 0, SIMULATED_AT_ONCE, 0)
    cut = milliseconds(lambda: pool.batch(c.batch, c.crop), repeats)
    network = NETWORKS[c.network](**c.network_options).to(device)
    network.channels_last()
    optimiser = torch.optim.AdamW(network.parameters(), fused=device.type == "cuda")
    compiled = torch.compile(network) if device.type == "cuda" else network
    weights = torch.tensor(c.weights, device=device)
    density, labels = pool.batch(c.batch, c.crop)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        loss_of(c, compiled, density, labels, weights).backward()
        optimiser.step()

    return Pace(simulate, cut, milliseconds(step, repeats), c.fresh)


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    add_atoms(parser)
    parser.add_argument("configurations", nargs="*", default=["residual", "mostosi2020"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    torch.backends.cudnn.benchmark = True  # as in training
    atoms = load_training_atoms(options.atoms, "train")
    print("configuration  simulate a crop  cut a batch  network step  simulate for a step  steps/s")
    for name in options.configurations:
        pace = measure(load_configuration(name), atoms, torch.device(options.device), options.repeats)
        print(
            f"{name:13}  {pace.simulate:12.2f} ms  {pace.cut:8.1f} ms  {pace.step:9.1f} ms"
            f"  {pace.simulate_per_step:16.1f} ms  {pace.steps_per_second:7.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
