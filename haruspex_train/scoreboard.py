"""The figures of several maps beside each other."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

from haruspex_infer.classes import CLASSES, HELIX, NUCLEOTIDE, STRAND
from haruspex_train.figures import Figures, Spread, shown, spread
from haruspex_train.judged import JudgedResidues
from haruspex_train.pairs import Pair

RESOLUTION_LIMIT = 4.0
"""Å; the resolution that the networks are made for."""


@dataclass(frozen=True)
class PairScore:
    """Figures of one map.

    Attributes
    ----------
    pair : Pair
    has_protein : bool
        Whether the model holds amino acids.
    resolved : Figures
        Over residues with a mean backbone density of at least 1 σ, as published.
    residues : Figures
        Over all residues inside the map.
    voxels, dense_voxels : Figures
        Over the voxels that the ground truth does not ignore, and over those of them with a density of at
        least 1 σ: solvent is most of a map, and easily told.
    judged : JudgedResidues
        All residues inside the map, one by one.
    unmodelled_nucleotide : float
        Share of the density above 6 σ and farther than 4 Å from the model that is called nucleotide:
        tells how RNA that the model lacks is found. Not a number where there is no such density.
    protein_nucleotide : float
        Share of the voxels within 3 Å of the protein's backbone that are called nucleotide: false ones.
    """

    pair: Pair
    has_protein: bool
    resolved: Figures
    residues: Figures
    voxels: Figures
    dense_voxels: Figures
    judged: JudgedResidues
    unmodelled_nucleotide: float
    protein_nucleotide: float


Column = Callable[[PairScore], float]

COLUMNS: dict[str, Column] = {
    "recall": lambda s: s.resolved.recall,
    "precision": lambda s: s.resolved.precision,
    "helix_f1": lambda s: s.resolved.class_f1[HELIX.number],
    "strand_f1": lambda s: s.resolved.class_f1[STRAND.number],
    "nucleotide_f1": lambda s: s.resolved.class_f1[NUCLEOTIDE.number],
    "macro_f1": lambda s: s.resolved.macro_f1,
    "calibration_error": lambda s: s.resolved.calibration_error,
    "calibration_floor": lambda s: s.resolved.calibration_floor,
    "all_helix_f1": lambda s: s.residues.class_f1[HELIX.number],
    "all_strand_f1": lambda s: s.residues.class_f1[STRAND.number],
    "all_macro_f1": lambda s: s.residues.macro_f1,
    "voxel_helix_f1": lambda s: s.voxels.class_f1[HELIX.number],
    "voxel_strand_f1": lambda s: s.voxels.class_f1[STRAND.number],
    "voxel_nucleotide_f1": lambda s: s.voxels.class_f1[NUCLEOTIDE.number],
    "voxel_macro_f1": lambda s: s.voxels.macro_f1,
    "voxel_calibration_error": lambda s: s.dense_voxels.calibration_error,
    "unmodelled_nucleotide": lambda s: s.unmodelled_nucleotide,
    "protein_nucleotide": lambda s: s.protein_nucleotide,
}
"""One number a map: residues of at least 1 σ, then ``all_`` residues, then voxels.

The calibration of voxels counts those of at least 1 σ; its floor is what chance alone would leave.
"""

_SHOWN = (
    "recall",
    "precision",
    "helix_f1",
    "strand_f1",
    "nucleotide_f1",
    "macro_f1",
    "voxel_macro_f1",
    "calibration_error",
    "voxel_calibration_error",
)


@dataclass(frozen=True)
class Scoreboard:
    """Figures of one network over the maps of one split.

    Attributes
    ----------
    network, version, digest : str
        The network and the SHA-256 of its file.
    split : str
    scores : list of PairScore
        In the order of the folder's table.
    """

    network: str
    version: str
    digest: str
    split: str
    scores: list[PairScore]

    def groups(self) -> dict[str, list[PairScore]]:
        """Sort maps for the summary: those with protein, and of these the well resolved."""
        protein = [s for s in self.scores if s.has_protein]
        within = [s for s in protein if s.pair.resolution <= RESOLUTION_LIMIT]
        return {f"protein, {RESOLUTION_LIMIT:g} Å or better": within, "protein, all": protein}

    def summary(self) -> dict[str, dict[str, Spread]]:
        """Median and 10th percentile of every column of `COLUMNS` over each group of maps."""
        return {
            group: {name: spread(column(s) for s in scores) for name, column in COLUMNS.items()}
            for group, scores in self.groups().items()
        }

    def markdown(self) -> str:
        """Table for a model card: one line a map, then medians and 10th percentiles."""
        heads = [name.replace("_f1", " F1").replace("_", " ") for name in _SHOWN]
        lines = [
            "| map | Å | residues | " + " | ".join(heads) + " |",
            "|---|---|---|" + "---|" * len(heads),
        ]
        for s in self.scores:
            cells = [shown(COLUMNS[name](s)) for name in _SHOWN]
            lines.append(
                f"| {s.pair.name} | {s.pair.resolution:g} | {s.resolved.cases} | {' | '.join(cells)} |"
            )
        for group, columns in self.summary().items():
            n = len(self.groups()[group])
            medians = [shown(columns[name].median) for name in _SHOWN]
            tenths = [shown(columns[name].tenth_percentile) for name in _SHOWN]
            lines.append(f"| **median** ({group}, {n} maps) | | | {' | '.join(medians)} |")
            lines.append(f"| 10th percentile ({group}) | | | {' | '.join(tenths)} |")
        return "\n".join(lines) + "\n"

    def tsv(self) -> str:
        """Table with every column of `COLUMNS` and the counts of true classes."""
        counts = [f"residues_{c.name}" for c in CLASSES]
        lines = ["\t".join(["id", "pdb", "resolution_A", "masked", *counts, *COLUMNS])]
        for s in self.scores:
            true = [str(n) for n in s.resolved.confusion.sum(axis=1)]
            values = [shown(column(s), digits=4, missing="") for column in COLUMNS.values()]
            start = [s.pair.name, s.pair.pdb_id, f"{s.pair.resolution:g}", s.pair.masked]
            lines.append("\t".join(start + true + values))
        return "\n".join(lines) + "\n"

    def as_dict(self) -> dict[str, object]:
        """Everything, as plain values for JSON."""
        return {
            "network": {"name": self.network, "version": self.version, "digest": self.digest},
            "split": self.split,
            "summary": {
                group: {name: _without_nan(asdict(value)) for name, value in columns.items()}
                for group, columns in self.summary().items()
            },
            "maps": [
                {
                    "id": s.pair.name,
                    "pdb": s.pair.pdb_id,
                    "resolution": s.pair.resolution,
                    "resolved_residues": s.resolved.as_dict(),
                    "all_residues": s.residues.as_dict(),
                    "voxels": s.voxels.as_dict(),
                    "dense_voxels": s.dense_voxels.as_dict(),
                    **_without_nan(
                        {
                            "unmodelled_nucleotide": s.unmodelled_nucleotide,
                            "protein_nucleotide": s.protein_nucleotide,
                        }
                    ),
                }
                for s in self.scores
            ],
        }


def _without_nan(values: dict[str, float]) -> dict[str, float | None]:
    return {name: round(v, 4) if math.isfinite(v) else None for name, v in values.items()}
