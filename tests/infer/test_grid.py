import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from haruspex_infer.errors import HaruspexError
from haruspex_infer.grid import Grid

edges = st.floats(0.3, 4.0)
grids = st.builds(
    Grid,
    st.tuples(*[st.integers(2, 300)] * 3),
    st.tuples(edges, edges, edges),
    st.tuples(*[st.floats(-500, 500)] * 3),
)


@given(grids, st.lists(st.tuples(*[st.floats(-300, 300)] * 3), min_size=1, max_size=5))
def test_indices_undo_positions(grid, indices):
    np.testing.assert_allclose(grid.indices(grid.positions(indices)), indices, atol=1e-6)


def test_positions_are_xyz_and_indices_zyx():
    grid = Grid((10, 20, 30), (1.0, 2.0, 3.0), (100.0, 200.0, 300.0))
    np.testing.assert_allclose(grid.positions([[1, 2, 3]]), [[309, 204, 101]])
    np.testing.assert_allclose(grid.indices([[309, 204, 101]]), [[1, 2, 3]])
    np.testing.assert_allclose(grid.centres(0)[:2], [100, 101])


@given(grids, st.data())
def test_a_part_lies_where_its_voxels_lay(grid, data):
    first = [data.draw(st.integers(0, n - 1)) for n in grid.shape]
    last = [data.draw(st.integers(start + 1, n)) for start, n in zip(first, grid.shape, strict=True)]
    part = grid.part(tuple(slice(*ends) for ends in zip(first, last, strict=True)))
    assert part.shape == tuple(np.subtract(last, first))
    inner = np.array([[0, 0, 0], [1, 2, 3]])
    np.testing.assert_allclose(part.positions(inner), grid.positions(inner + first), atol=1e-6)


@given(grids)
def test_working_grid_covers_the_box_with_the_same_centre(grid):
    working = grid.working(1.0, 1.2, 1.1)
    if all(1.0 <= edge <= 1.2 for edge in grid.voxel_size):
        assert working is grid
        return
    if working is grid:  # within the rounding of a header
        return
    assert working.voxel_size == (1.1, 1.1, 1.1)
    for axis in range(3):
        box = grid.shape[axis] * grid.voxel_size[axis]
        wide = working.shape[axis] * 1.1
        assert box - 0.001 <= wide < box + 1.1001
        centre = grid.origin[axis] + (grid.shape[axis] - 1) / 2 * grid.voxel_size[axis]
        assert np.isclose(working.origin[axis] + (working.shape[axis] - 1) / 2 * 1.1, centre)


def test_one_edge_out_of_range_resamples_all():
    assert Grid((8, 8, 8), (1.1, 1.1, 1.3)).working(1.0, 1.2, 1.1).voxel_size == (1.1, 1.1, 1.1)


def test_an_edge_at_the_limit_survives_the_rounding_of_a_header():
    edge = float(np.float32(1.2 * 97)) / 97
    grid = Grid((97, 97, 97), (edge, edge, edge))
    assert grid.working(1.0, 1.2, 1.1) is grid


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (((4, 5), (1.0, 1.0, 1.0)), r"The shape of a grid is three numbers \(z, y, x\), and not \(4, 5\)"),
        (((4, 5, 6), 1.1), "The voxel size of a grid is three numbers"),
        (((4, 5, 6), (1.0, 1.0, 1.0), (0.0, 0.0)), "The origin of a grid is three numbers"),
    ],
)
def test_a_grid_has_three_numbers_of_each_kind(numbers, message):
    with pytest.raises(HaruspexError, match=message):
        Grid(*numbers)
