"""Turns atomic models into the one file that training reads."""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.errors import HaruspexError
from haruspex_infer.structure import Structure
from haruspex_train.library import COORDINATE_STEP, PACKED, SPLITS, AtomLibrary, differences, save_arrays
from haruspex_train.modelfolder import ModelFolder
from haruspex_train.secondary import agreed_classes, elements
from haruspex_train.truth import IGNORE


@dataclass(frozen=True)
class _Entry:
    """What the file keeps of one model: per atom first, then per residue."""

    steps: NDArray[np.int16]
    centre: NDArray[np.float32]
    element: NDArray[np.uint8]
    b_iso: NDArray[np.uint8]
    occupancy: NDArray[np.uint8]
    backbone: NDArray[np.bool_]
    residue_atoms: NDArray[np.uint16]
    residue_class: NDArray[np.uint8]
    residue_kind: NDArray[np.uint8]
    segment_start: NDArray[np.bool_]


def prepare(models: str | Path, out: str | Path, workers: int | None = None) -> dict[str, int]:
    """Assign secondary structure to all training and validation models and pack them.

    Parameters
    ----------
    models : path
        Folder of models as `ModelFolder` takes it, or of the packed library.
    out : path
        File to write, ``.npz.xz``; read it with `haruspex_train.library.load_training_atoms`.
    workers : int, optional
        Processes; as many as there are cores by default.

    Returns
    -------
    dict of str to int
        Number of entries, atoms and residues, and of residues of each class, for a line of text.

    Raises
    ------
    HaruspexError
        If a model or the library cannot be read, or the folder of `out` is missing.
    """
    out = Path(out)
    if not out.parent.is_dir():
        raise HaruspexError(f"There is no folder {out.parent} to write {out.name} into; make it first.")
    library = AtomLibrary(models) if (Path(models) / PACKED).exists() else ModelFolder(models)
    split_of = {pdb_id: split for split in SPLITS for pdb_id in library.ids(split)}
    structures = (library.structure(pdb_id) for pdb_id in split_of)
    with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
        entries = list(pool.map(_entry, split_of, structures, chunksize=16))

    packed = {
        field: np.concatenate([getattr(entry, field) for entry in entries])
        for field in _Entry.__dataclass_fields__
        if field not in ("steps", "centre")
    }
    steps = np.concatenate([entry.steps for entry in entries])
    packed |= {axis: differences(steps[:, column]) for column, axis in enumerate(("dx", "dy", "dz"))}
    packed["centre"] = np.stack([entry.centre for entry in entries])
    packed["atom_offset"] = np.cumsum([0] + [len(entry.element) for entry in entries])
    packed["residue_offset"] = np.cumsum([0] + [len(entry.residue_class) for entry in entries])
    packed["pdb_id"] = np.array(list(split_of))
    packed["split"] = np.array(list(split_of.values()))
    save_arrays(out, packed)

    classes = packed["residue_class"]
    counts = [*np.bincount(classes[classes != IGNORE], minlength=4), (classes == IGNORE).sum()]
    names = (
        "residues_other",
        "residues_helix",
        "residues_strand",
        "residues_nucleotide",
        "residues_in_doubt",
    )
    return {
        "entries": len(entries),
        "atoms": len(packed["element"]),
        "residues": len(packed["residue_class"]),
        **{name: int(count) for name, count in zip(names, counts, strict=True)},
    }


def _entry(name: str, structure: Structure) -> _Entry:
    # a whole number of steps, so that rounding to steps about it rounds the position itself
    centre = np.round(structure.xyz.mean(axis=0) / COORDINATE_STEP) * COORDINATE_STEP
    steps = np.round((structure.xyz - centre) / COORDINATE_STEP).astype(np.int64)
    if np.abs(steps).max() > np.iinfo(np.int16).max:
        raise HaruspexError(f"The model {name} is larger than 1,300 Å: leave it out.")
    classes = agreed_classes(structure)
    number = elements(structure, classes)
    return _Entry(
        steps=steps.astype(np.int16),
        centre=centre.astype(np.float32),
        element=structure.element,
        b_iso=np.clip(np.round(structure.b_iso), 0, 255).astype(np.uint8),
        occupancy=np.round(structure.occupancy * 100).astype(np.uint8),
        backbone=structure.backbone,
        residue_atoms=np.bincount(structure.residue, minlength=structure.n_residues).astype(np.uint16),
        residue_class=classes,
        residue_kind=structure.kind,
        segment_start=np.diff(number, prepend=-1) != 0,
    )
