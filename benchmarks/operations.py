"""Parameters and operations of the networks: multiplications and additions for each voxel of the output.

    python benchmarks/operations.py models/residual.pt models/mostosi2020.pt

In tiles of 96³ voxels, as trained; exporting merges some layers and saves a few percent.
"""

from pathlib import Path

import torch
from commandline import parser_of
from measuring import table
from torch.utils.flop_counter import FlopCounterMode

from haruspex_train.networks import NETWORKS
from haruspex_train.progress import read_weights

# the network of the paper also computes what surrounds its answer: the less, the larger the tile
EDGE = 96


def count(weights: Path) -> list[str]:
    """Return the row of one network."""
    made = read_weights(weights, torch.device("cpu"))["configuration"]
    with torch.device("meta"):  # shapes are enough
        network = NETWORKS[made["network"]](**made["network_options"]).eval()
        tile = torch.zeros((1, 1) + (EDGE,) * 3)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        answer = network(tile)
    each = counter.get_total_flops() / answer[0, 0].numel()
    parameters = sum(p.numel() for p in network.parameters())
    return [made["name"], f"{parameters:,}", f"{each / 1e6:.2f} million"]


def main() -> None:
    """Count and print."""
    parser = parser_of(__doc__)
    parser.add_argument("weights", type=Path, nargs="+")
    rows = [count(weights) for weights in parser.parse_args().weights]
    print(table(["network", "parameters", "operations a voxel"], rows))


if __name__ == "__main__":
    main()
