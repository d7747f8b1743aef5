"""Ground truth of simulated crops against brute force."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from haruspex_train.labels import (
    BORDER,
    COIL,
    CORE,
    CORE_RADIUS,
    drop_faint,
    label,
    nearest_atom,
    plain,
)
from haruspex_train.truth import IGNORE, REACH

EDGE = 12
HELIX, STRAND, NUCLEOTIDE = 1, 2, 3


def brute_force(crop, position, voxel_size, edge):
    """Squared distance (Å²) of every voxel to every atom; infinite to those of other crops."""
    voxels = np.stack(np.meshgrid(*[np.arange(edge)] * 3, indexing="ij"), -1)[..., None, :]
    gaps = (voxels - position) * voxel_size[crop][:, None]
    distance2 = (gaps**2).sum(-1)
    return np.stack([np.where(crop == k, distance2, np.inf) for k in range(len(voxel_size))])


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.lists(st.floats(1.0, 1.3), min_size=1, max_size=3))
def test_nearest_atom_is_the_nearest(seed, n, sizes):
    rng = np.random.default_rng(seed)
    voxel_size = np.array(sizes, np.float32)
    crop = np.sort(rng.integers(len(sizes), size=n))
    # beyond the faces as well: such atoms reach into the crop
    position = rng.uniform(-4, EDGE + 4, (n, 3)).astype(np.float32)
    index, distance = nearest_atom(torch.tensor(crop), torch.tensor(position), torch.tensor(voxel_size), EDGE)
    index, distance = index.numpy(), distance.numpy()
    distance2 = brute_force(crop, position, voxel_size, EDGE)
    nearest = np.sqrt(distance2.min(-1))
    clear = abs(nearest - REACH) > 1e-3
    np.testing.assert_array_equal((index >= 0)[clear], (nearest < REACH)[clear])
    found = index >= 0
    np.testing.assert_array_equal(np.isinf(distance), ~found)
    np.testing.assert_allclose(distance[found], nearest[found], atol=2e-3)
    # the atom named lies at that distance: ties may go either way
    of_named = np.take_along_axis(distance2, np.maximum(index, 0)[..., None], -1)[..., 0]
    np.testing.assert_allclose(np.sqrt(of_named[found]), nearest[found], atol=2e-3)


def two_atoms(cls, kind, apart=4, border=False):
    """Labels of a crop with two atoms along x."""
    position = torch.tensor([[6.0, 6.0, 4.0], [6.0, 6.0, 4.0 + apart]])
    crop = torch.zeros(2, dtype=torch.long)
    index, distance = nearest_atom(crop, position, torch.tensor([1.0]), EDGE)
    beside = torch.tensor([border, border])
    return label(index, distance, torch.tensor(cls, dtype=torch.uint8), torch.tensor(kind), beside)[0]


def test_coil_competes_with_classes():
    labels = two_atoms([HELIX, 0], [1, 1])
    along = plain(labels)[6, 6]
    assert along[2:6].tolist() == [HELIX] * 4
    assert along[7:11].tolist() == [COIL] * 4
    # the voxel half-way goes to one of the two; without the coil the helix reaches 3 Å
    assert along[6] in (HELIX, COIL)
    assert along[0] == along[11] == 0
    ligand = two_atoms([HELIX, 0], [1, 0])
    assert plain(ligand)[6, 6, 8] == 0


@pytest.mark.parametrize(("cls", "kind"), [(HELIX, 1), (STRAND, 1), (NUCLEOTIDE, 2)])
def test_classes_and_their_core(cls, kind):
    labels = two_atoms([cls, cls], [kind, kind], apart=0)
    voxels = np.stack(np.meshgrid(*[np.arange(EDGE)] * 3, indexing="ij"), -1)
    distance = np.linalg.norm(voxels - [6, 6, 4], axis=-1)
    np.testing.assert_array_equal(plain(labels).numpy() == cls, distance < REACH)
    np.testing.assert_array_equal(labels.numpy() >= CORE, distance < CORE_RADIUS)


def test_plain_keeps_what_is_ignored():
    labels = torch.tensor([0, 1, COIL, CORE + 2, BORDER + COIL, IGNORE], dtype=torch.uint8)
    assert plain(labels).tolist() == [0, 1, COIL, 2, COIL, IGNORE]


def test_residues_at_a_border_are_flagged():
    usual, border = two_atoms([HELIX, 0], [1, 1]), two_atoms([HELIX, 0], [1, 1], border=True)
    assert torch.equal(plain(usual), plain(border))
    core = usual >= CORE
    assert core.any()
    assert torch.equal(border >= BORDER, core)
    assert not (usual >= BORDER).any()


def test_a_class_in_doubt_is_ignored():
    labels = two_atoms([IGNORE, HELIX], [1, 1], apart=5.0)
    assert set(labels.unique().tolist()) == {0, HELIX, HELIX + CORE, IGNORE}
    assert labels[6, 6, 4] == IGNORE


def test_faint_voxels_become_other_outside_the_core():
    """Two elements of very different density: each is judged by its own mean."""
    position = torch.tensor([[6.0, 6.0, 2.0], [6.0, 6.0, 9.0]])
    index, distance = nearest_atom(torch.zeros(2, dtype=torch.long), position, torch.tensor([1.0]), EDGE)
    before = label(
        index, distance, torch.tensor([HELIX, STRAND]), torch.tensor([1, 1]), torch.tensor([False, True])
    )
    density = torch.where(index == 0, 10.0, 1.0) * torch.where(distance < CORE_RADIUS, 1.0, 0.6)
    faint = (distance > 2.4) & (index >= 0)
    density[faint] *= 0.75  # 45 % of the mean, and the rest 60 %
    density[0, 6, 6, 2] = 0.1  # in the core, where class stands however weak the density
    after = drop_faint(before, index, distance, density, torch.tensor([0, 1]))
    np.testing.assert_array_equal(after[faint].numpy(), 0)
    kept = ~faint
    np.testing.assert_array_equal(after[kept].numpy(), before[kept].numpy())
    assert after[0, 6, 6, 2] == HELIX + CORE


def test_nothing_is_dropped_where_there_are_no_atoms():
    none = torch.zeros(0, dtype=torch.long)
    index, distance = nearest_atom(none, torch.zeros(0, 3), torch.tensor([1.1]), 8)
    assert (index == -1).all()
    labels = label(index, distance, none, none, none.bool())
    assert (drop_faint(labels, index, distance, torch.rand(1, 8, 8, 8), none) == 0).all()
