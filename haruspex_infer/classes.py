"""The four classes: the only home of their numbers, names, file suffixes and colours."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StructureClass:
    """One class that a voxel can belong to.

    Attributes
    ----------
    number : int
        Channel of the probabilities and value in a label map.
    name : str
        Name in texts, and the suffix of file names (``STEM_helix.mrc``).
    colour : str
        Colour as ``#rrggbb``, after figure 1 of Mostosi et al. 2020.
    """

    number: int
    name: str
    colour: str


OTHER = StructureClass(0, "other", "#b0b0b0")
HELIX = StructureClass(1, "helix", "#2f6fde")
STRAND = StructureClass(2, "strand", "#d93a3a")
NUCLEOTIDE = StructureClass(3, "nucleotide", "#f2941f")

CLASSES = (OTHER, HELIX, STRAND, NUCLEOTIDE)
CLASS_NAMES = tuple(c.name for c in CLASSES)
