"""Tiles, and the faults of the released 2019 program that must not return (its last tiles were misplaced)."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import metadata_text

from haruspex_infer.field import STEP, Field
from haruspex_infer.network import parse_contract
from haruspex_infer.occupancy import CELL, cells_of, voxels_of
from haruspex_infer.tiles import plan_tiles


def contract(**changes):
    return parse_contract(metadata_text(**changes), "toy")


@st.composite
def contracts(draw):
    multiple = draw(st.sampled_from([1, 2, 4, 8]))
    margin = draw(st.sampled_from([0, 0, 1, 3, 5]))
    overlap = draw(st.sampled_from([0, 8, 14, 32])) if margin == 0 else 0
    return contract(multiple=multiple, margin=margin, overlap=overlap)


shapes = st.tuples(*[st.integers(2, 70)] * 3)


@st.composite
def regions(draw):
    """A shape and a few occupied boxes of cells in it."""
    shape = draw(shapes)
    region = cells_of(np.zeros(shape, dtype=bool))
    for _ in range(draw(st.integers(0, 4))):
        place = [sorted(draw(st.tuples(*[st.integers(0, n)] * 2))) for n in region.shape]
        region[tuple(slice(a, b + 1) for a, b in place)] = True
    return shape, region


def plan_of(shape, region, contract, most, one_shape=False):
    return plan_tiles(contract, region, shape, most, one_shape)


@settings(max_examples=200)
@given(regions(), contracts(), st.sampled_from([16**3, 40**3, 10**6]), st.booleans())
def test_every_occupied_voxel_is_answered_with_its_surroundings(shaped, contract, most, one_shape):
    shape, region = shaped
    plan = plan_of(shape, region, contract, most, one_shape)
    context = contract.overlap // 2
    step = math.lcm(contract.multiple, CELL)
    padding = 0 if contract.margin else contract.overlap // 4 // step * step
    around = padding or context
    occupied = [np.flatnonzero(region.any(axis=tuple({0, 1, 2} - {axis}))) * CELL for axis in range(3)]
    deep = np.zeros(shape, dtype=bool)
    for tile in plan.tiles:
        first = plan.first_answered(tile)
        part = []
        for start, length, n, cells in zip(first, tile.answered, shape, occupied, strict=True):
            assert start % step == 0
            assert start >= -padding
            # where the volume or the molecule ends, there is nothing more to see
            begins, ends = (
                start <= max(0, cells[0] - around),
                start + length >= min(n, cells[-1] + CELL + around),
            )
            low = 0 if begins else start + context
            high = n if ends else start + length - context
            part.append(slice(low, max(low, high)))
        deep[tuple(part)] = True
        for edge, answered in zip(tile.shape, tile.answered, strict=True):
            assert edge % contract.multiple == 0
            assert answered + 2 * contract.margin <= edge
            if not one_shape:
                assert edge < answered + 2 * contract.margin + contract.multiple
    assert deep[voxels_of(region, shape)].all()
    assert bool(plan.tiles) == bool(region.any())
    assert [tile.voxels for tile in plan.tiles] == sorted((t.voxels for t in plan.tiles), reverse=True)


@settings(max_examples=80)
@given(regions(), contracts(), st.sampled_from([16**3, 40**3, 10**6]), st.integers(0, 99), st.booleans())
def test_answers_land_where_their_density_came_from(shaped, contract, most, seed, one_shape):
    shape, region = shaped
    volume = np.random.default_rng(seed).random(shape).astype(np.float32) / 4
    plan = plan_of(shape, region, contract, most, one_shape)
    field = Field(region, shape)
    m = contract.margin
    for tile in plan.tiles:
        source, place = plan.places(tile)
        seen = np.zeros(tile.shape, np.float32)
        seen[place] = volume[source]
        answer = seen[m : tile.shape[0] - m, m : tile.shape[1] - m, m : tile.shape[2] - m]
        field.add(
            plan.first_answered(tile), np.stack([0 * answer, answer, 2 * answer, answer]), plan.share(tile)
        )
    inside = voxels_of(region, shape)
    found = field.block(tuple(slice(0, n) for n in shape))
    for factor, channel in zip((1, 2, 1), found, strict=True):
        # every answer for a voxel is rounded, and tiles as small as these overlap many times
        rounding = STEP * max(3, len(plan.tiles)) / 3
        np.testing.assert_allclose(channel[inside], factor * volume[inside], atol=rounding)
        assert (channel[~inside] == 0).all()


@settings(max_examples=40)
@given(regions(), contracts())
def test_tiles_are_no_larger_than_allowed_where_that_is_possible(shaped, contract):
    shape, region = shaped
    smallest = (CELL + contract.overlap + 2 * contract.margin + 2 * contract.multiple + CELL) ** 3
    plan = plan_of(shape, region, contract, 2 * smallest)
    assert plan.largest <= 2 * smallest


def test_the_cost_grows_with_the_molecule_and_not_with_the_box():
    costs = []
    for edge in (100, 200, 400):
        region = cells_of(np.zeros((edge,) * 3, dtype=bool))
        middle = region.shape[0] // 2
        region[middle - 8 : middle + 8, middle - 8 : middle + 8, middle - 8 : middle + 8] = True
        costs.append(plan_of((edge,) * 3, region, contract(overlap=32), 128**3).voxels)
    assert max(costs) < 1.4 * min(costs)


@settings(max_examples=40)
@given(regions(), contracts())
def test_tiles_of_one_shape_are_cubes_as_large_as_allowed(shaped, contract):
    shape, region = shaped
    smallest = CELL + contract.overlap + 2 * contract.margin + 2 * contract.multiple + CELL
    edge = -(-smallest // contract.multiple) * contract.multiple
    plan = plan_of(shape, region, contract, edge**3 + 1, one_shape=True)
    assert plan.shapes <= {(edge, edge, edge)}


def test_two_molecules_far_apart_take_two_small_tiles():
    region = np.zeros((50, 50, 50), dtype=bool)
    region[:5, :5, :5] = region[-5:, -5:, -5:] = True
    plan = plan_of((200, 200, 200), region, contract(overlap=32), 10**8)
    assert len(plan.tiles) == 2
    assert plan.voxels < 0.03 * 200**3


@pytest.mark.parametrize("n", [100, 101, 119, 128, 137, 160, 200])
def test_the_paper_s_tiles_leave_no_border_and_misplace_nothing(n):
    # valid convolutions take 10 voxels on every side: every tile reads 10 voxels before the place it writes
    paper = contract(margin=10, multiple=4, overlap=0)
    region = np.ones((-(-n // CELL), 10, 10), dtype=bool)
    plan = plan_of((n, 40, 40), region, paper, 60**3)
    written = np.zeros(n, dtype=int)
    for tile in plan.tiles:
        start = tile.start[0] + 10
        assert start == plan.first_answered(tile)[0]
        written[start : start + tile.answered[0]] += 1
    assert len(plan.tiles) > 1
    assert written.min() >= 1


def test_density_beyond_the_volume_is_left_out_of_a_tile():
    plan = plan_of((5, 5, 5), np.ones((2, 2, 2), dtype=bool), contract(multiple=8, overlap=32), 10**6)
    (tile,) = plan.tiles
    source, place = plan.places(tile)
    assert source == (slice(0, 5),) * 3
    assert place == (slice(8, 13),) * 3
    assert tile.start == (-8, -8, -8)


def test_neighbours_fade_into_each_other():
    region = np.ones((24, 4, 4), dtype=bool)
    plan = plan_of((96, 16, 16), region, contract(multiple=8, overlap=16), 64 * 16 * 16)
    field = Field(region, (96, 16, 16))
    for tile in plan.tiles:
        later = tile.start[0] > 0
        answer = np.full((4, *tile.answered), float(later), dtype=np.float32)
        field.add(plan.first_answered(tile), answer, plan.share(tile))
    profile = field.block((slice(0, 96), slice(8, 9), slice(8, 9)))[0, :, 0, 0]
    steps = np.diff(profile)
    assert len(plan.tiles) == 2
    assert (steps >= -STEP).all()
    assert steps.max() < 0.2
    assert profile[0] == 0
    assert profile[-1] == pytest.approx(1, abs=STEP)
