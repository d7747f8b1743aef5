"""A copy of a model that carries what the density says: in its records and in its B factors."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from haruspex_infer.classes import HELIX, STRAND
from haruspex_infer.comparison import Comparison
from haruspex_infer.files import write_text
from haruspex_infer.structure import read_document
from haruspex_infer.verdicts import neighbours

if TYPE_CHECKING:
    import gemmi

NOT_COMPARED = -1.0
"""B factor of atoms of which the map says nothing: ligands, waters, residues outside the map."""

CONFIRMED, CONTRADICTED = "#f4f4f4", "#a0136b"
"""Colours of residues that the density confirms, and of those that it contradicts."""

CERTAIN = 60
"""Agreement (B factor) from which residues have the colour of those that agree."""

# two residues in a row make no helix or strand that a viewer could draw
_SHORTEST = 3


def write_annotated_model(report: Comparison, source: Path, path: Path) -> None:
    """Write the first model of a file as mmCIF, with the predicted helices and strands as its records.

    The B factor of each atom is the agreement of its residue: 100 × mean probability of the class that the
    model has there, `NOT_COMPARED` without one. Each strand is a sheet of its own, since density alone does
    not say which strands pair.

    Parameters
    ----------
    report : Comparison
        What the map says of the model.
    source : Path
        File of the model.
    path : Path
        Where to write.

    Raises
    ------
    HaruspexError
        If the file cannot be read any more, or the copy not be written.
    """
    import gemmi

    document = read_document(source)
    document.assign_label_seq_id()
    table = report.table
    keys = zip(table.chain.tolist(), table.number.tolist(), table.insertion.tolist(), strict=True)
    agreement = np.where(np.isfinite(report.agreement), 100 * report.agreement, NOT_COMPARED)
    b_factor = dict(zip(keys, np.round(agreement, 1).tolist(), strict=True))
    for chain in document[0]:
        for residue in chain:
            value = b_factor.get((chain.name, residue.seqid.num, residue.seqid.icode), NOT_COMPARED)
            for atom in residue:
                atom.b_iso = value
                atom.aniso = gemmi.SMat33f(0, 0, 0, 0, 0, 0)
    document.helices.clear()
    document.sheets.clear()
    for run in _runs(report, HELIX.number):
        helix = gemmi.Helix()
        helix.start, helix.end = _address(report, run[0]), _address(report, run[-1])
        helix.pdb_helix_class = gemmi.Helix.HelixClass.RAlpha
        helix.length = len(run)
        document.helices.append(helix)
    for number, run in enumerate(_runs(report, STRAND.number), 1):
        strand = gemmi.Sheet.Strand()
        strand.start, strand.end = _address(report, run[0]), _address(report, run[-1])
        strand.name = "1"
        sheet = gemmi.Sheet(str(number))
        sheet.strands.append(strand)
        document.sheets.append(sheet)
    text = document.make_mmcif_document().as_string()
    write_text(path, text)


def _runs(report: Comparison, number: int) -> Iterator[range]:
    """Rows of residues predicted to be of one class that follow each other in a chain."""
    member = report.table.covered & (report.table.predicted == number)
    joined = np.append(neighbours(report.table), False)
    start = 0
    for row in range(len(member)):
        if not (joined[row] and member[row] and member[row + 1]):
            if member[row] and row + 1 - start >= _SHORTEST:
                yield range(start, row + 1)
            start = row + 1


def _address(report: Comparison, row: int) -> "gemmi.AtomAddress":
    import gemmi

    table = report.table
    seqid = gemmi.SeqId(int(table.number[row]), str(table.insertion[row]))
    return gemmi.AtomAddress(str(table.chain[row]), seqid, str(table.name[row]), "CA", "\0")
