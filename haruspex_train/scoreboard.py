"""The figures of several maps beside each other."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

from haruspex_infer.classes import CLASSES, HELIX, NUCLEOTIDE, STRAND
from haruspex_train.figures import HEADLINE, Figures, Spread, headed, shown, spread
from haruspex_train.judged import JudgedResidues
from haruspex_train.pairs import Pair
from haruspex_train.uncertainty import LEVEL, UNKNOWN, Estimate, Sureness, differences, estimates

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

    def line(self) -> str:
        """Return the published figures in one line."""
        found = self.resolved
        told = f"recall {shown(found.recall)}, precision {shown(found.precision)}, {found.cases:,} residues"
        return f"{self.pair.name}: {told}"


Column = Callable[[PairScore], float]


def _resolved(figure: Callable[[Figures], float]) -> Column:
    return lambda s: figure(s.resolved)


COLUMNS: dict[str, Column] = {
    **{name: _resolved(figure) for name, figure in HEADLINE.items()},
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

_SHOWN = (*HEADLINE, "voxel_macro_f1", "calibration_error", "voxel_calibration_error")


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

    def sureness(self) -> dict[str, dict[str, Sureness]]:
        """Intervals of the figures of `HEADLINE` over each group of maps."""
        return {group: estimates(_counted(scores)) for group, scores in self.groups().items()}

    def markdown(self) -> str:
        """Table for a model card: one line a map, then medians, their intervals and 10th percentiles."""
        heads = [headed(name) for name in _SHOWN]
        lines = [
            "| map | Å | residues | " + " | ".join(heads) + " |",
            "|---|---|---|" + "---|" * len(heads),
        ]
        for s in self.scores:
            cells = [shown(COLUMNS[name](s)) for name in _SHOWN]
            lines.append(
                f"| {s.pair.name} | {s.pair.resolution:g} | {s.resolved.cases} | {' | '.join(cells)} |"
            )
        summary, sureness = self.summary(), self.sureness()
        for group, scores in self.groups().items():
            columns = [summary[group][name] for name in _SHOWN]
            sure = [sureness[group].get(name, UNKNOWN) for name in _SHOWN]
            residues = sum(s.resolved.cases for s in scores)
            rows = {
                f"**median** ({group}, {len(scores)} maps) | |": [shown(c.median) for c in columns],
                f"{100 * LEVEL:g} % interval of the median | |": [_range(s.median) for s in sure],
                f"10th percentile ({group}) | |": [shown(c.tenth_percentile) for c in columns],
                f"residues together ({group}) | | {residues}": [shown(s.together.value) for s in sure],
                f"{100 * LEVEL:g} % interval, residues together | |": [_range(s.together) for s in sure],
            }
            lines += [f"| {start} | {' | '.join(cells)} |" for start, cells in rows.items()]
        return "\n".join(lines) + "\n"

    def against(self, other: "Scoreboard") -> str:
        """Table of what this network has more of every figure of `HEADLINE` than another on the same maps.

        Where an interval leaves out 0, the two differ by more than the choice of maps and residues explains.

        Raises
        ------
        ValueError
            If the maps are not the same.
        """
        theirs = other.groups()
        return difference_table(
            f"{self.network} − {other.network}",
            {
                group: differences(_counted(scores), _counted(theirs[group]))
                for group, scores in self.groups().items()
            },
        )

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
                group: {
                    name: _without_nan(asdict(value)) | (_plain(sure[name]) if name in sure else {})
                    for name, value in self.summary()[group].items()
                }
                for group, sure in self.sureness().items()
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


def difference_table(what: str, compared: dict[str, dict[str, Sureness]]) -> str:
    """Table of differences with their intervals, Markdown: of each comparison the two ways to sum up maps."""
    lines = [f"| {what} | {' | '.join(map(headed, HEADLINE))} |", "|---" * (len(HEADLINE) + 1) + "|"]
    for name, sure in compared.items():
        medians = [_difference(sure[figure].median) for figure in HEADLINE]
        together = [_difference(sure[figure].together) for figure in HEADLINE]
        lines.append(f"| {name}, median over maps | {' | '.join(medians)} |")
        lines.append(f"| {name}, residues together | {' | '.join(together)} |")
    return "\n".join(lines) + "\n"


def _difference(estimate: Estimate) -> str:
    if not math.isfinite(estimate.low):
        return "–"
    return f"{estimate.value:+.3f} ({estimate.low:+.3f} to {estimate.high:+.3f})".replace("-", "−")


def _range(estimate: Estimate) -> str:
    if not math.isfinite(estimate.low):
        return "–"
    return f"{estimate.low:.2f}–{estimate.high:.2f}"


def _plain(sure: Sureness) -> dict[str, object]:
    median, together = (_without_nan(asdict(part)) for part in (sure.median, sure.together))
    return {
        "median_interval": [median["low"], median["high"]],
        "together": together["value"],
        "together_interval": [together["low"], together["high"]],
    }


def _counted(scores: list[PairScore]) -> list[JudgedResidues]:
    return [s.judged.chosen(s.judged.resolved) for s in scores]


def _without_nan(values: dict[str, float]) -> dict[str, float | None]:
    return {name: round(v, 4) if math.isfinite(v) else None for name, v in values.items()}
