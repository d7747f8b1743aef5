"""Evaluation of a network on experimental maps with their models."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.annotator import Annotator
from haruspex_infer.classes import NUCLEOTIDE
from haruspex_infer.errors import HaruspexError
from haruspex_infer.files import prepare_folder, write_text
from haruspex_infer.grid import Grid
from haruspex_infer.sampling import mean_and_sigma
from haruspex_infer.structure import AMINO_ACID, Structure, read_structure
from haruspex_train.annotations import Annotations
from haruspex_train.breakdown import breakdown
from haruspex_train.figures import Figures, Tally
from haruspex_train.groundtruth import STRONG, near, voxel_truth
from haruspex_train.judged import judge, residue_csv
from haruspex_train.pairs import Pair, read_pairs
from haruspex_train.scoreboard import PairScore, Scoreboard
from haruspex_train.secondary import residue_classes
from haruspex_train.truth import IGNORE, REACH

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
        Folder for the results (see `write_results`) and, in ``annotations``, for the annotations: a second
        evaluation of the same network and maps does not run the network.
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
    annotations = Annotations(annotator, None if out is None else Path(out) / "annotations")
    scores = []
    for pair in pairs:
        annotated = annotations.of(pair.map_path)
        structure = read_structure(pair.model_paths)
        map_ = annotated.map
        scores.append(score(pair, annotated.probabilities, map_.density, map_.grid, structure))
        if progress is not None:
            progress(scores[-1])
    board = Scoreboard(annotator.contract.name, annotator.contract.version, annotator.digest, split, scores)
    if out is not None:
        write_results(board, Path(out))
    return board


def evaluate_against(
    network: str | Path,
    other: str | Path,
    folder: str | Path,
    split: str = "val",
    out: str | Path | None = None,
    device: str = "auto",
    progress: Callable[[PairScore], None] | None = None,
) -> str:
    """Evaluate two networks on the same maps.

    Parameters
    ----------
    network, other : str or path
        Names of networks that ship, or ONNX files.
    folder, split, out, device, progress
        As in `evaluate_pairs`; ``NETWORK_against_OTHER_SPLIT.md`` holds the table of differences.

    Returns
    -------
    str
        The tables of both, and of how much more the first has of every figure, with intervals; Markdown.

    Raises
    ------
    HaruspexError
        As `evaluate_pairs`, and if results are to be written and both networks have one name.
    """
    names = [Annotator(one, "cpu").contract.name for one in (network, other)]
    if out is not None and names[0] == names[1]:
        raise HaruspexError(
            f"Both networks are called {names[0]}, so the results of one would replace those of the other: "
            "export or calibrate one under another name, or leave out --out."
        )
    ours, theirs = (evaluate_pairs(one, folder, split, out, device, progress) for one in (network, other))
    differences = ours.against(theirs)
    if out is not None:
        write_text(Path(out) / f"{ours.network}_against_{theirs.network}_{split}.md", differences)
    return "\n".join([ours.markdown(), theirs.markdown(), differences])


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
    judged = judge(probabilities, density, grid, structure, classes)
    called = probabilities.argmax(axis=0) == NUCLEOTIDE.number
    mean, sigma = mean_and_sigma(density)
    foreign = (density >= mean + VERY_STRONG * sigma) & ~near(grid, structure.xyz, AWAY)
    of_protein = structure.backbone & (structure.kind[structure.residue] == AMINO_ACID)
    truth = voxel_truth(density, grid, structure, classes)
    dense = np.where(density >= mean + STRONG * sigma, truth, np.uint8(IGNORE))
    return PairScore(
        pair=pair,
        has_protein=bool((judged.kind == AMINO_ACID).any()),
        resolved=judged.chosen(judged.resolved).figures(),
        residues=judged.figures(),
        voxels=volume_figures(probabilities, truth),
        dense_voxels=volume_figures(probabilities, dense),
        judged=judged,
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


def write_results(board: Scoreboard, folder: Path) -> list[Path]:
    """Write an evaluation into a folder that exists.

    ``NETWORK_SPLIT.tsv`` and ``.json`` hold every figure of every map, ``.md`` the table of a model card and
    what the medians hide, ``_residues.csv`` every residue with its verdict; ``_recall.png``, ``_density.png``
    and ``_calibration.png`` are the pictures of `haruspex_train.plots`.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    HaruspexError
        If a file cannot be written.
    """
    from haruspex_train.plots import draw  # figures alone need no matplotlib

    stem = f"{board.network}_{board.split}"
    texts = {
        f"{stem}.tsv": board.tsv(),
        f"{stem}.md": f"{board.markdown()}\n{breakdown(board)}",
        f"{stem}.json": json.dumps(board.as_dict(), indent=1, ensure_ascii=False) + "\n",
        f"{stem}_residues.csv": residue_csv({s.pair.name: s.judged for s in board.scores}),
    }
    paths = []
    for name, text in texts.items():
        paths.append(folder / name)
        write_text(paths[-1], text)
    return paths + draw(board, folder / stem)


def _share(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if values.size else float("nan")
