"""A whole archive served badly on this machine, fetched and curated end to end, and killed again and again.

The archive holds the experimental pairs and, up to the wanted number, maps simulated from the library's
smaller models: good ones, some with a shifted model or a mirrored map, some that nobody wants (a virus, 5 Å,
no model, not released). The server answers with 429, 500 and 503, cuts and stalls transfers, and sends
truncated and damaged gzip, wrong checksums and HTML pages. One run is left alone; another is killed and
started again at random moments.

    python benchmarks/loopback_archive.py ../shared/data/atomic_models ../shared/data/maps --work FOLDER
"""

import argparse
import gzip
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
from curation_controls import mirrored

from haruspex_infer.grid import Grid
from haruspex_infer.mapfile import Map, write_map_like
from haruspex_infer.structure import Structure, read_document
from haruspex_train.candidates import read_candidates
from haruspex_train.fit import model_density
from haruspex_train.library import AtomLibrary
from haruspex_train.tables import read_table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "train"))
from loopback import Archive, add_entry

TROUBLES = (500, "cut", "damaged", "wrong checksum", 503, "truncated gz", "page", 429, "stall")
SMALLEST, LARGEST = 80, 260
UNWANTED = (
    {"kind": "<virus_supramolecule/>"},
    {"resolution": "5.0"},
    {"models": ""},
    {"released": ""},
)


def document(structure: Structure) -> gemmi.Structure:
    """Make a gemmi.Structure of the library's arrays."""
    made, model = gemmi.Structure(), gemmi.Model(1)
    for name in dict.fromkeys(map(str, structure.chain)):
        chain = gemmi.Chain(name)
        for row in np.flatnonzero(structure.chain == name):
            residue = gemmi.Residue()
            residue.name = str(structure.name[row])
            residue.seqid = gemmi.SeqId(int(structure.number[row]), str(structure.insertion[row]))
            for index in np.flatnonzero(structure.residue == row):
                atom = gemmi.Atom()
                atom.name = str(structure.atom_name[index])
                atom.element = gemmi.Element(int(structure.element[index]))
                atom.pos = gemmi.Position(*map(float, structure.xyz[index]))
                atom.b_iso, atom.occ = float(structure.b_iso[index]), float(structure.occupancy[index])
                residue.add_atom(atom)
            chain.add_residue(residue)
        model.add_chain(chain)
    made.add_model(model)
    made.setup_entities()
    return made


def simulated(structure: Structure, resolution: float, rng: np.random.Generator) -> Map:
    """Make a map of a model, with noise, on voxels of 1.0 to 1.4 Å."""
    edge = float(rng.uniform(1.0, 1.4))
    z, y, x = structure.xyz.min(axis=0)[::-1].astype(float) - 12
    shape = np.ceil((np.ptp(structure.xyz, axis=0)[::-1] + 24) / edge).astype(int)
    grid = Grid((int(shape[0]), int(shape[1]), int(shape[2])), (edge,) * 3, (float(z), float(y), float(x)))
    density = model_density(grid, structure, resolution)
    density += rng.normal(size=density.shape).astype(np.float32) * density.std() / 4
    return Map.from_array(density, edge, grid.origin)


def entries(
    library: AtomLibrary, pairs: Path, number: int
) -> Iterator[tuple[Map | bytes, gemmi.Structure, str, str]]:
    """Yield map, model, resolution and what is wrong (nothing, ``shifted`` or ``mirrored``) of each entry."""
    for candidate in read_candidates(pairs):
        packed = gzip.open if candidate.pair.map_path.suffix == ".gz" else open
        with packed(candidate.pair.map_path, "rb") as stream:
            yield (
                stream.read(),
                read_document(candidate.pair.model_paths[0]),
                f"{candidate.pair.resolution:g}",
                "",
            )
            number -= 1
    rng = np.random.default_rng(0)
    for name in library.ids("val") + library.ids("train"):
        structure = library.structure(name)
        if not SMALLEST <= structure.n_residues <= LARGEST:
            continue
        if number == 0:
            return
        number -= 1
        resolution = float(rng.uniform(2.5, 4.0))
        density_map, wrong = simulated(structure, resolution, rng), ""
        if number % 8 == 0:
            wrong = "shifted"
            step = rng.choice((-2.2, 2.2), 3).astype(np.float32)
            structure = replace(structure, xyz=structure.xyz + step)
        elif number % 8 == 1:
            wrong = "mirrored"
            density_map = mirrored(density_map, 0.0)
            structure = replace(structure, xyz=structure.xyz * np.array([-1, 1, 1], np.float32))
        yield density_map, document(structure), f"{resolution:.1f}", wrong


def build(root: Path, library: Path, pairs: Path, number: int) -> dict[str, str]:
    """Make the archive's tree; return what is wrong with each entry (``unwanted`` among it)."""
    root.mkdir(parents=True)
    known, temporary = {}, root / "map.mrc"
    for count, (density, model, resolution, wrong) in enumerate(entries(AtomLibrary(library), pairs, number)):
        code = count + 1001
        pdb = f"{1 + count // 676 % 9}{chr(97 + count // 26 % 26)}{chr(97 + count % 26)}z"
        if isinstance(density, Map):
            write_map_like(density, density.density, temporary, "simulated")
            density = temporary.read_bytes()
        changes = {"resolution": resolution, "title": f"Entry {count}", "sample": f"complex {count}"}
        changes["released"] = "2017-05-03" if count % 3 else "2019-05-03"
        if float(resolution) > 4:
            wrong = "unwanted"
        elif count % 20 == 19:
            changes |= UNWANTED[count // 20 % len(UNWANTED)]
            wrong = "unwanted"
        add_entry(root, code, pdb=pdb, density=density, **changes)
        packed = gzip.compress(model.make_mmcif_document().as_string().encode(), mtime=0)
        (root / f"data/structures/divided/mmCIF/{pdb[1:3]}/{pdb}.cif.gz").write_bytes(packed)
        known[f"EMD-{code}"] = wrong
    temporary.unlink(missing_ok=True)
    return known


def serve(root: Path, seed: int) -> Archive:
    """Serve the archive with a trouble for most of its files."""
    archive, rng = Archive(root), np.random.default_rng(seed)
    for path in sorted(root.rglob("*")):
        if path.is_file() and rng.random() < 0.6:
            troubles = rng.integers(len(TROUBLES), size=int(rng.integers(1, 3)))
            archive.faults[path.name] = [TROUBLES[k] for k in troubles]
    return archive


def pipeline(archive: Archive, folder: Path) -> str:
    """Return the shell command that fetches and curates."""
    start = f"{sys.executable} -m haruspex_train"
    hosts = f"--search {archive.url}/search --maps {archive.url} --models {archive.url}"
    return (
        f"{start} fetch {folder} --rate 1000 --connections 8 --test-from 2018-02-16 {hosts}"
        f" && {start} curate {folder} -o {folder}/curated"
    )


def run(command: str, seconds: float | None = None) -> bool:
    """Run a command; after so many seconds kill it with all its processes. Tells whether it was killed."""
    process = subprocess.Popen(
        command, shell=True, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True
    if process.returncode:
        raise SystemExit(said.decode())
    return False


def main() -> None:
    """Run both and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", type=Path)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="folder to make; several GB")
    parser.add_argument("--entries", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    settings = parser.parse_args()
    root = settings.work / "archive"
    known = build(root, settings.library, settings.pairs, settings.entries)
    files = [path for path in root.rglob("*") if path.is_file()]
    print(f"{len(known)} entries, {len(files)} files, {sum(f.stat().st_size for f in files) / 1e6:.0f} MB")

    began, alone = time.perf_counter(), settings.work / "alone"
    archive = serve(root, 1)
    run(pipeline(archive, alone))
    whole = time.perf_counter() - began
    print(f"left alone: {whole:.0f} s, {sum(map(len, archive.requests.values()))} requests")
    archive.close()

    disturbed, kills, rng = settings.work / "disturbed", 0, np.random.default_rng(2)
    archive = serve(root, 3)
    while kills < settings.kills:
        # about as long as it takes to get one step further, so that kills fall all along the way
        if not run(pipeline(archive, disturbed), rng.uniform(0.5, 1.6 * whole / settings.kills)):
            break
        kills += 1
    run(pipeline(archive, disturbed))
    print(f"killed {kills} times, {sum(map(len, archive.requests.values()))} requests")
    archive.close()

    wrong = compared = 0
    served = {path.name: path.read_bytes() for path in files}
    for folder in (alone, disturbed):
        for path in folder.glob("EMD-*/*"):
            if path.name in served:
                compared += 1
                wrong += path.read_bytes() != served[path.name]
    print(f"{wrong} wrong files among {compared} accepted")
    for name in ("INDEX.tsv", "DROPPED.tsv", "curated/MANIFEST.tsv"):
        same = (alone / name).read_bytes() == (disturbed / name).read_bytes()
        print(f"{name} byte for byte the same: {same}")
    manifest = {row["id"]: row for row in read_table(disturbed / "curated" / "MANIFEST.tsv")}
    dropped = {row["id"] for row in read_table(disturbed / "DROPPED.tsv")}
    print(f"{len(set(known) - set(manifest) - dropped)} entries lost")
    unwanted = {name for name, what in known.items() if what == "unwanted"}
    print(f"{len(unwanted & dropped)} of {len(unwanted)} unwanted entries dropped,", end=" ")
    print(f"{len(dropped - unwanted)} others")
    for what in ("shifted", "mirrored", ""):
        mine = [manifest[name] for name in known if known[name] == what and name in manifest]
        # those that are dropped for what they share with others are good pairs
        misfits = [row for row in mine if not row["reason"].startswith(("-", "same authors", "homologue"))]
        print(f"{what or 'good'}: {len(misfits)} of {len(mine)} rejected for their figures")
        if not what:
            for row in misfits:
                print(f"  {row['id']}: {row['reason']}")


if __name__ == "__main__":
    main()
