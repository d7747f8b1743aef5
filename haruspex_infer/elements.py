"""All helices, strands and stretches of nucleic acid of a map, with their table and files."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from haruspex_infer.element import LETTER, Element
from haruspex_infer.elementfiles import marker_text, pdb_text, pseudo_model
from haruspex_infer.files import prepare_folder, write_text
from haruspex_infer.sheets import Sheet
from haruspex_infer.tables import csv_text

_COLUMNS = (
    *("element", "class", "length", "residues", "turns", "bend", "radius", "probability", "sheet"),
    *("start_x", "start_y", "start_z", "end_x", "end_y", "end_z", "chain", "first", "last"),
)


@dataclass(frozen=True, eq=False)
class Elements:
    """All elements of a map.

    Attributes
    ----------
    helices, strands, stretches : tuple of Element
        The longest first; stretches are of nucleic acid.
    sheets : tuple of Sheet
        The largest first. Their indices are those of `strands`.
    """

    helices: tuple[Element, ...]
    strands: tuple[Element, ...]
    stretches: tuple[Element, ...]
    sheets: tuple[Sheet, ...]

    def __iter__(self) -> Iterator[Element]:
        return iter((*self.helices, *self.strands, *self.stretches))

    def __len__(self) -> int:
        return len(self.helices) + len(self.strands) + len(self.stretches)

    def line(self) -> str:
        """Return in a line what was found."""
        nucleotides = sum(element.residues for element in self.stretches)
        in_sheets = sum(len(sheet.strands) for sheet in self.sheets)
        return (
            f"{_count(len(self.helices), 'helix', 'helices')}, {_count(len(self.strands), 'strand')} "
            f"({in_sheets} in {_count(len(self.sheets), 'sheet')}), "
            f"{_count(len(self.stretches), 'stretch', 'stretches')} of nucleic acid "
            f"({_count(nucleotides, 'phosphate')})"
        )

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """A dictionary for each element; ``pandas.DataFrame(elements.rows)`` makes a data frame of them."""
        return [
            dict(
                zip(
                    _COLUMNS,
                    (
                        e.name,
                        e.kind.name,
                        e.length,
                        e.residues,
                        e.turns,
                        e.bend,
                        e.radius,
                        e.probability,
                        e.sheet,
                        *e.start.tolist(),
                        *e.end.tolist(),
                        LETTER[e.kind],
                        e.first,
                        e.last,
                    ),
                    strict=True,
                )
            )
            for e in self
        ]

    def to_csv(self) -> str:
        """Return the table as text; what does not apply to an element stays empty."""
        return csv_text(
            _COLUMNS, ({**row, "sheet": row["sheet"] or ""}.values() for row in self.rows), decimals=2
        )

    def save(self, directory: str | os.PathLike[str], stem: str) -> list[Path]:
        """Write ``STEM_elements.cif``, ``.pdb``, ``.cmm`` and ``.csv``.

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
            If they cannot be written.
        """
        folder = Path(directory)
        prepare_folder(folder)
        model = pseudo_model(tuple(self), self.sheets, stem)
        texts = {
            "cif": model.make_mmcif_document().as_string(),
            "pdb": pdb_text(tuple(self), model),
            "cmm": marker_text(tuple(self)),
            "csv": self.to_csv(),
        }
        files = []
        for ending, text in texts.items():
            files.append(folder / f"{stem}_elements.{ending}")
            write_text(files[-1], text)
        return files


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
