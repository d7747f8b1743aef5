"""Experimental segments among the simulated ones: parts of stored segments take the place of simulated parts.

Which parts of a batch, and what they hold, follows from the seed and the number of the batch, as everything
that training draws (`haruspex_train.chance`): a run that was stopped goes on with what it would have drawn,
and several processes draw together what one would.
"""

import hashlib
import json
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from haruspex_infer.errors import HaruspexError
from haruspex_infer.normalise import Normaliser
from haruspex_train.chance import seed_of
from haruspex_train.pool import ROTATIONS, SegmentPool, rotate
from haruspex_train.store import read_segments
from haruspex_train.tables import read_table
from haruspex_train.truth import IGNORE

KEPT_IN_MEMORY = 2000
"""Segments, 1 MB each, that are not read again: about as many as the paper had."""

Part = tuple[NDArray[np.float16], NDArray[np.uint8]]


class ExperimentalSegments:
    """The segments of a folder that train; those held out are left alone.

    Parameters
    ----------
    folder : Path
        Folder that ``haruspex segment`` wrote.

    Attributes
    ----------
    digest : str
        Tells one set of segments from another.

    Raises
    ------
    HaruspexError
        If the folder cannot be read, has no segment to train on, or holds density that was normalised in
        another way than inference does now.
    """

    def __init__(self, folder: Path) -> None:
        table = folder / "SEGMENTS.tsv"
        self.folder = folder
        self.rows = [row for row in read_table(table) if row.get("use") == "train"]
        if not self.rows:
            raise HaruspexError(f"{table} lists no segment to train on; cut some with 'haruspex segment'.")
        self._refuse_other_normalisation()
        self.digest = "sha256:" + hashlib.sha256(table.read_bytes()).hexdigest()
        self.read = lru_cache(KEPT_IN_MEMORY)(self._read)

    def __len__(self) -> int:
        return len(self.rows)

    def mixed_into(self, pool: SegmentPool, share: float) -> "MixedPool":
        """Return a pool that gives a share of these segments."""
        return MixedPool(pool, self, share)

    def _read(self, number: int) -> Part:
        density, labels = read_segments(self.folder, [self.rows[number]])
        return density[0], labels[0]

    def _refuse_other_normalisation(self) -> None:
        path = self.folder / f"{self.rows[0]['entry']}.h5"
        try:
            with h5py.File(path) as file:
                found = json.loads(file.attrs["normalisation"])
        except (OSError, KeyError, ValueError) as fault:
            raise HaruspexError(f"{path} cannot be read as segments: {fault}.") from fault
        if found != Normaliser().parameters():
            raise HaruspexError(
                f"{self.folder} holds density normalised in another way than networks see it now: cut the "
                "segments again with 'haruspex segment'."
            )


class MixedPool:
    """Batches of a pool of simulated segments, a share of whose parts are experimental.

    Parts are cut at random places and turned by one of the 24 rotations (paper, Generation of training
    segments). Where a network takes larger parts than the segments are, the rest is solvent and ignored.

    Parameters
    ----------
    simulated : SegmentPool
    segments : ExperimentalSegments
    share : float
        Share of all parts that are experimental, from 0 to 1; kept exactly in the long run.
    """

    def __init__(self, simulated: SegmentPool, segments: ExperimentalSegments, share: float) -> None:
        self.simulated, self.segments, self.share = simulated, segments, share
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="segments")
        self._ahead: tuple[tuple[int, int, int], Future[tuple[list[int], list[Part]]]] | None = None

    def batch(self, n: int, edge: int) -> tuple[Tensor, Tensor]:
        """Cut random parts; see `SegmentPool.batch`."""
        density, labels = self.simulated.batch(n, edge)
        asked = (self.simulated.step, n, edge)
        ahead, self._ahead = self._ahead, None
        places, parts = ahead[1].result() if ahead and ahead[0] == asked else self._parts(*asked)
        # the next batch is read while the network is busy with this one
        following = (self.simulated.step + 1, n, edge)
        self._ahead = (following, self._reader.submit(self._parts, *following))
        if places:
            at = torch.tensor(places, device=density.device)
            measured = torch.from_numpy(np.stack([part[0] for part in parts]))
            truth = torch.from_numpy(np.stack([part[1] for part in parts]))
            density[at] = measured.to(density.device, non_blocking=True)[:, None].float()
            labels[at] = truth.to(labels.device, non_blocking=True)
        return density, labels

    def _parts(self, step: int, n: int, edge: int) -> tuple[list[int], list[Part]]:
        """Places in this process's share of a batch, and what goes there."""
        draw = np.random.default_rng(seed_of(self.simulated.seed, "experimental", step))
        number = int(step * n * self.share) - int((step - 1) * n * self.share)
        each = n // self.simulated.lanes
        first, end = self.simulated.own.start * each, self.simulated.own.stop * each
        places, parts = [], []
        # all processes draw all numbers and keep those of their lanes
        for place in draw.permutation(n)[:number].tolist():
            which, turn = int(draw.integers(len(self.segments))), int(draw.integers(len(ROTATIONS)))
            where = draw.random(3)
            if first <= place < end:
                density, labels = self.segments.read(which)
                places.append(place - first)
                parts.append((part(density, where, edge, 0, turn), part(labels, where, edge, IGNORE, turn)))
        return places, parts


def part(segment: NDArray, where: NDArray[np.floating], edge: int, outside: float, turn: int) -> NDArray:
    """Cut a cube out of a segment, or put the segment into a larger one, and turn it.

    Parameters
    ----------
    segment : ndarray, shape (m, m, m)
    where : ndarray, shape (3,)
        Place of the cube along each axis, from 0 to 1.
    edge : int
        Edge of the cube, voxels.
    outside : float
        Value beyond the segment.
    turn : int
        Number of the rotation.
    """
    size = segment.shape[0]
    room = abs(size - edge)
    corner = np.minimum((where * (room + 1)).astype(int), room)
    if edge <= size:
        cube = segment[tuple(slice(c, c + edge) for c in corner)]
    else:
        cube = np.full((edge,) * 3, outside, segment.dtype)
        cube[tuple(slice(c, c + size) for c in corner)] = segment
    return np.ascontiguousarray(rotate(torch.from_numpy(cube), turn).numpy())
