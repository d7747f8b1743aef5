"""Ridges of a density: the curves along which helices and strands run.

A voxel's own surroundings hardly tell which way a rod runs where rods touch. So each point is judged by the
mean density along a short line through it, and the line's direction is chosen to make that mean largest; a
trace follows the direction step by step and stays on the crest. For ridges as curvilinear structures see
Steger (1998), IEEE Trans. Pattern Anal. Mach. Intell. 20, 113.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.grid import Grid
from haruspex_infer.lines import Points

_SPACING = 1.0  # Å between the samples of a line
_AT_ONCE = 2**21  # samples; bounds the memory that a large map takes
_FAN = 64  # directions over half a sphere: about 16° from each to the next
_SHARPNESS = 12  # places and directions count by their mean density to this power
_LONGEST = 400  # steps of a trace in one direction; ends one that runs in circles

_Step = tuple[Points, Points]  # a point of a trace and the direction there


@dataclass(frozen=True)
class RidgeSettings:
    """What the ridges of one class look like.

    Parameters
    ----------
    blur : float
        Standard deviation, Å, of the Gaussian that turns the density into a rod without detail.
    surround_blur, surround : float
        Standard deviation of a wider Gaussian, and the share of it that is taken off: it deepens the valley
        between rods that touch.
    half_line : float
        Å on either side of a point over which the density along a line is averaged.
    step : float
        Å from one point of a trace to the next.
    turn : float
        Degrees by which a trace may turn within a step.
    seed, floor : float
        Height at which a trace may begin, and below which it ends; 1 is typical of the whole molecule.
    drop : float
        A trace also ends where its height falls below this share of its median so far.
    apart : float
        Å; traces keep this distance from each other,
    cross : float
        unless their directions differ by more degrees than this.
    """

    blur: float
    surround_blur: float
    surround: float
    half_line: float
    step: float
    turn: float
    seed: float
    floor: float
    drop: float
    apart: float
    cross: float


class Ridges:
    """Traces the ridges of a class, one after the other, the strongest first.

    Parameters
    ----------
    density : ndarray, shape (z, y, x)
        Non-negative density of everything.
    share : ndarray, shape (z, y, x)
        How much of it belongs to the class, 0 to 1.
    grid : Grid
        Where the voxels lie.
    settings : RidgeSettings
    """

    def __init__(
        self,
        density: NDArray[np.float32],
        share: NDArray[np.float32],
        grid: Grid,
        settings: RidgeSettings,
    ) -> None:
        self.grid = grid
        self.settings = settings
        whole = self._blurred(density)
        typical = float((whole * density).sum(dtype=np.float64) / max(density.sum(dtype=np.float64), 1e-9))
        self.height = self._blurred(density * share) / max(typical, 1e-9)
        count = round(settings.half_line / _SPACING)
        self._along = np.arange(-count, count + 1) * _SPACING
        taper = np.exp(-0.5 * (self._along / (0.6 * settings.half_line)) ** 2)
        self._taper = taper / taper.sum()

    def at(self, points: Points) -> NDArray[np.float64]:
        """Return the height at points (x, y, z), shape (..., 3); 0 outside the map."""
        from scipy.ndimage import map_coordinates

        indices = self.grid.indices(points.reshape(-1, 3)).T
        values = map_coordinates(self.height, indices, order=1, mode="constant", output=np.float64)
        return values.reshape(points.shape[:-1])

    def along(self, points: Points, directions: Points) -> NDArray[np.float64]:
        """Return the mean height along lines through points; the shapes (..., 3) are broadcast."""
        lines = points[..., None, :] + self._along[:, None] * directions[..., None, :]
        return self.at(lines) @ self._taper

    def traces(self) -> Iterator[Points]:
        """Yield traces as points (n, 3), `step` apart."""
        from scipy.spatial import cKDTree

        settings = self.settings
        places, directions = self._seeds()
        if len(places) == 0:
            return
        tree = cKDTree(places)
        free = np.ones(len(places), bool)
        taken = _Taken(settings.apart, settings.cross)
        for number in range(len(places)):
            if not free[number]:
                continue
            point, direction = self._settle(places[number], directions[number], 2.0, turn=15)
            height = float(self.along(point, direction))
            if height < settings.seed or taken.near(point, direction):
                continue
            ahead = self._follow(point, direction, height, taken)
            behind = self._follow(point, -direction, height, taken)
            trace, along = np.array([*behind[::-1], (point, direction), *ahead]).transpose(1, 0, 2)
            taken.add(trace, along)
            for crowd, there in zip(tree.query_ball_point(trace, settings.apart), along, strict=True):
                free[crowd] &= ~taken.parallel(directions[crowd], there)
            yield trace

    def _blurred(self, volume: NDArray[np.float32]) -> NDArray[np.float32]:
        from scipy.ndimage import gaussian_filter

        s = self.settings
        near, far = (
            gaussian_filter(volume, [blur / edge for edge in self.grid.voxel_size], mode="constant")
            for blur in (s.blur, s.surround_blur)
        )
        return np.clip(near - np.float32(s.surround) * far, 0, None)

    def _summits(self) -> NDArray[np.bool_]:
        """Voxels higher than both neighbours on two axes or three, as the voxels of a crest are."""
        count = np.zeros(self.height.shape, np.uint8)
        for axis in range(3):
            height, found = np.moveaxis(self.height, axis, 0), np.moveaxis(count, axis, 0)
            found[1:-1] += (height[1:-1] >= height[:-2]) & (height[1:-1] >= height[2:])
        return count >= 2

    def _seeds(self) -> tuple[Points, Points]:
        """Voxels that may begin a trace and the direction of the highest line through each, highest first."""
        places = self.grid.positions(np.argwhere(self._summits() & (self.height >= 0.9 * self.settings.seed)))
        fan = half_sphere(_FAN)
        heights = np.empty(len(places))
        directions = np.empty_like(places)
        block = max(1, _AT_ONCE // (len(fan) * len(self._along)))
        for start in range(0, len(places), block):
            part = slice(start, start + block)
            values = self.along(places[part, None, :], fan)
            best = values.argmax(axis=1)
            heights[part] = values[np.arange(len(best)), best]
            directions[part] = fan[best]
        kept = np.flatnonzero(heights >= self.settings.seed)
        sides = _frame(directions)
        away = 0.8 * max(self.grid.voxel_size)
        for turned in np.arange(6) * np.pi / 3:  # on a crest nothing a voxel to the side is higher
            offset = away * (np.cos(turned) * sides[0][kept] + np.sin(turned) * sides[1][kept])
            kept = kept[self.along(places[kept] + offset, directions[kept]) <= heights[kept]]
        kept = kept[np.argsort(-heights[kept], kind="stable")]
        return places[kept], directions[kept]

    def _follow(self, point: Points, direction: Points, height: float, taken: "_Taken") -> list[_Step]:
        """Points of a trace from a point on, without that point, and the direction at each."""
        settings = self.settings
        found: list[_Step] = []
        heights = [height]
        while len(found) < _LONGEST:
            ahead = point + settings.step * direction
            settled, turned = self._settle(ahead, direction, 0.5 * settings.step, 0.5 * settings.turn)
            height = float(self.along(settled, turned))
            if height < max(settings.floor, settings.drop * float(np.median(heights))):
                break
            if taken.near(settled, turned):
                break
            moved = settled - point
            if moved @ direction < 0.3 * settings.step:  # the crest ends here
                break
            earlier = np.array([place for place, _ in found[:-5]]).reshape(-1, 3)
            if (np.linalg.norm(earlier - settled, axis=1) < settings.apart).any():
                break
            heights.append(height)
            found.append((settled, turned))
            point, direction = settled, turned
        return found

    def _settle(
        self, point: Points, direction: Points, sideways: float, turn: float
    ) -> tuple[Points, Points]:
        """Move a point across its direction to the crest, and turn the direction along it, in two rounds."""
        for _ in range(2):
            side, other = _frame(direction)
            around = _RINGS[:, :1] * side + _RINGS[:, 1:] * other
            cone = direction + np.tan(np.radians(turn)) * around
            cone /= np.linalg.norm(cone, axis=1, keepdims=True)
            direction = _weighted(cone, self.along(point, cone))
            direction /= np.linalg.norm(direction)
            disc = point + sideways * around
            point = _weighted(disc, self.along(disc, direction))
        return point, direction


class _Taken:
    """Where traces already run, and in which directions."""

    def __init__(self, apart: float, cross: float) -> None:
        self._apart = apart
        self._cosine = np.cos(np.radians(cross))
        self._points = np.empty((0, 3))
        self._directions = np.empty((0, 3))

    def near(self, point: Points, direction: Points) -> bool:
        close = np.square(self._points - point).sum(axis=1) < self._apart**2
        return bool(self.parallel(self._directions[close], direction).any())

    def parallel(self, directions: Points, direction: Points) -> NDArray[np.bool_]:
        """Tell which directions are too much like another to cross it."""
        return np.abs(directions @ direction) >= self._cosine

    def add(self, trace: Points, directions: Points) -> None:
        self._points = np.concatenate([self._points, trace])
        self._directions = np.concatenate([self._directions, directions])


def half_sphere(count: int) -> Points:
    """Return directions spread evenly over half a sphere, shape (count, 3)."""
    height = (np.arange(count) + 0.5) / count
    turn = np.pi * (1 + 5**0.5) * np.arange(count)
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), height], axis=1)


def _frame(directions: Points) -> tuple[Points, Points]:
    """Two directions across each direction, shapes (..., 3)."""
    helper = np.eye(3)[np.abs(directions).argmin(axis=-1)]
    side = _cross(directions, helper)
    side /= np.linalg.norm(side, axis=-1, keepdims=True)
    return side, _cross(directions, side)


def _cross(one: Points, other: Points) -> Points:
    """Return the cross product; numpy's takes five times as long for single vectors."""
    (a, b, c), (d, e, f) = (np.moveaxis(v, -1, 0) if v.ndim > 1 else v for v in (one, other))
    return np.stack([b * f - c * e, c * d - a * f, a * e - b * d], axis=-1)


_RINGS = np.array(
    [(0.0, 0.0)]
    + [(0.5 * np.cos(a), 0.5 * np.sin(a)) for a in np.arange(6) * np.pi / 3]
    + [(np.cos(a), np.sin(a)) for a in (np.arange(12) + 0.5) * np.pi / 6]
)
"""A point, and two rings around it, of radius 0.5 and 1."""


def _weighted(places: Points, heights: NDArray[np.float64]) -> Points:
    highest = heights.max()
    if highest <= 0:
        return places[0]
    weights = np.clip(heights / highest, 0, 1) ** _SHARPNESS
    return weights @ places / weights.sum()
