"""What the benchmark of orientations does to a map."""

import numpy as np
import pytest

from haruspex_train.pool import ROTATIONS


@pytest.mark.parametrize("number", range(len(ROTATIONS)))
@pytest.mark.parametrize("lead", [(), (4,)])
def test_a_turned_volume_comes_back(benchmark_called, number, lead):
    orientation = benchmark_called("orientation")
    volume = np.random.default_rng(number).normal(size=(*lead, 3, 4, 5))
    moved = orientation.turned(volume, number)
    assert moved.shape == (*lead, *((3, 4, 5)[axis] for axis in ROTATIONS[number][0]))
    assert np.array_equal(moved, volume) == (number == 0)
    np.testing.assert_array_equal(orientation.turned(moved, orientation.opposite(number)), volume)
