"""Whether the secondary structure that the ground truth rests on agrees with the depositors' and with mkdssp.

Tables of residues, over the library's models that have records of their own: DSSP's states (rs-dssp, bulges
closed) against the records, and rs-dssp against mkdssp (package `dssp`) on a sample, both ways.

    python benchmarks/secondary_structure.py ../shared/data/atomic_models --sample 100
"""

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.classes import HELIX, OTHER, STRAND
from haruspex_infer.structure import AMINO_ACID, BACKBONE_ATOMS, Structure
from haruspex_train.library import AtomLibrary
from haruspex_train.secondary import dssp_classes, residue_classes, with_bulges

STATES = (OTHER, HELIX, STRAND)
NOT_SAID = 255
_CHAINS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_LETTERS = {"H": HELIX, "G": HELIX, "I": HELIX, "E": STRAND}


def recorded(structure: Structure) -> NDArray[np.uint8]:
    """Classes that the depositors recorded."""
    classes = np.full(structure.n_residues, OTHER.number, np.uint8)
    for letter, label in (("H", HELIX), ("E", STRAND)):
        classes[structure.deposited == letter] = label.number
    return classes


def pdb_text(structure: Structure) -> tuple[str, dict[tuple[str, int], int]] | None:
    """Backbones in PDB format, and the row of each (chain, number); nothing where the format is too small."""
    main_chain = structure.main_chain()
    lines = ["HEADER    BACKBONES".ljust(50) + "01-JAN-00   1ABC", "CRYST1" + "1.000".rjust(9) * 3]
    lines[1] += "90.00".rjust(7) * 3 + " P 1           1"
    rows: dict[tuple[str, int], int] = {}
    chains = list(dict.fromkeys(map(str, structure.chain)))
    if len(chains) > len(_CHAINS):
        return None
    centre = structure.xyz.mean(axis=0)
    for letter, chain in zip(_CHAINS, chains, strict=False):
        complete = np.isfinite(main_chain).all(axis=(1, 2)) & (structure.chain == chain)
        if complete.sum() > 9999:
            return None
        for number, row in enumerate(np.flatnonzero(complete), start=1):
            rows[letter, number] = int(row)
            name = structure.name[row] if len(structure.name[row]) == 3 else "ALA"
            for atom, (x, y, z) in zip(BACKBONE_ATOMS, main_chain[row] - centre, strict=True):
                lines.append(
                    f"ATOM  {len(lines) % 99999:5d}  {atom:<3s} {name} {letter}{number:4d}    "
                    f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           {atom[0]}"
                )
        if complete.any():
            lines.append("TER")
    return "\n".join([*lines, "END\n"]), rows


def mkdssp_classes(structure: Structure, program: str) -> NDArray[np.uint8] | None:
    """Classes by mkdssp, 255 where it says nothing; None where it cannot be asked."""
    made = pdb_text(structure)
    if made is None:
        return None
    text, rows = made
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "model.pdb", Path(folder) / "model.dssp"
        source.write_text(text)
        command = [program, "--output-format", "dssp", str(source), str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not target.exists():
            return None
        table = target.read_text().partition("  #  RESIDUE")[2].splitlines()[1:]
    classes = np.full(structure.n_residues, NOT_SAID, np.uint8)
    for line in table:
        if line[13] != "!":  # a chain break has a line of its own
            classes[rows[line[11], int(line[5:10])]] = _LETTERS.get(line[16], OTHER).number
    return classes


def table(title: str, truth: NDArray[np.int64], rows: str, columns: str) -> str:
    """Return counts of (row state, column state), with the shares that agree of every state."""
    names = [label.name for label in STATES]
    head = f"| {rows} \\ {columns} | {' | '.join(names)} | share found |"
    lines = ["", title, "", head, "|---" * (len(names) + 2) + "|"]
    for k, name in enumerate(names):
        found = truth[k, k] / truth[k].sum()
        lines.append(f"| {name} | {' | '.join(f'{n:,}' for n in truth[k])} | {found:.1%} |")
    right = " | ".join(f"{truth[k, k] / truth[:, k].sum():.1%}" for k in range(len(names)))
    lines.append(f"| share right | {right} | {np.trace(truth) / truth.sum():.1%} |")
    return "\n".join(lines)


def counted(one: NDArray[np.uint8], other: NDArray[np.uint8], where: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Residues by the state in either."""
    n = len(STATES)
    return np.bincount(one[where].astype(int) * n + other[where], minlength=n * n).reshape(n, n)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", type=Path)
    parser.add_argument("--sample", type=int, default=100, help="models that mkdssp is asked for")
    settings = parser.parse_args()
    library = AtomLibrary(settings.library)
    names = [name for split in ("train", "val") for name in library.ids(split)]
    with_records = [name for name in names if library.index[name]["deposited_ss"] == "y"]
    by_hydrogen_bonds, by_all = np.zeros((2, len(STATES), len(STATES)), np.int64)
    for name in with_records:
        structure = library.structure(name)
        protein = structure.kind == AMINO_ACID
        records = recorded(structure)
        by_hydrogen_bonds += counted(records, with_bulges(dssp_classes(structure), structure), protein)
        by_all += counted(records, residue_classes(structure), protein)
    print(f"{len(with_records)} models of {len(names)} have records of their own.")
    print(table("Records against DSSP alone, residues:", by_hydrogen_bonds, "records", "DSSP"))
    print(
        table(
            "Records against the classes that train (DSSP ∪ records, extended):", by_all, "records", "classes"
        )
    )

    program = shutil.which("mkdssp")
    if program is None:
        print("\nmkdssp is not installed (package dssp): rs-dssp was not compared with it.")
        return
    compared, asked = np.zeros((len(STATES), len(STATES)), np.int64), 0
    for row in np.random.default_rng(0).permutation(len(names))[: settings.sample]:
        structure = library.structure(names[row])
        reference = mkdssp_classes(structure, program)
        if reference is not None:
            said = (structure.kind == AMINO_ACID) & (reference != NOT_SAID)
            compared += counted(reference, with_bulges(dssp_classes(structure), structure), said)
            asked += 1
    print(table(f"mkdssp against rs-dssp with bulges closed, {asked} models:", compared, "mkdssp", "rs-dssp"))


if __name__ == "__main__":
    main()
