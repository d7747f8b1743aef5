"""Measures and draws what a network makes of what maps hold besides helix, strand and nucleotide.

    python benchmarks/known_failures.py PAIRS LIBRARY docs/images/failures --network residual

Micelles, glycans, ligands, polyproline II, turns of β-hairpins, A and B form, weak density, the wrong hand
and 6 Å: on experimental maps of PAIRS (``val``) where they hold it, and on maps that `simulating` makes at
3 Å of ``val`` entries of LIBRARY, the folder of packed models. Prints a table for every case and writes
a picture. A residue is called what its backbone atoms are called in the mean, a ligand or sugar what all its
atoms are; those under 1 σ do not count.
"""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from annotated import (
    RESOLUTION,
    Chosen,
    Maps,
    Row,
    Seen,
    about,
    coil,
    named,
    reflected,
    row,
    section,
    true,
    voxels,
)
from commandline import add_network, add_pairs, parser_of
from map_warnings import blurred, cut
from scipy.spatial import cKDTree
from sections import Section, draw
from simulating import micelle, simulate, upright

from haruspex_infer.annotator import Annotator
from haruspex_infer.backbone import peptide_bonded
from haruspex_infer.classes import CLASS_NAMES, CLASSES, HELIX, NUCLEOTIDE, OTHER, STRAND
from haruspex_infer.residues import RESOLVED
from haruspex_infer.structure import AMINO_ACID
from haruspex_train.library import AtomLibrary
from haruspex_train.scoreboard import RESOLUTION_LIMIT
from haruspex_train.secondary import residue_classes, torsions

LIGANDS = {
    "haem": ("HEM",),
    "flavin (FAD, FMN)": ("FAD", "FMN"),
    "AMP, GNP": ("AMP", "GNP"),
    "lipid and detergent tails": ("PLM", "BGL"),
    "iron–sulphur": ("SF4",),
}
LIGAND_ENTRIES = ("4l21", "1ewy", "1f4p", "3iev", "6ep0", "3cap")
GLYCAN_ENTRIES = ("3cap", "4bfi")
STRAIGHT_ENTRIES = ("3txs", "5x12")
HAIRPIN_ENTRIES = ("3s60", "2vq4")
DNA_ENTRIES, RNA_ENTRIES = ("1a74", "1b3t"), ("1kxk", "1nlc")
MEMBRANE_ENTRY = "3cap"
FAINT = "EMD-21457"
"""The map whose strands blur away: segmented, its negative density cut off."""

BESIDE = 3.5
"""Å from the nearest atom of the protein beyond which density is that of the micelle."""

Case = tuple[list[Row], list[Section]]


def in_micelle(maps: Maps) -> Case:
    """Compare a membrane protein alone and in a belt of detergent."""
    entry = maps.library.structure(MEMBRANE_ENTRY)
    wanted = (entry.chain == entry.chain[0]) & (entry.kind == AMINO_ACID)
    entry = entry.part(wanted[entry.residue])
    protein = upright(entry, residue_classes(entry) == HELIX.number)
    belt = micelle(protein)
    bare, clad = (
        maps.see(f"{MEMBRANE_ENTRY}, simulated {how}", simulate(protein, RESOLUTION, beside), protein)
        for how, beside in (("alone", None), ("in a micelle", belt))
    )
    grid = clad.annotation.grid
    places = grid.positions(np.moveaxis(np.indices(grid.shape), 0, -1).reshape(-1, 3))
    of_belt = cKDTree(belt.xyz).query(places, distance_upper_bound=2)[0] < 2
    of_belt &= cKDTree(protein.xyz).query(places, distance_upper_bound=BESIDE)[0] > BESIDE
    counts = voxels(clad, of_belt.reshape(grid.shape))
    rows = [row("helix", [seen], true(HELIX.number)) for seen in (bare, clad)]
    rows.append(Row("voxels of the micelle", clad.name, counts))
    middle = protein.xyz.mean(axis=0)
    return rows, [section(s.name, s, middle, axis=1, width=90) for s in (bare, clad)]


def glycans(maps: Maps) -> Case:
    """Count sugars, as modelled."""
    sugars = named("NAG", "BMA", "MAN", "FUC")
    made = [maps.made(entry) for entry in GLYCAN_ENTRIES]
    real = maps.real("EMD-21457")
    rows = [row("sugars", [real], sugars), row("sugars", made, sugars)]
    return rows, [about(s.name, s, sugars(s)) for s in (real, *made)]


def ligands(maps: Maps) -> Case:
    """Count ligands, as modelled."""
    real, made = maps.real("EMD-2513"), [maps.made(entry) for entry in LIGAND_ENTRIES]
    rows = []
    for what, names in LIGANDS.items():
        for seen in ([real], made):
            held = [s for s in seen if named(*names)(s).any()]
            if held:
                rows.append(row(what, held, named(*names)))
    shown = [(real, ("FAD",)), (made[0], LIGANDS["haem"]), (made[4], ("AMP",))]
    return rows, [about(f"{s.name}: {names[0]}", s, named(*names)(s)) for s, names in shown]


def straight(seen: Seen) -> Chosen:
    """Coil in stretches of four or more residues with the φ, ψ of polyproline II."""
    phi, psi = torsions(seen.structure)
    fits = (np.abs(phi + 75) <= 30) & (np.abs(psi - 145) <= 30) & (seen.truth == OTHER.number)
    goes_on = np.append(False, fits[1:] & fits[:-1] & peptide_bonded(seen.structure))
    run = np.cumsum(~goes_on)
    return fits & (np.bincount(run)[run] >= 4)


def turns(seen: Seen) -> Chosen:
    """Coil of up to five residues between two strands that lie side by side, antiparallel."""
    alpha, truth = seen.structure.main_chain()[:, 1], seen.truth
    bonded = peptide_bonded(seen.structure)
    found = np.zeros(len(truth), bool)
    strand = np.flatnonzero(truth == STRAND.number)
    for last, first in itertools.pairwise(strand.tolist()):
        if 1 < first - last <= 6 and bonded[last:first].all():
            before, after = alpha[max(0, last - 2)], alpha[min(len(alpha) - 1, first + 2)]
            if np.linalg.norm(alpha[last] - alpha[first]) < 7.5 and np.linalg.norm(before - after) < 9:
                found[last + 1 : first] = truth[last + 1 : first] == OTHER.number
    return found


def of_coil(maps: Maps, what: str, which: Callable[[Seen], Chosen], entries: tuple[str, ...]) -> Case:
    """Compare some coil with all coil of the same maps."""
    real, made = list(maps.sharp()), [maps.made(entry) for entry in entries]
    rows = []
    for seen, where in ((real, f"{len(real)} experimental maps"), (made, "")):
        rows += [row(what, seen, which, where), row("all coil", seen, coil, where)]
    shown: list[Seen] = sorted((*real, *made), key=lambda s: -int((which(s) & (s.level >= RESOLVED)).sum()))
    return rows, [about(s.name, s, which(s)) for s in shown[:3]]


def polyproline(maps: Maps) -> Case:
    """Measure stretches of polyproline II."""
    return of_coil(maps, "polyproline II, four residues or more", straight, STRAIGHT_ENTRIES)


def hairpins(maps: Maps) -> Case:
    """Measure turns of β-hairpins."""
    return of_coil(maps, "turn of a β-hairpin, up to five residues", turns, HAIRPIN_ENTRIES)


def forms(maps: Maps) -> Case:
    """Compare DNA in B form and RNA in A form."""
    dna, rna = ([maps.made(entry) for entry in entries] for entries in (DNA_ENTRIES, RNA_ENTRIES))
    real = maps.real("EMD-20353")
    nucleotides = true(NUCLEOTIDE.number)
    rows = [
        row("RNA", [real], nucleotides),
        row("RNA (A form)", rna, nucleotides),
        row("DNA (B form)", dna, nucleotides),
        row("protein beside DNA", dna, lambda s: s.structure.kind == AMINO_ACID),
    ]
    return rows, [section(s.name, s, s.at(nucleotides(s)).mean(axis=0)) for s in (real, rna[1], dna[0])]


def weak(maps: Maps) -> Case:
    """Count helix and strand by density."""
    real = list(maps.sharp())
    rows = []
    for low, high in ((1, 2), (2, 3), (3, 4), (4, np.inf)):
        for label in (HELIX, STRAND):

            def here(s: Seen, number: int = label.number, low: float = low, high: float = high) -> Chosen:
                return (s.truth == number) & (s.level >= low) & (s.level < high)

            name = f"{label.name}, {low}–{high} σ" if np.isfinite(high) else f"{label.name}, over {low} σ"
            rows.append(row(name, real, here, f"{len(real)} experimental maps"))
    shown = [maps.real(name) for name in ("EMD-21457", "EMD-30342")]
    return rows, [section(s.name, s, s.structure.xyz.mean(axis=0)) for s in shown]


def mirror(maps: Maps) -> Case:
    """Compare maps and their mirror images."""
    real = list(maps.sharp())
    mirrored = [maps.see(f"{s.name}, mirrored", *reflected(s), s.truth) for s in real]
    rows = []
    for label in (HELIX, STRAND):
        rows += [row(label.name, real, true(label.number), f"{len(real)} experimental maps")]
        rows += [row(label.name, mirrored, true(label.number), "their mirror images")]
    return rows, [section(s.name, s, s.structure.xyz.mean(axis=0)) for s in (real[0], mirrored[0])]


def coarse(maps: Maps) -> Case:
    """Compare maps with the same blurred to and cut off at 6 Å, and with maps beyond 4 Å."""
    real = list(maps.sharp())
    smooth, empty = (
        [maps.see(f"{s.name}, {how} 6 Å", make(s.annotation.map), s.structure, s.truth) for s in real]
        for how, make in (("blurred to", blurred(6.0)), ("cut off at", cut(6.0)))
    )
    beyond = [maps.real(name) for name, pair in maps.pairs.items() if pair.resolution > RESOLUTION_LIMIT]
    rows = []
    for seen, where in (
        (real, f"{len(real)} experimental maps"),
        (smooth, "the same, blurred to 6 Å"),
        (empty, "the same, cut off at 6 Å"),
        (beyond, "EMD-5137, EMD-3240, T20S (4.3–4.8 Å)"),
    ):
        rows += [row(label.name, seen, true(label.number), where) for label in (HELIX, STRAND)]
        rows.append(row("coil", seen, coil, where))
    faint = [seen for seen in smooth if seen.name.startswith(FAINT)]
    rows.append(row("strand", faint, true(STRAND.number), f"{FAINT}, blurred to 6 Å"))
    middle = real[0].structure.xyz.mean(axis=0)
    return rows, [section(s.name, s, middle) for s in (real[0], smooth[0], empty[0])]


CASES: dict[str, tuple[str, Callable[[Maps], Case]]] = {
    "micelle": ("Detergent micelle", in_micelle),
    "glycans": ("Glycans", glycans),
    "ligands": ("Ligands", ligands),
    "polyproline": ("Polyproline II", polyproline),
    "hairpins": ("β-hairpins", hairpins),
    "forms": ("A-form and B-form", forms),
    "weak": ("Weak density", weak),
    "mirror": ("Wrong hand", mirror),
    "coarse": ("6 Å", coarse),
}


def main() -> None:
    """Measure, print and draw."""
    parser = parser_of(__doc__)
    add_pairs(parser)
    parser.add_argument("library", type=Path, help="folder of packed atomic models")
    parser.add_argument("out", type=Path, help="folder for the pictures")
    add_network(parser)
    parser.add_argument("--case", action="append", choices=CASES, help="several times for several")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    maps = Maps(Annotator(options.network, options.device), options.folder, AtomLibrary(options.library))
    for name in options.case or CASES:
        title, measure = CASES[name]
        rows, sections = measure(maps)
        print(f"\n## {title}\n\n| | in | of | {' | '.join(CLASS_NAMES)} |")
        print(f"|---|---|---|{'---|' * len(CLASSES)}")
        for each in rows:
            shares = " | ".join(f"{share:.2f}" for share in each.counts / max(1, each.counts.sum()))
            print(f"| {each.what} | {each.where} | {each.counts.sum():,} | {shares} |", flush=True)
        draw(sections, options.out / f"{name}.png")


if __name__ == "__main__":
    main()
