"""Evaluation of a network on experimental maps with their models."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.annotator import Annotator
from haruspex_infer.classes import NUCLEOTIDE
from haruspex_infer.files import prepare_folder
from haruspex_infer.grid import Grid
from haruspex_infer.mapfile import read_map
from haruspex_infer.residues import residue_table
from haruspex_infer.sampling import mean_and_sigma
from haruspex_infer.structure import AMINO_ACID, OTHER_KIND, Structure, read_structure
from haruspex_train.figures import Figures, Tally
from haruspex_train.groundtruth import STRONG, near, voxel_truth
from haruspex_train.pairs import Pair, read_pairs
from haruspex_train.scoreboard import PairScore, Scoreboard, write_scoreboard
from haruspex_train.secondary import residue_classes
from haruspex_train.truth import REACH

VERY_STRONG = 6.0
"""σ level of density that is certainly molecule."""

AWAY = 4.0
"""Å from a model's atoms beyond which density belongs to something else."""


def evaluate_pairs(
    network: str | Path,
    folder: str | Path,
    split: str = "val",
    out: str | Path | None = None,
    device: str = "auto",
    progress: Callable[[PairScore], None] | None = None,
) -> Scoreboard:
    """Annotate the maps of a folder and compare the result with their models.

    Parameters
    ----------
    network : str or path
        Name of a network that ships, or an ONNX file.
    folder : path
        Folder with ``INDEX.tsv``; see `haruspex_train.pairs`.
    split : str
        ``val`` to choose networks by, ``test`` for the final figure only.
    out : path, optional
        Folder for a table (TSV, Markdown) and a JSON file, named after the network and the split.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    progress : callable, optional
        Called with the figures of each map as they come.

    Returns
    -------
    Scoreboard

    Raises
    ------
    HaruspexError
        If the network, a map or a model cannot be used.
    """
    pairs = read_pairs(folder, split)
    if out is not None:
        prepare_folder(Path(out))
    annotator = Annotator(network, device)
    scores = []
    for pair in pairs:
        annotation = annotator.annotate(read_map(pair.map_path))
        structure = read_structure(pair.model_paths)
        scores.append(
            score(pair, annotation.probabilities, annotation.map.density, annotation.grid, structure)
        )
        if progress is not None:
            progress(scores[-1])
    board = Scoreboard(annotator.contract.name, annotator.contract.version, annotator.digest, split, scores)
    if out is not None:
        write_scoreboard(board, Path(out))
    return board


def score(
    pair: Pair,
    probabilities: NDArray[np.float32],
    density: NDArray[np.floating],
    grid: Grid,
    structure: Structure,
) -> PairScore:
    """Compare the annotation of one map with its model.

    Parameters
    ----------
    pair : Pair
        What the map is.
    probabilities : ndarray, shape (4, z, y, x)
    density : ndarray, shape (z, y, x)
        The map as deposited.
    grid : Grid
        Where the voxels of both lie.
    structure : Structure

    Raises
    ------
    HaruspexError
        If the map is constant.
    """
    classes = residue_classes(structure)
    table = residue_table(probabilities, grid, structure, density)
    inside = table.covered & (table.kind != OTHER_KIND)
    resolved = inside & (table.sigma_level >= STRONG)
    called = probabilities.argmax(axis=0) == NUCLEOTIDE.number
    mean, sigma = mean_and_sigma(density)
    foreign = (density >= mean + VERY_STRONG * sigma) & ~near(grid, structure.xyz, AWAY)
    of_protein = structure.backbone & (structure.kind[structure.residue] == AMINO_ACID)
    return PairScore(
        pair=pair,
        has_protein=bool((table.kind == AMINO_ACID).any()),
        resolved=Tally().add(table.probability[resolved].T, classes[resolved]).figures(),
        residues=Tally().add(table.probability[inside].T, classes[inside]).figures(),
        voxels=volume_figures(probabilities, voxel_truth(density, grid, structure, classes)),
        unmodelled_nucleotide=_share(called[foreign]),
        protein_nucleotide=_share(called[near(grid, structure.xyz[of_protein], REACH)]),
    )


def volume_figures(probabilities: NDArray[np.floating], truth: NDArray[np.integer]) -> Figures:
    """Figures over voxels.

    Parameters
    ----------
    probabilities : ndarray, shape (4, z, y, x)
    truth : ndarray of int, shape (z, y, x)
        Class numbers, or `haruspex_train.truth.IGNORE`.
    """
    tally = Tally()
    for z in range(len(truth)):
        tally.add(probabilities[:, z], truth[z])
    return tally.figures()


def _share(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if values.size else float("nan")
