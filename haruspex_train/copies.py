"""Atomic models with the copies that they list only as operators, where the map shows them.

A deposited model may hold one subunit and tell by assembly operators (mmCIF ``pdbx_struct_assembly_gen``,
PDB REMARK 350) where the others lie. A map of the whole complex then holds density that is well known, and
that would count as unmodelled. But operators may speak of another frame, of a virus of which the map shows
one face, or of neighbours that a mask removed: the density has the last word on every copy.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.errors import HaruspexError
from haruspex_infer.mapfile import Map
from haruspex_infer.residues import backbone_means
from haruspex_infer.sampling import mean_and_sigma, sample
from haruspex_infer.structure import Structure, from_gemmi, join, read_document
from haruspex_train.fit import LEAST_FITTED, STANDS_OUT, contrast
from haruspex_train.groundtruth import STRONG

if TYPE_CHECKING:
    import gemmi

AS_GOOD = 0.8
"""Share of the original's fit that a copy must reach: symmetric subunits are equally well resolved, and what
lies elsewhere in the same complex by accident fits far worse."""

LEAST_INSIDE = 0.9
"""Share of a copy's residues that must lie in the map."""

_SAME_PLACE = 1.5
_MOST_COINCIDING = 0.05
_JUDGED_RESIDUES = 400

Transform = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Modelled:
    """A model with its copies.

    Attributes
    ----------
    structure : Structure
        The model as deposited, then the copies; their chains are named ``A-2``, ``A-3``, …
    copies : int
        Copies that the density supports.
    refused : int
        Copies that operators tell of and the density does not support.
    """

    structure: Structure
    copies: int = 0
    refused: int = 0


def read_model(paths: Iterable[Path], density_map: Map) -> Modelled:
    """Read an atomic model and add the copies that its operators tell of and its map shows.

    Parameters
    ----------
    paths : iterable of Path
        PDB or mmCIF files.
    density_map : Map

    Raises
    ------
    HaruspexError
        If a file cannot be read or the map is constant.
    """
    documents = [(path, read_document(path)) for path in paths]
    if not documents:
        raise HaruspexError("No atomic model was given; name at least one PDB or mmCIF file.")
    parts = [from_gemmi(document, str(path)) for path, document in documents]
    taken = centres(join(parts))
    copies = refused = 0
    strong = None
    for path, document in documents:
        for original, transforms in operators(document, str(path)):
            if strong is None:
                mean, sigma = mean_and_sigma(density_map.density)
                strong = mean + STRONG * sigma
            fit = _fit(density_map, strong, original)
            for transform in transforms:
                copy = moved(original, transform)
                places = centres(copy)
                if coincide(places, taken):
                    continue
                if not _supported(_fit(density_map, strong, copy), fit):
                    refused += 1
                    continue
                copies += 1
                parts.append(replace(copy, chain=np.char.add(copy.chain, f"-{copies + 1}")))
                taken = np.concatenate([taken, places])
    return Modelled(join(parts), copies, refused)


def operators(document: "gemmi.Structure", name: str) -> Iterator[tuple[Structure, list[Transform]]]:
    """Yield each part of a model that operators copy, with rotation and shift (Å) of all of its copies.

    Parameters
    ----------
    document : gemmi.Structure
    name : str
        How to call it in messages.
    """
    found: dict[tuple[frozenset[str], frozenset[str]], dict[tuple[float, ...], Transform]] = {}
    for assembly in document.assemblies:
        for generator in assembly.generators:
            part = found.setdefault((frozenset(generator.chains), frozenset(generator.subchains)), {})
            for operator in generator.operators:
                if operator.transform.is_identity():
                    continue
                rotation = np.array(operator.transform.mat.tolist())
                shift = np.array(operator.transform.vec.tolist())
                part[tuple(np.round([*rotation.ravel(), *shift], 3))] = (rotation, shift)
    for (chains, subchains), transforms in found.items():
        if transforms and (part_of := _part(document, chains, subchains)) is not None:
            yield from_gemmi(part_of, name), list(transforms.values())


def moved(structure: Structure, transform: Transform) -> Structure:
    """Apply an operator to a structure."""
    rotation, shift = transform
    return replace(structure, xyz=(structure.xyz @ rotation.T + shift).astype(np.float32))


def centres(structure: Structure) -> NDArray[np.float32]:
    """Positions of CA, or C1' of nucleotides, of all residues that have one; of all atoms if none has."""
    chosen = structure.xyz[np.isin(structure.atom_name, ("CA", "C1'")) & structure.backbone]
    return chosen if len(chosen) else structure.xyz


def coincide(copy: NDArray[np.float32], there: NDArray[np.float32]) -> bool:
    """Whether a copy lies where there are residues already; both as `centres` gives them."""
    mine = copy[:: max(1, len(copy) // _JUDGED_RESIDUES)].astype(np.float64)
    others = there.astype(np.float64)
    squared = (mine**2).sum(1)[:, None] + (others**2).sum(1) - 2 * mine @ others.T
    return bool((squared.min(axis=1) < _SAME_PLACE**2).mean() > _MOST_COINCIDING)


@dataclass(frozen=True)
class _Fit:
    inside: float
    included: float
    fitted: float


def _fit(density_map: Map, strong: float, structure: Structure) -> _Fit:
    """How well a part of a model fits: residues in the map, in strong density, and standing out there."""
    judged = _backbone_of(structure, _JUDGED_RESIDUES)
    levels = backbone_means(sample(density_map.density, density_map.grid, judged.xyz), judged)
    z = contrast(density_map.density, density_map.grid, judged)
    return _Fit(
        inside=float(np.isfinite(levels).mean()),
        included=float((levels >= strong).mean()),
        fitted=float((z >= STANDS_OUT).mean()),
    )


def _supported(copy: _Fit, original: _Fit) -> bool:
    return (
        copy.inside >= LEAST_INSIDE
        and copy.included >= AS_GOOD * original.included
        and copy.fitted >= max(LEAST_FITTED, AS_GOOD * original.fitted)
    )


def _backbone_of(structure: Structure, most: int) -> Structure:
    """Backbone atoms of at most so many residues, evenly chosen."""
    rows = np.unique(structure.residue[structure.backbone])
    rows = rows[:: max(1, -(-len(rows) // most))]
    return structure.part(structure.backbone & np.isin(structure.residue, rows))


def _part(
    document: "gemmi.Structure", chains: frozenset[str], subchains: frozenset[str]
) -> "gemmi.Structure | None":
    """Return what a generator names, by chain in PDB files and by subchain in mmCIF, if it is a polymer."""
    part = document.clone()
    model = part[0]
    for chain in model:
        for row in reversed(range(len(chain))):
            if chain.name not in chains and chain[row].subchain not in subchains:
                del chain[row]
    part.remove_waters()
    part.remove_empty_chains()
    return part if model.count_atom_sites() and any(len(chain.get_polymer()) for chain in model) else None
