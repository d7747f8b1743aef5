"""Tells when a map lies outside what the networks know: noise, too low a resolution, wrong hand, wrong scale.

A network answers whatever it is given, and its own confidence does not tell: maps that were blurred to 8 Å
or given a wrong voxel size are annotated about as surely as the originals. So the density itself is asked; of
the hand also the network (`haruspex_infer.mirrorimage`). How often the criteria are right is measured by
``benchmarks/map_warnings.py``.
"""

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.annotatedmap import MOLECULE, Box
from haruspex_infer.classes import HELIX, OTHER
from haruspex_infer.grid import Grid
from haruspex_infer.idealhelix import fit, helix_axes, preference
from haruspex_infer.mapfile import Map
from haruspex_infer.normalise import Normaliser
from haruspex_infer.spectrum import LARGEST, detail, feature_size, radial

if TYPE_CHECKING:
    from haruspex_infer.field import FieldOnGrid

NOISE = 4.0
"""Cubes of the density above solvent over those below, under which nothing stands out; maps have over 7."""

GAIN, TOLERANCE = 0.2, 0.14
"""Gain in likeness to proteins and logarithm of size from which voxels seem to be of another size.

Of maps as deposited the largest are 0.13 and 0.12.
"""

DETAIL = 0.1
"""Amplitude at 4.2-5 Å over that at 9-14 Å under which a map is too coarse; maps have 0.14 and more."""

CERTAIN = 3.5
"""Standard errors by which helices must fit better in the other hand."""

UNQUESTIONED = 0.05
"""Share of the molecular density that is annotated, from which nobody asks for the hand; maps have 0.2."""

TIMES, LEAST = 5.0, 0.1
"""How many times as much of the mirror image must be annotated, and what share of it."""


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
        Size of features as a multiple of what it is in proteins; see `haruspex_infer.spectrum`.
    scale_gain : float
        Likeness to proteins at that size, less that at the true one.
    annotated, annotated_mirrored : float
        Share of the molecular density that is helix, strand or nucleotide, in the map and in its mirror
        image; the latter is not a number where nobody asked.
    """

    above_below: float
    detail: float
    helices: int
    hand: float
    scale: float
    scale_gain: float
    annotated: float = math.nan
    annotated_mirrored: float = math.nan

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
        elif self.annotated_mirrored > max(LEAST, TIMES * self.annotated):
            notes.append(
                f"of the mirror image {self.annotated_mirrored:.0%} is helix, strand or nucleotide, "
                f"of the map {self.annotated:.0%}: the map may have the wrong hand"
            )
        if self.scale_gain > GAIN and abs(math.log(self.scale)) > TOLERANCE:
            notes.append(
                f"the amplitudes are those of proteins {self.scale:.1f} times as large as proteins are: "
                f"the voxel size may be about {self.scale:.1f} times the true one"
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
    box = middle(map_.grid.shape)
    density = (map_.density[box] - np.float32(offset)) / np.float32(scale)
    probabilities = source.part(box)
    found = judge(density, probabilities[HELIX.number], map_.grid.part(box))
    return replace(found, annotated=annotated_share(probabilities, density))


def annotated_share(probabilities: NDArray[np.float32], density: NDArray[np.float32]) -> float:
    """Return the share of the molecular density, normalised, that is helix, strand or nucleotide."""
    of_molecule = probabilities[:, density >= MOLECULE]
    return float((of_molecule.argmax(axis=0) != OTHER.number).mean()) if of_molecule.size else 0.0


def look_at_density(map_: Map) -> Outside:
    """Look at a map that is not annotated, which tells all but the hand; of a large one, at the middle.

    Parameters
    ----------
    map_ : Map

    Returns
    -------
    Outside

    Raises
    ------
    HaruspexError
        If the map holds nothing above solvent.
    """
    normaliser = Normaliser()
    offset, scale = normaliser.measure(map_.density, map_.grid.voxel_size)
    box = middle(map_.grid.shape)
    return judge(normaliser.apply(map_.density[box], offset, scale), None, map_.grid.part(box))


def middle(shape: tuple[int, int, int]) -> Box:
    """Return the part of a box that is looked at: of a large one the middle."""
    first = [max(0, (n - LARGEST) // 2) for n in shape]
    z, y, x = (slice(at, min(n, at + LARGEST)) for n, at in zip(shape, first, strict=True))
    return z, y, x


def judge(density: NDArray[np.float32], helix: NDArray[np.float32] | None, grid: Grid) -> Outside:
    """Measure what tells whether a map can be trusted.

    Parameters
    ----------
    density : ndarray, shape (z, y, x)
        Normalised: solvent 0, strong density 1.
    helix : ndarray, shape (z, y, x), or None
        Probability of helix; without it nothing is said of the hand.
    grid : Grid
        Where the voxels of both lie.

    Returns
    -------
    Outside
    """
    frequency, power = radial(density, grid)
    size, gain = feature_size(frequency, power)
    axes = helix_axes(density, np.zeros_like(density) if helix is None else helix, grid)
    return Outside(
        above_below=above_below(density),
        detail=detail(frequency, power),
        helices=len(axes),
        hand=preference(fit(density, grid, axes), fit(density, grid, axes, sense=-1.0)),
        scale=size,
        scale_gain=gain,
    )


def above_below(density: NDArray[np.float32]) -> float:
    """Return the cubes of the density above solvent, summed, over those below: 1 for noise."""
    cubes = density * density * density
    above = float(np.sum(cubes, where=cubes > 0, dtype=np.float64))
    below = -float(np.sum(cubes, where=cubes < 0, dtype=np.float64))
    return above / below if below > 0 else math.inf
