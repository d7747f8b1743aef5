"""Curves in space as rows of points (x, y, z) in Å: what axes and traces are made of."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def length(line: Points) -> float:
    """Return the length of a line in Å."""
    return float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())


def arc(line: Points) -> NDArray[np.float64]:
    """Return how far along a line each of its points lies, in Å, shape (n,)."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])


def at(line: Points, places: NDArray[np.float64]) -> Points:
    """Return the points at distances along a line, in Å from its first point."""
    along = arc(line)
    return np.stack([np.interp(places, along, line[:, axis]) for axis in range(3)], axis=1)


def evenly(line: Points, spacing: float) -> Points:
    """Return points along a line, both ends included, as close to `spacing` Å apart as whole steps allow."""
    total = length(line)
    return at(line, np.linspace(0, total, max(1, round(total / spacing)) + 1))


def tangents(line: Points) -> Points:
    """Return the direction of a line at each of its points, as unit vectors, shape (n, 3)."""
    change = np.gradient(line, axis=0)
    return change / np.maximum(np.linalg.norm(change, axis=1, keepdims=True), 1e-9)


def smoothed(line: Points, half: int) -> Points:
    """Average each point with `half` neighbours on either side; the ends stay where they are.

    Beyond an end the line counts as going on point-symmetrically.
    """
    half = min(half, len(line) - 1)
    if half < 1:
        return line
    before = 2 * line[0] - line[half:0:-1]
    after = 2 * line[-1] - line[-2 : -2 - half : -1]
    padded = np.concatenate([before, line, after])
    kernel = np.full(2 * half + 1, 1 / (2 * half + 1))
    return np.stack([np.convolve(padded[:, axis], kernel, "valid") for axis in range(3)], axis=1)


def split_at_kinks(line: Points, arm: int, limit: float) -> list[Points]:
    """Cut a line where it turns by more than `limit` degrees between its last and its next `arm` steps.

    The sharpest kink is cut first; the pieces share the point of the cut.
    """
    if len(line) < 2 * arm + 1:
        return [line]
    middle = line[arm:-arm]
    turn = np.zeros(len(line))
    turn[arm:-arm] = angle(middle - line[: -2 * arm], line[2 * arm :] - middle)
    cuts = [0, len(line) - 1]
    while turn.max() > limit:
        sharpest = int(turn.argmax())
        cuts.append(sharpest)
        turn[max(0, sharpest - arm) : sharpest + arm + 1] = 0
    cuts.sort()
    return [line[first : last + 1] for first, last in pairwise(cuts)]


def angle(one: Points, other: Points) -> NDArray[np.float64]:
    """Return the angles in degrees between vectors, shape (..., 3)."""
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    cosine = (one * other).sum(axis=-1) / np.maximum(lengths, 1e-9)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def beside(
    line: Points, other: Points, nearest: float, farthest: float, slant: float
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Tell which points of a line run beside another line.

    Parameters
    ----------
    line, other : ndarray, shapes (n, 3) and (m, 3)
        Points should lie no farther apart than the accuracy asked for.
    nearest, farthest : float
        Å between the two lines.
    slant : float
        Degrees by which their directions may differ; the sense of a line does not count.

    Returns
    -------
    beside : ndarray of bool, shape (n,)
    distance : ndarray, shape (n,)
        Å from each point to the nearest of the other line.
    """
    apart = np.linalg.norm(line[:, None] - other[None], axis=2)
    partner = apart.argmin(axis=1)
    distance = apart[np.arange(len(line)), partner]
    parallel = np.abs((tangents(line) * tangents(other)[partner]).sum(axis=1)) >= np.cos(np.radians(slant))
    return (distance >= nearest) & (distance <= farthest) & parallel, distance
