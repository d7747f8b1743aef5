"""Makes models wrong on purpose, and counts how many errors the comparison with the map finds.

    python benchmarks/wrong_models.py emd_2513.mrc.gz 4ci0.pdb.gz

Two kinds of error, five of each, one at a time, in a model that is taken to be right: twelve residues around
a strand rebuilt as helix on the strand's axis, and a helix pushed along its axis by four residues, with every
residue in the place of the one four further on. An error is found if a stretch of the report overlaps it by
three residues or more that no stretch held before.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from commandline import parser_of
from numpy.typing import NDArray

from haruspex_infer import Annotation, annotate
from haruspex_infer.backbone import modelled_classes, peptide_bonded
from haruspex_infer.classes import HELIX, STRAND
from haruspex_infer.compare import ResidueReport
from haruspex_infer.errors import HaruspexError
from haruspex_infer.network import DEFAULT_NETWORK
from haruspex_infer.structure import OTHER_KIND, Structure, read_structure

EACH = 5
LENGTH = 12
PUSH = 4
RISE = 1.5  # Å along the axis of an α helix for each residue
OVERLAP = 3


@dataclass(frozen=True)
class Error:
    """A wrong model: what was done to which rows of the right one."""

    kind: str
    rows: range
    structure: Structure


def errors(structure: Structure) -> Iterator[Error]:
    """Make wrong models of a right one."""
    classes = modelled_classes(structure)
    helices = sorted(_runs(structure, classes, HELIX.number), key=len, reverse=True)
    strands = sorted(_runs(structure, classes, STRAND.number), key=len, reverse=True)
    pattern = _straightest(structure, helices)
    for run in strands[:EACH]:
        rows = _middle(run, LENGTH)
        yield Error("strand rebuilt as helix", rows, _rebuilt(structure, rows, pattern))
    for run in [run for run in helices if len(run) >= LENGTH][:EACH]:
        shape = structure.main_chain()[run.start : run.stop] + PUSH * RISE * _axis(_places(structure, run))
        yield Error("helix pushed along its axis", run, _with_main_chain(structure, run, shape))


def _runs(structure: Structure, classes: NDArray[np.uint8], number: int) -> Iterator[range]:
    bonded = np.append(peptide_bonded(structure), False)
    start = 0
    for row in range(len(classes)):
        if classes[row] != number or not bonded[row] or classes[row + 1] != number:
            if classes[row] == number:
                yield range(start, row + 1)
            start = row + 1


def _middle(run: range, length: int) -> range:
    start = (run.start + run.stop - length) // 2
    return range(start, start + length)


def _straightest(structure: Structure, helices: list[range]) -> range:
    """Find the part of a helix whose turns are the most alike."""
    alpha = structure.main_chain()[:, 1]
    parts = [range(k, k + LENGTH) for run in helices for k in range(run.start, run.stop - LENGTH + 1)]
    if not parts:
        raise HaruspexError(f"The model has no helix of {LENGTH} residues, whose shape the errors take.")

    def unevenness(part: range) -> float:
        places = alpha[part.start : part.stop]
        return sum(float(np.linalg.norm(places[n:] - places[:-n], axis=1).std()) for n in (2, 3, 4))

    return min(parts, key=unevenness)


def _places(structure: Structure, rows: range) -> NDArray[np.float32]:
    return structure.main_chain()[rows.start : rows.stop].reshape(-1, 3)


def _axis(xyz: NDArray[np.float32]) -> NDArray[np.float64]:
    """Direction in which points extend the most, from the first to the last."""
    axis = np.linalg.svd(xyz - xyz.mean(axis=0), full_matrices=False)[2][0]
    return axis * np.sign(axis @ (xyz[-1] - xyz[0]))


def _rebuilt(structure: Structure, rows: range, pattern: range) -> Structure:
    """Give the main chain of some residues the shape of a helix on the same axis."""
    helix, place = _places(structure, pattern), _places(structure, rows)
    start, end = _axis(helix), _axis(place)
    cross, cosine = np.cross(start, end), float(start @ end)
    skew = np.array([[0, -cross[2], cross[1]], [cross[2], 0, -cross[0]], [-cross[1], cross[0], 0]])
    rotation = np.eye(3) + skew + skew @ skew / (1 + cosine)
    shape = (helix - helix.mean(axis=0)) @ rotation.T + place.mean(axis=0)
    return _with_main_chain(structure, rows, shape.reshape(-1, 4, 3))


def _with_main_chain(structure: Structure, rows: range, shape: NDArray[np.floating]) -> Structure:
    xyz = structure.xyz.copy()
    for row, atoms in zip(rows, shape, strict=True):
        for name, place in zip(("N", "CA", "C", "O"), atoms, strict=True):
            xyz[(structure.residue == row) & (structure.atom_name == name)] = place
    # the file's records would tell what the model was before
    return replace(structure, xyz=xyz, deposited=np.full(structure.n_residues, "?"))


def found(report: ResidueReport, rows: range, before: set[int]) -> int | None:
    """Rank of the first stretch that overlaps an error by residues that no stretch held before."""
    for rank, stretch in enumerate(report.stretches, 1):
        if len((set(stretch.rows) & set(rows)) - before) >= OVERLAP:
            return rank
    return None


def table(annotation: Annotation, structure: Structure) -> str:
    """Compare all wrong models, a Markdown table."""
    # what a report leaves out is left out here, so that rows are the same in both
    structure = structure.part(structure.kind[structure.residue] != OTHER_KIND)
    right = annotation.compare(structure)
    before = {row for stretch in right.stretches for row in stretch.rows}
    lines = [f"The model as it is has {len(right.stretches)} stretches to look at.", ""]
    lines += ["| error | residues | rank | what the report says |", "|---|---|---|---|"]
    counts: dict[str, list[bool]] = {}
    for error in errors(structure):
        report = annotation.compare(error.structure)
        rank = found(report, error.rows, before)
        counts.setdefault(error.kind, []).append(rank is not None)
        chain = structure.chain[error.rows.start]
        first, last = structure.number[error.rows.start], structure.number[error.rows.stop - 1]
        said = str(report.stretches[rank - 1]) if rank else "not found"
        lines.append(f"| {error.kind} | {chain} {first}–{last} | {rank or '–'} | {said} |")
    lines += ["", *(f"{kind}: {sum(hits)} of {len(hits)} found" for kind, hits in counts.items())]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("map")
    parser.add_argument("model")
    parser.add_argument("--network", default=DEFAULT_NETWORK)
    arguments = parser.parse_args()
    annotation = annotate(arguments.map, network=arguments.network)
    print(table(annotation, read_structure(arguments.model)))


if __name__ == "__main__":
    main()
