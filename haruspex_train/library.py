"""The packed library of deposited atomic models, and the smaller file that training reads."""

import csv
import hashlib
import io
import lzma
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.errors import HaruspexError
from haruspex_infer.files import written_whole
from haruspex_infer.structure import Structure

PACKED = "atomic_models.npz.xz"

SPLITS = ("train", "val")
"""The splits that are prepared; the hold-out entries of the library are homologues of experimental pairs."""

COORDINATE_STEP = 0.02
"""Å to which packed coordinates are rounded."""


class AtomLibrary:
    """Deposited models packed in ``atomic_models.npz.xz`` with ``INDEX.tsv`` beside it.

    Parameters
    ----------
    folder : path
        Folder that holds both files.

    Attributes
    ----------
    index : dict of str to dict
        Row of ``INDEX.tsv`` for each PDB id.

    Raises
    ------
    HaruspexError
        If a file is missing or cannot be read.
    """

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        self._packed = _load_arrays(folder / PACKED)
        try:
            with (folder / "INDEX.tsv").open(newline="") as table:
                self.index = {row["pdb_id"]: row for row in csv.DictReader(table, delimiter="\t")}
        except (OSError, KeyError) as fault:
            raise HaruspexError(f"The index {folder / 'INDEX.tsv'} cannot be read: {fault}") from fault
        self._row = {str(pdb_id): row for row, pdb_id in enumerate(self._packed["pdb_id"])}
        self._steps = {axis: undo_differences(self._packed[axis]) for axis in ("dx", "dy", "dz")}

    def ids(self, split: str) -> list[str]:
        """PDB ids of a split (``train``, ``val`` or ``holdout``), in the order of the library."""
        return [pdb_id for pdb_id in self._row if self.index[pdb_id]["split"] == split]

    def structure(self, pdb_id: str) -> Structure:
        """Atoms and residues of one entry.

        Raises
        ------
        HaruspexError
            If the library lacks the entry.
        """
        if pdb_id not in self._row:
            raise HaruspexError(f"The library holds no entry {pdb_id}; see its INDEX.tsv.")
        packed, row = self._packed, self._row[pdb_id]
        atoms = slice(*packed["atom_offset"][row : row + 2])
        residues = slice(*packed["residue_offset"][row : row + 2])
        steps = np.stack([self._steps[axis][atoms] for axis in ("dx", "dy", "dz")], axis=1)
        letters = {
            field: packed[field][residues].view("S1").astype("U1") for field in ("res_icode", "res_ss")
        }
        return Structure(
            xyz=(steps * COORDINATE_STEP + packed["centre"][row]).astype(np.float32),
            element=packed["element"][atoms],
            b_iso=packed["b_iso"][atoms].astype(np.float32),
            occupancy=packed["occupancy"][atoms].astype(np.float32) / np.float32(100),
            atom_name=packed["atom_names"][packed["atom_name"][atoms]],
            residue=np.repeat(np.arange(residues.stop - residues.start), packed["res_natoms"][residues]),
            chain=packed["chain_names"][packed["res_chain"][residues]],
            name=packed["residue_names"][packed["res_name"][residues]],
            number=packed["res_num"][residues],
            insertion=letters["res_icode"],
            kind=packed["res_kind"][residues],
            deposited=letters["res_ss"],
        )


@dataclass(frozen=True)
class TrainingAtoms:
    """Atoms of many models in one row, ready to be cut into crops.

    Attributes
    ----------
    xyz : ndarray of float32, shape (n, 3)
        Å, in each model's own frame.
    element : ndarray of uint8, shape (n,)
        Atomic number.
    b_iso, occupancy : ndarray of float32, shape (n,)
        Isotropic B factor in Å², occupancy from 0 to 1.
    backbone : ndarray of bool, shape (n,)
        N, CA, C and O of amino acids, all atoms of nucleotides.
    cls : ndarray of uint8, shape (n,)
        Class of the atom's residue.
    kind : ndarray of uint8, shape (n,)
        0 other, 1 amino acid, 2 nucleotide.
    residue : ndarray of int32, shape (n,)
        Residue of each atom, counted through all models.
    segment : ndarray of int32, shape (n,)
        Secondary-structure element of each atom, counted through all models.
    offset : ndarray of int64, shape (entries + 1,)
        First atom of each model; the last value is *n*.
    ids : tuple of str
        PDB id of each model.
    digest : str
        ``sha256:`` and the digest of the whole file, of both splits.
    """

    xyz: NDArray[np.float32]
    element: NDArray[np.uint8]
    b_iso: NDArray[np.float32]
    occupancy: NDArray[np.float32]
    backbone: NDArray[np.bool_]
    cls: NDArray[np.uint8]
    kind: NDArray[np.uint8]
    residue: NDArray[np.int32]
    segment: NDArray[np.int32]
    offset: NDArray[np.int64]
    ids: tuple[str, ...]
    digest: str


def load_training_atoms(path: str | Path, split: str) -> TrainingAtoms:
    """Read one split of the file that `haruspex_train.prepare.prepare` wrote; needs numpy alone.

    Parameters
    ----------
    path : path
        The prepared file.
    split : str
        ``train`` or ``val``.

    Raises
    ------
    HaruspexError
        If the file cannot be read or has no such split.
    """
    path = Path(path)
    packed = _load_arrays(path)
    chosen = np.flatnonzero(packed["split"] == split)
    if len(chosen) == 0:
        raise HaruspexError(f"{path} has no split '{split}'; choose one of {sorted(set(packed['split']))}.")
    if np.any(np.diff(chosen) != 1):
        raise HaruspexError(f"{path} mixes its splits; prepare it anew.")
    entries = slice(chosen[0], chosen[-1] + 1)
    offset = packed["atom_offset"][entries.start : entries.stop + 1]
    atoms = slice(offset[0], offset[-1])
    residues = slice(*packed["residue_offset"][[entries.start, entries.stop]])

    steps = np.stack([undo_differences(packed[axis])[atoms] for axis in ("dx", "dy", "dz")], axis=1)
    centre = np.repeat(packed["centre"][entries], np.diff(offset), axis=0)
    n_atoms = packed["residue_atoms"][residues]
    segment_of_residue = np.cumsum(packed["segment_start"][residues], dtype=np.int32) - 1

    def spread(of_residue: NDArray[Any]) -> NDArray[Any]:
        return np.repeat(of_residue, n_atoms)

    return TrainingAtoms(
        xyz=(steps * np.float32(COORDINATE_STEP) + centre).astype(np.float32),
        element=packed["element"][atoms],
        b_iso=packed["b_iso"][atoms].astype(np.float32),
        occupancy=packed["occupancy"][atoms].astype(np.float32) / np.float32(100),
        backbone=packed["backbone"][atoms],
        cls=spread(packed["residue_class"][residues]),
        kind=spread(packed["residue_kind"][residues]),
        residue=spread(np.arange(len(n_atoms), dtype=np.int32)),
        segment=spread(segment_of_residue),
        offset=(offset - offset[0]).astype(np.int64),
        ids=tuple(str(pdb_id) for pdb_id in packed["pdb_id"][entries]),
        digest="sha256:" + hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def differences(steps: NDArray[np.int16]) -> NDArray[np.int16]:
    """Differences of consecutive values, wrapped to 16 bits: small numbers that pack well."""
    return np.diff(steps, prepend=np.int16(0)).astype(np.int16)


def undo_differences(differences: NDArray[np.int16]) -> NDArray[np.int16]:
    """Values whose wrapped differences are given: the running sum wraps back."""
    return np.cumsum(differences, dtype=np.int16)


def save_arrays(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write arrays as an xz-packed npz file, whole or not at all."""
    plain = io.BytesIO()
    np.savez(plain, allow_pickle=False, **arrays)
    with written_whole(path) as stream:
        stream.write(lzma.compress(plain.getbuffer(), preset=6))


def _load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(io.BytesIO(lzma.decompress(path.read_bytes())), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError as fault:
        raise HaruspexError(f"There is no packed library {path}; check the path.") from fault
    except (OSError, ValueError, EOFError, lzma.LZMAError, zipfile.BadZipFile) as fault:
        raise HaruspexError(
            f"{path} is neither a training file nor a packed library of atomic models ({fault}); "
            "make it anew."
        ) from fault
