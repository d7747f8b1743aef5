"""Lays tiles over the occupied part of a volume so that a network computes as few voxels as possible.

Every occupied cell belongs to the core of one tile. A tile reaches beyond its core by half the overlap that
the network asks for (and by the network's margin), unless the volume ends earlier. Where tiles overlap, their
answers fade into each other. All tiles begin at multiples of the network's pooling and of the cells, so that
the phase of the pooling is the same in all of them and answers fall into cells.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.grid import Box
from haruspex_infer.network import Contract
from haruspex_infer.occupancy import CELL

Origin = tuple[int, int, int]

# starting a tile costs about as much as these many voxels
_START = 32**3
_WORTHWHILE = 0.995


@dataclass(frozen=True)
class Tile:
    """A part of a volume that a network sees at once.

    Attributes
    ----------
    start : tuple of int
        First voxel (z, y, x) of the input; negative where it begins outside the volume.
    shape : tuple of int
        Voxels of the input.
    answered : tuple of int
        Voxels of the answer that count; they begin after the network's margin.
    """

    start: Origin
    shape: tuple[int, int, int]
    answered: tuple[int, int, int]

    @property
    def voxels(self) -> int:
        """Voxels of the input."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class TilePlan:
    """Tiles of a volume, the largest first.

    Attributes
    ----------
    tiles : tuple of Tile
    volume : tuple of int
        Voxels (z, y, x) of the volume.
    margin : int
        Voxels by which an answer is smaller than its tile on every side.
    overlap : int
        Voxels over which answers fade.
    """

    tiles: tuple[Tile, ...]
    volume: tuple[int, int, int]
    margin: int
    overlap: int

    @property
    def voxels(self) -> int:
        """Voxels that the network computes."""
        return sum(tile.voxels for tile in self.tiles)

    @property
    def shapes(self) -> set[tuple[int, int, int]]:
        """Voxels along z, y and x that tiles have."""
        return {tile.shape for tile in self.tiles}

    @property
    def largest(self) -> int:
        """Voxels of the largest tile."""
        return max((tile.voxels for tile in self.tiles), default=0)

    def places(self, tile: Tile) -> tuple[Box, Box]:
        """Return where the part of the volume that a tile sees lies: in the volume, and in the tile."""
        return _common((0, 0, 0), self.volume, tile.start, tile.shape)

    def share(self, tile: Tile) -> NDArray[np.float32]:
        """Return the weight of a tile's answer at each of its answered voxels; weights of all tiles sum to 1.

        Within a tile the weight falls as a squared sine over the overlap towards its faces, where a network
        sees least of the surroundings.
        """
        mine = self._fade(tile)
        total = mine.copy()
        first = self.first_answered(tile)
        for other in self.tiles:
            here, there = _common(first, tile.answered, self.first_answered(other), other.answered)
            if other is not tile and all(part.stop > part.start for part in here):
                total[here] += self._fade(other, there)
        return np.divide(mine, total, out=mine)

    def first_answered(self, tile: Tile) -> Origin:
        """Return the voxel of the volume where a tile's answer begins."""
        z, y, x = (start + self.margin for start in tile.start)
        return z, y, x

    def _fade(self, tile: Tile, part: Box = (slice(None),) * 3) -> NDArray[np.float32]:
        z, y, x = (
            _ramp(length, self.overlap)[along] for length, along in zip(tile.answered, part, strict=True)
        )
        return z[:, None, None] * y[:, None] * x


def plan_tiles(
    contract: Contract,
    region: NDArray[np.bool_],
    volume: Origin,
    most_voxels: int,
    one_shape: bool = False,
) -> TilePlan:
    """Lay tiles over the occupied cells of a volume.

    The box around the cells is cut in two wherever that saves computing, again and again, until nothing more
    is saved and no tile has more voxels than allowed. Around the volume, a network whose answer is as large
    as its input gets padding of a quarter of the overlap, and beyond its far faces, where tiles may end
    anywhere, half of that at least: a voxel on the face of the volume is then not on the face of a tile.

    Parameters
    ----------
    contract : Contract
        What the network asks for.
    region : ndarray of bool
        Cells to annotate.
    volume : tuple of int
        Voxels (z, y, x).
    most_voxels : int
        Voxels that a tile may have, as far as possible.
    one_shape : bool
        Whether all tiles are cubes of one size, for devices where another shape costs more than it saves.

    Returns
    -------
    TilePlan
    """
    z, y, x = (slice(0, n) for n in region.shape)
    whole = _shrunk(region, (z, y, x))
    if whole is None:
        return TilePlan((), volume, contract.margin, contract.overlap)
    layout = _Layout(contract, whole, volume, most_voxels, one_shape)
    tiles = [layout.tile(box) for box in _boxes(layout, region, whole)]
    tiles.sort(key=lambda tile: (-tile.voxels, tile.start))
    return TilePlan(tuple(tiles), volume, contract.margin, contract.overlap)


class _Layout:
    """From a box of cells to the tile around it, and what that costs."""

    def __init__(
        self,
        contract: Contract,
        whole: Box,
        volume: Origin,
        most_voxels: int,
        one_shape: bool,
    ) -> None:
        self.margin, self.multiple = contract.margin, contract.multiple
        self.step = math.lcm(contract.multiple, CELL)
        self.context = contract.overlap // 2
        self.most_voxels = most_voxels
        padding = 0 if contract.margin else contract.overlap // 4 // self.step * self.step
        # where the molecule ends for good, there is as little to see as where the volume ends
        around = padding or self.context
        self.first = [max(part.start * CELL - around, -padding) for part in whole]
        self.last = [
            min(part.stop * CELL + around, n + padding // 2) for part, n in zip(whole, volume, strict=True)
        ]
        self.one_shape, edge = one_shape, round(most_voxels ** (1 / 3))
        if one_shape:
            self.multiple = max(edge // self.multiple, 1) * self.multiple
            self.most_voxels, edge = self.multiple**3, self.multiple
        self.core = max(CELL, edge - 2 * (self.context + self.margin))

    def extent(self, axis: int, low: NDArray, high: NDArray) -> tuple[NDArray, NDArray]:
        """Return the first answered voxel and the number of them for cells [low, high) along an axis."""
        first = np.maximum(low * CELL - self.context, self.first[axis]) // self.step * self.step
        last = np.minimum(high * CELL + self.context, self.last[axis])
        return first, -(-(last - first) // self.step) * self.step

    def cost(self, low: list[NDArray], high: list[NDArray]) -> NDArray[np.float64]:
        """Return the voxels to compute for boxes of cells; boxes larger than a tile count as several."""
        lengths = [self.extent(axis, low[axis], high[axis])[1] for axis in range(3)]
        edges = [(self.input_edge(length)).astype(np.float64) for length in lengths]
        whole = edges[0] * edges[1] * edges[2]
        cut = np.ones_like(whole)
        for axis in range(3):
            cells = (high[axis] - low[axis]) * CELL
            parts = np.ceil(cells / self.core)
            around = 2 * (self.context + self.margin)
            cut *= parts * self.multiple if self.one_shape else edges[axis] + (parts - 1) * around
        return np.where(whole <= self.most_voxels, whole, np.maximum(cut, whole)) + _START

    def input_edge(self, answered: NDArray) -> NDArray:
        """Return the edge of the input whose answer has at least this edge."""
        return -(-(answered + 2 * self.margin) // self.multiple) * self.multiple

    def tile(self, box: Box) -> Tile:
        start, shape, answered = [], [], []
        for axis, part in enumerate(box):
            first, length = self.extent(axis, np.array(part.start), np.array(part.stop))
            start.append(int(first) - self.margin)
            shape.append(int(self.input_edge(length)))
            answered.append(int(length))
        return Tile((start[0], start[1], start[2]), _triple(shape), _triple(answered))

    def fits(self, box: Box) -> bool:
        return self.tile(box).voxels <= self.most_voxels


def _boxes(layout: _Layout, region: NDArray[np.bool_], whole: Box) -> list[Box]:
    """Cut the box around occupied cells in two as long as that is worth it; return the boxes."""
    done: list[Box] = []
    waiting: list[Box | None] = [whole]
    while waiting:
        box = waiting.pop()
        if box is None:
            continue
        halves = _best_cut(layout, region, box)
        if halves is None:
            done.append(box)
        else:
            waiting += [_shrunk(region, half) for half in halves]
    return done


def _best_cut(layout: _Layout, region: NDArray[np.bool_], box: Box) -> tuple[Box, Box] | None:
    """Return the halves of a box with the least to compute, or None where cutting saves nothing."""
    cells = region[box]
    base = [part.start for part in box]
    whole = layout.cost([np.array(p.start) for p in box], [np.array(p.stop) for p in box])
    best, found = (math.inf if not layout.fits(box) else float(whole) * _WORTHWHILE), None
    for axis in range(3):
        n = cells.shape[axis]
        if n < 2:
            continue
        low, high = _prefix_extents(cells, axis)
        # the extents of what follows a cut are those of what precedes it in the mirrored box
        mirrored = _prefix_extents(np.flip(cells, axis), axis)
        low_after = [edges[::-1] for edges in mirrored[0]]
        high_after = [edges[::-1] for edges in mirrored[1]]
        low_after[axis], high_after[axis] = n - high_after[axis], n - low_after[axis]
        before = layout.cost(
            [low[a][:-1] + base[a] for a in range(3)], [high[a][:-1] + base[a] for a in range(3)]
        )
        after = layout.cost(
            [low_after[a][1:] + base[a] for a in range(3)], [high_after[a][1:] + base[a] for a in range(3)]
        )
        place = int(np.argmin(before + after))
        if before[place] + after[place] < best:
            best, found = float(before[place] + after[place]), (axis, base[axis] + place + 1)
    if found is None:
        return None
    axis, place = found
    first, second = list(box), list(box)
    first[axis], second[axis] = slice(box[axis].start, place), slice(place, box[axis].stop)
    return (first[0], first[1], first[2]), (second[0], second[1], second[2])


def _prefix_extents(cells: NDArray[np.bool_], axis: int) -> tuple[list[NDArray], list[NDArray]]:
    """Return the box around the occupied cells of the first k sections along an axis, for every k from 1."""
    low: list[NDArray] = [np.empty(0)] * 3
    high: list[NDArray] = [np.empty(0)] * 3
    for other in range(3):
        if other == axis:
            line = np.asarray(cells.any(axis=tuple(a for a in range(3) if a != axis)))
            reached = np.where(line, np.arange(1, len(line) + 1), 0)
            low[axis] = np.full(len(line), int(line.argmax()))
            high[axis] = np.maximum(np.maximum.accumulate(reached), low[axis])
            continue
        third = 3 - axis - other
        flat = cells.any(axis=third)
        if axis > other:
            flat = flat.T
        seen = np.logical_or.accumulate(flat, axis=0)
        low[other] = seen.argmax(axis=1)
        high[other] = np.where(seen.any(axis=1), seen.shape[1] - seen[:, ::-1].argmax(axis=1), low[other])
    return low, high


def _shrunk(region: NDArray[np.bool_], box: Box) -> Box | None:
    """Return the box around the occupied cells of a box, or None where there are none."""
    cells = region[box]
    parts = []
    for axis, part in enumerate(box):
        line = np.flatnonzero(cells.any(axis=tuple(a for a in range(3) if a != axis)))
        if len(line) == 0:
            return None
        parts.append(slice(part.start + int(line[0]), part.start + int(line[-1]) + 1))
    return parts[0], parts[1], parts[2]


def _common(start: Origin, shape: Origin, other: Origin, other_shape: Origin) -> tuple[Box, Box]:
    """Return what two boxes share: its place in the first, and in the second."""
    here, there = [], []
    for first, length, second, other_length in zip(start, shape, other, other_shape, strict=True):
        low, high = max(first, second), min(first + length, second + other_length)
        here.append(slice(low - first, max(low, high) - first))
        there.append(slice(low - second, max(low, high) - second))
    return (here[0], here[1], here[2]), (there[0], there[1], there[2])


def _ramp(length: int, overlap: int) -> NDArray[np.float32]:
    """Return weights along one axis: 1 inside, falling as a squared sine over the overlap, never 0."""
    depth = np.minimum(np.arange(length), np.arange(length)[::-1]) + 0.5
    ramp = np.minimum(depth / max(overlap, 1), 1) if overlap else np.ones(length)
    return (np.sin(np.pi / 2 * ramp) ** 2).astype(np.float32)


def _triple(values: list[int]) -> tuple[int, int, int]:
    return values[0], values[1], values[2]
