"""Which strands lie side by side, and the sheets that they make."""

from dataclasses import dataclass

import numpy as np

from haruspex_infer.lines import Points, beside, evenly

NEAREST, FARTHEST = 3.6, 6.4
"""Å between points of neighbouring strands."""

MEDIAN = (4.2, 5.8)
"""Å between neighbouring strands, in the middle of their contact; 4.5 to 5.5 in models."""

SHORTEST_CONTACT = 4.0
"""Å over which two strands must run side by side."""

_SLANT = 40.0  # degrees; neighbours are twisted against each other by about 20
_FINE = 0.5  # Å


@dataclass(frozen=True)
class Sheet:
    """Strands that lie side by side.

    Attributes
    ----------
    number : int
        Counted from 1.
    strands : tuple of int
        Indices of its strands, in the order in which they lie where they lie in a row.
    pairs : tuple of (int, int)
        Strands that are neighbours; a closed barrel has as many pairs as strands.
    """

    number: int
    strands: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]


def strand_pairs(traces: list[Points]) -> list[tuple[int, int]]:
    """Return the pairs of traces that run side by side at the distance of hydrogen-bonded strands.

    Parameters
    ----------
    traces : list of ndarray, shapes (n, 3)
        Å.

    Returns
    -------
    list of (int, int)
        Indices, the smaller first.
    """
    fine = [evenly(trace, _FINE) for trace in traces]
    boxes = [(line.min(axis=0) - FARTHEST, line.max(axis=0) + FARTHEST) for line in fine]
    found = []
    for i, one in enumerate(fine):
        for j in range(i + 1, len(fine)):
            if (boxes[i][0] > boxes[j][1] - FARTHEST).any() or (boxes[i][1] < boxes[j][0] + FARTHEST).any():
                continue
            contact, distance = beside(one, fine[j], NEAREST, FARTHEST, _SLANT)
            if contact.sum() * _FINE < SHORTEST_CONTACT:
                continue
            if MEDIAN[0] <= np.median(distance[contact]) <= MEDIAN[1]:
                found.append((i, j))
    return found


def sheets(count: int, pairs: list[tuple[int, int]]) -> list[Sheet]:
    """Group strands that are neighbours into sheets.

    Parameters
    ----------
    count : int
        Number of strands.
    pairs : list of (int, int)
        As `strand_pairs` gives them.

    Returns
    -------
    list of Sheet
        The largest first; a strand without neighbour belongs to none.
    """
    neighbours: list[list[int]] = [[] for _ in range(count)]
    for i, j in pairs:
        neighbours[i].append(j)
        neighbours[j].append(i)
    left = {strand for strand in range(count) if neighbours[strand]}
    orders = []
    while left:
        group = _reached(min(left), neighbours)
        # a row is walked from one of its ends, a barrel from anywhere
        start = min(group, key=lambda strand: (len(neighbours[strand]) != 1, strand))
        orders.append(_walk(start, neighbours))
        left -= group
    orders.sort(key=lambda order: (-len(order), order))
    return [
        Sheet(number, tuple(order), tuple(pair for pair in pairs if pair[0] in order))
        for number, order in enumerate(orders, 1)
    ]


def _reached(start: int, neighbours: list[list[int]]) -> set[int]:
    return set(_walk(start, neighbours))


def _walk(start: int, neighbours: list[list[int]]) -> list[int]:
    """Strands in the order of a walk that goes on to neighbours as long as it can."""
    order: list[int] = []
    waiting = [start]
    while waiting:
        strand = waiting.pop()
        if strand in order:
            continue
        order.append(strand)
        waiting += sorted((s for s in neighbours[strand] if s not in order), reverse=True)
    return order
