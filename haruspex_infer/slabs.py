"""Work on a volume in slabs of sections, on several cores, within a bounded amount of memory."""

import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from numpy.typing import NDArray

from haruspex_infer.resources import available_cores

Result = TypeVar("Result")

SLAB_VOXELS = 2**20


def slabs(shape: tuple[int, ...], voxels: int = SLAB_VOXELS, multiple: int = 1) -> list[tuple[int, int]]:
    """Return the first section of each slab and the one after its last.

    The slabs depend on the shape alone, so that sums over them come out the same on every machine.

    Parameters
    ----------
    shape : tuple of int
        Voxels (z, y, x).
    voxels : int
        Voxels that a slab should have.
    multiple : int
        Slabs begin at multiples of this.
    """
    depth = max(1, voxels // max(1, math.prod(shape[1:])))
    depth = max(1, depth // multiple) * multiple
    return [(first, min(first + depth, shape[0])) for first in range(0, shape[0], depth)]


def is_uniform(volume: NDArray) -> bool:
    """Return whether a volume is a single number seen at every voxel: most of a box is solvent."""
    return not any(volume.strides)


def in_threads(work: Callable[[int, int], Result], parts: list[tuple[int, int]]) -> Iterator[Result]:
    """Yield what `work` returns for each slab, in their order, working a few slabs ahead on all cores."""
    threads = available_cores()
    if threads == 1 or len(parts) == 1:
        yield from (work(*part) for part in parts)
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for part in parts:
            waiting.append(pool.submit(work, *part))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
