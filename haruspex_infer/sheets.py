"""Which strands lie side by side, and the sheets that they make."""

from collections.abc import Iterable
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
_CROSSING = 2.0  # Å between traces that cross


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


def strand_pairs(traces: list[Points]) -> dict[tuple[int, int], float]:
    """Return the pairs of traces that run side by side at the distance of hydrogen-bonded strands.

    Parameters
    ----------
    traces : list of ndarray, shapes (n, 3)
        Å.

    Returns
    -------
    dict of (int, int) to float
        Indices, the smaller first, and the Å over which the two run so.
    """
    fine = [evenly(trace, _FINE) for trace in traces]
    boxes = [(line.min(axis=0) - FARTHEST, line.max(axis=0) + FARTHEST) for line in fine]
    found = {}
    for i, one in enumerate(fine):
        for j in range(i + 1, len(fine)):
            if (boxes[i][0] > boxes[j][1] - FARTHEST).any() or (boxes[i][1] < boxes[j][0] + FARTHEST).any():
                continue
            reach = min(_contact(one, fine[j]), _contact(fine[j], one))
            if reach >= SHORTEST_CONTACT:
                found[i, j] = reach
    return found


def _contact(one: Points, other: Points) -> float:
    """Å of a trace that run beside another; 0 where it lies nearer or farther than a neighbour."""
    contact, distance = beside(one, other, NEAREST, FARTHEST, _SLANT)
    fits = contact.any() and MEDIAN[0] <= np.median(distance[contact]) <= MEDIAN[1]
    return float(contact.sum()) * _FINE if fits else 0.0


def uncrossed(traces: list[Points], pairs: dict[tuple[int, int], float]) -> list[int]:
    """Choose among traces that cross each other.

    Where a sheet is hardly more than a slab, crests lead across its strands as well as along them. Those
    along the strands run side by side at the distance of hydrogen bonds, those across do so by chance only.
    So the trace that runs longest beside others stands, and those that it crosses fall, until none crosses
    another.

    Parameters
    ----------
    traces : list of ndarray, shapes (n, 3)
        Å; of those that run as long beside others the first is chosen.
    pairs : dict of (int, int) to float
        As `strand_pairs` gives them.

    Returns
    -------
    list of int
        Indices of the traces that stand, in their order.
    """
    crossed = _crossings(traces)
    beside_of: list[list[tuple[int, float]]] = [[] for _ in traces]
    support = np.zeros(len(traces))
    for (i, j), reach in pairs.items():
        beside_of[i].append((j, reach))
        beside_of[j].append((i, reach))
        support[[i, j]] += reach
    undecided = np.ones(len(traces), bool)
    chosen = []
    while undecided.any():
        best = int(np.where(undecided, support, -1).argmax())
        chosen.append(best)
        undecided[best] = False
        for fallen in crossed[best]:
            if undecided[fallen]:
                undecided[fallen] = False
                for other, reach in beside_of[fallen]:
                    support[other] -= reach
    return sorted(chosen)


def _crossings(traces: list[Points]) -> list[set[int]]:
    """Return for each trace those that come as near as only traces that cross do."""
    from scipy.spatial import cKDTree

    crossed: list[set[int]] = [set() for _ in traces]
    if traces:
        fine = [evenly(trace, _FINE) for trace in traces]
        owner = np.repeat(np.arange(len(fine)), [len(line) for line in fine])
        near = owner[cKDTree(np.concatenate(fine)).query_pairs(_CROSSING, output_type="ndarray")]
        for i, j in np.unique(near[near[:, 0] != near[:, 1]], axis=0).tolist():
            crossed[i].add(j)
            crossed[j].add(i)
    return crossed


def sheets(count: int, pairs: Iterable[tuple[int, int]]) -> list[Sheet]:
    """Group strands that are neighbours into sheets.

    Parameters
    ----------
    count : int
        Number of strands.
    pairs : iterable of (int, int)
        Indices of neighbours, the smaller first.

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
