"""Tells when a map lies outside what the networks know: noise, too low a resolution, wrong hand, wrong scale.

A network answers whatever it is given, and its own confidence does not tell: maps that were blurred to 8 Å,
mirrored or given a wrong voxel size are annotated about as surely as the originals. So the density itself is
asked. What the criteria find, and how often they err, is measured by ``benchmarks/map_warnings.py``.
"""

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.classes import HELIX
from haruspex_infer.grid import Grid
from haruspex_infer.idealhelix import Axes, fit, helix_axes, preference
from haruspex_infer.mapfile import Map

if TYPE_CHECKING:
    from haruspex_infer.field import FieldOnGrid

NOISE = 4.0
"""Cubes of the density above solvent over those below, under which nothing stands out; maps have over 7."""

DETAIL = 0.1
"""Amplitude at 4.2-5 Å over that at 9-14 Å under which a map is too coarse; maps have 0.14 and more."""

CERTAIN = 3.5
"""Standard errors by which helices must fit better in the other hand, or at another scale."""

SCALES = (0.8, 1.25)
"""Sizes of helices that are compared with the true one."""

_FINE, _COARSE = (4.2, 5.0), (9.0, 14.0)  # Å
_LARGEST = 160  # voxels; the middle of larger boxes speaks for them
_TAPER = 8  # voxels over which a cut box fades


@dataclass(frozen=True)
class Outside:
    """What a map's density says about itself.

    Attributes
    ----------
    above_below : float
        Cubes of the density above solvent, summed, over those below.
    detail : float
        Amplitude at 4.2-5 Å over that at 9-14 Å.
    helices : int
        Straight pieces of helix that were looked at.
    hand : float
        Standard errors by which right-handed helices fit better than left-handed ones.
    scale : float
        Size of helices that fits best, as a multiple of what it should be.
    scale_certainty : float
        Standard errors by which it fits better than the true size.
    """

    above_below: float
    detail: float
    helices: int
    hand: float
    scale: float
    scale_certainty: float

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know, a sentence each."""
        if 1 / NOISE < self.above_below < NOISE:
            return ("density above the solvent's level is no stronger than below: is there more than noise?",)
        notes = []
        if self.detail < DETAIL:
            notes.append(
                "the map shows hardly any detail finer than 5 Å: the resolution seems too low for secondary "
                "structure, however sure the annotation looks"
            )
        if self.hand < -CERTAIN:
            notes.append(
                f"helices look left-handed ({-self.hand:.0f} standard errors, {self.helices} pieces): "
                "the map may have the wrong hand"
            )
        elif self.scale_certainty > CERTAIN:
            notes.append(
                f"helices fit best at {self.scale:g} times their true size: the voxel size may be about "
                f"{self.scale:g} times too large"
            )
        return tuple(notes)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what could not be measured becomes None."""
        return {
            name: value if isinstance(value, int) else round(value, 3) if math.isfinite(value) else None
            for name, value in asdict(self).items()
        }


def look(map_: Map, source: "FieldOnGrid", offset: float, scale: float) -> Outside:
    """Look at an annotated map; of a large one, at the middle.

    Parameters
    ----------
    map_ : Map
    source : FieldOnGrid
        Its probabilities.
    offset, scale : float
        Of its normalised density.

    Returns
    -------
    Outside
    """
    first = [max(0, (n - _LARGEST) // 2) for n in map_.grid.shape]
    last = [min(n, at + _LARGEST) for n, at in zip(map_.grid.shape, first, strict=True)]
    box = (slice(first[0], last[0]), slice(first[1], last[1]), slice(first[2], last[2]))
    density = (map_.density[box] - np.float32(offset)) / np.float32(scale)
    return judge(density, source.part(box)[HELIX.number], Grid(density.shape, map_.grid.voxel_size))


def judge(density: NDArray[np.float32], helix: NDArray[np.float32], grid: Grid) -> Outside:
    """Measure what tells whether a map can be trusted.

    Parameters
    ----------
    density : ndarray, shape (z, y, x)
        Normalised: solvent 0, strong density 1.
    helix : ndarray, shape (z, y, x)
        Probability of helix.
    grid : Grid
        Where the voxels of both lie.

    Returns
    -------
    Outside
    """
    axes = helix_axes(density, helix, grid)
    right, contrast = fit(density, grid, axes)
    left, _ = fit(density, grid, axes, sense=-1.0)
    best, certainty = _scale(density, grid, axes, contrast)
    return Outside(
        above_below=above_below(density),
        detail=detail(density, grid),
        helices=len(axes),
        hand=preference(right, left),
        scale=best,
        scale_certainty=certainty,
    )


def above_below(density: NDArray[np.float32]) -> float:
    """Return the cubes of the density above solvent, summed, over those below: 1 for noise."""
    cubes = density * density * density
    above = float(np.sum(cubes, where=cubes > 0, dtype=np.float64))
    below = -float(np.sum(cubes, where=cubes < 0, dtype=np.float64))
    return above / below if below > 0 else math.inf


def detail(density: NDArray[np.float32], grid: Grid) -> float:
    """Amplitude at 4.2-5 Å over that at 9-14 Å.

    Not a number where the box is too small for the latter.
    """
    box = density
    for axis, n in enumerate(density.shape):
        if n == _LARGEST:  # cut out of a larger box: without fading, the cut itself is fine detail
            box = box * _fade(axis)
    power = np.square(np.abs(np.fft.rfftn(box)))
    squares = np.zeros(power.shape)
    for axis, (n, edge) in enumerate(zip(box.shape, grid.voxel_size, strict=True)):
        frequency = np.fft.rfftfreq(n, edge) if axis == 2 else np.fft.fftfreq(n, edge)
        squares += np.square(frequency).reshape([-1 if k == axis else 1 for k in range(3)])
    fine, coarse = (
        power[(squares >= 1 / high**2) & (squares < 1 / low**2)] for low, high in (_FINE, _COARSE)
    )
    if not fine.size or not coarse.size or not coarse.any():
        return math.nan
    return math.sqrt(float(fine.mean()) / float(coarse.mean()))


def _scale(
    density: NDArray[np.float32], grid: Grid, axes: Axes, true: NDArray[np.float64]
) -> tuple[float, float]:
    """Return the size of helices that fits best, and how certain it is to fit better than the true one."""
    certainties = {scale: preference(fit(density, grid, axes, scale=scale)[1], true) for scale in SCALES}
    best = max(certainties, key=lambda scale: np.nan_to_num(certainties[scale], nan=-math.inf))
    if math.isnan(certainties[best]):
        return math.nan, math.nan
    return (best if certainties[best] > 0 else 1.0), certainties[best]


def _fade(axis: int) -> NDArray[np.float32]:
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(_TAPER) + 0.5) / _TAPER)
    weight = np.concatenate([ramp, np.ones(_LARGEST - 2 * _TAPER), ramp[::-1]]).astype(np.float32)
    return weight.reshape([-1 if k == axis else 1 for k in range(3)])
