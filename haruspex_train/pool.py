"""A pool of segments on the device, steadily renewed by the simulator, from which batches are cut."""

import itertools

import torch
from torch import Tensor

from haruspex_train.chance import seed_of
from haruspex_train.simulate import Simulator

TURNS = 8
"""Rotations drawn for a batch: one for each part would be many small kernels."""


def proper_rotations() -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """List the 24 rotations of a cube as (permutation of axes, axes to flip).

    Mirror images are left out: they would turn right-handed helices into left-handed ones.

    Returns
    -------
    list of tuple
        Permutation and axes to flip, 24 times.
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

    Segments lie in lanes of equal size, and every batch takes equally many from each, so that several
    processes can hold a few lanes each and together do what one does with all of them. What a batch and a
    chunk of segments hold follows from the seed and their numbers alone: a pool that begins at a later step
    is what it would have become.

    Parameters
    ----------
    simulator : Simulator
        Where segments come from.
    size : int
        Segments in the pool, of all processes.
    fresh : int
        Segments replaced for every batch, on average, of all processes.
    chunk : int
        Segments simulated at a time, at most those of a lane: more use the device better.
    seed : int
        Seed of segments and of the choice of segments, parts and rotations.
    lanes : int
        Number of lanes, a divisor of `TURNS`.
    own : range, optional
        The lanes of this process; all by default.
    step : int
        Batches that were drawn before.
    """

    def __init__(
        self,
        simulator: Simulator,
        size: int,
        fresh: int,
        chunk: int,
        seed: int,
        lanes: int = 1,
        own: range | None = None,
        step: int = 0,
    ) -> None:
        self.simulator, self.fresh, self.seed, self.step = simulator, fresh, seed, step
        self.lanes, self.own = lanes, range(lanes) if own is None else own
        self.lane_size = -(-size // lanes)
        # a segment written twice at once could get the density of one crop and the labels of another
        self.chunk = min(chunk, self.lane_size)
        edge, device, held = simulator.edge, simulator.device, self.lane_size * len(self.own)
        self.density = torch.empty(held, edge, edge, edge, dtype=torch.float16, device=device)
        self.labels = torch.empty(held, edge, edge, edge, dtype=torch.uint8, device=device)
        self._rounds_to_fill = -(-self.lane_size // self.chunk)
        self._round = self._rounds_due() - self._rounds_to_fill
        self._catch_up()

    def _rounds_due(self) -> int:
        return self._rounds_to_fill + self.step * self.fresh // (self.chunk * self.lanes)

    def _catch_up(self) -> None:
        while self._round < self._rounds_due():
            self._renew(self._round)
            self._round += 1

    def _renew(self, number: int) -> None:
        """Replace the oldest chunk of every lane."""
        for place, lane in enumerate(self.own):
            self.simulator.restart(seed_of(self.seed, "segments", number, lane))
            crops = self.simulator.batch(self.chunk)
            at = (torch.arange(self.chunk) + number * self.chunk).remainder(self.lane_size)
            at = (at + place * self.lane_size).to(self.density.device)
            self.density[at] = crops.density.half()
            self.labels[at] = crops.labels

    def batch(self, n: int, edge: int) -> tuple[Tensor, Tensor]:
        """Cut random parts.

        Parameters
        ----------
        n : int
            Number of parts, of all processes; a multiple of the number of lanes.
        edge : int
            Edge of each part, voxels; at most that of the segments.

        Returns
        -------
        density : Tensor (m, 1, edge, edge, edge), float32
            The `m` parts from the lanes of this process.
        labels : Tensor (m, edge, edge, edge), uint8
        """
        self.step += 1
        self._catch_up()
        # all processes draw all numbers and keep those of their lanes
        draw = torch.Generator().manual_seed(seed_of(self.seed, "batch", self.step))
        each, turns = n // self.lanes, TURNS // self.lanes
        picks = [torch.randperm(self.lane_size, generator=draw)[:each] for _ in range(self.lanes)]
        corner = torch.randint(self.density.shape[-1] - edge + 1, (3, self.lanes, each, 1), generator=draw)
        turn = torch.randint(len(ROTATIONS), (self.lanes, turns), generator=draw)
        mine = slice(self.own.start, self.own.stop)
        segment = (torch.stack(picks[mine]) + torch.arange(len(self.own))[:, None] * self.lane_size).view(
            -1, 1, 1, 1
        )
        z, y, x = corner[:, mine].flatten(1, 2) + torch.arange(edge)
        places = (segment, z[:, :, None, None], y[:, None, :, None], x[:, None, None, :])
        part = tuple(t.to(self.density.device, non_blocking=True) for t in places)
        density, labels = self.density[part][:, None].float(), self.labels[part]
        turned = []
        for lane, d, t in zip(turn[mine].tolist(), density.split(each), labels.split(each), strict=True):
            for number, some, of_some in zip(lane, d.chunk(turns), t.chunk(turns), strict=False):
                turned.append((rotate(some, number), rotate(of_some, number)))
        return torch.cat([d for d, _ in turned]), torch.cat([t for _, t in turned])
