"""A pool of segments on the device, steadily renewed by the simulator, from which batches are cut."""

import itertools

import torch
from torch import Tensor

from haruspex_train.simulate import Simulator


def proper_rotations() -> list[tuple[tuple[int, int, int], tuple[int, ...]]]:
    """The 24 rotations of a cube as (permutation of axes, axes to flip).

    Mirror images are left out: they would turn right-handed helices into left-handed ones.
    """
    rotations = []
    for axes in itertools.permutations(range(3)):
        odd = sum(axes[i] > axes[j] for i in range(3) for j in range(i + 1, 3)) % 2
        for count in range(4):
            for flips in itertools.combinations(range(3), count):
                if (odd + len(flips)) % 2 == 0:
                    rotations.append((axes, flips))
    return rotations


ROTATIONS = proper_rotations()


def rotate(volume: Tensor, number: int) -> Tensor:
    """Turn the last three axes of a cubic volume by one of the 24 rotations."""
    axes, flips = ROTATIONS[number]
    lead = volume.ndim - 3
    turned = volume.permute(*range(lead), *(lead + a for a in axes))
    return turned.flip([lead + f for f in flips]) if flips else turned


class SegmentPool:
    """Segments with their labels, a few of them replaced at every step.

    The paper cuts a random part of a stored segment at each step and turns it by one of 24 rotations
    (Methods, Generation of training segments); here the segments themselves are new as well.

    Parameters
    ----------
    simulator : Simulator
        Where segments come from.
    size : int
        Segments in the pool.
    fresh : int
        Segments replaced for every batch, on average.
    chunk : int
        Segments simulated at a time: more use the device better.
    seed : int
        Seed of the choice of segments, parts and rotations.
    """

    def __init__(self, simulator: Simulator, size: int, fresh: int, chunk: int, seed: int) -> None:
        self.simulator, self.fresh, self.chunk = simulator, fresh, chunk
        self.generator = torch.Generator().manual_seed(seed)
        edge, device = simulator.edge, simulator.device
        self.density = torch.empty(size, edge, edge, edge, dtype=torch.float16, device=device)
        self.labels = torch.empty(size, edge, edge, edge, dtype=torch.uint8, device=device)
        self._next, self._owed = 0, 0
        for _ in range(0, size, chunk):
            self._renew(min(chunk, size))

    def _renew(self, n: int) -> None:
        """Replace the oldest `n` segments."""
        crops = self.simulator.batch(n)
        at = (torch.arange(n) + self._next).remainder(len(self.density)).to(self.density.device)
        self.density[at] = crops.density.half()
        self.labels[at] = crops.labels
        self._next = (self._next + n) % len(self.density)

    def batch(self, n: int, edge: int) -> tuple[Tensor, Tensor]:
        """Cut random parts.

        Parameters
        ----------
        n : int
            Number of parts.
        edge : int
            Edge of each part, voxels; at most that of the segments.

        Returns
        -------
        density : Tensor (n, 1, edge, edge, edge), float32
        labels : Tensor (n, edge, edge, edge), uint8
        """
        self._owed += self.fresh
        while self._owed >= self.chunk:
            self._renew(self.chunk)
            self._owed -= self.chunk
        chosen = torch.randperm(len(self.density), generator=self.generator)[:n].tolist()
        space = self.density.shape[-1] - edge + 1
        corners = torch.randint(space, (n, 3), generator=self.generator).tolist()
        turns = torch.randint(len(ROTATIONS), (n,), generator=self.generator).tolist()
        density, labels = [], []
        for k, corner, turn in zip(chosen, corners, turns, strict=True):
            part = (k, *(slice(c, c + edge) for c in corner))
            density.append(rotate(self.density[part], turn))
            labels.append(rotate(self.labels[part], turn))
        return torch.stack(density)[:, None].float(), torch.stack(labels)
