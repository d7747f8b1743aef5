"""The table of a batch: what became of each map."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from haruspex_infer.classes import CLASSES
from haruspex_infer.files import write_text
from haruspex_infer.inputs import times
from haruspex_infer.plan import shown_size
from haruspex_infer.tables import csv_text

NAME = "haruspex_maps.csv"

ANNOTATED, BEFORE, FAILED, WAITING = "annotated", "annotated before", "failed", "waiting"

_COLUMNS = (
    *("map", "folder", "status", "nx", "ny", "nz", "voxel_x", "voxel_y", "voxel_z"),
    *(c.name for c in CLASSES),
    *("warnings", "seconds", "device", "host", "fault"),
)
_HEAD = ("status", "map", "voxels", "voxel size", *(c.name for c in CLASSES), "notes", "s", "device")


@dataclass(frozen=True)
class Row:
    """A map and what became of it.

    Attributes
    ----------
    path, folder : Path
        The map and the folder of its results.
    status : str
        ``annotated``, ``annotated before`` (by an earlier run), ``failed`` or ``waiting``.
    summary : dict or None
        What its folder says of it.
    fault : str
        Why it failed.
    """

    path: Path
    folder: Path
    status: str = WAITING
    summary: dict[str, Any] | None = None
    fault: str = ""

    def values(self) -> dict[str, object]:
        """Return what stands in the columns of the file; those of a map without results are missing."""
        told: dict[str, object] = {"map": self.path, "folder": self.folder, "status": self.status}
        if self.fault:
            told["fault"] = self.fault
        if self.summary is None:
            return told
        for name, key in (("n{}", "shape_zyx"), ("voxel_{}", "voxel_size_zyx")):
            numbers = zip("zyx", self.summary["input"][key], strict=True)
            told |= {name.format(axis): number for axis, number in numbers}
        return told | {
            **_shares(self.summary),
            "warnings": "; ".join(self.summary["warnings"]),
            "seconds": _seconds(self.summary),
            "device": self.summary["device"],
            "host": self.summary["host"],
        }

    def cells(self) -> list[str]:
        """Return what stands in the columns that are printed."""
        if self.summary is None:
            return [self.status, str(self.path), *[""] * (len(_HEAD) - 2)]
        given = self.summary["input"]
        return [
            self.status,
            str(self.path),
            times(tuple(given["shape_zyx"])),
            shown_size(tuple(given["voxel_size_zyx"])),
            *(f"{share:.0%}" for share in _shares(self.summary).values()),
            str(len(self.summary["warnings"]) or ""),
            f"{_seconds(self.summary):.1f}",
            self.summary["device"],
        ]


def write_table(rows: list[Row], path: Path) -> None:
    """Write all rows as CSV."""
    values = [row.values() for row in rows]
    write_text(path, csv_text(_COLUMNS, ([told.get(name) for name in _COLUMNS] for told in values), 4))


def shown_table(rows: list[Row]) -> str:
    """Return the table in columns for people, and how many maps came to what."""
    lines = [list(_HEAD), *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = ["  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)) for line in lines]
    for number, row in enumerate(rows, 1):
        if row.fault:
            shown[number] = f"{shown[number].rstrip()}  {row.fault}"
    counts = [(sum(row.status == status for row in rows), status) for status in (ANNOTATED, BEFORE, FAILED)]
    told = ", ".join(f"{count} {status}" for count, status in counts if count)
    return "\n".join([*(line.rstrip() for line in shown), told])


def _shares(summary: dict[str, Any]) -> dict[str, float]:
    """Share of the molecular density that each class has."""
    return {c.name: summary["composition"][c.name]["molecule_fraction"] for c in CLASSES}


def _seconds(summary: dict[str, Any]) -> float:
    return sum(summary["seconds"].values())
