"""Takes a network over the tiles of a map and gathers its answers, keeping every device busy.

While the network sees one tile, the next are cut and normalised, and the answers to the last are weighted and
stored, in threads of their own: one for each on a CPU, several beside a GPU, which is faster than they are.
With several devices each takes the next tile as soon as it is free; the sums are whole numbers, so that the
result does not depend on who was first.
"""

import math
import threading
from collections import deque
from collections.abc import Callable
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
        self._most_ahead = 1
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
        # no device takes tiles in advance that another could have answered
        self._most_ahead = max(1, len(self._plan.tiles.tiles) // (2 * len(sessions)))
        if len(sessions) == 1:
            self._serve(sessions[0])
            return self.field
        with ThreadPoolExecutor(len(sessions)) as pool:
            for served in [pool.submit(self._serve, session) for session in sessions]:
                served.result()
        return self.field

    def _serve(self, session: Session) -> None:
        """Let one device answer tiles until none is left."""
        # one of each is in use by the network, the others are being filled or emptied
        helpers, margin = min(session.helpers, self._most_ahead), self._plan.tiles.margin
        inputs, answers = _Buffers(1, helpers + 1), _Buffers(len(CLASSES), helpers + 1)
        cut: deque[tuple[Tile, Future[NDArray[np.float32]]]] = deque()
        stored: deque[Future[None]] = deque()
        with ThreadPoolExecutor(helpers) as before, ThreadPoolExecutor(helpers) as after:

            def look_ahead() -> None:
                while len(cut) < helpers and (tile := self._next()) is not None:
                    cut.append((tile, before.submit(self._cut, tile, inputs.next(tile.shape))))

            try:
                look_ahead()
                while cut:
                    tile, cutting = cut.popleft()
                    density = cutting.result()
                    look_ahead()
                    if len(stored) > helpers:  # the buffer that comes next is free again
                        stored.popleft().result()
                    edges = tuple(edge - 2 * margin for edge in tile.shape)
                    answer = session.run(density[None], answers.next(edges)[None], last=not cut)[0]
                    self.first_tile = self.first_tile or since_start()
                    stored.append(after.submit(self._store, tile, answer))
                for storing in stored:
                    storing.result()
            except BaseException:
                self._stopped = True
                raise

    def _next(self) -> Tile | None:
        """Return the next tile that no device has taken."""
        with self._lock:
            return None if self._stopped else next(self._waiting, None)

    def _cut(self, tile: Tile, density: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cut a tile out of the density and normalise it; 0 (solvent) beyond the volume."""
        source, place = self._plan.tiles.places(tile)
        density[...] = 0
        density[(0, *place)] = self._normaliser.apply(
            self._plan.density[source], self._plan.offset, self._plan.scale
        )
        return density

    def _store(self, tile: Tile, answer: NDArray[np.float32]) -> None:
        tiles = self._plan.tiles
        self.field.add(tiles.first_answered(tile), answer, tiles.share(tile))
        self._plan.map.forget()
        with self._lock:
            self._done += 1
            done = self._done
        if self._progress is not None:
            self._progress(done, len(tiles.tiles))


class _Buffers:
    """Arrays in turn, as large as the largest tile asked for; tiles come largest first."""

    def __init__(self, channels: int, number: int) -> None:
        self._channels = channels
        self._arrays = deque(np.empty(0, np.float32) for _ in range(number))

    def next(self, edges: tuple[int, ...]) -> NDArray[np.float32]:
        """Return the next array, shape (channels, z, y, x), with whatever it held."""
        size = self._channels * math.prod(edges)
        array = self._arrays.popleft()
        if array.size < size:
            array = np.empty(size, np.float32)
        self._arrays.append(array)
        return array[:size].reshape(self._channels, *edges)
