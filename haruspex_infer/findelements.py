"""From voxels to elements: class probabilities and density become axes and traces."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.annotatedmap import AnnotatedMap
from haruspex_infer.classes import HELIX, NUCLEOTIDE, STRAND, StructureClass
from haruspex_infer.element import RISE, Element
from haruspex_infer.elements import Elements
from haruspex_infer.grid import Grid
from haruspex_infer.lines import Points, arc, at, evenly, length, smoothed, split_at_kinks
from haruspex_infer.phosphates import phosphate_chains
from haruspex_infer.resample import resample_density, resample_probabilities
from haruspex_infer.ridges import Ridges, RidgeSettings
from haruspex_infer.sheets import sheets, strand_pairs, uncrossed


@dataclass(frozen=True)
class _Rod:
    """How the traces of a class become elements.

    Attributes
    ----------
    ridge : RidgeSettings
    half_smooth : int
        Steps on either side over which a trace is averaged.
    arm : int
        Steps before and after a point whose directions are compared to find kinks.
    kink : float
        Degrees from which a kink divides an element.
    cut : float
        An element ends where its height falls below this share of that of its higher half.
    lowest : float
        Height under which nothing belongs to an element.
    trim : float
        Å taken off at either end: labels reach beyond the last backbone atom.
    fewest : float
        Residues that an element must have, each counted by its probability: a short one has to be sure,
        a long one less so.
    """

    ridge: RidgeSettings
    half_smooth: int
    arm: int
    kink: float
    cut: float
    lowest: float
    trim: float
    fewest: float


_RODS = {
    HELIX: _Rod(
        RidgeSettings(
            blur=1.7,
            surround_blur=4.0,
            surround=0.5,
            half_line=5.0,
            step=1.5,
            turn=8.0,
            seed=0.7,
            floor=0.35,
            drop=0.4,
            apart=4.5,
            cross=90.0,
        ),
        half_smooth=1,
        arm=5,
        kink=35.0,
        cut=0.5,
        lowest=0.5,
        trim=1.0,
        fewest=4.0,
    ),
    STRAND: _Rod(
        RidgeSettings(
            blur=0.9,
            surround_blur=2.5,
            surround=0.4,
            half_line=7.0,
            step=1.1,
            turn=15.0,
            seed=0.6,
            floor=0.35,
            drop=0.4,
            apart=2.6,
            cross=45.0,
        ),
        half_smooth=1,
        arm=5,
        kink=60.0,
        cut=0.5,
        lowest=0.7,
        trim=0.0,
        fewest=1.5,
    ),
}
"""Chosen on the `val` maps and on simulated ones; `benchmarks/elements.py` measures what they give."""

_GAP = 3.0
"""Å of weak density that an element bridges."""

_WIDE, _NARROW, _EDGE = 1.2, 0.9, 1.1  # Å: voxels on which elements are looked for
_ABOUT = 1.5  # Å: standard deviation of the Gaussian that averages probabilities about a point
_APART = 20  # residue numbers between elements, so that no viewer joins them


def find_elements(annotation: AnnotatedMap) -> Elements:
    """Find the helices, strands and stretches of nucleic acid of an annotated map.

    Density times the probability of a class is blurred to rods; the crests of the rods are traced, cut where
    they kink or fade, and brought to one point a residue. Strands that run side by side make sheets: of
    traces that cross, those that run longest beside others stand, and a strand without a neighbour is
    dropped. The phosphates of nucleic acid are linked to chains.

    Parameters
    ----------
    annotation : AnnotatedMap
        Class probabilities and density.

    Returns
    -------
    Elements
    """
    source = annotation.grid
    grid = source.working(_NARROW, _WIDE, _EDGE)
    normalised = (annotation.map.density - np.float32(annotation.offset)) / np.float32(annotation.scale)
    density = np.clip(resample_density(normalised, source, grid), 0, None)
    found = {}
    for kind in (HELIX, STRAND, NUCLEOTIDE):
        share = resample_probabilities(annotation.probabilities[kind.number], source, grid)
        lines = (
            phosphate_chains(density, share, grid)
            if kind is NUCLEOTIDE
            else _rods(density, share, grid, kind)
        )
        found[kind] = _elements(kind, lines, share, grid)
    strands = found[STRAND]
    traces = [strand.points for strand in strands]
    pairs = strand_pairs(traces)
    standing = set(uncrossed(traces, pairs))
    pairs = {pair: reach for pair, reach in pairs.items() if standing.issuperset(pair)}
    # a strand is one by the bonds to its neighbour: traces without a neighbour are mostly false
    paired = sorted({strand for pair in pairs for strand in pair})
    place = {strand: row for row, strand in enumerate(paired)}
    groups = sheets(len(paired), [(place[i], place[j]) for i, j in pairs])
    sheet_of = {strand: sheet.number for sheet in groups for strand in sheet.strands}
    strands = _numbered([replace(strands[k], sheet=sheet_of[row]) for row, k in enumerate(paired)])
    return Elements(tuple(found[HELIX]), tuple(strands), tuple(found[NUCLEOTIDE]), tuple(groups))


def _rods(
    density: NDArray[np.float32], share: NDArray[np.float32], grid: Grid, kind: StructureClass
) -> list[Points]:
    rod = _RODS[kind]
    # above the strong density of a molecule lie heavy atoms, not better helices
    ridges = Ridges(np.minimum(density, 1), share, grid, rod.ridge)
    return [
        evenly(_trimmed(line, rod.trim), RISE[kind])
        for trace in ridges.traces()
        for piece in split_at_kinks(smoothed(trace, rod.half_smooth), rod.arm, rod.kink)
        for line in _strong_parts(piece, ridges, rod)
    ]


def _strong_parts(line: Points, ridges: Ridges, rod: _Rod) -> list[Points]:
    """Parts of a line where its height keeps up; short weak places are bridged."""
    heights = ridges.at(line)
    padded = np.pad(heights, 1, mode="edge")
    heights = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    usual = float(np.median(np.sort(heights)[len(heights) // 2 :]))
    strong = np.flatnonzero(heights >= max(rod.lowest, rod.cut * usual))
    breaks = np.flatnonzero(np.diff(strong) * rod.ridge.step > _GAP) + 1
    return [line[part[0] : part[-1] + 1] for part in np.split(strong, breaks) if len(part) > 1]


def _trimmed(line: Points, trim: float) -> Points:
    """Return a line without `trim` Å at either end; nothing but its middle where it is shorter than that."""
    along = arc(line)
    trim = min(trim, along[-1] / 2)
    inner = along[(along > trim) & (along < along[-1] - trim)]
    return at(line, np.array([trim, *inner, along[-1] - trim]))


def _elements(
    kind: StructureClass, lines: list[Points], share: NDArray[np.float32], grid: Grid
) -> list[Element]:
    from scipy.ndimage import gaussian_filter, map_coordinates

    about = gaussian_filter(share, [_ABOUT / edge for edge in grid.voxel_size], mode="constant")
    found = []
    for line in sorted(lines, key=length, reverse=True):
        probabilities = map_coordinates(about, grid.indices(line).T, order=1, output=np.float64)
        if kind not in _RODS or probabilities.sum() >= _RODS[kind].fewest:
            found.append(Element(kind, 0, line, probabilities))
    return _numbered(found)


def _numbered(elements: list[Element]) -> list[Element]:
    """Give elements of a class their numbers, and places in a chain of pseudo-atoms."""
    numbered = []
    first = 1
    for number, element in enumerate(elements, 1):
        numbered.append(replace(element, number=number, first=first))
        first = -(-(numbered[-1].last + _APART) // 10) * 10 + 1
    return numbered
