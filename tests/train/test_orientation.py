"""What the benchmark of orientations does to a map."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from haruspex_train.pool import ROTATIONS, rotate

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def orientation():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("orientation")


@settings(max_examples=60, deadline=None)
@given(
    number=st.integers(0, len(ROTATIONS) - 1),
    shape=st.tuples(*[st.integers(1, 5)] * 3),
    lead=st.sampled_from([(), (4,)]),
)
def test_a_turned_volume_comes_back(orientation, number, shape, lead):
    volume = np.random.default_rng(number).normal(size=(*lead, *shape))
    moved = orientation.turned(volume, number)
    assert moved.shape == (*lead, *(shape[axis] for axis in ROTATIONS[number][0]))
    np.testing.assert_array_equal(orientation.turned_back(moved, number), volume)


def test_maps_turn_as_segments_do(orientation):
    """So no orientation is a mirror image: `test_pool.py` holds it of segments."""
    volume = np.arange(27.0).reshape(3, 3, 3)
    np.testing.assert_array_equal(orientation.turned(volume, 0), volume)
    for number in range(len(ROTATIONS)):
        segment = rotate(torch.from_numpy(volume), number).numpy()
        np.testing.assert_array_equal(orientation.turned(volume, number), segment)
