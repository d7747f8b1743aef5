"""Where a network's errors lie: what they are beside, what another truth would say, and what is inherent.

    python benchmarks/error_analysis.py PAIRS OUT --network residual --atoms ATOMS

Residues with a backbone density of at least 1 σ of the ``val`` maps of 4 Å or better that hold protein. OUT
keeps the annotations, as ``haruspex evaluate -o OUT`` does. With ``--atoms`` (of ``haruspex prepare``)
the same figures are measured on crops simulated at 3 Å from held-out models: what is wrong there is not a
matter of transfer.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from commandline import add_network, add_pairs, parser_of
from numpy.typing import NDArray

from haruspex_infer.annotator import Annotator
from haruspex_infer.backbone import completed_by_records, peptide_bonded
from haruspex_infer.classes import CLASSES, HELIX, NUCLEOTIDE, OTHER, STRAND
from haruspex_infer.grid import Grid
from haruspex_infer.residues import RESOLVED, residue_table
from haruspex_infer.structure import AMINO_ACID, OTHER_KIND, Structure, read_structure
from haruspex_train.annotations import Annotations
from haruspex_train.figures import Figures, Tally
from haruspex_train.groundtruth import near, voxel_truth
from haruspex_train.library import TrainingAtoms, load_training_atoms
from haruspex_train.pairs import read_pairs
from haruspex_train.scoreboard import RESOLUTION_LIMIT
from haruspex_train.secondary import (
    dssp_classes,
    extended,
    helical,
    residue_classes,
    stretched,
    torsions,
    with_bulges,
)
from haruspex_train.simulated import simulated_residues
from haruspex_train.truth import IGNORE, REACH

FAR = 99
FACTORS = (0.7, 1.0, 1.43, 2.0, 3.0)
STRUCTURED = (HELIX, STRAND)


@dataclass(frozen=True)
class Case:
    """One map: its model, what is true and what was said of it."""

    name: str
    structure: Structure
    truth: NDArray[np.uint8]
    probability: NDArray[np.float32]
    predicted: NDArray[np.uint8]
    counted: NDArray[np.bool_]
    density: NDArray[np.float32]
    grid: Grid


def read_cases(annotations: Annotations, folder: Path) -> list[Case]:
    """Annotate the maps."""
    found = []
    for pair in read_pairs(folder, "val"):
        structure = read_structure(pair.model_paths)
        if pair.resolution > RESOLUTION_LIMIT or not (structure.kind == AMINO_ACID).any():
            continue
        seen = annotations.of(pair.map_path)
        grid, density = seen.map.grid, seen.map.density
        table = residue_table(seen.probabilities, grid, structure, density)
        counted = table.covered & (table.kind != OTHER_KIND) & (table.sigma_level >= RESOLVED)
        truth = residue_classes(structure)
        found.append(
            Case(pair.name, structure, truth, table.probability, table.predicted, counted, density, grid)
        )
    return found


def steps_to(member: NDArray[np.bool_], bonded: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Residues along the chain to the nearest member; `FAR` without one. `bonded`: to the next residue."""
    steps = np.where(member, 0, FAR)
    for i in range(1, len(steps)):
        if bonded[i - 1]:
            steps[i] = min(steps[i], steps[i - 1] + 1)
    for i in range(len(steps) - 2, -1, -1):
        if bonded[i]:
            steps[i] = min(steps[i], steps[i + 1] + 1)
    return steps


def medians(figures: Iterable[Figures]) -> str:
    """Median recall, precision, helix and strand F1, as cells of a table."""
    rows = [[f.recall, f.precision, f.class_f1[HELIX.number], f.class_f1[STRAND.number]] for f in figures]
    return " | ".join(f"{value:.3f}" for value in np.nanmedian(rows, axis=0))


def by_distance(rows: list[tuple[NDArray[np.int64], NDArray[np.bool_]]], label: str) -> str:
    """Share of coil called a class by its distance along the chain from that class."""
    steps, called = (np.concatenate(column) for column in zip(*rows, strict=True))
    cells = []
    for low, high in ((1, 1), (2, 2), (3, 3), (4, 6), (7, FAR)):
        here = (steps >= low) & (steps <= high)
        cells.append(f"{called[here].sum()} of {here.sum()} ({called[here].mean():.2f})")
    return f"| {label} | {' | '.join(cells)} |"


def coil_rows(case: Case, number: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Distance of coil residues from a class, and whether they are called it."""
    coil = case.counted & (case.truth == OTHER.number) & (case.structure.kind == AMINO_ACID)
    steps = steps_to(case.truth == number, peptide_bonded(case.structure))
    return steps[coil], case.predicted[coil] == number


def profile(case: Case, number: int) -> dict[int, list[float]]:
    """Probability of a class along the chain across the ends of elements; 0 is the last residue inside."""
    member = (case.truth == number) & (case.structure.kind == AMINO_ACID)
    bonded = peptide_bonded(case.structure)
    outside, inside = steps_to(member, bonded), steps_to(~member, bonded)
    place = np.where(member, inside - 1, -outside)
    return {k: case.probability[case.counted & (place == k), number].tolist() for k in range(-3, 4)}


def other_truths(case: Case) -> dict[str, Figures]:
    """Figures against other definitions of the truth."""
    structure, counted = case.structure, case.counted
    dssp = with_bulges(dssp_classes(structure), structure)
    union = completed_by_records(dssp, structure)
    bonded = peptide_bonded(structure)
    phi, psi = torsions(structure)
    coil = case.truth == OTHER.number
    truths = {
        "as defined": case.truth,
        "records alone": completed_by_records(np.zeros_like(dssp), structure),
        "DSSP alone": dssp,
        "DSSP, extended": extended(dssp, structure),
        "DSSP and records": union,
        "as defined; any neighbour of an element belongs to it": grown(case.truth, structure),
        "as defined; all coil that is helical by φ, ψ is helix": np.where(
            coil & helical(phi, psi), HELIX.number, case.truth
        ),
        "as defined; all coil that is stretched is strand": np.where(
            coil & stretched(phi, psi), STRAND.number, case.truth
        ),
    }
    found = {}
    for name, truth in truths.items():
        truth = np.where(case.truth == NUCLEOTIDE.number, case.truth, truth)
        found[name] = Tally().add(case.probability[counted].T, truth[counted]).figures()
    for reach in (1, 2):
        beside = np.zeros(len(coil), bool)
        for label in STRUCTURED:
            beside |= (steps_to(case.truth == label.number, bonded) <= reach) & (
                case.predicted == label.number
            )
        kept = counted & ~(coil & beside)
        tally = Tally().add(case.probability[kept].T, case.truth[kept])
        found[f"coil within {reach} of an element and called it does not count"] = tally.figures()
    return found


def grown(truth: NDArray[np.uint8], structure: Structure) -> NDArray[np.uint8]:
    """Let every element take one more residue at each end."""
    bonded = peptide_bonded(structure)
    result = truth.copy()
    for label in STRUCTURED:
        beside = (steps_to(truth == label.number, bonded) == 1) & (result == OTHER.number)
        result[beside & (structure.kind == AMINO_ACID)] = label.number
    return result


def label_rules(case: Case) -> dict[str, Figures]:
    """Figures of perfect networks: the labels that training rules give to voxels, read as an annotation."""
    structure, grid = case.structure, case.grid
    of_atom = case.truth[structure.residue]
    paper = voxel_truth(case.density, grid, structure, case.truth)
    reached = np.zeros(grid.shape, np.uint8)
    for label in STRUCTURED:
        reached[near(grid, structure.xyz[structure.backbone & (of_atom == label.number)], REACH)] = (
            label.number
        )
    volumes = {
        "the paper's rule: 3 Å and density": np.where(paper == IGNORE, OTHER.number, paper),
        "3 Å, coil does not compete": reached,
        "nearest backbone atom, coil competes": nearest_labels(structure, of_atom, grid),
    }
    found = {}
    for name, labels in volumes.items():
        certain = np.stack([(labels == c.number).astype(np.float32) for c in CLASSES])
        table = residue_table(certain, grid, structure)
        found[name] = Tally().add(table.probability[case.counted].T, case.truth[case.counted]).figures()
    return found


def nearest_labels(structure: Structure, of_atom: NDArray[np.uint8], grid: Grid) -> NDArray[np.uint8]:
    """Give every voxel within 3 Å of a backbone atom the class of the nearest."""
    nearest = np.full(grid.voxels, np.inf, np.float32)
    labels = np.zeros(grid.voxels, np.uint8)
    size = np.array(grid.voxel_size)
    reach = np.ceil(REACH / size).astype(int)
    offsets = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), -1).reshape(-1, 3)
    atoms = np.flatnonzero(structure.backbone)
    for place, label in zip(grid.indices(structure.xyz[atoms]), of_atom[atoms], strict=True):
        voxels = np.rint(place).astype(int) + offsets
        gap = np.linalg.norm((voxels - place) * size, axis=1)
        close = (gap < REACH) & ((voxels >= 0) & (voxels < grid.shape)).all(axis=1)
        flat, gap = np.ravel_multi_index(tuple(voxels[close].T), grid.shape), gap[close]
        nearer = gap < nearest[flat]
        nearest[flat[nearer]], labels[flat[nearer]] = gap[nearer], label
    return labels.reshape(grid.shape)


def with_factor(probability: NDArray[np.float32], truth: NDArray[np.uint8], factor: float) -> Figures:
    """Figures after the probability of *other* is multiplied."""
    shifted = probability.T.copy()
    shifted[OTHER.number] *= factor
    return Tally().add(shifted, truth).figures()


def print_truths(cases: list[Case], of: Callable[[Case], dict[str, Figures]], title: str) -> None:
    """Medians over maps for every variant."""
    print(f"\n## {title}\n\n| | recall | precision | helix F1 | strand F1 |\n|---|---|---|---|---|")
    results = [of(case) for case in cases]
    for name in results[0]:
        print(f"| {name} | {medians(result[name] for result in results)} |", flush=True)


def print_simulated(network: str, atoms: TrainingAtoms, cases: list[Case], crops: int, device: str) -> None:
    """Print the published figures on simulated crops beside those of the maps."""
    classes = np.zeros(int(atoms.residue[-1]) + 1, np.uint8)
    classes[atoms.residue] = atoms.cls
    first = np.zeros(len(classes), bool)
    first[atoms.residue[atoms.offset[:-1]]] = True
    parts = []
    rows: dict[int, list[tuple[NDArray[np.int64], NDArray[np.bool_]]]] = {c.number: [] for c in STRUCTURED}
    steps = {c.number: steps_to(classes == c.number, ~first[1:]) for c in STRUCTURED}
    for crop in simulated_residues(network, atoms, 3.0, crops, device=device):
        counted = crop.sigma_level >= RESOLVED
        if (crop.truth[counted] == NUCLEOTIDE.number).any() or counted.sum() < 20:
            continue
        parts.append((crop.probability[counted], crop.truth[counted]))
        coil = counted & (crop.truth == OTHER.number)
        for label in STRUCTURED:
            called = crop.probability[coil].argmax(axis=1) == label.number
            rows[label.number].append((steps[label.number][crop.row[coil]], called))
    print(f"\n## Simulated at 3 Å from held-out models, {len(parts)} crops without nucleotides; and the maps")
    print("\n| odds of other × | | recall | precision | helix F1 | strand F1 |\n|---|---|---|---|---|---|")
    for factor in FACTORS:
        print(f"| {factor:g} | simulated | {medians(with_factor(*part, factor) for part in parts)} |")
        real = (with_factor(c.probability[c.counted], c.truth[c.counted], factor) for c in cases)
        print(f"| {factor:g} | maps | {medians(real)} |")
    print_distances(rows, "Coil called a class, simulated")


def print_distances(rows: dict[int, list[tuple[NDArray[np.int64], NDArray[np.bool_]]]], title: str) -> None:
    """Coil by its distance along the chain."""
    print(
        f"\n## {title}, by residues to the nearest of that class\n\n| called | 1 | 2 | 3 | 4–6 | 7 and more |"
    )
    print("|---|---|---|---|---|---|")
    for label in STRUCTURED:
        print(by_distance(rows[label.number], label.name))


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    add_pairs(parser)
    parser.add_argument("out", type=Path, help="folder that keeps the annotations")
    add_network(parser)
    parser.add_argument("--atoms", type=Path, help="training file; its val split is simulated")
    parser.add_argument("--crops", type=int, default=32, help="simulated crops")
    options = parser.parse_args()
    annotator = Annotator(options.network, options.device)
    cases = read_cases(Annotations(annotator, options.out / "annotations"), options.folder)
    print(f"# {annotator.contract.name}, {len(cases)} maps\n")
    names = [c.name for c in CLASSES[1:]]
    print(f"| map | coil | called {' | '.join(names)} | missed | helix for strand or reverse |")
    print("|---|---|---|---|---|---|---|")
    for case in cases:
        table = Tally().add(case.probability[case.counted].T, case.truth[case.counted]).confusion
        called = " | ".join(str(n) for n in table[OTHER.number, 1:])
        missed, mixed = table[1:, OTHER.number].sum(), table[1, 2] + table[2, 1]
        print(f"| {case.name} | {table[OTHER.number].sum()} | {called} | {missed} | {mixed} |")
    rows = {label.number: [coil_rows(case, label.number) for case in cases] for label in STRUCTURED}
    print_distances(rows, "Coil called a class")
    print("\n## Mean probability across the ends of elements (0: the last residue inside)\n")
    print("| | −3 | −2 | −1 | 0 | 1 | 2 | 3 |\n|---|---|---|---|---|---|---|---|")
    for label in STRUCTURED:
        profiles = [profile(case, label.number) for case in cases]
        means = [np.mean(np.concatenate([p[k] for p in profiles])) for k in range(-3, 4)]
        print(f"| {label.name} | {' | '.join(f'{value:.2f}' for value in means)} |")
    print_truths(cases, other_truths, "The same answers against other truths, medians")
    print_truths(cases, label_rules, "Perfect networks: what rules of labelling allow, medians")
    if options.atoms is not None:
        atoms = load_training_atoms(options.atoms, "val")
        print_simulated(options.network, atoms, cases, options.crops, options.device)


if __name__ == "__main__":
    main()
