"""Writes libraries of atomic models in the format of the packed library."""

import csv
import io
import lzma

import numpy as np

from haruspex_train.library import differences


def pack(folder, structures, splits):
    """Write structures in the packed library's format."""
    names = {
        field: np.unique(np.concatenate([getattr(s, field) for s in structures.values()]))
        for field in ("atom_name", "name", "chain")
    }
    centres = [s.xyz.mean(axis=0).astype(np.float64) for s in structures.values()]
    steps = np.concatenate(
        [np.round((s.xyz - c) / 0.02) for s, c in zip(structures.values(), centres, strict=True)]
    ).astype(np.int16)

    def joined(field, dtype, scale=1):
        return np.concatenate([np.round(getattr(s, field) * scale) for s in structures.values()]).astype(
            dtype
        )

    def coded(field):
        return np.concatenate(
            [np.searchsorted(names[field], getattr(s, field)) for s in structures.values()]
        ).astype(np.uint16)

    def letters(field):
        return np.concatenate([getattr(s, field) for s in structures.values()]).astype("S1").view(np.uint8)

    arrays = {
        "pdb_id": np.array(list(structures)),
        "atom_offset": np.cumsum([0] + [s.n_atoms for s in structures.values()]),
        "residue_offset": np.cumsum([0] + [s.n_residues for s in structures.values()]),
        "centre": np.array(centres),
        "atom_name": coded("atom_name"),
        "element": joined("element", np.uint8),
        "b_iso": joined("b_iso", np.uint8),
        "occupancy": joined("occupancy", np.uint8, 100),
        "atom_names": names["atom_name"],
        "residue_names": names["name"],
        "chain_names": names["chain"],
        "res_chain": coded("chain"),
        "res_name": coded("name"),
        "res_num": joined("number", np.int32),
        "res_icode": letters("insertion"),
        "res_kind": joined("kind", np.uint8),
        "res_ss": letters("deposited"),
        "res_natoms": np.concatenate([np.bincount(s.residue) for s in structures.values()]).astype(np.uint8),
        **{axis: differences(steps[:, k]) for k, axis in enumerate(("dx", "dy", "dz"))},
    }
    plain = io.BytesIO()
    np.savez(plain, **arrays)
    (folder / "atomic_models.npz.xz").write_bytes(lzma.compress(plain.getvalue()))
    with (folder / "INDEX.tsv").open("w", newline="") as table:
        writer = csv.writer(table, delimiter="\t")
        writer.writerows([("pdb_id", "split"), *splits.items()])
