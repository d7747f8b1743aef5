"""A map with its annotation: class probabilities on the voxels of the input, and what they sum up to."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.classes import CLASSES
from haruspex_infer.errors import HaruspexError
from haruspex_infer.grid import Box, Grid
from haruspex_infer.mapfile import Map
from haruspex_infer.resources import available_memory
from haruspex_infer.slabs import in_threads, is_uniform, slabs

if TYPE_CHECKING:
    from haruspex_infer.field import FieldOnGrid

# On the normalised scale solvent is 0 and strong molecular density 1. At 0.2 the enclosed volume of two
# whole maps (EMD-11007, EMD-0093) is that of the molecules by mass (1.21 Å³ a dalton) within 15 %.
MOLECULE = 0.2

Seen = TypeVar("Seen")


@dataclass(frozen=True)
class AnnotatedMap:
    """A map and the class probabilities of its voxels.

    Attributes
    ----------
    map : Map
        The annotated map.
    source : ndarray of float32, shape (4, z, y, x), or FieldOnGrid
        Where the probabilities come from.
    offset, scale : float
        Density at which the map's normalised density is 0, and the difference that makes it 1.
    report : dict
        Network, device, grids, tiles and timings of the run, ready for JSON.
    warnings : tuple of str
        What a user should know about the input or the run.
    """

    map: Map
    source: "NDArray[np.float32] | FieldOnGrid" = field(repr=False)
    offset: float
    scale: float
    report: dict[str, Any] = field(default_factory=dict, repr=False)
    warnings: tuple[str, ...] = ()

    @property
    def grid(self) -> Grid:
        """Where the voxels lie: the grid of the map."""
        return self.map.grid

    @cached_property
    def probabilities(self) -> NDArray[np.float32]:
        """Probability of other, helix, strand, nucleotide for every voxel, shape (4, z, y, x); they sum to 1.

        The whole takes 16 bytes a voxel. `part` gives those of a box.

        Raises
        ------
        HaruspexError
            If they do not fit into memory.
        """
        if isinstance(self.source, np.ndarray):
            return self.source
        needed = 4 * len(CLASSES) * self.grid.voxels
        if needed > available_memory():
            raise HaruspexError(
                f"All probabilities of this map take {needed / 1e9:.1f} GB and this machine has "
                f"{available_memory() / 1e9:.1f} GB: take them part by part, or read the files."
            )
        whole = np.empty((len(CLASSES), *self.grid.shape), dtype=np.float32)
        for box, part in self.slabs():
            whole[(slice(None), *box)] = part
        return whole

    def part(self, box: Box) -> NDArray[np.float32]:
        """Return the probabilities of all classes in a box of voxels, shape (4, z, y, x).

        Parameters
        ----------
        box : tuple of slice
            Voxels along z, y and x, each with a start and a stop within the map.

        Returns
        -------
        ndarray of float32, shape (4, z, y, x)
        """
        if isinstance(self.source, np.ndarray):
            return self.source[(slice(None), *box)]
        return self.source.part(box)

    def slabs(self, axis: int = 0) -> Iterator[tuple[Box, NDArray[np.float32]]]:
        """Go through all probabilities in slabs.

        Parameters
        ----------
        axis : int
            Axis of (z, y, x) along which the slabs follow each other.

        Returns
        -------
        iterator of (box, probabilities)
            The box of each slab, a tuple of slices along z, y and x, and `part` of it.
        """
        return self._in_slabs(self.part, axis)

    def labelled_slabs(self, axis: int = 0) -> Iterator[tuple[Box, NDArray[np.float32], NDArray[np.uint8]]]:
        """Yield all probabilities in slabs, with the most probable class of every voxel.

        Who takes all of them has the composition counted by the way.

        Parameters
        ----------
        axis : int
            Axis of (z, y, x) along which the slabs follow each other.

        Yields
        ------
        box : tuple of slice
            Voxels along z, y and x.
        probabilities : ndarray of float32, shape (4, z, y, x)
        labels : ndarray of uint8, shape (z, y, x)
        """
        level = np.float32(self.level(MOLECULE))

        def work(box: Box) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.int64]]:
            part = self.part(box)
            labels = most_probable(part)
            return part, labels, _counted(labels, self.map.density[box] >= level)

        counts = np.zeros((2, len(CLASSES)), dtype=np.int64)
        for box, (part, labels, counted) in self._in_slabs(work, axis):
            counts += counted
            self.map.forget()
            yield box, part, labels
        self.__dict__["_counts"] = counts  # as `cached_property` keeps what it computes

    @cached_property
    def _counts(self) -> NDArray[np.int64]:
        """Voxels of each class, in the whole map and in the molecular density, shape (2, 4)."""
        for _ in self.labelled_slabs():
            pass
        return self.__dict__["_counts"]

    def _in_slabs(self, work: Callable[[Box], Seen], axis: int) -> Iterator[tuple[Box, Seen]]:
        """Yield the box of each slab and what `work` returns for it, working ahead on all cores."""
        shape = self.grid.shape
        across = (shape[axis], *(n for a, n in enumerate(shape) if a != axis))

        def box(first: int, last: int) -> Box:
            z, y, x = (slice(first, last) if a == axis else slice(0, n) for a, n in enumerate(shape))
            return z, y, x

        def look(first: int, last: int) -> tuple[Box, Seen]:
            where = box(first, last)
            return where, work(where)

        return in_threads(look, slabs(across))

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        """The most probable class of every voxel, shape (z, y, x); 0 is other."""
        labels = np.empty(self.grid.shape, dtype=np.uint8)
        for box, _, found in self.labelled_slabs():
            labels[box] = found
        return labels

    def level(self, normalised: float) -> float:
        """Return the map's own density at a place on the normalised scale.

        Parameters
        ----------
        normalised : float
            0 is solvent, 1 strong molecular density.

        Returns
        -------
        float
            Density in the units of the map.
        """
        return self.offset + normalised * self.scale

    @cached_property
    def composition(self) -> dict[str, dict[str, float]]:
        """How much of the map is of which class.

        By class name: ``voxels`` and ``volume`` (Å³) of all voxels where the class is the most probable;
        ``molecule_voxels`` and ``molecule_volume`` (Å³) of those inside the molecular density, that is with
        normalised density of at least 0.2; ``molecule_fraction``, their share of the molecular density.
        """
        everywhere, within = self._counts
        molecule, volume = max(1, int(within.sum())), self.grid.voxel_volume
        return {
            c.name: {
                "voxels": int(everywhere[c.number]),
                "volume": float(everywhere[c.number]) * volume,
                "molecule_voxels": int(within[c.number]),
                "molecule_volume": float(within[c.number]) * volume,
                "molecule_fraction": float(within[c.number]) / molecule,
            }
            for c in CLASSES
        }


def most_probable(probabilities: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return the most probable class of every voxel; of equals, the one with the lower number.

    Parameters
    ----------
    probabilities : ndarray, shape (4, z, y, x)
    """
    if is_uniform(probabilities[0]):
        return np.broadcast_to(np.uint8(probabilities[:, 0, 0, 0].argmax()), probabilities.shape[1:])
    highest, labels = probabilities[0], np.zeros(probabilities.shape[1:], dtype=np.uint8)
    for number in range(1, len(probabilities)):  # several times as fast as argmax
        np.copyto(labels, number, where=probabilities[number] > highest)
        highest = np.maximum(highest, probabilities[number])
    return labels


def _counted(labels: NDArray[np.uint8], inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the voxels of each class, all and those inside, shape (2, 4)."""
    if is_uniform(labels):
        counts = np.zeros((2, len(CLASSES)), dtype=np.int64)
        counts[:, labels.flat[0]] = labels.size, np.count_nonzero(inside)
        return counts
    of_class = [labels == c.number for c in CLASSES]
    return np.array(
        [[np.count_nonzero(of) for of in of_class], [np.count_nonzero(of & inside) for of in of_class]]
    )
