import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from haruspex_infer.grid import Grid
from haruspex_infer.resample import resample_density, resample_probabilities


def wave(grid: Grid, period: float) -> np.ndarray:
    """A smooth function of the coordinates alone."""
    z, y, x = np.meshgrid(*(grid.centres(axis) for axis in range(3)), indexing="ij")
    k = 2 * np.pi / period
    return (np.sin(k * x + 0.3) * np.cos(k * y) * np.sin(k * z - 1)).astype(np.float32)


def interior(volume: np.ndarray, rim: int = 5) -> np.ndarray:
    return volume[rim:-rim, rim:-rim, rim:-rim]


def test_a_smooth_function_is_reproduced_by_coordinates():
    source = Grid((60, 50, 40), (0.83, 0.95, 1.3), (12.0, -7.0, 3.5))
    target = source.working(1.0, 1.2, 1.1)
    assert target.shape == (46, 44, 48)
    found = resample_density(wave(source, 12.0), source, target)
    assert found.dtype == np.float32
    assert np.abs(interior(found) - interior(wave(target, 12.0))).max() < 0.02


def test_signal_at_three_angstroms_survives():
    source = Grid((96, 96, 96), (0.83,) * 3)
    target = source.working(1.0, 1.2, 1.1)
    z = np.sin(2 * np.pi / 3 * source.centres(0)).astype(np.float32)
    found = resample_density(np.broadcast_to(z[:, None, None], source.shape), source, target)
    assert interior(found).std() > 0.9 * z.std()


def test_what_coarser_voxels_cannot_carry_is_removed():
    source = Grid((96, 96, 96), (0.65,) * 3)
    target = source.working(1.0, 1.2, 1.1)
    z = np.sin(2 * np.pi / 1.6 * source.centres(0)).astype(np.float32)
    found = resample_density(np.broadcast_to(z[:, None, None], source.shape), source, target)
    assert interior(found).std() < 0.1 * z.std()


def test_a_constant_stays_constant_to_the_border():
    source = Grid((17, 9, 30), (0.7, 1.9, 1.0))
    found = resample_density(
        np.full(source.shape, 3.25, dtype=np.float32), source, source.working(1, 1.2, 1.1)
    )
    np.testing.assert_allclose(found, 3.25, rtol=1e-6)


def test_the_same_grid_changes_nothing():
    grid = Grid((6, 7, 8), (1.1, 1.1, 1.1), (5.0, 6.0, 7.0))
    volume = np.random.default_rng(0).normal(size=grid.shape).astype(np.float32)
    np.testing.assert_array_equal(resample_density(volume, grid, grid), volume)


@settings(max_examples=40)
@given(
    shape=st.tuples(*[st.integers(2, 25)] * 3),
    voxel=st.tuples(*[st.floats(0.4, 4.0)] * 3),
    seed=st.integers(0, 99),
)
def test_probabilities_come_back_in_shape_within_bounds_and_summing_to_one(shape, voxel, seed):
    # the released program's zoom and unzoom lost or gained a voxel for one size in seven
    grid = Grid(shape, voxel, (1.0, 2.0, 3.0))
    working = grid.working(1.0, 1.2, 1.1)
    volumes = np.random.default_rng(seed).dirichlet([0.2] * 4, working.shape).astype(np.float32)
    back = [resample_probabilities(volumes[..., c], working, grid) for c in range(4)]
    for volume in back:
        assert volume.shape == shape
        assert volume.min() >= 0
        assert volume.max() <= 1 + 1e-6
    np.testing.assert_allclose(sum(back), 1, atol=1e-5)


def test_linear_functions_return_exactly_on_finer_voxels():
    grid = Grid((40, 40, 40), (0.8,) * 3, (3.0, 2.0, 1.0))
    working = grid.working(1.0, 1.2, 1.1)
    ramp = np.broadcast_to((working.centres(2) / 100).astype(np.float32), working.shape)
    back = resample_probabilities(ramp, working, grid)
    expected = np.broadcast_to(grid.centres(2) / 100, grid.shape)
    np.testing.assert_allclose(back[..., 1:-1], expected[..., 1:-1], atol=1e-6)
