import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from peptides import HELIX, backbone, chain, document

from haruspex_infer.errors import HaruspexError
from haruspex_infer.grid import Grid
from haruspex_infer.residues import backbone_means, residue_table
from haruspex_infer.sampling import mean_and_sigma, sample
from haruspex_infer.structure import read_structure

edge = st.floats(0.5, 3.0)
place = st.floats(-200.0, 200.0)


@given(
    shape=st.tuples(*[st.integers(2, 9)] * 3),
    voxel_size=st.tuples(edge, edge, edge),
    origin=st.tuples(place, place, place),
    seed=st.integers(0, 1000),
)
def test_a_linear_volume_is_read_exactly(shape, voxel_size, origin, seed):
    grid = Grid(shape, voxel_size, origin)
    rng = np.random.default_rng(seed)
    slope = rng.normal(size=3)
    z, y, x = np.meshgrid(*(grid.centres(axis) for axis in range(3)), indexing="ij")
    volume = slope[0] * x + slope[1] * y + slope[2] * z
    indices = rng.uniform(0, np.array(shape) - 1, size=(20, 3))
    positions = grid.positions(indices)
    np.testing.assert_allclose(sample(volume, grid, positions), positions @ slope, rtol=1e-4, atol=1e-3)


def test_voxel_centres_and_outside():
    grid = Grid((3, 4, 5), (1.0, 1.1, 1.2), (5.0, 6.0, 7.0))
    volume = np.arange(60.0).reshape(3, 4, 5)
    corners = grid.positions([[0, 0, 0], [2, 3, 4], [2, 3, 4.01], [-0.01, 0, 0], [1, 2, 3]])
    np.testing.assert_allclose(
        sample(volume, grid, corners), [0, 59, np.nan, np.nan, volume[1, 2, 3]], atol=1e-4
    )


def test_a_volume_of_other_voxels_is_refused():
    grid = Grid((3, 4, 5), (1.0, 1.1, 1.2))
    for shape in ((4, 3, 4, 5), (5, 4, 3)):
        with pytest.raises(HaruspexError, match=r"and its grid \(3, 4, 5\), both \(z, y, x\)"):
            sample(np.zeros(shape), grid, np.zeros((1, 3)))


def test_sigma_of_a_map_far_from_zero():
    noise = np.random.default_rng(0).normal(1000, 0.5, (40, 40, 40)).astype(np.float32)
    mean, sigma = mean_and_sigma(noise)
    assert mean == pytest.approx(1000, abs=0.01)
    assert sigma == pytest.approx(noise.astype(np.float64).std(), rel=1e-9)
    with pytest.raises(HaruspexError, match="constant"):
        mean_and_sigma(np.ones((4, 4, 4)))


@pytest.fixture
def helix(tmp_path):
    path = tmp_path / "helix.pdb"
    path.write_text(document(chain("A", backbone([HELIX] * 12))).make_pdb_string())
    return read_structure(path)


def test_each_residue_gets_what_lies_at_its_backbone(helix):
    low = helix.xyz.min(axis=0)[::-1] - 4
    shape = tuple(np.ceil((np.ptp(helix.xyz, axis=0)[::-1] + 8) / 0.5).astype(int))
    grid = Grid(shape, (0.5,) * 3, tuple(low))
    wanted = np.arange(12) % 4
    probabilities = np.zeros((4, *shape), np.float32)
    nearest = np.rint(grid.indices(helix.xyz)).astype(int)
    for atom, residue in zip(nearest, helix.residue, strict=True):
        probabilities[(wanted[residue], *(slice(i - 1, i + 2) for i in atom))] = 1
    density = probabilities.sum(axis=0)
    table = residue_table(probabilities, grid, helix, density)
    assert table.predicted.tolist() == wanted.tolist()
    assert table.covered.all()
    mean, sigma = mean_and_sigma(density)
    expected = backbone_means((sample(density, grid, helix.xyz) - mean) / sigma, helix)
    np.testing.assert_allclose(table.sigma_level, expected)
    assert (table.number == helix.number).all()


def test_residues_outside_the_map_are_other_and_not_covered(helix):
    grid = Grid((4, 4, 4), (1.0, 1.0, 1.0), (500.0, 500.0, 500.0))
    table = residue_table(np.ones((4, 4, 4, 4), np.float32), grid, helix)
    assert not table.covered.any()
    assert (table.predicted == 0).all()
    assert np.isnan(table.sigma_level).all()


def test_only_atoms_in_the_map_count(helix):
    values = np.where(helix.atom_name == "CA", 2.0, np.nan)
    np.testing.assert_array_equal(backbone_means(values, helix), np.full(12, 2.0))
    values[helix.residue == 5] = np.nan
    assert np.isnan(backbone_means(values, helix)[5])


def test_sigma_levels_do_not_depend_on_the_units_of_the_map(helix):
    grid = Grid((40, 40, 40), (1.0,) * 3, (-12.0, -12.0, -12.0))
    density = np.random.default_rng(1).normal(size=grid.shape).astype(np.float32)
    uniform = np.full((4, *grid.shape), 0.25, np.float32)
    plain = residue_table(uniform, grid, helix, density).sigma_level
    other = residue_table(uniform, grid, helix, density * 7 - 300).sigma_level
    np.testing.assert_allclose(plain, other, atol=1e-3)
