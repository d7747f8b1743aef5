"""All figures of one pair of map and model that curation judges by."""

import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import ParseError

import numpy as np
from defusedxml import DefusedXmlException, ElementTree
from numpy.typing import NDArray

from haruspex_infer.classes import HELIX, NUCLEOTIDE, STRAND
from haruspex_infer.errors import HaruspexError
from haruspex_infer.idealhelix import preference
from haruspex_infer.mapfile import Map
from haruspex_infer.sampling import mean_and_sigma, sample
from haruspex_infer.structure import AMINO_ACID, Structure
from haruspex_train.fit import STANDS_OUT, around, contrast, correlation, displacement, model_density
from haruspex_train.groundtruth import MODELLED_REACH, STRONG, near
from haruspex_train.hand import branches, hand, helix_axes
from haruspex_train.truth import REACH

DENSE = 3.0
"""σ level of density that a model should explain."""

FEWEST = 5
"""Helices, or side chains and bases, from which a model tells the hand of its map."""

_LONGEST = 2**29
_NAN = float("nan")


@dataclass(frozen=True)
class Measures:
    """Figures of one pair. What could not be measured is not a number.

    Attributes
    ----------
    helix, strand, nucleotide : int
        Residues of each class.
    in_map : float
        Share of the backbone atoms that lie in the map.
    level : float
        Median σ level at the backbone.
    inclusion : float
        Share of the backbone atoms at 1 σ or more.
    contour_inclusion : float
        The same at the contour that the depositors recommend.
    archive_inclusion, archive_q : float
        Backbone inclusion and Q-score of the archive's validation.
    correlation : float
        Pearson correlation of map and model density within 3 Å of the model.
    displacement : float
        Å to the place where the model would fit better.
    contrast : float
        Median over residues of the z-score against the residue shifted by 3 to 6 Å.
    fitted : float
        Share of the residues with a z-score of 1 or more.
    modelled_dense : float
        Share of the volume within 3 Å of the model that has 1 σ or more.
    dense_modelled : float
        Share of the volume with 3 σ or more, around the model, that lies within 5 Å of it.
    explained : float
        The same of the whole map.
    helix_hand, side_hand : float
        Mean preference for the right hand over its standard error: of helices, of side chains and bases.
    copies, copies_refused : int
        Copies that the model lists as operators: those that the density supports, and the others.
    """

    helix: int
    strand: int
    nucleotide: int
    in_map: float
    level: float = _NAN
    inclusion: float = _NAN
    contour_inclusion: float = _NAN
    archive_inclusion: float = _NAN
    archive_q: float = _NAN
    correlation: float = _NAN
    displacement: float = _NAN
    contrast: float = _NAN
    fitted: float = _NAN
    modelled_dense: float = _NAN
    dense_modelled: float = _NAN
    explained: float = _NAN
    helix_hand: float = _NAN
    side_hand: float = _NAN
    copies: int = 0
    copies_refused: int = 0


def measure_fit(
    density_map: Map,
    structure: Structure,
    classes: NDArray[np.uint8],
    resolution: float,
    contour: float | None = None,
) -> Measures:
    """Measure the fit of a model and a map.

    Parameters
    ----------
    density_map : Map
        As deposited.
    structure : Structure
        The model, with *m* residues.
    classes : ndarray of uint8, shape (m,)
        Class of each residue.
    resolution : float
        Å.
    contour : float, optional
        Recommended contour, in the map's units.

    Returns
    -------
    Measures
        Without what the archive says.

    Raises
    ------
    HaruspexError
        If the map is constant.
    """
    counts = {label.name: int((classes == label.number).sum()) for label in (HELIX, STRAND, NUCLEOTIDE)}
    mean, sigma = mean_and_sigma(density_map.density)
    at_atoms = sample(density_map.density, density_map.grid, structure.xyz[structure.backbone])
    in_map = np.isfinite(at_atoms)
    cut = around(density_map.density, density_map.grid, structure)
    if cut is None or not in_map.any():
        return Measures(**counts, in_map=0.0)
    density, grid = cut
    level = ((density - mean) / sigma).astype(np.float32)
    # atoms outside the map have no density
    at_atoms = np.nan_to_num(at_atoms, nan=density_map.density.min())
    close, wide = (near(grid, structure.xyz, reach) for reach in (REACH, MODELLED_REACH))
    z = contrast(level, grid, structure)
    z = z[np.isfinite(z)]
    dense = level >= DENSE
    dense_anywhere = sum(int((s >= mean + DENSE * sigma).sum()) for s in density_map.density)
    return Measures(
        **counts,
        in_map=float(in_map.mean()),
        level=float(np.median((at_atoms - mean) / sigma)),
        inclusion=float((at_atoms >= mean + STRONG * sigma).mean()),
        contour_inclusion=_NAN if contour is None else float((at_atoms >= contour).mean()),
        correlation=correlation(level, model_density(grid, structure, resolution), close),
        displacement=displacement(level, grid, structure, resolution),
        contrast=float(np.median(z)) if z.size else _NAN,
        fitted=float((z >= STANDS_OUT).mean()) if z.size else _NAN,
        modelled_dense=float((level[close] >= STRONG).mean()),
        dense_modelled=_share(int((dense & wide).sum()), int(dense.sum())),
        explained=_share(int((dense & wide).sum()), dense_anywhere),
        helix_hand=preference(*hand(level, grid, helix_axes(structure, classes)), FEWEST),
        side_hand=preference(*branches(level, grid, structure), FEWEST),
    )


def sequences(structure: Structure) -> list[str]:
    """One-letter sequences of the protein chains as far as they are modelled, each once, sorted."""
    import gemmi

    found = set()
    for chain in np.unique(structure.chain):
        names = structure.name[(structure.chain == chain) & (structure.kind == AMINO_ACID)]
        found.add("".join(gemmi.find_tabulated_residue(str(name)).fasta_code() for name in names))
    return sorted(found - {""})


def archive_scores(path: Path | None) -> tuple[float, float]:
    """Return backbone inclusion and Q-score of the archive's validation, where it gives them.

    Parameters
    ----------
    path : Path or None
        The validation data (XML, gzipped).

    Raises
    ------
    HaruspexError
        If they cannot be read.
    """
    if path is None:
        return _NAN, _NAN
    try:
        with gzip.open(path) as stream:
            text = stream.read(_LONGEST + 1)
        if len(text) > _LONGEST:
            raise HaruspexError(f"{path} unpacks to more than {_LONGEST:,} bytes; fetch it again.")
        entry = ElementTree.fromstring(text).find(".//Entry")
    except (OSError, EOFError, zlib.error, ParseError, DefusedXmlException) as fault:
        raise HaruspexError(f"{path} cannot be read as validation data: {fault}.") from fault
    values: Mapping[str, str] = {} if entry is None else entry.attrib
    return _number(values.get("atom_inclusion_backbone")), _number(values.get("Q_score"))


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return _NAN


def _share(part: int, whole: int) -> float:
    return part / whole if whole else _NAN
