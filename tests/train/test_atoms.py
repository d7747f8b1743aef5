"""Atoms around random places: geometry, handedness, and what is at the centre."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from haruspex_train.atoms import AtomSource, Draw

CPU = torch.device("cpu")
EVEN = torch.full((4,), 0.25)


@pytest.fixture(scope="module")
def source(tiny_atoms):
    return AtomSource(tiny_atoms, CPU)


def crops(source, seed=0, edge=48, n=12, weights=EVEN):
    voxel_size = torch.linspace(1.0, 1.2, n)
    return source.crops(Draw(seed, CPU), weights, edge, voxel_size), voxel_size


def in_angstrom(found, voxel_size, k):
    """Positions (x, y, z) in Å of the atoms of one crop, and their rows in the library."""
    mine = found.crop == k
    return found.position[mine].numpy()[:, ::-1] * voxel_size[k].item(), found.index[mine].numpy()


def test_distances_between_atoms_stay(source, tiny_atoms):
    found, voxel_size = crops(source)
    for k in range(len(voxel_size)):
        placed, rows = in_angstrom(found, voxel_size, k)
        assert len(rows) > 10
        ours = np.linalg.norm(placed[1:] - placed[:-1], axis=1)
        theirs = np.linalg.norm(np.diff(tiny_atoms.xyz[rows], axis=0), axis=1)
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_helices_stay_right_handed(source, tiny_atoms):
    """The triple product of steps from Cα to Cα is positive along a right-handed helix."""
    found, voxel_size = crops(source, seed=1)
    element, starts = tiny_atoms.element, np.flatnonzero(np.diff(tiny_atoms.residue, prepend=-1))
    seen = 0
    for k in range(len(voxel_size)):
        placed, rows = in_angstrom(found, voxel_size, k)
        helix = (tiny_atoms.cls[rows] == 1) & np.isin(rows, starts + 1)  # the second atom is Cα
        assert (element[rows[helix]] == 6).all()
        trace = placed[helix]
        if len(trace) < 8:
            continue
        steps = np.diff(trace, axis=0)
        triple = np.linalg.det(np.stack([steps[:-2], steps[1:-1], steps[2:]], axis=1))
        assert (triple > 0).all()
        seen += 1
    assert seen >= 4


def test_orientations_differ_and_cover_the_sphere():
    matrices = Draw(3, CPU).rotations(4000)
    unit = torch.eye(3).expand(4000, 3, 3)
    torch.testing.assert_close(matrices @ matrices.transpose(1, 2), unit, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(matrices), torch.ones(4000), atol=1e-5, rtol=0)
    # uniform over all orientations: every entry has mean 0 and mean square 1/3
    assert matrices.mean(0).abs().max() < 0.04
    assert (matrices.square().mean(0) - 1 / 3).abs().max() < 0.03


def test_atoms_lie_inside_and_in_order(source):
    found, _ = crops(source, edge=24, n=20)
    assert found.position.min() > 2
    assert found.position.max() < 24 - 3
    assert (found.crop.diff() >= 0).all()
    for k in range(20):
        assert (found.index[found.crop == k].diff() > 0).all()


def test_a_wide_crop_holds_a_whole_model_and_no_other(source, tiny_atoms):
    found, voxel_size = crops(source, edge=200, n=6)
    for k in range(6):
        _, rows = in_angstrom(found, voxel_size, k)
        entry = np.searchsorted(tiny_atoms.offset, rows[0], side="right") - 1
        np.testing.assert_array_equal(rows, np.arange(*tiny_atoms.offset[entry : entry + 2]))


@pytest.mark.parametrize("number", range(4))
def test_the_centre_has_the_class_asked_for(source, tiny_atoms, number):
    weights = torch.zeros(4)
    weights[number] = 1
    found, voxel_size = crops(source, seed=number, n=30, weights=weights)
    class_of_residue = tiny_atoms.cls[np.searchsorted(tiny_atoms.residue, found.centre_residue.numpy())]
    assert (class_of_residue == number).all()
    middle = (48 - 1) / 2
    distances = []
    for k in range(30):
        placed, rows = in_angstrom(found, voxel_size, k)
        at_centre = tiny_atoms.residue[rows] == found.centre_residue[k].item()
        if at_centre.any():
            away = placed[at_centre] - middle * voxel_size[k].item()
            distances.append(np.linalg.norm(away, axis=1).min())
    # about 10 Å off centre, a few farther
    assert 4 < np.median(distances) < 14


def test_classes_that_the_library_lacks_are_not_asked_for(tiny_atoms):
    without_strands = np.where(tiny_atoms.cls == 2, 0, tiny_atoms.cls)
    source = AtomSource(replace(tiny_atoms, cls=without_strands), CPU)
    found, _ = crops(source, n=20, weights=torch.tensor([0.1, 0.0, 0.9, 0.0]))
    classes = source.cls[torch.searchsorted(source.residue, found.centre_residue)]
    assert (classes == 0).all()


def test_large_models_are_not_drawn_in_proportion(tiny_atoms):
    source = AtomSource(tiny_atoms, CPU)
    index, start, weight = source._places[1]
    counts = (start[1:] - start[:-1]).float()
    assert counts.sum() == len(index)
    torch.testing.assert_close(weight, counts.sqrt())
    helical = (tiny_atoms.cls == 1) & tiny_atoms.backbone
    assert counts[0] == helical[: tiny_atoms.offset[1]].sum()
