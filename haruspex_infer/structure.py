"""Atomic models as arrays: atoms, residues and the secondary structure that the file records."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.errors import HaruspexError

if TYPE_CHECKING:
    import gemmi

OTHER_KIND, AMINO_ACID, NUCLEOTIDE_KIND = 0, 1, 2

BACKBONE_ATOMS = ("N", "CA", "C", "O")


_OF_ATOMS = ("xyz", "element", "b_iso", "occupancy", "atom_name")
_OF_RESIDUES = ("chain", "name", "number", "insertion", "kind", "deposited")


@dataclass(frozen=True)
class Structure:
    """Atoms of one model and the residues they belong to; no waters, no hydrogens.

    Attributes
    ----------
    xyz : ndarray of float32, shape (n, 3)
        Atom positions, Å, in the frame of the file.
    element : ndarray of uint8, shape (n,)
        Atomic number.
    b_iso, occupancy : ndarray of float32, shape (n,)
        Isotropic B factor in Å², occupancy from 0 to 1.
    atom_name : ndarray of str, shape (n,)
        Name of each atom, such as ``CA``.
    residue : ndarray of int64, shape (n,)
        Row of each atom's residue in the residue table; never decreases.
    chain, name : ndarray of str, shape (m,)
        Chain name (as the authors call it) and residue name.
    number : ndarray of int32, shape (m,)
        Sequence number that the authors gave.
    insertion : ndarray of str, shape (m,)
        Insertion code, or a blank.
    kind : ndarray of uint8, shape (m,)
        0 other, 1 amino acid, 2 nucleotide.
    deposited : ndarray of str, shape (m,)
        Secondary structure that the file records: ``H``, ``E`` or a blank; ``?`` throughout a file
        that has no records at all.
    """

    xyz: NDArray[np.float32]
    element: NDArray[np.uint8]
    b_iso: NDArray[np.float32]
    occupancy: NDArray[np.float32]
    atom_name: NDArray[np.str_]
    residue: NDArray[np.int64]
    chain: NDArray[np.str_]
    name: NDArray[np.str_]
    number: NDArray[np.int32]
    insertion: NDArray[np.str_]
    kind: NDArray[np.uint8]
    deposited: NDArray[np.str_]

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return len(self.xyz)

    @property
    def n_residues(self) -> int:
        """Number of residues."""
        return len(self.name)

    @property
    def backbone(self) -> NDArray[np.bool_]:
        """Atoms that carry the annotation: N, CA, C, O of amino acids, all atoms of nucleotides.

        Mostosi et al. 2020, Annotation of reconstruction maps.
        """
        kind = self.kind[self.residue]
        main_chain = (kind == AMINO_ACID) & np.isin(self.atom_name, BACKBONE_ATOMS)
        return main_chain | (kind == NUCLEOTIDE_KIND)

    def main_chain(self) -> NDArray[np.float32]:
        """Positions of N, CA, C and O of every residue.

        Returns
        -------
        ndarray of float32, shape (m, 4, 3)
            Å; not a number where the residue is no amino acid or lacks the atom.
        """
        positions = np.full((self.n_residues, len(BACKBONE_ATOMS), 3), np.nan, np.float32)
        of_amino_acid = self.kind[self.residue] == AMINO_ACID
        for column, name in enumerate(BACKBONE_ATOMS):
            atoms = np.flatnonzero(of_amino_acid & (self.atom_name == name))
            positions[self.residue[atoms], column] = self.xyz[atoms]
        return positions

    def part(self, atoms: NDArray[np.bool_]) -> "Structure":
        """Keep some atoms and the residues that they belong to.

        Parameters
        ----------
        atoms : ndarray of bool, shape (n,)
            Atoms to keep.

        Returns
        -------
        Structure
        """
        residues = np.unique(self.residue[atoms])
        return Structure(
            **{name: getattr(self, name)[atoms] for name in _OF_ATOMS},
            **{name: getattr(self, name)[residues] for name in _OF_RESIDUES},
            residue=np.searchsorted(residues, self.residue[atoms]),
        )


def read_structure(path: str | Path | Iterable[str | Path]) -> Structure:
    """Read an atomic model from one or several PDB or mmCIF files, plain or gzipped.

    Only the first model counts. Waters, hydrogens and all but the first alternative conformation
    are dropped. Several files become one structure, in the given order.

    Parameters
    ----------
    path : path or iterable of paths
        The file or files.

    Returns
    -------
    Structure

    Raises
    ------
    HaruspexError
        If a file cannot be read as PDB or mmCIF or holds no atoms.
    """
    paths = [path] if isinstance(path, str | Path) else list(path)
    if not paths:
        raise HaruspexError("No atomic model was given; name at least one PDB or mmCIF file.")
    return join([_read_file(Path(p)) for p in paths])


def join(parts: Sequence[Structure]) -> Structure:
    """Put structures one after the other; a chain name may then occur in several of them."""
    if len(parts) == 1:
        return parts[0]
    shift = np.cumsum([0] + [part.n_residues for part in parts])
    columns: dict[str, Any] = {
        field: np.concatenate([getattr(part, field) for part in parts])
        for field in Structure.__dataclass_fields__
    }
    columns["residue"] = np.concatenate(
        [part.residue + start for part, start in zip(parts, shift[:-1], strict=True)]
    )
    return Structure(**columns)


def _read_file(path: Path) -> Structure:
    return from_gemmi(read_document(path), str(path))


def from_gemmi(document: "gemmi.Structure", name: str = "The model") -> Structure:
    """Make a structure of a model in memory, by the same rules as `read_structure`.

    Parameters
    ----------
    document : gemmi.Structure
        It stays as it is.
    name : str
        How to call it in messages.

    Returns
    -------
    Structure

    Raises
    ------
    HaruspexError
        If it is none, or holds no atoms.
    """
    import gemmi

    if not isinstance(document, gemmi.Structure):
        raise HaruspexError(
            f"{type(document).__name__} is no model: give a file, a gemmi.Structure or a Structure."
        )
    document = document.clone()
    _keep_first_model(document, name)
    document.remove_alternative_conformations()
    document.remove_hydrogens()
    document.remove_waters()
    document.remove_empty_chains()
    try:
        structure = _columns(document)
    except UnicodeDecodeError as fault:
        raise HaruspexError(f"{name} holds names that are not text: it is damaged; get it again.") from fault
    if structure.n_atoms == 0:
        raise HaruspexError(f"{name} holds no atoms; give a PDB or mmCIF file with coordinates.")
    if not np.isfinite(structure.xyz).all():
        raise HaruspexError(f"{name} holds atoms at places that are not numbers; get it again.")
    return structure


def read_document(path: Path) -> "gemmi.Structure":
    """Read a PDB or mmCIF file, plain or gzipped, with everything in its first model.

    Raises
    ------
    HaruspexError
        If it cannot be read as PDB or mmCIF or holds no atoms.
    """
    # gemmi is imported where files are read: training from packed atoms runs without it
    import gemmi

    if not path.is_file():
        raise HaruspexError(f"There is no atomic model {path}; check the path.")
    if path.stat().st_size == 0:
        raise HaruspexError(f"{path} is empty; give a PDB or mmCIF file with coordinates.")
    try:
        document = gemmi.read_structure(str(path), format=gemmi.CoorFormat.Detect)
    except Exception as fault:
        reason = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
        raise HaruspexError(f"{path} cannot be read as a PDB or mmCIF file: {reason}") from fault
    _keep_first_model(document, str(path))
    return document


def _keep_first_model(document: "gemmi.Structure", name: str) -> None:
    if len(document) == 0:
        raise HaruspexError(f"{name} holds no atoms; give a PDB or mmCIF file with coordinates.")
    while len(document) > 1:
        del document[-1]
    document.setup_entities()


def _columns(document: "gemmi.Structure") -> Structure:
    residues = [(chain.name, residue) for chain in document[0] for residue in chain]
    atoms = [(row, atom) for row, (_, residue) in enumerate(residues) for atom in residue]
    columns: dict[str, Any] = {
        "xyz": np.array([atom.pos.tolist() for _, atom in atoms], np.float32).reshape(-1, 3),
        "element": np.array([atom.element.atomic_number for _, atom in atoms], np.uint8),
        "b_iso": np.array([atom.b_iso for _, atom in atoms], np.float32),
        "occupancy": np.array([atom.occ for _, atom in atoms], np.float32),
        "atom_name": np.array([atom.name for _, atom in atoms], np.str_),
        "residue": np.array([row for row, _ in atoms], np.int64),
        "chain": np.array([chain for chain, _ in residues], np.str_),
        "name": np.array([residue.name for _, residue in residues], np.str_),
        # gemmi knows residues without a number, and lines that lack one make them
        "number": np.array([residue.seqid.num or 0 for _, residue in residues], np.int32),
        "insertion": np.array([residue.seqid.icode for _, residue in residues], np.str_),
        "kind": np.array([_kind(residue) for _, residue in residues], np.uint8),
    }
    deposited = _records(document, columns["chain"], columns["number"], columns["insertion"])
    amino_acid = columns["kind"] == AMINO_ACID
    columns["deposited"] = np.where(amino_acid | (deposited == "?"), deposited, " ")
    return Structure(**columns)


def _kind(residue: "gemmi.Residue") -> int:
    import gemmi

    known = gemmi.find_tabulated_residue(residue.name)
    if known.is_amino_acid():
        return AMINO_ACID
    if known.is_nucleic_acid():
        return NUCLEOTIDE_KIND
    if known.found() or residue.entity_type != gemmi.EntityType.Polymer:
        return OTHER_KIND
    # modified residues that the table lacks tell by their atoms what they are
    atoms = {atom.name for atom in residue}
    if {"N", "CA", "C"} <= atoms:
        return AMINO_ACID
    return NUCLEOTIDE_KIND if {"C1'", "C3'", "C4'"} <= atoms else OTHER_KIND


def _records(
    document: "gemmi.Structure",
    chain: NDArray[np.str_],
    number: NDArray[np.int32],
    insertion: NDArray[np.str_],
) -> NDArray[np.str_]:
    spans = [("H", helix.start, helix.end) for helix in document.helices]
    spans += [("E", strand.start, strand.end) for sheet in document.sheets for strand in sheet.strands]
    if not spans:
        return np.full(len(number), "?", dtype="U1")
    # number and insertion code as one sortable value; a blank sorts before A
    place = number.astype(np.int64) * 256 + np.array([ord(code) for code in insertion], np.int64)
    deposited = np.full(len(number), " ", dtype="U1")
    for letter, start, end in spans:
        first, last = (
            (address.res_id.seqid.num or 0) * 256 + ord(address.res_id.seqid.icode)
            for address in (start, end)
        )
        deposited[(chain == start.chain_name) & (place >= first) & (place <= last)] = letter
    return deposited
