"""Ground truth of simulated crops: every voxel takes the class of the nearest backbone atom.

The paper (Methods, Annotation of reconstruction maps) gives all voxels within 3 Å of a backbone atom the
class of its element. Where elements touch, and where coil runs beside a helix or strand, here the *nearest*
backbone atom decides, coil atoms competing: a voxel of a coil backbone is no helix.
"""

import torch
from torch import Tensor

from haruspex_train.truth import IGNORE, REACH

COIL = 4
"""Voxels nearest to a protein backbone atom of no class: trained as *other*, but weighted on their own."""

CORE = 8
"""Flag added to the label of voxels within `CORE_RADIUS` of their atom: residues are judged there."""

BORDER = 16
"""Flag in place of `CORE` where the residue lies at the end of an element, or beside one in the chain."""

CORE_RADIUS = 1.5
"""Å."""


def plain(labels: Tensor) -> Tensor:
    """Labels without the flag of core voxels."""
    return torch.where(labels == IGNORE, labels, labels % CORE)


def without_classes(labels: Tensor) -> Tensor:
    """Labels in which every backbone is coil: those of a mirror image, which no molecule makes."""
    cls = plain(labels)
    return torch.where((cls >= 1) & (cls < COIL), labels - cls + COIL, labels)


def nearest_atom(crop: Tensor, position: Tensor, voxel_size: Tensor, edge: int) -> tuple[Tensor, Tensor]:
    """Find the nearest atom of every voxel within `REACH`.

    Parameters
    ----------
    crop, position : Tensor (atoms,), (atoms, 3)
        Crop of each atom and its place (z, y, x) in voxels.
    voxel_size : Tensor (n,)
        Å, at least 1.
    edge : int
        Edge of the crops, voxels.

    Returns
    -------
    index : Tensor (n, edge, edge, edge), int64
        Row of the nearest atom, -1 where none lies within `REACH`.
    distance : Tensor (n, edge, edge, edge)
        Å; infinite where there is none.
    """
    n, device = len(voxel_size), position.device
    far = torch.iinfo(torch.int64).max
    # squared distance in the high bits, the atom in the low: the smallest key is the nearest atom
    key = torch.full((n * edge**3,), far, dtype=torch.int64, device=device)
    row = torch.arange(len(crop), device=device)
    nearest_voxel = position.round().long()
    size = voxel_size[crop]
    reach = int(REACH + 0.5)  # from the nearest voxel, which is at most half a voxel away
    steps = torch.arange(-reach, reach + 1, device=device)
    for dz in range(-reach, reach + 1):
        for dy in range(-reach, reach + 1):
            if dz * dz + dy * dy > (REACH + 0.75) ** 2:
                continue
            voxel_zy = nearest_voxel[:, :2] + torch.tensor([dz, dy], device=device)
            gap_zy = ((voxel_zy - position[:, :2]) * size[:, None]).square().sum(1)
            hit = (gap_zy < REACH**2) & ((voxel_zy >= 0) & (voxel_zy < edge)).all(1)
            voxel_x = nearest_voxel[:, 2:] + steps
            gap2 = gap_zy[:, None] + ((voxel_x - position[:, 2:]) * size[:, None]).square()
            hit = hit[:, None] & (gap2 < REACH**2) & (voxel_x >= 0) & (voxel_x < edge)
            flat = ((crop * edge + voxel_zy[:, 0]) * edge + voxel_zy[:, 1])[:, None] * edge + voxel_x
            packed = ((gap2 * 1e6).long() << 32) | row[:, None]
            # misses carry a key that never wins: no shape depends on the data, nothing waits for the host
            packed = torch.where(hit, packed, far)
            key.scatter_reduce_(0, flat.clamp(0, len(key) - 1).view(-1), packed.view(-1), "amin")
    found = key != far
    index = torch.where(found, key & 0xFFFFFFFF, -1).view(n, edge, edge, edge)
    distance = torch.where(found, ((key >> 32).float() * 1e-6).sqrt(), torch.inf)
    return index, distance.view(n, edge, edge, edge)


def label(index: Tensor, distance: Tensor, cls: Tensor, kind: Tensor, border: Tensor) -> Tensor:
    """Turn nearest atoms into labels.

    Parameters
    ----------
    index, distance : Tensor (n, edge, edge, edge)
        From `nearest_atom`.
    cls, kind : Tensor (atoms,)
        Class (or `IGNORE`) and kind (0 ligand, 1 amino acid, 2 nucleotide) of the atoms that `index` counts.
    border : Tensor (atoms,)
        Whether the atom's residue is one where the class changes along the chain.

    Returns
    -------
    Tensor (n, edge, edge, edge), uint8
        Class numbers or `COIL`, plus `CORE` or `BORDER` close to the atom; `IGNORE` where the atom's
        class is in doubt.
    """
    of_atom = torch.where((cls == 0) & (kind == 1), COIL, cls)
    # an extra row for "no atom", reached through index -1
    table = torch.cat([of_atom, of_atom.new_zeros(1)]).to(torch.uint8)
    labels = table[index]
    flag = torch.where(border, BORDER, CORE).to(torch.uint8)
    flag = torch.cat([flag, flag.new_zeros(1)])[index]
    return torch.where((distance < CORE_RADIUS) & (labels != IGNORE), labels + flag, labels)


def drop_faint(labels: Tensor, index: Tensor, distance: Tensor, density: Tensor, element: Tensor) -> Tensor:
    """Make faint voxels *other*: those under half the mean backbone density of their element.

    The paper's rule (Methods), applied only outside the core of a backbone atom: there voxels keep their
    class however weak the density, since residues are judged there.

    Parameters
    ----------
    labels, index, distance, density : Tensor (n, edge, edge, edge)
        Labels, nearest atom, its distance in Å, density, solvent near 0 as the simulator leaves it.
    element : Tensor (atoms,)
        Secondary-structure element of each atom, 0, 1, 2, … without gaps.

    Returns
    -------
    Tensor (n, edge, edge, edge), uint8
        The labels with faint voxels *other*.
    """
    found = index >= 0
    near = found & (distance < CORE_RADIUS)
    elements = int(element[-1]) + 1 if len(element) else 0
    at, value = element[index[near]], density[near]
    total = torch.zeros(elements, device=density.device).index_add_(0, at, value)
    count = torch.zeros(elements, device=density.device).index_add_(0, at, torch.ones_like(value))
    mean = total / count.clamp(min=1)
    threshold = torch.cat([mean, mean.new_zeros(1)])[torch.cat([element, element.new_full((1,), -1)])[index]]
    faint = found & (distance >= CORE_RADIUS) & (density < threshold / 2)
    return torch.where(faint, 0, labels)
