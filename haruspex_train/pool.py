"""A pool of segments on the device, steadily renewed by the simulator, from which batches are cut."""

import itertools

import torch
from torch import Tensor

from haruspex_train.simulate import Simulator


def proper_rotations() -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """List the 24 rotations of a cube as (permutation of axes, axes to flip).

    Mirror images are left out: they would turn right-handed helices into left-handed ones.
    """
    rotations = []
    for axes in itertools.permutations(range(3)):
        odd = sum(axes[i] > axes[j] for i in range(3) for j in range(i + 1, 3)) % 2
        for count in range(odd, 4, 2):
            rotations += [(axes, flips) for flips in itertools.combinations(range(3), count)]
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
        Segments simulated at a time, at most `size`: more use the device better.
    seed : int
        Seed of the choice of segments, parts and rotations.
    """

    def __init__(self, simulator: Simulator, size: int, fresh: int, chunk: int, seed: int) -> None:
        # a segment written twice at once could get the density of one crop and the labels of another
        self.simulator, self.fresh, self.chunk = simulator, fresh, min(chunk, size)
        self.generator = torch.Generator().manual_seed(seed)
        edge, device = simulator.edge, simulator.device
        self.density = torch.empty(size, edge, edge, edge, dtype=torch.float16, device=device)
        self.labels = torch.empty(size, edge, edge, edge, dtype=torch.uint8, device=device)
        self._next, self._owed = 0, 0
        for _ in range(0, size, self.chunk):
            self._renew(self.chunk)

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
        size, edge_pool = self.density.shape[0], self.density.shape[-1]
        chosen = torch.randperm(size, generator=self.generator)[:n, None, None, None]
        corner = torch.randint(edge_pool - edge + 1, (3, n, 1), generator=self.generator)
        z, y, x = corner + torch.arange(edge)
        places = (chosen, z[:, :, None, None], y[:, None, :, None], x[:, None, None, :])
        part = tuple(t.to(self.density.device, non_blocking=True) for t in places)
        density, labels = self.density[part][:, None].float(), self.labels[part]
        # a rotation for every eighth of the batch: one for each part would be many small kernels
        turned = []
        for d, t in zip(density.chunk(8), labels.chunk(8), strict=True):
            turn = int(torch.randint(len(ROTATIONS), (1,), generator=self.generator))
            turned.append((rotate(d, turn), rotate(t, turn)))
        return torch.cat([d for d, _ in turned]), torch.cat([t for _, t in turned])
