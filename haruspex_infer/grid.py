"""Where the voxels of a map lie: the only place that turns indices into positions and back."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from haruspex_infer.errors import HaruspexError

Triple = tuple[float, float, float]

# voxels along (z, y, x), each with a start and a stop within the grid
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Grid:
    """A box of voxels with edges along the Cartesian axes.

    Parameters
    ----------
    shape : tuple of int
        Voxels along (z, y, x).
    voxel_size : tuple of float
        Voxel edges (z, y, x) in Å.
    origin : tuple of float
        Position (z, y, x) in Å of the centre of voxel [0, 0, 0].

    Raises
    ------
    HaruspexError
        If one of them is not three numbers.
    """

    shape: tuple[int, int, int]
    voxel_size: Triple
    origin: Triple = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        for name, value in (("shape", self.shape), ("voxel size", self.voxel_size), ("origin", self.origin)):
            if np.shape(value) != (3,):
                raise HaruspexError(f"The {name} of a grid is three numbers (z, y, x), and not {value!r}.")

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)

    @property
    def voxel_volume(self) -> float:
        """Volume of a voxel in Å³."""
        return math.prod(self.voxel_size)

    def indices(self, positions: ArrayLike) -> NDArray[np.float64]:
        """Return fractional voxel indices of positions.

        Parameters
        ----------
        positions : array_like, shape (n, 3)
            Positions (x, y, z) in Å.

        Returns
        -------
        ndarray, shape (n, 3)
            Indices (z, y, x); whole numbers are voxel centres.
        """
        zyx = np.asarray(positions, dtype=np.float64)[..., ::-1]
        return (zyx - np.array(self.origin)) / np.array(self.voxel_size)

    def positions(self, indices: ArrayLike) -> NDArray[np.float64]:
        """Return the positions of voxel indices.

        Parameters
        ----------
        indices : array_like, shape (n, 3)
            Indices (z, y, x), whole or fractional.

        Returns
        -------
        ndarray, shape (n, 3)
            Positions (x, y, z) in Å.
        """
        zyx = np.asarray(indices, dtype=np.float64) * self.voxel_size + self.origin
        return zyx[..., ::-1]

    def centres(self, axis: int) -> NDArray[np.float64]:
        """Return the coordinates of the voxel centres along one axis.

        Parameters
        ----------
        axis : int
            0 is z, 1 is y, 2 is x.

        Returns
        -------
        ndarray, shape (n,)
            Coordinates in Å.
        """
        return self.origin[axis] + self.voxel_size[axis] * np.arange(self.shape[axis], dtype=np.float64)

    def part(self, box: Box) -> "Grid":
        """Return the grid of the voxels in a box.

        Parameters
        ----------
        box : tuple of slice
            Voxels along z, y and x, each with a start and a stop within the grid.

        Returns
        -------
        Grid
        """
        z, y, x = (s.stop - s.start for s in box)
        first = [o + s.start * e for o, s, e in zip(self.origin, box, self.voxel_size, strict=True)]
        return Grid((z, y, x), self.voxel_size, (first[0], first[1], first[2]))

    def working(self, minimum: float, maximum: float, target: float) -> "Grid":
        """Return the grid on which a network sees this map.

        Maps whose voxel edges all lie within [`minimum`, `maximum`] are used as they are; any other map goes
        to cubic voxels of `target` Å (Mostosi et al. 2020, Methods: 1.0-1.2 Å as they are, else 1.1 Å). The
        new box has the same centre and covers the old one, so nothing is rounded but the number of voxels.

        Parameters
        ----------
        minimum, maximum, target : float
            Voxel edges in Å.

        Returns
        -------
        Grid
            This grid itself, or one of cubic voxels.
        """
        # headers store the cell in float32: an edge of 1.2 Å may come back as 1.2000000477
        slack = 1e-4
        if all(minimum - slack <= edge <= maximum + slack for edge in self.voxel_size):
            return self
        shape, origin = [], []
        for n, edge, start in zip(self.shape, self.voxel_size, self.origin, strict=True):
            m = max(1, math.ceil(n * edge / target - slack))
            shape.append(m)
            origin.append(start + (n - 1) / 2 * edge - (m - 1) / 2 * target)
        return Grid((shape[0], shape[1], shape[2]), (target,) * 3, (origin[0], origin[1], origin[2]))
