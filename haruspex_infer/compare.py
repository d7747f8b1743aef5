"""A model against the annotation of its map.

One of the paper's uses of the network: to validate existing models (Mostosi et al. 2020, main text).
"""

import os
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.annotatedmap import AnnotatedMap
from haruspex_infer.backbone import modelled_classes
from haruspex_infer.classes import HELIX, NUCLEOTIDE, OTHER, STRAND
from haruspex_infer.comparison import Comparison
from haruspex_infer.errors import HaruspexError
from haruspex_infer.files import prepare_folder, write_text
from haruspex_infer.modelfile import write_annotated_model
from haruspex_infer.placement import refuse_misplaced
from haruspex_infer.residues import backbone_means, residue_table
from haruspex_infer.strips import strip_plot
from haruspex_infer.structure import (
    AMINO_ACID,
    NUCLEOTIDE_KIND,
    OTHER_KIND,
    Structure,
    from_gemmi,
    read_structure,
)
from haruspex_infer.verdicts import OUTSIDE, UNJUDGED, WEAK, stretches, verdicts

if TYPE_CHECKING:
    import gemmi

ModelLike: TypeAlias = "str | os.PathLike[str] | Structure | gemmi.Structure"

_RECORDS = {"H": HELIX.name, "E": STRAND.name, " ": OTHER.name, "?": "?"}


class ResidueReport(Comparison):
    """What a map says about each residue of a model, and the files that tell it.

    The data, and what they sum up to, are those of `haruspex_infer.comparison.Comparison`.
    """

    def save(self, directory: str | os.PathLike[str], stem: str) -> list[Path]:
        """Write ``STEM_residues.csv``, ``STEM_residues.svg`` and, of a model from a file, ``STEM_model.cif``.

        Parameters
        ----------
        directory : path-like
            Folder; made if need be.
        stem : str
            Beginning of the file names.

        Returns
        -------
        list of Path
            The files.

        Raises
        ------
        HaruspexError
            If they cannot be written, or the copy would replace the model itself.
        """
        folder = Path(directory)
        copy = folder / f"{stem}_model.cif"
        if self.source is not None and copy.resolve() == self.source.resolve():
            raise HaruspexError(f"The annotated copy would replace the model {copy}: choose another folder.")
        prepare_folder(folder)
        files = [folder / f"{stem}_residues.csv", folder / f"{stem}_residues.svg"]
        for path, text in zip(files, (self.to_csv(), strip_plot(self, stem)), strict=True):
            write_text(path, text)
        if self.source is not None:
            files.append(copy)
            write_annotated_model(self, self.source, copy)
        return files


def compare(annotation: AnnotatedMap, model: ModelLike) -> ResidueReport:
    """Compare a model with the annotation of its map; see `Annotation.compare`."""
    source = None
    if isinstance(model, str | os.PathLike):
        source = Path(model)
        structure = read_structure(source)
    else:
        structure = model if isinstance(model, Structure) else from_gemmi(model)
    name = str(source) if source else "The model"
    refuse_misplaced(structure, annotation.grid, name)
    table = residue_table(annotation.probabilities, annotation.grid, structure, annotation.map.density)
    kept = structure.kind != OTHER_KIND
    table = replace(table, **{field.name: getattr(table, field.name)[kept] for field in fields(table)})
    classes = modelled_classes(structure)[kept]
    recorded = np.array([_RECORDS[letter] for letter in structure.deposited[kept]])
    deposited = np.where(table.kind == NUCLEOTIDE_KIND, NUCLEOTIDE.name, recorded)
    verdict = verdicts(table, classes)
    return ResidueReport(
        table,
        classes,
        deposited,
        verdict,
        stretches(table, classes, verdict),
        _positions(structure)[kept],
        source,
        _notes(verdict, deposited, name),
    )


def _positions(structure: Structure) -> NDArray[np.float32]:
    """Return the place of each residue, shape (m, 3); not a number where it has no backbone atom at all."""
    axes = [backbone_means(structure.xyz[:, axis], structure) for axis in range(3)]
    positions = np.stack(axes, axis=1)
    of_atoms = structure.kind[structure.residue]
    central = (of_atoms == AMINO_ACID) & (structure.atom_name == "CA")
    central |= (of_atoms == NUCLEOTIDE_KIND) & np.isin(structure.atom_name, ("C4'", "C4*"))
    positions[structure.residue[central]] = structure.xyz[central]
    return positions


def _notes(verdict: NDArray[np.str_], deposited: NDArray[np.str_], name: str) -> tuple[str, ...]:
    total = len(verdict)
    outside, weak, unjudged = ((verdict == kind).sum() for kind in (OUTSIDE, WEAK, UNJUDGED))
    notes = []
    if (deposited == "?").any():
        notes.append(f"{name} records no secondary structure: its coordinates alone tell helix and strand")
    if unjudged:
        notes.append(f"{unjudged:,} residues lack backbone atoms, so only the prediction is given for them")
    if outside:
        notes.append(f"{outside:,} of {total:,} residues lie outside the map")
    if weak > (total - outside) / 2:
        notes.append(
            f"{weak:,} of {total:,} residues lie in density under 1 σ: is the model in the frame of this map?"
        )
    return tuple(notes)
