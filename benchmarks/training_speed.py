"""What bounds training: time of simulating crops, of the network's step, and of both together.

    python benchmarks/training_speed.py ATOMS [--device cuda]

Prints one row for each configuration: medians over repeats, milliseconds.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from haruspex_train.configuration import load_configuration
from haruspex_train.library import load_training_atoms
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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("atoms", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("configurations", nargs="*", default=["residual", "mostosi2020"])
    options = parser.parse_args()
    device = torch.device(options.device)
    atoms = load_training_atoms(options.atoms, "train")
    print("configuration  simulate/crop  cut batch  network step  simulate/step  steps/s")
    for name in options.configurations:
        c = load_configuration(name)
        simulator = Simulator(atoms, c.segment, device, 0, c.simulation)
        simulate = milliseconds(lambda s=simulator: s.batch(SIMULATED_AT_ONCE), options.repeats) / SIMULATED_AT_ONCE
        pool = SegmentPool(simulator, max(c.batch, SIMULATED_AT_ONCE), 0, SIMULATED_AT_ONCE, 0)
        cut = milliseconds(lambda p=pool, c=c: p.batch(c.batch, c.crop), options.repeats)
        network = NETWORKS[c.network](**c.network_options).to(device, memory_format=torch.channels_last_3d)
        optimiser = torch.optim.AdamW(network.parameters(), fused=device.type == "cuda")
        compiled = torch.compile(network) if device.type == "cuda" else network
        weights = torch.tensor(c.weights, device=device)
        batch = pool.batch(c.batch, c.crop)

        def step(c=c, compiled=compiled, batch=batch, weights=weights, optimiser=optimiser) -> None:  # noqa: ANN001
            optimiser.zero_grad(set_to_none=True)
            loss_of(c, compiled, *batch, weights).backward()
            optimiser.step()

        train = milliseconds(step, options.repeats)
        per_step = c.fresh * simulate
        print(
            f"{name:13}  {simulate:10.2f} ms  {cut:6.1f} ms  {train:9.1f} ms  {per_step:10.1f} ms"
            f"  {1000 / (cut + train + per_step):7.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
