"""A folder of training segments: one HDF5 file for each entry, and a table of all segments."""

import io
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from haruspex_infer.classes import CLASSES
from haruspex_infer.errors import HaruspexError
from haruspex_infer.files import write_text, written_whole
from haruspex_infer.mapfile import read_map
from haruspex_infer.normalise import Normaliser
from haruspex_infer.sampling import mean_and_sigma, sample
from haruspex_infer.scheduling import ONE_PROCESS, Machines
from haruspex_train.annotate import read_truth, truth_path
from haruspex_train.candidates import Candidate, Progress, read_kept, recorded
from haruspex_train.copies import read_model
from haruspex_train.segments import EDGE, Rules, Segment, corners, cut, held_out, measure_segment
from haruspex_train.tables import read_table, write_table
from haruspex_train.truth import IGNORE
from haruspex_train.working import working_density, working_grid

COLUMNS = (
    "entry", "row", "use", "split", "pdb", "z", "y", "x", "atoms", "level", "annotated",
    *(label.name for label in CLASSES),
)  # fmt: skip
"""Columns of ``SEGMENTS.tsv``: where a segment lies (file of the entry, row in it; first voxel on the working
grid), what it is for (``train`` or ``held out``) and what it holds."""

# a change of the sampling makes old segments void
_VERSION = 2


def segment(
    folder: Path,
    truth: Path,
    out: Path,
    manifest: Path | None = None,
    split: str = "train",
    rules: Rules | None = None,
    machines: Machines = ONE_PROCESS,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Cut the training segments of all pairs of one split.

    Every entry's segments go to ``NAME.h5``; ``SEGMENTS.tsv`` lists all of them and ``SEGMENTS.json`` sums
    up: voxels of each class in the segments that train, and the weights that make classes count alike.
    Further entries are added by running again; a run that was killed goes on.

    Parameters
    ----------
    folder : Path
        Folder with ``INDEX.tsv``.
    truth : Path
        Folder that `haruspex_train.annotate.annotate` wrote.
    out : Path
        Folder for the segments.
    manifest : Path, optional
        What `haruspex_train.curate` wrote; pairs that it drops are left out.
    split : str
        Which pairs; those of ``test`` are never cut.
    rules : Rules, optional
        What a segment must hold; the paper's by default.
    machines : Machines
    progress : callable, optional

    Returns
    -------
    dict
        What ``SEGMENTS.json`` holds.

    Raises
    ------
    HaruspexError
        If the split is ``test`` or has no pair, the tables cannot be read or the output not be written.
    """
    rules = rules or Rules()
    if split == "test":
        raise HaruspexError("Pairs of the split 'test' are not cut into segments: nothing may train on them.")
    candidates = [one for one in read_kept(folder, manifest) if one.pair.split == split]
    if not candidates:
        raise HaruspexError(f"{folder} has no pair of the split '{split}' to cut segments from.")
    work = partial(_segmented, truth=truth.absolute(), out=out.absolute(), rules=rules)
    source = {candidate.name: truth_path(truth, candidate.name) for candidate in candidates}
    # other rules make other segments
    version = [_VERSION, rules.atoms, rules.level, rules.annotated]
    records = recorded(
        work, candidates, out / "records", version, machines, progress, lambda c: source[c.name]
    )
    rows = [row for record in records for row in record.get("segments", ())]
    write_table(out / "SEGMENTS.tsv", COLUMNS, rows)
    summary = _summed(rows) | {
        "entries": sum(bool(record.get("segments")) for record in records),
        "candidates": sum(record.get("candidates", 0) for record in records),
        "faults": {c.name: r["fault"] for c, r in zip(candidates, records, strict=True) if r["fault"]},
    }
    write_text(out / "SEGMENTS.json", json.dumps(summary, indent=1) + "\n")
    return summary


def read_segments(
    folder: Path, rows: Sequence[dict[str, str]] | None = None
) -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
    """Read segments.

    Parameters
    ----------
    folder : Path
        Folder that `segment` wrote.
    rows : sequence of dict, optional
        Rows of its ``SEGMENTS.tsv``; all by default.

    Returns
    -------
    density : ndarray of float16, shape (n, 70, 70, 70)
        Normalised as networks see it.
    labels : ndarray of uint8, shape (n, 70, 70, 70)
        Class numbers, or `haruspex_train.truth.IGNORE`.

    Raises
    ------
    HaruspexError
        If the folder or one of its files cannot be read.
    """
    rows = read_table(folder / "SEGMENTS.tsv") if rows is None else rows
    density = np.empty((len(rows), EDGE, EDGE, EDGE), np.float16)
    labels = np.empty((len(rows), EDGE, EDGE, EDGE), np.uint8)
    for place, row in enumerate(rows):
        path = folder / f"{row['entry']}.h5"
        try:
            with h5py.File(path) as file:
                density[place] = file["density"][int(row["row"])]
                labels[place] = file["labels"][int(row["row"])]
        except (OSError, KeyError, IndexError) as fault:
            raise HaruspexError(f"{path} cannot be read as segments: {fault}.") from fault
    return density, labels


def _segmented(candidate: Candidate, truth: Path, out: Path, rules: Rules) -> dict[str, Any]:
    path = truth_path(truth, candidate.name)
    if not path.exists():
        raise HaruspexError(
            f"{candidate.name} has no ground truth in {truth}: run 'haruspex annotate' first."
        )
    density_map = read_map(candidate.pair.map_path)
    structure = read_model(candidate.pair.model_paths, density_map).structure
    grid, labels = working_grid(density_map.grid), read_truth(path)
    if labels.shape != grid.shape:
        raise HaruspexError(f"{path} does not belong to {candidate.pair.map_path}: its shape differs.")
    mean, sigma = mean_and_sigma(density_map.density)
    at_atoms = (sample(density_map.density, density_map.grid, structure.xyz) - mean) / sigma
    places = corners(grid.shape)
    measured = [measure_segment(corner, labels, grid, structure, at_atoms) for corner in places]
    chosen = [one for one in measured if not one.reason(rules)]
    file = out / f"{candidate.name}.h5"
    file.unlink(missing_ok=True)
    if chosen:
        density = working_density(density_map.density, density_map.grid)
        offset, scale = Normaliser().measure(density, grid.voxel_size)
        provenance = {
            "entry": candidate.name,
            "pdb": candidate.pair.pdb_id,
            "resolution": candidate.pair.resolution,
            "voxel_size": grid.voxel_size,
            "origin": grid.origin,
            "offset": offset,
            "scale": scale,
            "normalisation": json.dumps(Normaliser().parameters()),
            "sampling": _VERSION,
        }
        _write(file, chosen, Normaliser().apply(density, offset, scale), labels, provenance)
    rows = [_row(candidate, number, one) for number, one in enumerate(chosen)]
    return {"files": [str(file)] if chosen else [], "segments": rows, "candidates": len(places)}


def _write(
    path: Path,
    segments: Sequence[Segment],
    density: NDArray[np.float32],
    labels: NDArray[np.uint8],
    provenance: dict[str, Any],
) -> None:
    shape = (len(segments), EDGE, EDGE, EDGE)
    # in memory first: HDF5 crashes on a disk that is full
    packed_file = io.BytesIO()
    with h5py.File(packed_file, "w") as file:
        file.attrs.update(provenance)
        file.create_dataset("corner", data=np.array([one.corner for one in segments], np.int32))
        packing = {"chunks": (1, EDGE, EDGE, EDGE), "compression": "gzip", "compression_opts": 1}
        packed = file.create_dataset("density", shape, "f2", shuffle=True, **packing)
        truths = file.create_dataset("labels", shape, "u1", **packing)
        for number, one in enumerate(segments):
            # beyond the map there is solvent, which normalised density has at 0, and no truth
            packed[number] = cut(density, one.corner, 0.0)
            truths[number] = cut(labels, one.corner, IGNORE)
    with written_whole(path) as stream:
        stream.write(packed_file.getbuffer())


def _row(candidate: Candidate, number: int, one: Segment) -> dict[str, str]:
    z, y, x = one.corner
    return {
        "entry": candidate.name,
        "row": str(number),
        "use": "held out" if held_out(candidate.name) else "train",
        "split": candidate.pair.split,
        "pdb": candidate.pair.pdb_id,
        "z": str(z),
        "y": str(y),
        "x": str(x),
        "atoms": str(one.atoms),
        "level": f"{one.level:.2f}",
        "annotated": f"{one.annotated:.4f}",
        **{label.name: str(one.voxels[label.number]) for label in CLASSES},
    }


def _summed(rows: Sequence[dict[str, str]]) -> dict[str, Any]:
    """Voxels of each class in the segments that train, and weights after their occurrence."""
    training = [row for row in rows if row["use"] == "train"]
    voxels = {label.name: sum(int(row[label.name]) for row in training) for label in CLASSES}
    present = [count for count in voxels.values() if count]
    weights = {
        name: sum(present) / (len(present) * count) if count else 0.0 for name, count in voxels.items()
    }
    return {"segments": len(rows), "training": len(training), "voxels": voxels, "weights": weights}
