"""Evaluation of networks on maps simulated from models they never saw, resolution by resolution."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from haruspex_infer.classes import CLASSES
from haruspex_infer.grid import Grid
from haruspex_infer.network import Contract, find_network, parse_contract
from haruspex_infer.sampling import mean_and_sigma, sample
from haruspex_infer.session import Session
from haruspex_train.figures import Figures, Tally
from haruspex_train.labels import COIL, CORE, plain
from haruspex_train.library import TrainingAtoms
from haruspex_train.settings import SimulationSettings
from haruspex_train.simulate import Crops, Simulator
from haruspex_train.truth import IGNORE

RESOLUTIONS = (2.0, 2.5, 3.0, 3.5, 4.0)
"""Å."""

SEED = 1976
CROPS, EDGE = 64, 64
_AT_ONCE = 8


@dataclass(frozen=True)
class SimulatedScore:
    """Figures of one network at one resolution.

    Attributes
    ----------
    network : str
    resolution : float
        Å.
    backbone : Figures
        Over voxels within 1.5 Å of a backbone atom, where residues are judged.
    voxels : Figures
        Over all voxels.
    """

    network: str
    resolution: float
    backbone: Figures
    voxels: Figures


def simulated_scores(
    networks: Sequence[str | Path],
    atoms: TrainingAtoms,
    resolutions: Sequence[float] = RESOLUTIONS,
    crops: int = CROPS,
    edge: int = EDGE,
    device: str = "cpu",
) -> Iterator[SimulatedScore]:
    """Compare networks on the same simulated crops.

    The crops of all resolutions lie at the same places in the same orientations, and every network is judged
    on the same voxels: the centre that the one with the widest margin can see. Crops are always simulated on
    the CPU, so that they do not depend on `device`.

    Parameters
    ----------
    networks : sequence of str or path
        Names of networks that ship, or ONNX files.
    atoms : TrainingAtoms
        Models to simulate, of the ``val`` split.
    resolutions : sequence of float
        Å.
    crops : int
        Crops a resolution.
    edge : int
        Edge of the crops, voxels; a multiple of what the networks ask for.
    device : str
        Where networks run: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Yields
    ------
    SimulatedScore
        One for each resolution and network.

    Raises
    ------
    HaruspexError
        If a network cannot be found or run.
    """
    files = [find_network(network) for network in networks]
    sessions = [Session(path, device) for path in files]
    contracts = [parse_contract(s.metadata, str(f)) for s, f in zip(sessions, files, strict=True)]
    margin = max(contract.margin for contract in contracts)
    # inference measures the normalisation on a whole map; its errors are no matter of resolution
    settings = replace(SimulationSettings(), scale_jitter=0.0, offset_jitter=0.0)
    for resolution in resolutions:
        simulator = Simulator(atoms, edge, torch.device("cpu"), SEED, settings)
        tallies = [(Tally(), Tally()) for _ in networks]
        for first in range(0, crops, _AT_ONCE):
            batch = simulator.batch(min(_AT_ONCE, crops - first), resolution)
            backbone, voxels = truths(batch, margin)
            density = batch.density[:, None].numpy()
            for session, contract, (near, everywhere) in zip(sessions, contracts, tallies, strict=True):
                probabilities = _judged(session, contract, density, margin)
                near.add(probabilities, backbone)
                everywhere.add(probabilities, voxels)
        for contract, (near, everywhere) in zip(contracts, tallies, strict=True):
            yield SimulatedScore(contract.name, resolution, near.figures(), everywhere.figures())


@dataclass(frozen=True)
class CropResidues:
    """Residues of one simulated crop whose backbone lies inside it, read as those of a map are.

    Attributes
    ----------
    row : ndarray of int64, shape (m,)
        Residue, as `TrainingAtoms.residue` counts them.
    probability : ndarray of float32, shape (m, 4)
        Mean probability of each class at the backbone atoms.
    truth : ndarray of uint8, shape (m,)
        Class.
    sigma_level : ndarray of float32, shape (m,)
        Mean density at the same atoms, σ above the mean of the crop.
    """

    row: NDArray[np.int64]
    probability: NDArray[np.float32]
    truth: NDArray[np.uint8]
    sigma_level: NDArray[np.float32]


def simulated_residues(
    network: str | Path,
    atoms: TrainingAtoms,
    resolution: float,
    crops: int = CROPS,
    edge: int = EDGE,
    device: str = "cpu",
) -> Iterator[CropResidues]:
    """Read a network's answer at the residues of simulated crops: the published figures on simulated maps.

    No crop is a chain cut out of its neighbours: residues without density would count as missed.

    Yields
    ------
    CropResidues
        One for each crop.

    Raises
    ------
    HaruspexError
        If the network cannot be found or run.
    """
    path = find_network(network)
    session = Session(path, device)
    margin = parse_contract(session.metadata, str(path)).margin
    settings = replace(SimulationSettings(), scale_jitter=0.0, offset_jitter=0.0, p_part=0.0)
    simulator = Simulator(atoms, edge, torch.device("cpu"), SEED, settings)
    for first in range(0, crops, _AT_ONCE):
        batch = simulator.batch(min(_AT_ONCE, crops - first), resolution)
        for k, density in enumerate(batch.density.numpy()):
            probabilities = session.run(density[None, None])[0]
            yield _crop_residues(simulator, batch, k, probabilities, margin)


def _crop_residues(
    simulator: Simulator, batch: Crops, k: int, probabilities: NDArray[np.float32], margin: int
) -> CropResidues:
    assert batch.atoms is not None
    source, gathered = simulator.source, batch.atoms
    judged = (gathered.crop == k) & source.backbone[gathered.index] & (source.kind[gathered.index] > 0)
    index = gathered.index[judged]
    xyz = (gathered.position[judged] - simulator.margin).flip(1).numpy()
    seen = Grid(probabilities.shape[1:], (1.0,) * 3, (float(margin),) * 3)
    at_atoms = np.stack([sample(volume, seen, xyz) for volume in probabilities], axis=1)
    density = batch.density[k].numpy()
    mean, sigma = mean_and_sigma(density)
    level = (sample(density, Grid(density.shape, (1.0,) * 3), xyz) - mean) / sigma
    # a residue counts where all of its backbone lies inside
    row, residue = np.unique(source.residue[index].numpy(), return_inverse=True)
    columns = np.column_stack([at_atoms, level])
    count = np.bincount(residue)
    means = np.stack([np.bincount(residue, weights=column) for column in columns.T], axis=1) / count[:, None]
    truth = np.zeros(len(row), np.uint8)
    truth[residue] = source.cls[index].numpy()
    inside = np.isfinite(means).all(axis=1)
    probability, sigma_level = means[inside, :-1], means[inside, -1]
    return CropResidues(
        row[inside], probability.astype(np.float32), truth[inside], sigma_level.astype(np.float32)
    )


def truths(crops: Crops, margin: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the true classes of the centre of crops; coil is *other*.

    Parameters
    ----------
    crops : Crops
        *n* crops.
    margin : int
        Voxels to leave out on every side.

    Returns
    -------
    backbone, voxels : ndarray of uint8, shape (n, d, h, w)
        At voxels close to a backbone atom (`haruspex_train.truth.IGNORE` elsewhere), and at all voxels.
    """
    inner = slice(margin, crops.labels.shape[-1] - margin)
    labels = crops.labels[:, inner, inner, inner]
    classes = plain(labels)
    classes = torch.where(classes == COIL, classes % len(CLASSES), classes)
    return torch.where(labels >= CORE, classes, IGNORE).numpy(), classes.numpy()


def _judged(
    session: Session, contract: Contract, density: NDArray[np.float32], margin: int
) -> NDArray[np.float32]:
    """Probabilities (4, n, d, h, w) of the centre of crops, run one by one to spare memory."""
    cut = margin - contract.margin
    parts = [session.run(density[k : k + 1]) for k in range(len(density))]
    inner = slice(cut, parts[0].shape[-1] - cut)
    return np.concatenate(parts)[:, :, inner, inner, inner].swapaxes(0, 1)
