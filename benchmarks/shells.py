"""What is done to maps in shells of resolution and place by place: amplitudes, phases, local strength."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from haruspex_infer.grid import Grid

Volume = NDArray[np.float32]
Coefficients = NDArray[np.complex128]

_WIDTH = 0.015  # 1/Å


class Shells:
    """Shells of spatial frequency of the volumes on one grid.

    Parameters
    ----------
    grid : Grid
        Where the voxels lie.

    Attributes
    ----------
    q : ndarray
        Spatial frequency of every Fourier coefficient, 1/Å.
    """

    def __init__(self, grid: Grid) -> None:
        self._shape, edges = grid.shape, grid.voxel_size
        z, y = (np.fft.fftfreq(n, edge) for n, edge in zip(grid.shape[:2], edges[:2], strict=True))
        x = np.fft.rfftfreq(grid.shape[2], edges[2])
        self.q = np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2)
        self._shell = (self.q / _WIDTH).astype(np.int64)
        self._count = np.bincount(self._shell.ravel())

    def transform(self, volume: NDArray[np.floating]) -> Coefficients:
        """Return the Fourier coefficients of a volume."""
        return np.fft.rfftn(volume)

    def back(self, coefficients: Coefficients) -> Volume:
        """Return the volume of Fourier coefficients."""
        return np.fft.irfftn(coefficients, s=self._shape, axes=(0, 1, 2)).astype(np.float32)

    def power(self, coefficients: Coefficients) -> NDArray[np.float64]:
        """Mean power of the shell that each coefficient lies in."""
        return self._means(np.square(np.abs(coefficients)))

    def matched(self, volume: NDArray[np.floating], like: NDArray[np.floating]) -> Volume:
        """Give a volume the radial amplitudes of another."""
        one = self.transform(volume)
        wanted, own = self.power(self.transform(like)), self.power(one)
        return self.back(one * np.sqrt(wanted / np.maximum(own, 1e-30)))

    def fitted(self, volume: NDArray[np.floating], to: NDArray[np.floating]) -> Volume:
        """Scale each shell of a volume so that it explains the most of another."""
        one, other = self.transform(volume), self.transform(to)
        shared = self._means((other * one.conj()).real)
        return self.back(one * shared / np.maximum(self.power(one), 1e-30))

    def correlation(self, one: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.float64]:
        """Fourier shell correlation of two volumes, at every coefficient."""
        a, b = self.transform(one), self.transform(other)
        both = self._means((a * b.conj()).real)
        return both / np.sqrt(np.maximum(self.power(a) * self.power(b), 1e-30))

    def swapped(
        self, amplitudes: NDArray[np.floating], phases: NDArray[np.floating], low: float, high: float
    ) -> Volume:
        """Give a volume, between two frequencies, the phases of another.

        Its own amplitudes stay; the other's phases come in at ``low <= q < high`` (1/Å).
        """
        one, other = self.transform(amplitudes), self.transform(phases)
        turned = np.abs(one) * np.exp(1j * np.angle(other))
        return self.back(np.where((self.q >= low) & (self.q < high), turned, one))

    def scrambled(self, volume: NDArray[np.floating], seed: int) -> Volume:
        """Give a volume random phases: the same radial spectrum without any structure."""
        white = np.random.default_rng(seed).standard_normal(self._shape)
        return self.matched(white, volume)

    def _means(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        total = np.bincount(self._shell.ravel(), weights=values.ravel())
        return (total / np.maximum(self._count, 1))[self._shell]


def local_strength(volume: NDArray[np.floating], grid: Grid, width: float) -> NDArray[np.float64]:
    """Root of the mean square around each voxel, under a Gaussian of `width` Å."""
    sigma = [width / edge for edge in grid.voxel_size]
    return np.sqrt(np.maximum(gaussian_filter(np.square(volume, dtype=np.float64), sigma), 0))


def with_strength_of(
    volume: NDArray[np.floating], like: NDArray[np.floating], grid: Grid, width: float
) -> Volume:
    """Give a volume the local strength of another; what is empty stays nearly so."""
    own, wanted = local_strength(volume, grid, width), local_strength(like, grid, width)
    return (volume * (wanted / (own + 0.02 * own.max()))).astype(np.float32)
