"""Whole maps of atomic models, made by the simulator of training in the middle of its ranges.

Training draws everything at random and crop by crop; a benchmark that shows one thing wants it alone, whole
and the same every time: no masks, no loss of side chains, no anisotropy.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from haruspex_infer.mapfile import Map
from haruspex_infer.structure import AMINO_ACID, Structure
from haruspex_train.atoms import Draw
from haruspex_train.density import DENSE_PROTEIN, Depositor, amplitude_table
from haruspex_train.reconstruction import Reconstruction
from haruspex_train.settings import SimulationSettings

VOXEL = 1.1
"""Å."""

MIDDLING = replace(
    SimulationSettings(),
    fsc_slope=(14.0, 14.0),
    low_pass=(0.9, 0.9),
    p_unweighted=0.0,
    solvent_contrast=(0.55, 0.55),
    p_solvent=1.0,
    p_anisotropy=0.0,
    noise=(0.7, 0.7),
    low_noise=(0.05, 0.05),
)
"""The middle of what training draws from."""

_ROOM = 16.0  # Å beside the outermost atoms
_FALL_OFF = 40.0  # Å², overall
_SPREAD = 0.7  # of the model's own B factors
_BEST = 10  # percentile of B factors that counts as perfectly ordered
_SEED = 1976

_TAIL, _HEAD = 17.0, 22.0  # Å from the protein's belt to which tails and head groups reach
_CONTACT = 3.0  # Å between protein and detergent
_CARBON = 2.51  # scattering amplitude, Å
_FLUID = 200.0  # Å², B factor: no two particles have the molecule in one place


@dataclass(frozen=True)
class Scatterers:
    """Matter beside a model: positions (n, 3) in Å, one amplitude in Å each, and the B factor of all, Å²."""

    xyz: NDArray[np.float32]
    amplitude: NDArray[np.float32]
    b_factor: float


def simulate(structure: Structure, resolution: float, beside: Scatterers | None = None) -> Map:
    """Simulate the map of a whole model, in the frame of the model.

    Parameters
    ----------
    structure : Structure
    resolution : float
        Å, where the Fourier shell correlation is 0.143.
    beside : Scatterers, optional
        More that scatters.
    """
    ordered = np.percentile(structure.b_iso, _BEST)
    amplitude = amplitude_table(torch.device("cpu")).numpy()[structure.element] * structure.occupancy
    b_factor = _SPREAD * np.clip(structure.b_iso - ordered, 0, 200)
    xyz = structure.xyz
    if beside is not None:
        xyz = np.concatenate([xyz, beside.xyz])
        amplitude = np.concatenate([amplitude, beside.amplitude])
        b_factor = np.concatenate([b_factor, np.full(len(beside.xyz), beside.b_factor)])
    low, high = xyz.min(axis=0) - _ROOM, xyz.max(axis=0) + _ROOM
    edge = 8 * int(np.ceil((high - low).max() / VOXEL / 8))
    first = (low + high) / 2 - (edge - 1) / 2 * VOXEL
    depositor = Depositor(edge, torch.device("cpu"))
    with torch.no_grad():
        grids = depositor.grids(
            torch.zeros(len(xyz), dtype=torch.long),
            torch.from_numpy(((xyz - first)[:, ::-1] / VOXEL).astype(np.float32)),
            torch.from_numpy(amplitude.astype(np.float32)),
            torch.from_numpy(b_factor.astype(np.float32)),
            1,
        )
        size = torch.tensor([VOXEL])
        reconstruct = Reconstruction(depositor, Draw(_SEED, torch.device("cpu")), MIDDLING)
        true = depositor.structure_factors(grids, size)
        density = reconstruct(true, size, torch.tensor([resolution]), torch.tensor([_FALL_OFF]))
    x, y, z = (float(v) for v in first)
    return Map.from_array(density[0].numpy(), VOXEL, (z, y, x))


def micelle(structure: Structure) -> Scatterers:
    """Lay a belt of detergent around a membrane protein whose membrane is normal to z, at z = 0.

    Carbon atoms at random: half as dense as the protein where the tails are, as dense at the head groups.
    """
    rng = np.random.default_rng(_SEED)
    tree = cKDTree(structure.xyz)
    low, high = structure.xyz.min(axis=0) - _HEAD, structure.xyz.max(axis=0) + _HEAD
    low[2], high[2] = -_HEAD, _HEAD
    count = round(float(np.prod(high - low)) * DENSE_PROTEIN / _CARBON)
    points = rng.uniform(low, high, (count, 3))
    away = tree.query(points)[0]
    # a belt with a round edge
    reach = np.hypot(np.maximum(away - _CONTACT, 0), points[:, 2])
    kept = (away > _CONTACT) & (reach < _HEAD)
    amplitude = np.where(reach < _TAIL, 0.5 * _CARBON, _CARBON)[kept]
    return Scatterers(points[kept].astype(np.float32), amplitude.astype(np.float32), _FLUID)


def upright(structure: Structure, helix: NDArray[np.bool_]) -> Structure:
    """Turn a membrane protein so that most of its helices run along z, their middle at the origin.

    Parameters
    ----------
    structure : Structure
    helix : ndarray of bool, shape (m,)
        Residues in helices.
    """
    alpha = structure.main_chain()[:, 1].astype(np.float64)
    inside = helix[:-3] & helix[3:] & (structure.chain[:-3] == structure.chain[3:])
    along = (alpha[3:] - alpha[:-3])[inside & (structure.kind[:-3] == AMINO_ACID)]
    along = along[np.isfinite(along).all(axis=1)]
    axes = np.linalg.eigh(along.T @ along)[1]  # the last points along the membrane's normal
    axes[:, 0] = np.cross(axes[:, 1], axes[:, 2])
    middle = np.nanmedian(alpha[helix], axis=0)
    return replace(structure, xyz=((structure.xyz - middle) @ axes).astype(np.float32))
