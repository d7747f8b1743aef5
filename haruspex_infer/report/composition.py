"""What an annotation amounts to: volumes, estimated numbers of residues, and how sure the network is."""

import math

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.annotatedmap import MOLECULE, AnnotatedMap
from haruspex_infer.classes import CLASSES, HELIX, NUCLEOTIDE, STRAND

PROTEIN = "protein"

# Å³; medians over the maps of `val` (benchmarks/volume_per_residue.py). That of a nucleotide rests on a
# hairpin of seven; the partial specific volume of RNA, 0.53 cm³/g, gives 285.
VOLUME_OF_RESIDUE = {HELIX.name: 72.0, STRAND.name: 76.0, NUCLEOTIDE.name: 332.0, PROTEIN: 118.0}

ESTIMATES_ARE_OFF_BY = {HELIX.name: 0.18, STRAND.name: 0.40, PROTEIN: 0.14}
"""Median error of the estimates on those maps, each left out of the medians in turn."""

BINS = 15
"""Bins of the histogram of confidence, from 0.25, the least that the highest of four can be, to 1."""


def counted_volumes(annotation: AnnotatedMap) -> dict[str, float]:
    """Return the volumes (Å³) from which residues are estimated.

    Helices and strands count where they are the most probable class: the network marks them within a fixed
    distance of the backbone. Nucleotides, and protein as a whole, count inside the molecular density.
    """
    parts = annotation.composition
    whole = sum(part["molecule_volume"] for part in parts.values())
    nucleotide = parts[NUCLEOTIDE.name]["molecule_volume"]
    return {
        HELIX.name: parts[HELIX.name]["volume"],
        STRAND.name: parts[STRAND.name]["volume"],
        NUCLEOTIDE.name: nucleotide,
        PROTEIN: whole - nucleotide,
    }


def estimated_residues(annotation: AnnotatedMap) -> dict[str, int]:
    """Estimate residues in helices, in strands, of nucleic acid and of protein as a whole.

    Rough: two significant figures, from the volume that a residue takes in maps with models
    (`VOLUME_OF_RESIDUE`).
    """
    volumes = counted_volumes(annotation)
    return {name: _two_figures(volume / VOLUME_OF_RESIDUE[name]) for name, volume in volumes.items()}


def confidence(annotation: AnnotatedMap) -> tuple[NDArray[np.int64], float]:
    """Count voxels of the molecular density by class and by the probability of that class.

    Returns
    -------
    counts : ndarray, shape (4, BINS)
        Voxels whose most probable class it is, by its probability, from 0.25 to 1.
    median : float
        Half of the voxels have their class with at least this probability; not a number without any voxel.
    """
    counts = np.zeros((len(CLASSES), BINS), np.int64)
    fine = np.zeros(1000, np.int64)
    level = annotation.level(MOLECULE)
    for box, part in annotation.slabs():
        inside = annotation.map.density[box] >= level
        if not inside.any():
            continue
        found = part[:, inside]
        highest = found.max(axis=0)
        place = np.clip((highest - 0.25) / 0.75, 0, 1 - 1e-6)
        flat = found.argmax(axis=0) * BINS + (place * BINS).astype(np.int64)
        counts += np.bincount(flat, minlength=counts.size).reshape(counts.shape)
        fine += np.bincount((np.clip(highest, 0, 1 - 1e-6) * len(fine)).astype(np.int64), minlength=len(fine))
    total = fine.sum()
    if total == 0:
        return counts, math.nan
    return counts, float(np.searchsorted(np.cumsum(fine), total / 2) / len(fine))


def _two_figures(value: float) -> int:
    if value < 1:
        return 0
    unit = 10 ** max(0, math.floor(math.log10(value)) - 1)
    return round(value / unit) * unit
