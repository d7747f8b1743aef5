"""Cuts a volume into overlapping tiles and puts the network's answers together again.

Every voxel is annotated, each answer lands where its density came from, and the phase of the network's
pooling is the same in all tiles, so that the result depends on where the tiles lie no more than the network
does.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.classes import CLASSES, OTHER
from haruspex_infer.network import Contract

Origin = tuple[int, int, int]


@dataclass(frozen=True)
class AxisPlan:
    """Tiles along one axis.

    Attributes
    ----------
    edge : int
        Voxels of an input tile.
    starts : tuple of int
        First voxel of each input tile in the volume; negative where it begins in the padding.
    """

    edge: int
    starts: tuple[int, ...]


@dataclass(frozen=True)
class TilePlan:
    """Tiles of a volume.

    Parameters
    ----------
    shape : tuple of int
        Voxels (z, y, x) of the volume.
    axes : tuple of AxisPlan
        Tiles along z, y and x; the tiles of the volume are all combinations.
    margin : int
        Voxels by which an answer is smaller than its tile on every side.
    overlap : int
        Voxels over which answers fade into their neighbours.
    """

    shape: tuple[int, int, int]
    axes: tuple[AxisPlan, AxisPlan, AxisPlan]
    margin: int
    overlap: int

    def __len__(self) -> int:
        return math.prod(len(axis.starts) for axis in self.axes)

    @property
    def edge(self) -> tuple[int, int, int]:
        """Voxels (z, y, x) of an input tile."""
        return self.axes[0].edge, self.axes[1].edge, self.axes[2].edge

    def origins(self) -> Iterator[Origin]:
        """Yield the first voxel of each input tile."""
        yield from itertools.product(*(axis.starts for axis in self.axes))

    def answered(self, origin: Origin) -> tuple[slice, slice, slice]:
        """Return the voxels of the volume that the tile at `origin` answers for."""
        return self._inside(origin, self.margin)[0]

    def cut(self, volume: NDArray[np.float32], origin: Origin) -> NDArray[np.float32]:
        """Return the input tile at `origin`, with 0 (the level of solvent) beyond the volume."""
        source, place = self._inside(origin, 0)
        tile = np.zeros(self.edge, dtype=np.float32)
        tile[place] = volume[source]
        return tile

    def _inside(
        self, origin: Origin, margin: int
    ) -> tuple[tuple[slice, slice, slice], tuple[slice, slice, slice]]:
        """Return the part of a block that lies in the volume: where in the volume, where in the block."""
        source, place = [], []
        for n, start, edge in zip(self.shape, origin, self.edge, strict=True):
            first, last = start + margin, start + edge - margin
            low, high = max(first, 0), min(last, n)
            source.append(slice(low, high))
            place.append(slice(low - first, high - first))
        return (source[0], source[1], source[2]), (place[0], place[1], place[2])


class Blend:
    """Class probabilities of a volume, gathered from the answers of overlapping tiles.

    Answers are averaged with a weight that falls smoothly towards the faces of a tile, where a network sees
    least of the surroundings.

    Parameters
    ----------
    plan : TilePlan
        The tiles.
    """

    def __init__(self, plan: TilePlan) -> None:
        self._plan = plan
        self._sum = np.zeros((len(CLASSES), *plan.shape), dtype=np.float32)
        self._weight = np.zeros(plan.shape, dtype=np.float32)
        z, y, x = (_fade(edge - 2 * plan.margin, plan.overlap) for edge in plan.edge)
        self._tile_weight = z[:, None, None] * y[:, None] * x

    def add(self, origin: Origin, answer: NDArray[np.float32]) -> None:
        """Take in the answer, shape (4, d, h, w), for the tile at `origin`."""
        target, place = self._plan._inside(origin, self._plan.margin)
        weight = self._tile_weight[place]
        self._sum[(slice(None), *target)] += answer[(slice(None), *place)] * weight
        self._weight[target] += weight

    def result(self) -> NDArray[np.float32]:
        """Return the probabilities, shape (4, z, y, x); voxels of skipped tiles are other."""
        for total, weight in zip(self._sum.swapaxes(0, 1), self._weight, strict=True):
            skipped = weight == 0
            total[OTHER.number][skipped] = 1
            total /= np.where(skipped, 1, weight)
        return self._sum


def plan_tiles(shape: tuple[int, int, int], contract: Contract) -> TilePlan:
    """Plan the tiles of a volume for a network.

    Answers cover the volume. Around the volume, a network whose answer is as large as its input also gets
    padding of a quarter of the overlap, as far as that takes no further tile: a voxel on the face of the box
    is then not on the face of a tile. Tiles are no larger than their number and the overlap ask for.

    Parameters
    ----------
    shape : tuple of int
        Voxels (z, y, x) of the volume.
    contract : Contract
        What the network asks of its input.

    Returns
    -------
    TilePlan
    """
    axes = tuple(_plan_axis(n, contract) for n in shape)
    return TilePlan(shape, (axes[0], axes[1], axes[2]), contract.margin, contract.overlap)


def _plan_axis(n: int, contract: Contract) -> AxisPlan:
    margin, multiple, overlap = contract.margin, contract.multiple, contract.overlap
    padding = 0 if margin else overlap // 4
    block = contract.tile - 2 * margin
    if n <= block:
        edge = min(contract.tile, _round_up(n + 2 * padding + 2 * margin, multiple))
        spare = edge - 2 * margin - n
        return AxisPlan(edge, (-margin - min(padding, spare // 2),))
    to_answer = n + 2 * padding
    step = (block - overlap) // multiple * multiple
    gaps = math.ceil(_round_up(to_answer - block, multiple) / step)
    for edge in range(multiple, contract.tile + 1, multiple):
        block = edge - 2 * margin
        last = _round_up(to_answer - block, multiple) // multiple
        if math.ceil(last / gaps) * multiple <= block - overlap:
            break
    # starts are spread evenly; whole multiples keep the phase of the pooling the same in all tiles
    starts = [last * i // gaps * multiple - padding - margin for i in range(gaps + 1)]
    return AxisPlan(edge, tuple(starts))


def _fade(length: int, overlap: int) -> NDArray[np.float32]:
    """Return weights along one axis: 1 inside, falling as a squared sine over the overlap, never 0."""
    depth = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
    ramp = np.minimum(depth / max(overlap, 1), 1) if overlap else np.ones(length)
    return (np.sin(np.pi / 2 * ramp) ** 2).astype(np.float32)


def _round_up(n: int, multiple: int) -> int:
    return math.ceil(n / multiple) * multiple
