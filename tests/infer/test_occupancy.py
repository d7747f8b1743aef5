"""Which part of a map is annotated: never less than what models explain."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import lump

from haruspex_infer.grid import Grid
from haruspex_infer.mapfile import read_map
from haruspex_infer.normalise import Normaliser
from haruspex_infer.occupancy import CELL, cells_of, survey, voxels_of
from haruspex_infer.resample import resample_density
from haruspex_infer.sampling import mean_and_sigma, sample
from haruspex_infer.structure import read_structure


def region_of(density, shape=None):
    normaliser = Normaliser()
    offset, scale = normaliser.measure(density, (1.1,) * 3)
    return survey(density, normaliser, offset, scale)


@settings(max_examples=50)
@given(st.tuples(*[st.integers(1, 30)] * 3), st.integers(0, 99))
def test_cells_and_their_voxels(shape, seed):
    inside = np.random.default_rng(seed).random(shape) > 0.9
    cells = cells_of(inside)
    assert cells.shape == tuple(-(-n // CELL) for n in shape)
    voxels = voxels_of(cells, shape)
    assert voxels[inside].all()
    np.testing.assert_array_equal(cells_of(voxels), cells)


def test_solvent_is_left_out_whatever_its_noise():
    density = np.random.default_rng(0).normal(0, 0.15, (80, 80, 80)).astype(np.float32)
    density[30:50, 30:50, 30:50] += lump((20, 20, 20))
    found = region_of(density)
    inside = voxels_of(found.region, density.shape)
    assert inside[34:46, 34:46, 34:46].all()
    assert inside.mean() < 0.1
    assert not found.inverted


def test_the_region_reaches_at_least_one_cell_beyond_density():
    density = np.zeros((40, 40, 40), dtype=np.float32)
    density[16:32, 16:32, 16:32] = 1
    inside = voxels_of(region_of(density).region, density.shape)
    assert inside[12:36, 12:36, 12:36].all()
    assert inside.sum() == 24**3


def test_an_inverted_map_is_noticed():
    assert region_of(-lump()).inverted


@pytest.mark.parametrize("split", ["val", "test"])
def test_no_residue_with_density_is_left_out(shared_data, split):
    """Of the maps with models: where the model lies and what the density is there; no network is run."""
    pytest.importorskip("haruspex_train", reason="haruspex_train, which reads pairs, is not installed")
    from haruspex_train.pairs import read_pairs

    for pair in read_pairs(shared_data / "maps", split):
        map_ = read_map(pair.map_path)
        working = map_.grid.working(1.0, 1.2, 1.1)
        density = map_.density if working == map_.grid else resample_density(map_.density, map_.grid, working)
        inside = voxels_of(region_of(density).region, working.shape)
        for path in pair.model_paths:
            lost, residues = residues_outside(read_structure(path), map_, working, inside)
            assert residues > 5
            assert lost == 0, pair.name


def residues_outside(structure, map_, working: Grid, inside):
    """Return residues with a mean backbone density of 1 σ and an atom outside, and all such residues."""
    mean, sigma = mean_and_sigma(map_.density)
    backbone = np.flatnonzero(structure.backbone)
    level = (sample(map_.density, map_.grid, structure.xyz[backbone]) - mean) / sigma
    kept = np.isfinite(level)
    backbone, level = backbone[kept], level[kept]
    residue = structure.residue[backbone]
    count = np.bincount(residue, minlength=structure.n_residues)
    strong = np.bincount(residue, level, minlength=structure.n_residues) >= np.maximum(count, 1)
    indices = np.rint(working.indices(structure.xyz[backbone])).astype(int)
    indices = np.clip(indices, 0, np.array(working.shape) - 1)
    lost = np.unique(residue[~inside[tuple(indices.T)] & strong[residue]])
    return len(lost), int(strong.sum())
