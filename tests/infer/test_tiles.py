"""Tiles, and the faults of the released 2019 program that must not return (its last tiles were misplaced)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import metadata_text

from haruspex_infer.network import parse_contract
from haruspex_infer.tiles import Blend, plan_tiles


def contract(**changes):
    return parse_contract(metadata_text(**changes), "toy")


@st.composite
def contracts(draw):
    multiple = draw(st.sampled_from([1, 2, 4, 8]))
    margin = draw(st.sampled_from([0, 0, 1, 3, 5]))
    tile = multiple * draw(st.integers((2 * margin + 2 * multiple) // multiple + 1, 6 + 16 // multiple))
    block = tile - 2 * margin
    overlap = draw(st.integers(0, block - multiple)) if margin == 0 else 0
    return contract(multiple=multiple, margin=margin, tile=tile, overlap=overlap)


shapes = st.tuples(*[st.integers(2, 60)] * 3)


@settings(max_examples=150, deadline=None)
@given(shapes, contracts())
def test_every_voxel_is_answered_and_tiles_keep_phase_and_size(shape, contract):
    plan = plan_tiles(shape, contract)
    covered = np.zeros(shape, dtype=int)
    for origin in plan.origins():
        covered[plan.answered(origin)] += 1
        for start, first in zip(origin, next(plan.origins()), strict=True):
            assert (start - first) % contract.multiple == 0
    assert covered.min() >= 1
    for edge in plan.edge:
        assert edge % contract.multiple == 0
        assert edge <= contract.tile
    for n, axis in zip(shape, plan.axes, strict=True):
        assert len(axis.starts) == len(set(axis.starts))
        if len(axis.starts) > 1:
            # the last tile is flush: it reaches beyond the volume by less than padding and one multiple
            padding = contract.margin or contract.overlap // 4
            assert n + padding <= axis.starts[-1] + axis.edge < n + padding + contract.multiple
        else:
            assert n <= contract.tile - 2 * contract.margin
        gaps = np.diff(axis.starts)
        assert (gaps <= axis.edge - 2 * contract.margin - contract.overlap).all()


@settings(max_examples=80, deadline=None)
@given(shapes, contracts(), st.integers(0, 99))
def test_answers_land_where_their_density_came_from(shape, contract, seed):
    volume = np.random.default_rng(seed).random(shape).astype(np.float32)
    plan = plan_tiles(shape, contract)
    blend = Blend(plan)
    m = contract.margin
    for origin in plan.origins():
        tile = plan.cut(volume, origin)
        answer = tile[m : tile.shape[0] - m, m : tile.shape[1] - m, m : tile.shape[2] - m]
        blend.add(origin, np.stack([answer, 2 * answer, 3 * answer, 4 * answer]))
    for factor, channel in enumerate(blend.result(), 1):
        np.testing.assert_allclose(channel, factor * volume, rtol=1e-5)


@pytest.mark.parametrize("n", [100, 101, 119, 128, 137, 160, 200])
def test_the_paper_s_tiles_leave_no_border_and_misplace_nothing(n):
    # 40 voxels in, 20 out: every tile reads 10 voxels before the place that it writes, the last one too
    paper = contract(margin=10, multiple=4, tile=40, overlap=0)
    axis = plan_tiles((n, 40, 40), paper).axes[0]
    written = np.zeros(n, dtype=int)
    for start in axis.starts:
        written[max(start + 10, 0) : start + 30] += 1
    assert axis.starts[0] == -10
    assert written.min() >= 1


def test_density_beyond_the_volume_is_solvent():
    plan = plan_tiles((5, 5, 5), contract(tile=16, multiple=8, overlap=8))
    tile = plan.cut(np.ones((5, 5, 5), np.float32), next(plan.origins()))
    assert tile.shape == (16, 16, 16)
    assert tile.sum() == 125
    assert tile[2:7, 2:7, 2:7].all()


def test_a_map_that_fits_into_a_tile_takes_one():
    for n in (80, 90, 96):
        assert len(plan_tiles((n, n, n), contract(tile=96, multiple=8, overlap=32))) == 1
    assert plan_tiles((40, 80, 96), contract(tile=96, multiple=8, overlap=32)).edge == (56, 96, 96)


def test_tiles_are_no_larger_than_their_number_asks_for():
    # 182 voxels and 8 of padding on both sides, by 3 tiles that overlap by 32
    assert plan_tiles((182, 182, 182), contract(tile=96, multiple=8, overlap=32)).edge == (88, 88, 88)


def test_voxels_of_skipped_tiles_are_other():
    plan = plan_tiles((40, 8, 8), contract(tile=16, multiple=8, overlap=0))
    blend = Blend(plan)
    origin = next(plan.origins())
    blend.add(origin, np.full((4, *plan.edge), 0.25, dtype=np.float32))
    result = blend.result()
    assert (result[:, :16] == 0.25).all()
    assert (result[0, 16:] == 1).all()
    assert (result[1:, 16:] == 0).all()


def test_neighbours_fade_into_each_other():
    plan = plan_tiles((48, 16, 16), contract(tile=32, multiple=8, overlap=16))
    blend = Blend(plan)
    origins = list(plan.origins())
    for value, origin in enumerate(origins):
        blend.add(origin, np.full((4, *plan.edge), value, dtype=np.float32))
    profile = blend.result()[0, :, 8, 8]
    steps = np.diff(profile)
    assert len(origins) == 2 + 1 * (len(origins) - 2)
    assert (steps >= 0).all()
    assert steps.max() < 0.2
    assert profile[0] == 0
    assert profile[-1] == len(origins) - 1
