"""Curves as points, and the sheets that strands beside each other make."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from haruspex_infer.lines import angle, arc, at, beside, evenly, length, smoothed, split_at_kinks, tangents
from haruspex_infer.sheets import sheets, strand_pairs, uncrossed


def straight(count, step=1.0, place=(0.0, 0.0, 0.0), direction=(0.0, 0.0, 1.0)):
    return np.array(place) + step * np.arange(count)[:, None] * np.array(direction)


@given(st.floats(0.3, 4), st.integers(2, 40), st.floats(0.2, 5))
def test_points_are_spread_evenly_between_the_ends(step, count, spacing):
    line = straight(count, step)
    made = evenly(line, spacing)
    np.testing.assert_allclose(made[[0, -1]], line[[0, -1]], atol=1e-9)
    steps = np.linalg.norm(np.diff(made, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6)
    assert len(made) - 1 == max(1, round(length(line) / spacing))
    assert length(made) == pytest.approx(length(line))


def test_places_along_a_line():
    corner = np.array([[0.0, 0, 0], [3, 0, 0], [3, 4, 0]])
    np.testing.assert_allclose(arc(corner), [0, 3, 7])
    np.testing.assert_allclose(at(corner, np.array([1.0, 5.0])), [[1, 0, 0], [3, 2, 0]])
    np.testing.assert_allclose(tangents(corner)[[0, -1]], [[1, 0, 0], [0, 1, 0]])


@given(st.integers(0, 100), st.integers(1, 4))
def test_smoothing_keeps_ends_and_straight_lines(seed, half):
    line = straight(12)
    np.testing.assert_allclose(smoothed(line, half), line, atol=1e-9)
    rough = line + np.random.default_rng(seed).normal(0, 0.3, line.shape)
    calm = smoothed(rough, half)
    np.testing.assert_allclose(calm[[0, -1]], rough[[0, -1]], atol=1e-9)
    assert length(calm) < length(rough)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_smoothing_lines_of_few_points(count):
    line = straight(count)
    np.testing.assert_allclose(smoothed(line, 3), line, atol=1e-9)


@given(st.floats(0, 170))
def test_a_line_is_cut_where_it_kinks(degrees):
    turn = np.radians(degrees)
    there = straight(10)
    back = straight(10, place=there[-1], direction=(np.sin(turn), 0, np.cos(turn)))
    pieces = split_at_kinks(np.concatenate([there, back[1:]]), 4, 40.0)
    assert len(pieces) == (2 if degrees > 40 else 1)
    assert sum(len(piece) - 1 for piece in pieces) == 18
    if len(pieces) == 2:
        np.testing.assert_allclose(pieces[0][-1], there[-1])
        np.testing.assert_allclose(pieces[1][0], there[-1])


def test_angles():
    axes = np.eye(3)
    np.testing.assert_allclose(angle(axes, axes[[1, 1, 0]]), [90, 0, 90], atol=1e-5)
    np.testing.assert_allclose(angle(axes, -axes), 180, atol=1e-5)


def test_what_runs_beside_a_line():
    one = straight(10)
    near, distance = beside(one, straight(30, 0.5, (4.8, 0, 3)), 4, 5, 30)
    np.testing.assert_array_equal(near, [False] * 2 + [True] * 8)
    assert distance[5] == pytest.approx(4.8)
    crossing = straight(30, 0.5, (4.8, -7, 3), (0, 1, 0))
    assert not beside(one, crossing, 4, 6, 30)[0].any()
    assert beside(one, straight(10, place=(5, 0, 0))[::-1], 4, 6, 30)[0].all(), "either sense counts"


def test_neighbours_in_a_row():
    strands = [straight(8, 3.3, (4.8 * k, 0, 0)) for k in (2, 0, 1, 3)]
    pairs = strand_pairs(strands)
    assert list(pairs) == [(0, 2), (0, 3), (1, 2)]
    (sheet,) = sheets(4, pairs)
    assert sheet.strands == (1, 2, 0, 3)
    assert sheet.pairs == ((0, 2), (0, 3), (1, 2))


@pytest.mark.parametrize("count", [8, 14])
def test_a_barrel_is_walked_around(count):
    turns = 2 * np.pi * np.arange(count) / count
    radius = 4.8 / (2 * np.sin(np.pi / count))
    strands = [straight(6, 3.3, (radius * np.cos(a), radius * np.sin(a), 0)) for a in turns]
    (sheet,) = sheets(count, strand_pairs(strands))
    assert len(sheet.pairs) == count
    steps = np.diff(sheet.strands)
    assert set(steps) in ({1}, {-1}), sheet.strands


def test_two_sheets_face_each_other():
    strands = [straight(6, 3.3, (4.8 * k, y, 0)) for y in (0, 10.0) for k in range(3)]
    strands.append(straight(6, 3.3, (-4.8, 0, 0)))
    found = sheets(7, strand_pairs(strands))
    assert [set(sheet.strands) for sheet in found] == [{0, 1, 2, 6}, {3, 4, 5}]
    assert [sheet.number for sheet in found] == [1, 2]


def test_traces_along_the_strands_of_a_sheet_stand_and_those_across_fall():
    along = [straight(7, 3.3, (4.8 * k, 0, 0)) for k in range(4)]
    across = [straight(6, 3.3, (0, 0, 6.8 * k))[:, [2, 1, 0]] for k in range(3)]
    traces = [*across[:2], *along, across[2]]
    assert uncrossed(traces, strand_pairs(traces)) == [2, 3, 4, 5]


def test_of_traces_without_neighbours_that_cross_the_first_stands():
    one = straight(7, 3.3, (0, 0, 0))
    other = one[:, [2, 1, 0]] - one[3][[2, 1, 0]] + one[3]
    assert uncrossed([one, other], {}) == [0]
    assert uncrossed([other, straight(7, 3.3, (30, 0, 0)), one], {}) == [0, 1]


def test_a_trace_stands_where_what_crossed_it_has_fallen():
    sheet = [straight(9, 3.3, (4.8 * k, 0, 0)) for k in range(3)]
    wrong = sheet[1][:, [2, 1, 0]] - sheet[1][4][[2, 1, 0]] + sheet[1][4]
    beyond = straight(5, 3.3, (0, 0, 0)) - straight(5, 3.3, (0, 0, 0))[2] + wrong[-1]
    traces = [beyond, wrong, *sheet]
    pairs = {(0, 1): 1.0, **{(i + 2, j + 2): reach for (i, j), reach in strand_pairs(sheet).items()}}
    assert uncrossed(traces, pairs) == [0, 2, 3, 4]


def test_no_strands_no_sheets():
    assert uncrossed([], {}) == []
    assert strand_pairs([]) == {}
    assert sheets(0, []) == []
    assert sheets(3, []) == []
