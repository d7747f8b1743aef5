"""Experimental maps with their atomic models, listed in a table."""

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from haruspex_infer.errors import HaruspexError
from haruspex_infer.files import refuse_unsafe_name


@dataclass(frozen=True)
class Pair:
    """One map and its model.

    Attributes
    ----------
    name : str
        EMDB id, or another name where there is none.
    pdb_id : str
        PDB id of the model, ``-`` where it has none.
    split : str
        ``val`` (to choose by) or ``test`` (for the final figure only).
    resolution : float
        Å.
    masked : str
        How the map was masked.
    map_path : Path
    model_paths : tuple of Path
    """

    name: str
    pdb_id: str
    split: str
    resolution: float
    masked: str
    map_path: Path
    model_paths: tuple[Path, ...]

    def __post_init__(self) -> None:
        # results are written under this name
        refuse_unsafe_name(self.name)


def read_pairs(folder: str | Path, split: str) -> list[Pair]:
    """Read the pairs of one split from ``INDEX.tsv`` of a folder.

    Raises
    ------
    HaruspexError
        If the table is missing, lacks a column, lists a map twice or without a resolution, or has no pair of
        this split.
    """
    table_path = Path(folder) / "INDEX.tsv"
    try:
        with table_path.open(newline="", encoding="utf-8") as table:
            rows = list(csv.DictReader(table, delimiter="\t"))
        pairs = [
            Pair(
                name=row["id"],
                pdb_id=row["pdb"],
                split=row["split"],
                resolution=float(row["resolution_A"]),
                masked=row["masked"],
                map_path=table_path.parent / row["map"],
                model_paths=tuple(table_path.parent / model for model in row["models"].split()),
            )
            for row in rows
        ]
    except OSError as fault:
        raise HaruspexError(
            f"{table_path} cannot be read ({fault.strerror}); name a folder of pairs."
        ) from fault
    except (KeyError, ValueError, AttributeError) as fault:
        raise HaruspexError(f"{table_path} is not a table of maps and models: {fault}.") from fault
    names = Counter(pair.name for pair in pairs)
    if twice := [name for name, count in names.items() if count > 1]:
        # results are kept by name: one map's residues would replace another's
        raise HaruspexError(
            f"{table_path} lists {', '.join(twice)} more than once; give each row an id of its own."
        )
    if odd := [pair.name for pair in pairs if not pair.resolution > 0]:
        raise HaruspexError(f"{table_path} gives {', '.join(odd)} no resolution; write it in Å.")
    chosen = [pair for pair in pairs if pair.split == split]
    if not chosen:
        known = ", ".join(sorted({pair.split for pair in pairs})) or "none"
        raise HaruspexError(f"{table_path} has no pair of the split '{split}'; it has {known}.")
    return chosen
