"""Takes a network over the tiles of a map and gathers its answers, keeping every device busy.

While the network sees one tile, the next is cut and normalised, and the answer to the last is weighted and
stored, each in a thread of its own. With several devices each takes the next tile as soon as it is free; the
sums are whole numbers, so that the result does not depend on who was first.
"""

import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.classes import CLASSES
from haruspex_infer.field import Field
from haruspex_infer.normalise import Normaliser
from haruspex_infer.plan import Plan
from haruspex_infer.session import Session
from haruspex_infer.stages import since_start
from haruspex_infer.tiles import Tile

Progress = Callable[[int, int], None]


class Sweep:
    """One pass over the tiles of a plan.

    Parameters
    ----------
    plan : Plan
    normaliser : Normaliser
    progress : callable, optional
        Called with the number of tiles done and their total.

    Attributes
    ----------
    field : Field
        What the network answered.
    first_tile : float or None
        Seconds from the start of the process to the first answer.
    """

    def __init__(self, plan: Plan, normaliser: Normaliser, progress: Progress | None = None) -> None:
        self.field = Field(plan.survey.region, plan.working.shape)
        self.first_tile: float | None = None
        self._plan, self._normaliser, self._progress = plan, normaliser, progress
        self._waiting = iter(plan.tiles.tiles)
        self._lock = threading.Lock()
        self._done = 0
        self._stopped = False

    def run(self, sessions: list[Session]) -> Field:
        """Answer all tiles, on all devices; return the field.

        Raises
        ------
        OutOfMemoryError
            If a device has no room for a tile.
        HaruspexError
            If a device fails.
        """
        if len(sessions) == 1:
            self._serve(sessions[0])
            return self.field
        with ThreadPoolExecutor(len(sessions)) as pool:
            for served in [pool.submit(self._serve, session) for session in sessions]:
                served.result()
        return self.field

    def _serve(self, session: Session) -> None:
        """Let one device answer tiles until none is left."""
        # two of each: one in use by the network, one being filled or emptied
        inputs, answers = _Buffers(1), _Buffers(len(CLASSES))
        stored: list[Future[None]] = []
        with ThreadPoolExecutor(1) as before, ThreadPoolExecutor(1) as after:
            try:
                ahead = before.submit(self._cut_next, inputs)
                while (found := ahead.result()) is not None:
                    tile, density = found
                    ahead = before.submit(self._cut_next, inputs)
                    if len(stored) > 1:  # the buffer that comes next is free again
                        stored.pop(0).result()
                    margin = self._plan.tiles.margin
                    edges = tuple(edge - 2 * margin for edge in tile.shape)
                    answer = session.run(density[None], answers.next(edges)[None])[0]
                    self.first_tile = self.first_tile or since_start()
                    stored.append(after.submit(self._store, tile, answer))
                for storing in stored:
                    storing.result()
            except BaseException:
                self._stopped = True
                raise

    def _cut_next(self, inputs: "_Buffers") -> tuple[Tile, NDArray[np.float32]] | None:
        """Cut the next tile out of the density and normalise it; 0 (solvent) beyond the volume."""
        with self._lock:
            tile = None if self._stopped else next(self._waiting, None)
        if tile is None:
            return None
        source, place = self._plan.tiles.places(tile)
        density = inputs.next(tile.shape)
        density[...] = 0
        density[(0, *place)] = self._normaliser.apply(
            self._plan.density[source], self._plan.offset, self._plan.scale
        )
        return tile, density

    def _store(self, tile: Tile, answer: NDArray[np.float32]) -> None:
        tiles = self._plan.tiles
        self.field.add(tiles.first_answered(tile), answer, tiles.share(tile))
        with self._lock:
            self._done += 1
            done = self._done
        if self._progress is not None:
            self._progress(done, len(tiles.tiles))


class _Buffers:
    """Two arrays in turn, as large as the largest tile asked for; tiles come largest first."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._turns = self._rotate()
        self._edges: tuple[int, ...] = ()

    def next(self, edges: tuple[int, ...]) -> NDArray[np.float32]:
        """Return the next array, shape (channels, z, y, x), with whatever it held."""
        self._edges = edges
        return next(self._turns)

    def _rotate(self) -> Iterator[NDArray[np.float32]]:
        pair = [np.empty(0, np.float32), np.empty(0, np.float32)]
        turn = 0
        while True:
            size = self._channels * math.prod(self._edges)
            if pair[turn].size < size:
                pair[turn] = np.empty(size, np.float32)
            yield pair[turn][:size].reshape(self._channels, *self._edges)
            turn = 1 - turn
