"""What the pictures and figures of known failures are read from: annotated maps with their models."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sections import Section
from simulating import simulate

from haruspex_infer.annotatedmap import MOLECULE
from haruspex_infer.annotation import Annotation
from haruspex_infer.annotator import Annotator
from haruspex_infer.classes import CLASSES, NUCLEOTIDE, OTHER
from haruspex_infer.mapfile import Map, read_map
from haruspex_infer.residues import RESOLVED, residue_table
from haruspex_infer.structure import AMINO_ACID, NUCLEOTIDE_KIND, OTHER_KIND, Structure, read_structure
from haruspex_train.library import AtomLibrary
from haruspex_train.pairs import read_pairs
from haruspex_train.scoreboard import RESOLUTION_LIMIT
from haruspex_train.secondary import residue_classes

RESOLUTION = 3.0
"""Å, of simulated maps."""

HOMOLOGUES = "EMD-11007"

MARK = "#19c819"

Chosen = NDArray[np.bool_]


@dataclass(frozen=True)
class Seen:
    """An annotated map and its model.

    Attributes
    ----------
    name : str
        Of the map, and how it was made.
    annotation : Annotation
    structure : Structure
    truth, called : ndarray of uint8, shape (m,)
        Class of every residue, and what the map calls it.
    level : ndarray, shape (m,)
        Mean density at the atoms asked, σ above the mean of the map.
    """

    name: str
    annotation: Annotation
    structure: Structure
    truth: NDArray[np.uint8]
    called: NDArray[np.uint8]
    level: NDArray[np.float32]

    def at(self, residues: Chosen) -> NDArray[np.float32]:
        """Positions of the atoms of residues."""
        return self.structure.xyz[residues[self.structure.residue]]


@dataclass(frozen=True)
class Row:
    """How many of what was called what."""

    what: str
    where: str
    counts: NDArray[np.int64]


class Maps:
    """The maps of pairs and simulated ones, annotated by one network."""

    def __init__(self, annotator: Annotator, pairs: Path, library: AtomLibrary) -> None:
        self.annotator, self.library = annotator, library
        self.pairs = {pair.name: pair for pair in read_pairs(pairs, "val")}
        self.real = cache(self._real)
        self.made = cache(self._made)

    def _real(self, name: str) -> Seen:
        pair = self.pairs[name]
        return self.see(name, read_map(pair.map_path), read_structure(pair.model_paths))

    def _made(self, entry: str) -> Seen:
        structure = self.library.structure(entry)
        return self.see(f"{entry} (simulated)", simulate(structure, RESOLUTION), structure)

    def sharp(self) -> Iterator[Seen]:
        """Yield the maps of 4 Å or better that hold protein, but that of which homologues are the model."""
        for name, pair in self.pairs.items():
            if pair.resolution <= RESOLUTION_LIMIT and name != HOMOLOGUES:
                seen = self.real(name)
                if (seen.structure.kind == AMINO_ACID).any():
                    yield seen

    def see(self, name: str, map_: Map, structure: Structure, truth: NDArray[np.uint8] | None = None) -> Seen:
        """Annotate a map and read the answer at its model, whose classes may be known already."""
        annotation = self.annotator.annotate(map_)
        # of ligands and sugars all atoms are asked, as of nucleotides
        asked = replace(
            structure, kind=np.where(structure.kind == OTHER_KIND, NUCLEOTIDE_KIND, structure.kind)
        )
        table = residue_table(annotation.probabilities, map_.grid, asked, map_.density)
        truth = residue_classes(structure) if truth is None else truth
        return Seen(name, annotation, structure, truth, table.predicted, table.sigma_level)


def row(what: str, seen: list[Seen], of: Callable[[Seen], Chosen], where: str = "") -> Row:
    """Count what residues of some maps are called."""
    counts = np.zeros(len(CLASSES), np.int64)
    for each in seen:
        counts += np.bincount(each.called[of(each) & (each.level >= RESOLVED)], minlength=len(CLASSES))
    return Row(what, where or ", ".join(each.name for each in seen), counts)


def true(number: int) -> Callable[[Seen], Chosen]:
    """Residues of a class."""
    return lambda seen: (seen.truth == number) & (seen.structure.kind > 0)


def named(*names: str) -> Callable[[Seen], Chosen]:
    """Residues of some names."""
    return lambda seen: np.isin(seen.structure.name, names)


def section(
    title: str,
    seen: Seen,
    centre: NDArray[np.floating],
    marked: Chosen | None = None,
    axis: int = 0,
    width: float = 48,
) -> Section:
    """Section through a map: the model's residues in the colours of their classes, or chosen ones green."""
    structure = seen.structure
    if marked is not None:
        return Section(title, seen.annotation, centre, width, axis, {MARK: seen.at(marked)})
    alpha = structure.main_chain()[:, 1]
    phosphate = structure.xyz[structure.atom_name == "P"]
    marks = {c.colour: alpha[(seen.truth == c.number) & np.isfinite(alpha[:, 0])] for c in CLASSES}
    return Section(title, seen.annotation, centre, width, axis, marks | {NUCLEOTIDE.colour: phosphate})


def voxels(seen: Seen, where: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count what voxels of the molecular density are called."""
    annotation = seen.annotation
    inside = where & (annotation.map.density >= annotation.level(MOLECULE))
    return np.bincount(annotation.labels[inside], minlength=len(CLASSES))


def coil(seen: Seen) -> Chosen:
    """Amino acids that are neither helix nor strand."""
    return (seen.truth == OTHER.number) & (seen.structure.kind == AMINO_ACID)


def about(title: str, seen: Seen, marked: Chosen) -> Section:
    """Section through that of the chosen residues which has the strongest density."""
    strongest = int(np.argmax(np.where(marked, np.nan_to_num(seen.level), -np.inf)))
    return section(title, seen, seen.at(np.arange(len(marked)) == strongest).mean(axis=0), marked)


def reflected(seen: Seen) -> tuple[Map, Structure]:
    """Mirror image of a map and its model, x reversed."""
    map_ = seen.annotation.map
    ends = map_.grid.centres(2)[[0, -1]].sum()
    xyz = seen.structure.xyz * np.array([-1, 1, 1], np.float32) + np.array([ends, 0, 0], np.float32)
    return replace(map_, density=map_.density[:, :, ::-1].copy()), replace(seen.structure, xyz=xyz)
