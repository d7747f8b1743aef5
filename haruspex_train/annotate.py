"""Ground-truth volumes of pairs of map and model, written to files."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.classes import CLASSES
from haruspex_infer.mapfile import Map, read_map, write_map_like
from haruspex_infer.scheduling import ONE_PROCESS, Machines
from haruspex_train.candidates import Candidate, Progress, read_kept, recorded
from haruspex_train.copies import read_model
from haruspex_train.groundtruth import voxel_truth
from haruspex_train.secondary import residue_classes
from haruspex_train.tables import write_table
from haruspex_train.truth import IGNORE
from haruspex_train.working import working_grid, working_labels

COLUMNS = ("id", "split", *(label.name for label in CLASSES), "ignored", "fault")

# a change of the rules makes old volumes void
_VERSION = 2


def annotate(
    folder: Path,
    out: Path,
    manifest: Path | None = None,
    machines: Machines = ONE_PROCESS,
    progress: Progress | None = None,
) -> list[dict[str, str]]:
    """Write the ground truth of all pairs as ``NAME_truth.mrc``, and a table of the voxels of each class.

    The map is annotated on its own voxels by `haruspex_train.groundtruth`, then the labels go to the working
    grid (Mostosi et al. 2020, Methods, Annotation of reconstruction maps). The table is
    ``TRUTH.tsv``. A run that was killed goes on.

    Parameters
    ----------
    folder : Path
        Folder with ``INDEX.tsv``.
    out : Path
        Folder for the volumes.
    manifest : Path, optional
        What `haruspex_train.curate` wrote; pairs that it drops are left out.
    machines : Machines
    progress : callable, optional

    Returns
    -------
    list of dict
        The rows of ``TRUTH.tsv``.

    Raises
    ------
    HaruspexError
        If the tables cannot be read or the output not be written.
    """
    candidates = read_kept(folder, manifest)
    work = partial(_annotated, out=out.absolute())
    records = recorded(work, candidates, out / "records", _VERSION, machines, progress)
    rows = [
        {
            "id": candidate.name,
            "split": candidate.pair.split,
            **{column: str(record.get("voxels", {}).get(column, "-")) for column in COLUMNS[2:-1]},
            "fault": record["fault"],
        }
        for candidate, record in zip(candidates, records, strict=True)
    ]
    write_table(out / "TRUTH.tsv", COLUMNS, rows)
    return rows


def truth_path(out: Path, name: str) -> Path:
    """Where the ground truth of an entry lies."""
    return out / f"{name}_truth.mrc"


def read_truth(path: Path) -> NDArray[np.uint8]:
    """Read a ground-truth volume: class numbers, or `haruspex_train.truth.IGNORE`.

    Raises
    ------
    HaruspexError
        If the file cannot be read.
    """
    return read_map(path).density.astype(np.int8).view(np.uint8)


def _annotated(candidate: Candidate, out: Path) -> dict[str, Any]:
    density_map = read_map(candidate.pair.map_path)
    structure = read_model(candidate.pair.model_paths, density_map).structure
    own = voxel_truth(density_map.density, density_map.grid, structure, residue_classes(structure))
    truth = working_labels(own, density_map.grid)
    grid = working_grid(density_map.grid)
    blank = np.broadcast_to(np.float32(0), grid.shape)
    path = truth_path(out, candidate.name)
    # mode 0 holds -128 to 127, so that IGNORE is -1 in the file
    signed = truth.view(np.int8)
    write_map_like(
        Map.from_array(blank, grid.voxel_size, grid.origin),
        signed,
        path,
        "haruspex: ground truth; -1: ignore",
    )
    counts = np.bincount(truth.ravel(), minlength=IGNORE + 1)
    voxels = {label.name: int(counts[label.number]) for label in CLASSES} | {"ignored": int(counts[IGNORE])}
    return {"files": [str(path)], "voxels": voxels}
