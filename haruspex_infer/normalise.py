"""Density normalisation: the scale on which every network sees a map.

The paper fed maps to its network as they came, so its answer depended on the arbitrary scale of the map.
Here solvent lies at 0 and strong molecular density at 1, whatever the box, the mask and the units are.
Both packages normalise with this module, and a network's file carries the parameters it was trained with.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.errors import HaruspexError
from haruspex_infer.slabs import SLAB_VOXELS, in_threads, slabs

_MODE_SAMPLE = 2**20
# Å; beyond it an envelope has lost the molecule
_WIDEST = 50.0

INVERTED = "the strongest density lies below the level of solvent: the contrast may be inverted"


@dataclass(frozen=True)
class Normaliser:
    """Measures where solvent and molecule lie in a map, and brings both to a fixed scale.

    1. *Offset*: the half-sample mode of the density, that is the level of solvent (exactly the outside of a
       mask where the map has one). Padding with solvent or zone masking leaves it where it is.
    2. *Core level*: the mean of the density above the offset, weighted by its own cube. Solvent noise has no
       part in so high a power, so the size of the box has none.
    3. *Envelope*: voxels above ``core_fraction`` of the core level, widened by ``dilation`` Å on each axis.
    4. *Scale*: the ``percentile`` of the density above the offset in the envelope.

    Parameters
    ----------
    core_fraction : float
        Threshold of the envelope as a fraction of the core level.
    dilation : float
        Widening of the envelope, Å.
    percentile : float
        Percentile of the density in the envelope that becomes 1.
    lowest, highest : float
        Normalised densities are clipped to this range: a heavy atom must not blind the network.
    """

    core_fraction: float = 0.5
    dilation: float = 3.0
    percentile: float = 90.0
    lowest: float = -4.0
    highest: float = 8.0

    def parameters(self) -> dict[str, float]:
        """Return the parameters as they are written to a network's metadata."""
        return asdict(self)

    @property
    def possible(self) -> bool:
        """Whether a map can be normalised with these parameters."""
        return (
            0 < self.core_fraction < 1
            and 0 <= self.dilation <= _WIDEST
            and 0 < self.percentile <= 100
            and -math.inf < self.lowest < 0 < self.highest < math.inf
        )

    def measure(
        self, density: NDArray[np.float32], voxel_size: tuple[float, float, float]
    ) -> tuple[float, float]:
        """Measure the offset and the scale of a map.

        Parameters
        ----------
        density : ndarray, shape (z, y, x)
            Density on the working grid.
        voxel_size : tuple of float
            Voxel edges (z, y, x) in Å.

        Returns
        -------
        offset, scale : float
            Normalised density is ``(density - offset) / scale``.

        Raises
        ------
        HaruspexError
            If the map holds no density above its solvent level (a constant map, or a negative one).
        """
        offset = half_sample_mode(density)
        zero = np.float32(offset)
        parts = slabs(density.shape)
        peak = max(in_threads(lambda a, b: float((density[a:b] - zero).max(initial=0.0)), parts))
        # a map whose whole range is rounding error of its offset counts as constant
        if peak <= 1e-6 * abs(offset) or peak == 0.0:
            raise HaruspexError(
                "The map holds no density above its solvent level: it is constant or inverted; "
                "check that it is the right file and that density is positive."
            )

        def relative(first: int, last: int) -> NDArray[np.float32]:
            # powers of raw values could leave the range of float32
            return np.maximum(density[first:last] - zero, 0) / np.float32(peak)

        def powers(first: int, last: int) -> tuple[float, float]:
            above = relative(first, last)
            cube = above * above * above
            return float(np.sum(cube * above, dtype=np.float64)), float(np.sum(cube, dtype=np.float64))

        fourth, third = (sum(sums) for sums in zip(*in_threads(powers, parts), strict=True))
        threshold = self.core_fraction * fourth / third
        radii = [round(self.dilation / edge) for edge in voxel_size]

        def in_envelope(first: int, last: int) -> NDArray[np.float32]:
            low = max(0, first - radii[0])
            above = relative(low, min(len(density), last + radii[0]))
            envelope = above > threshold
            if not envelope.any():
                return np.empty(0, np.float32)
            for axis, radius in enumerate(radii):
                envelope = _widen(envelope, axis, radius)
            mine = slice(first - low, last - low)
            return above[mine][envelope[mine]]

        thick = slabs(density.shape, max(SLAB_VOXELS, 8 * radii[0] * math.prod(density.shape[1:])))
        strong = np.concatenate(list(in_threads(in_envelope, thick)))
        scale = float(np.percentile(strong, self.percentile, overwrite_input=True)) * peak
        if scale <= 0:
            raise HaruspexError(
                "The map holds only isolated peaks and no molecular density: check that it is a cryo-EM map."
            )
        return offset, scale

    def __call__(
        self, density: NDArray[np.float32], voxel_size: tuple[float, float, float]
    ) -> NDArray[np.float32]:
        """Return the normalised density, float32 of the same shape; see `measure`."""
        return self.apply(density, *self.measure(density, voxel_size))

    def apply(self, density: NDArray[np.float32], offset: float, scale: float) -> NDArray[np.float32]:
        """Bring density to the scale that `measure` found."""
        normalised = density - np.float32(offset)
        normalised /= np.float32(scale)
        return np.clip(normalised, self.lowest, self.highest, out=normalised)


def is_inverted(normalised: NDArray[np.float32]) -> bool:
    """Return whether normalised density has the contrast of an inverted map.

    Noise is as strong on both sides of solvent, and molecules lie above it: in ten experimental maps the
    cubes of the density above come to 7 times those below and more.
    """
    return cubes(normalised) < 0


def cubes(normalised: NDArray[np.float32]) -> float:
    """Return the sum of the cubes of normalised density; see `is_inverted`."""
    return float(np.sum(normalised * normalised * normalised, dtype=np.float64))


def half_sample_mode(values: NDArray[np.float32]) -> float:
    """Estimate the mode: the place where values lie densest.

    The half of the sorted values that spans the shortest range is kept, again and again, until one value
    remains (Bickel & Frühwirth 2006, Comput. Stat. Data Anal. 50, 3500). Large maps are thinned evenly.
    """
    places = np.arange(0, values.size, max(1, values.size // _MODE_SAMPLE))
    # by places rather than from a flat copy: a map with permuted axes, or on disk, stays where it is
    ordered = np.sort(values[np.unravel_index(places, values.shape)])
    while ordered.size > 2:
        half = (ordered.size + 1) // 2
        ranges = ordered[half - 1 :] - ordered[: ordered.size - half + 1]
        start = int(np.argmin(ranges))
        ordered = ordered[start : start + half]
    return float(ordered.astype(np.float64).mean())


def _widen(mask: NDArray[np.bool_], axis: int, radius: int) -> NDArray[np.bool_]:
    """Dilate a mask by `radius` voxels in both directions of one axis."""
    moved = np.moveaxis(mask, axis, 0)
    wide = moved.copy()
    for shift in range(1, min(radius, len(moved) - 1) + 1):
        wide[shift:] |= moved[:-shift]
        wide[:-shift] |= moved[shift:]
    return np.moveaxis(wide, 0, axis)
