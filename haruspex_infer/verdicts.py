"""Verdicts on the residues of a model, and the stretches of a chain that deserve the first look."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.backbone import UNKNOWN
from haruspex_infer.classes import CLASS_NAMES, OTHER
from haruspex_infer.residues import RESOLVED, ResidueTable

AGREES, BORDER, DIFFERS, WEAK, OUTSIDE, UNJUDGED = "agrees", "border", "differs", "weak", "outside", "?"
VERDICTS = {
    AGREES: "density looks like the class that the model has",
    BORDER: "density looks like the class of the residue before or after: ends of elements are fuzzy",
    DIFFERS: "density looks like another class",
    WEAK: "backbone in density under 1 σ",
    OUTSIDE: "no backbone atom inside the map",
    UNJUDGED: "neither records nor coordinates tell the class that the model has",
}

# one residue can differ anywhere; three in a row are most of a turn of helix, or a short strand
_SHORTEST = 3
# helix against strand is a contradiction; coil that looks like a helix may be one of the network's errors,
# which are mostly of this kind (helices of polyproline, turns: Mostosi et al. 2020, figure 2)
_CONTRADICTION, _DOUBT = 1.0, 0.5


@dataclass(frozen=True)
class Stretch:
    """Consecutive residues that deserve a look.

    Attributes
    ----------
    chain, first, last : str
        Chain, and residue numbers with insertion codes.
    modelled : str
        Class of most of them in the model.
    seen : str
        Class that the density looks like, or ``weak`` where there is hardly any.
    sigma_level : float
        Mean density at the backbone, in σ.
    score : float
        Weight of the evidence: over the residues, the sum of how much more probable the seen class is than
        the modelled one. It counts by half where either class is *other*, as do residues in weak density.
    rows : range
        Its rows in the table.
    """

    chain: str
    first: str
    last: str
    modelled: str
    seen: str
    sigma_level: float
    score: float
    rows: range

    def __str__(self) -> str:
        model = "coil" if self.modelled == OTHER.name else self.modelled
        if self.seen == WEAK:
            density = "hardly any density"
        elif self.seen == OTHER.name:
            density = f"density does not look like {self.modelled}"
        else:
            density = f"density looks like {self.seen}"
        place = f"chain {self.chain} {self.first}–{self.last}"
        return f"{place}: modelled {model}, {density}, {self.sigma_level:.1f} σ"


def verdicts(table: ResidueTable, classes: NDArray[np.uint8]) -> NDArray[np.str_]:
    """Judge every residue.

    Parameters
    ----------
    table : ResidueTable
        What the map says of *m* residues.
    classes : ndarray of uint8, shape (m,)
        What they are in the model (`haruspex_infer.backbone.modelled_classes`).

    Returns
    -------
    ndarray of str, shape (m,)
        Keys of `VERDICTS`.
    """
    beside = np.zeros(len(classes), bool)
    joined = neighbours(table)
    beside[1:] |= joined & (table.predicted[1:] == classes[:-1])
    beside[:-1] |= joined & (table.predicted[:-1] == classes[1:])
    verdict = np.full(len(classes), DIFFERS, "U7")
    verdict[beside] = BORDER
    verdict[table.predicted == classes] = AGREES
    verdict[classes == UNKNOWN] = UNJUDGED
    verdict[table.sigma_level < RESOLVED] = WEAK
    verdict[~table.covered] = OUTSIDE
    return verdict


def neighbours(table: ResidueTable) -> NDArray[np.bool_]:
    """Tell for each residue but the last whether the next one follows it in the chain, shape (m-1,)."""
    return (table.chain[1:] == table.chain[:-1]) & (np.abs(np.diff(table.number)) <= 1)


def stretches(
    table: ResidueTable, classes: NDArray[np.uint8], verdict: NDArray[np.str_]
) -> tuple[Stretch, ...]:
    """Collect runs of residues that differ or lie in weak density, the strongest evidence first.

    A run has at least three such residues; single residues that agree may lie between them, since a wrong
    main chain weaves in and out of the density, and fuzzy ends belong to it. It is named after the class
    that most of the evidence is for.
    """
    number = np.arange(len(classes))
    own = table.probability[number, np.minimum(classes, len(CLASS_NAMES) - 1)]
    highest = table.probability[number, table.predicted]
    structured = (classes != OTHER.number) & (table.predicted != OTHER.number)
    evidence = np.where(structured, _CONTRADICTION, _DOUBT) * (highest - own)
    weak, differs = verdict == WEAK, verdict == DIFFERS
    evidence[weak] = _DOUBT * (RESOLVED - np.clip(table.sigma_level[weak], 0, None))
    seen = np.where(weak, len(CLASS_NAMES), table.predicted)
    found = []
    for run in _runs(weak | differs | (verdict == BORDER), neighbours(table)):
        rows = np.array(run)[(weak | differs)[run.start : run.stop]]
        if len(rows) < _SHORTEST:
            continue
        seen_most = int(np.bincount(seen[rows], weights=evidence[rows]).argmax())
        told = classes[rows[(seen[rows] == seen_most) & (classes[rows] != UNKNOWN)]]
        found.append(
            Stretch(
                chain=str(table.chain[run.start]),
                first=_place(table, run.start),
                last=_place(table, run.stop - 1),
                modelled=CLASS_NAMES[np.bincount(told).argmax()] if len(told) else OTHER.name,
                seen=(*CLASS_NAMES, WEAK)[seen_most],
                sigma_level=float(table.sigma_level[run.start : run.stop].mean()),
                score=float(evidence[rows].sum()),
                rows=run,
            )
        )
    return tuple(sorted(found, key=lambda stretch: -stretch.score))


def _runs(member: NDArray[np.bool_], joined: NDArray[np.bool_]) -> Iterator[range]:
    """Rows of members that follow each other in a chain; a single other row may lie in between."""
    start = 0
    while start < len(member):
        end = start + 1
        if member[start]:
            row = end
            while row < len(member) and joined[row - 1] and row - end <= 1:
                if member[row]:
                    end = row + 1
                row += 1
            yield range(start, end)
        start = end


def _place(table: ResidueTable, row: int) -> str:
    return f"{table.number[row]}{table.insertion[row]}".strip()
