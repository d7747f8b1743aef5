"""A model against the annotation of its map.

One of the paper's uses of the network: to validate existing models (Mostosi et al. 2020, main text).
"""

import csv
import io
import os
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.annotation import Annotation
from haruspex_infer.backbone import UNKNOWN, modelled_classes
from haruspex_infer.classes import CLASS_NAMES, CLASSES, HELIX, NUCLEOTIDE, OTHER, STRAND
from haruspex_infer.errors import HaruspexError
from haruspex_infer.files import prepare_folder, written_whole
from haruspex_infer.placement import refuse_misplaced
from haruspex_infer.residues import ResidueTable, backbone_means, residue_table
from haruspex_infer.structure import (
    AMINO_ACID,
    NUCLEOTIDE_KIND,
    OTHER_KIND,
    Structure,
    from_gemmi,
    read_structure,
)
from haruspex_infer.verdicts import (
    AGREES,
    BORDER,
    DIFFERS,
    OUTSIDE,
    UNJUDGED,
    VERDICTS,
    WEAK,
    Stretch,
    stretches,
    verdicts,
)

if TYPE_CHECKING:
    import gemmi

    ModelLike = str | os.PathLike[str] | Structure | gemmi.Structure

_RECORDS = {"H": HELIX.name, "E": STRAND.name, " ": OTHER.name, "?": "?"}


@dataclass(frozen=True)
class ResidueReport:
    """What a map says about each residue of a model; ligands, ions and waters are left out.

    Attributes
    ----------
    table : ResidueTable
        Probabilities, predicted classes and density of *m* residues.
    classes : ndarray of uint8, shape (m,)
        What they are in the model: class numbers, or `haruspex_infer.backbone.UNKNOWN`.
    deposited : ndarray of str, shape (m,)
        Class that the model's file records; ``?`` throughout a file that has no records.
    verdict : ndarray of str, shape (m,)
        Keys of `haruspex_infer.verdicts.VERDICTS`.
    stretches : tuple of Stretch
        Where to look first: the strongest evidence comes first.
    position : ndarray of float32, shape (m, 3)
        Where each residue lies, (x, y, z) in Å: its Cα or C4′, or the mean of its backbone without that.
    source : Path or None
        File of the model.
    notes : tuple of str
        What a user should know about the model.
    """

    table: ResidueTable
    classes: NDArray[np.uint8]
    deposited: NDArray[np.str_]
    verdict: NDArray[np.str_]
    stretches: tuple[Stretch, ...]
    position: NDArray[np.float32]
    source: Path | None
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.verdict)

    @cached_property
    def agreement(self) -> NDArray[np.float32]:
        """Mean probability of the modelled class at the backbone, shape (m,); not a number without either."""
        known = self.classes != UNKNOWN
        own = self.table.probability[np.arange(len(self)), np.where(known, self.classes, OTHER.number)]
        return np.where(known, own, np.float32(np.nan))

    @property
    def counts(self) -> dict[str, int]:
        """Number of residues by verdict."""
        return {verdict: int((self.verdict == verdict).sum()) for verdict in VERDICTS}

    def line(self) -> str:
        """Return the verdicts in one line."""
        total = len(self)
        parts = {AGREES: "agree with the density", BORDER: "differ at the end of an element"}
        parts |= {DIFFERS: "differ elsewhere", WEAK: "lie in hardly any density"}
        shares = {text: self.counts[verdict] / total for verdict, text in parts.items()}
        # a share that would read 0% says nothing
        told = [f"{share:.0%} {text}" for text, share in shares.items() if share >= 0.005]
        return ", ".join([f"{total:,} residues", *told])

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the table by columns; ``pandas.DataFrame(report.columns())`` makes a data frame of it.

        ``stretch`` is the rank of the stretch that a residue belongs to, 0 without one.
        """
        names = np.array([*CLASS_NAMES, "?"])
        table = self.table
        rank = np.zeros(len(self), np.int64)
        for number, stretch in enumerate(self.stretches, 1):
            rank[stretch.rows.start : stretch.rows.stop] = number
        return {
            "chain": table.chain,
            "number": table.number,
            "insertion": np.char.strip(table.insertion),
            "residue": table.name,
            "deposited": self.deposited,
            "modelled": names[np.minimum(self.classes, len(CLASS_NAMES))],
            "predicted": names[np.where(table.covered, table.predicted, len(CLASS_NAMES))],
            **{c.name: table.probability[:, c.number] for c in CLASSES},
            "sigma_level": table.sigma_level,
            "verdict": self.verdict,
            "stretch": rank,
        }

    def to_csv(self) -> str:
        """Return the table as text, three decimals; what is not a number stays empty."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        columns = self.columns()
        writer.writerow(columns)
        columns["stretch"] = np.where(columns["stretch"] == 0, "", columns["stretch"].astype(str))
        for row in zip(*(column.tolist() for column in columns.values()), strict=True):
            writer.writerow([_plain(value) for value in row])
        return text.getvalue()

    def summary(self) -> dict[str, Any]:
        """Return counts, notes and the ranked stretches, ready for JSON."""
        kept = ("chain", "first", "last", "modelled", "seen")
        return {
            "file": str(self.source) if self.source else None,
            "residues": len(self),
            "verdicts": self.counts,
            "meaning": VERDICTS,
            "notes": self.notes,
            "look_first": [
                {name: getattr(stretch, name) for name in kept}
                | {"sigma_level": round(stretch.sigma_level, 2), "score": round(stretch.score, 2)}
                | {"text": str(stretch)}
                for stretch in self.stretches
            ],
        }

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
        from haruspex_infer.modelfile import write_annotated_model  # both import this module
        from haruspex_infer.strips import strip_plot

        folder = Path(directory)
        copy = folder / f"{stem}_model.cif"
        if self.source is not None and copy.resolve() == self.source.resolve():
            raise HaruspexError(f"The annotated copy would replace the model {copy}: choose another folder.")
        prepare_folder(folder)
        files = [folder / f"{stem}_residues.csv", folder / f"{stem}_residues.svg"]
        for path, text in zip(files, (self.to_csv(), strip_plot(self, stem)), strict=True):
            with written_whole(path) as stream:
                stream.write(text.encode())
        if self.source is not None:
            files.append(copy)
            write_annotated_model(self, self.source, copy)
        return files


def compare(annotation: Annotation, model: "ModelLike") -> ResidueReport:
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


def _plain(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.3f}" if np.isfinite(value) else ""
    return value
