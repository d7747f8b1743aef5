"""Elements found in maps of ideal helices, sheets and duplexes."""

import csv
import io
import itertools

import numpy as np
import pytest
import rods
from hypothesis import given, settings
from hypothesis import strategies as st

from haruspex_infer import find_elements
from haruspex_infer.annotation import Annotation
from haruspex_infer.classes import HELIX, NUCLEOTIDE, STRAND
from haruspex_infer.lines import angle, evenly
from haruspex_infer.sheets import strand_pairs

SEEDS = st.integers(0, 10_000)
SHIFTS = st.tuples(*[st.floats(-40, 40)] * 3)


def at(atoms, x, y, z):
    """Atoms moved to a place."""
    return atoms + np.array([x, y, z])


def both_ways(line, truth):
    """A line in the sense of the true one."""
    return line if (line[-1] - line[0]) @ (truth[-1] - truth[0]) > 0 else line[::-1]


def to_line(points, line):
    """Distances to a densely sampled line."""
    fine = evenly(np.asarray(line, float), 0.1)
    return np.linalg.norm(points[:, None] - fine[None], axis=2).min(axis=1)


@settings(max_examples=6)
@given(SEEDS, SHIFTS, st.integers(9, 28))
def test_a_helix_lies_where_it_was_put(seed, shift, residues):
    annotation, rotation = rods.annotate([(1, rods.helix(residues), 1.0)], seed, shift)
    found = find_elements(annotation)
    assert (len(found.helices), len(found.strands), len(found.stretches)) == (1, 0, 0)
    (helix,) = found.helices
    half = 1.5 * (residues - 1) / 2
    axis = np.array([[0, 0, -half], [0, 0, half]]) @ rotation.T + shift
    line = both_ways(helix.points, axis)
    assert to_line(helix.points[1:-1], evenly(axis, 1.0)).mean() < 0.5
    assert np.linalg.norm(line[[0, -1]] - axis, axis=1).max() < 2.7  # half a turn
    assert abs(helix.residues - residues) <= 2
    assert helix.turns == pytest.approx(helix.length / 5.4)
    assert helix.bend < 15
    assert helix.probability > 0.7


@settings(max_examples=4)
@given(SEEDS, SHIFTS)
def test_turning_and_shifting_a_map_turns_and_shifts_its_elements(seed, shift):
    parts = [
        (1, rods.bent(rods.helix(20), 45.0), 1.0),
        (1, at(rods.helix(12), 0.0, 11.0, 0.0), 1.0),
        (2, at(rods.strand(7), 14.0, 0, 0), 1.0),
        (2, at(rods.strand(7), 14.0, 4.8, 0), 1.0),
    ]
    plain, _ = rods.annotate(parts)
    moved, rotation = rods.annotate(parts, seed, shift)
    before, after = find_elements(plain), find_elements(moved)
    assert (len(after.helices), len(after.strands)) == (len(before.helices), len(before.strands)) == (2, 2)
    assert [sheet.strands for sheet in after.sheets if len(sheet.strands) == 2]
    for kind in (HELIX, STRAND):
        for one in (element for element in before if element.kind is kind):
            there = one.points @ rotation.T + shift
            near = [np.abs(both_ways(other.points, there)[[0, -1]] - there[[0, -1]]).max() for other in after]
            assert min(near) < 2.0, one.name


def test_a_bent_helix_stays_one_and_tells_its_bend():
    annotation, _ = rods.annotate([(1, rods.bent(rods.helix(30), 50.0), 1.0)])
    (helix,) = find_elements(annotation).helices
    assert helix.residues == pytest.approx(30, abs=2)
    assert helix.radius == pytest.approx(50, rel=0.15)
    # two thirds of an arc of 43.5 Å lie between the middles of its first and its last third
    assert helix.bend == pytest.approx(np.degrees(43.5 * 2 / 3 / 50), abs=6)
    assert (
        to_line(helix.points, rods.bent(np.array([[0, 0, z] for z in range(-22, 23)], float), 50.0)).mean()
        < 0.7
    )


@pytest.mark.parametrize(
    ("apart", "neighbours"),
    [(3.4, False), (3.9, False), (4.4, True), (5.6, True), (6.1, False), (6.6, False)],
)
def test_strands_are_neighbours_at_the_distance_of_hydrogen_bonds(apart, neighbours):
    strand = np.array([[0, 0, z] for z in np.arange(0, 20, 3.3)])
    assert list(strand_pairs([strand, at(strand, apart, 0, 0)])) == ([(0, 1)] if neighbours else [])


@pytest.mark.parametrize("degrees", [50, 80])
def test_a_kink_divides_a_helix(degrees):
    arm = at(rods.helix(14), 0, 0, 11.0)
    tilt = np.radians(degrees)
    other = -rods.helix(14)[::-1] * [1, 1, -1] - np.array([0, 0, 11.0])
    other = other @ np.array([[np.cos(tilt), 0, -np.sin(tilt)], [0, 1, 0], [np.sin(tilt), 0, np.cos(tilt)]])
    annotation, _ = rods.annotate([(1, arm, 1.0), (1, other, 1.0)])
    helices = find_elements(annotation).helices
    assert len(helices) == 2
    one, another = (helix.end - helix.start for helix in helices)
    between = float(angle(one, another))
    assert min(between, 180 - between) == pytest.approx(degrees, abs=12)


@pytest.mark.parametrize("apart", [8.0, 9.5])
def test_packed_helices_stay_apart(apart):
    """Labels of neighbouring helices touch; the density between them is lower."""
    places = [(0, 0), (apart, 0), (apart / 2, apart * 0.866)]
    annotation, _ = rods.annotate([(1, at(rods.helix(16), x, y, 0), 1.0) for x, y in places], seed=4)
    helices = find_elements(annotation).helices
    assert [helix.residues for helix in helices] == pytest.approx([16] * 3, abs=2)


@settings(max_examples=4)
@given(SEEDS)
def test_a_sheet_in_its_order(seed):
    parts = [(2, at(rods.strand(7), 0, 4.8 * k, 0), 1.0) for k in range(4)]
    annotation, rotation = rods.annotate(parts, seed)
    found = find_elements(annotation)
    assert len(found.helices) == 0
    assert len(found.strands) == 4
    (sheet,) = found.sheets
    assert sheet.number == 1
    assert {strand.sheet for strand in found.strands} == {1}
    places = [(found.strands[k].points.mean(axis=0) @ rotation)[1] for k in sheet.strands]
    np.testing.assert_allclose(np.abs(np.diff(places)), 4.8, atol=0.8)
    assert places in (sorted(places), sorted(places, reverse=True))
    assert len(sheet.pairs) == 3
    for strand in found.strands:
        assert strand.residues == pytest.approx(7, abs=2)  # free ends: no coil takes over
        assert np.isnan(strand.turns)


def test_strands_of_a_sheet_are_told_apart_where_the_map_is_coarse():
    parts = [(2, at(rods.strand(7), 0, 4.8 * k, 0), 1.0) for k in range(4)]
    found = find_elements(rods.annotate(parts, 0, blur=1.4)[0])
    assert [len(sheet.strands) for sheet in found.sheets] == [4]
    assert [strand.residues for strand in found.strands] == pytest.approx([7] * 4, abs=3)


@pytest.mark.parametrize(
    ("residues", "probability", "number"), [(7, 1.0, 1), (7, 0.4, 0), (16, 0.4, 1), (16, 0.2, 0)]
)
def test_a_short_helix_has_to_be_sure_and_a_long_one_less_so(residues, probability, number):
    annotation, _ = rods.annotate([(1, rods.helix(residues), 1.0)])
    unsure = annotation.probabilities * np.float32(probability)
    unsure[0] += 1 - np.float32(probability)
    found = find_elements(Annotation(annotation.map, unsure, annotation.offset, annotation.scale))
    assert len(found.helices) == number


def test_a_strand_without_neighbour_is_none():
    parts = [(2, at(rods.strand(7), 0, y, 0), 1.0) for y in (0, 4.8, 16)]
    found = find_elements(rods.annotate(parts)[0])
    assert len(found.strands) == 2
    assert np.abs([strand.points[:, 1].mean() for strand in found.strands]).max() < 6
    assert [sheet.strands for sheet in found.sheets] == [(0, 1)]


@settings(max_examples=4)
@given(SEEDS, SHIFTS)
def test_phosphates_of_a_duplex_are_linked_along_its_strands(seed, shift):
    phosphates, bases = rods.duplex(12)
    annotation, rotation = rods.annotate([(3, phosphates, 2.0), (3, bases, 1.0)], seed, shift)
    found = find_elements(annotation)
    assert len(found.stretches) == 2
    true = phosphates @ rotation.T + np.array(shift)
    taken = set()
    for stretch in found.stretches:
        apart = np.linalg.norm(stretch.points[:, None, None] - true[None], axis=3)
        assert apart.min(axis=(1, 2)).max() < 1.0
        chains = {int(np.unravel_index(row.argmin(), row.shape)[0]) for row in apart}
        assert len(chains) == 1
        taken |= chains
        order = [int(np.unravel_index(row.argmin(), row.shape)[1]) for row in apart]
        assert set(np.diff(order)) in ({1}, {-1})
        assert len(order) >= 11
    assert taken == {0, 1}


def test_other_voxel_sizes_give_the_same_elements():
    part = [(1, rods.helix(18), 1.0)]
    lengths = [
        find_elements(rods.annotate(part, 3, edge=edge)[0]).helices[0].length for edge in (0.7, 1.1, 1.5)
    ]
    assert np.ptp(lengths) < 2.0


def test_a_map_without_elements():
    annotation, _ = rods.annotate([(0, rods.helix(12), 1.0)])
    found = find_elements(annotation)
    assert len(found) == 0
    assert found.line() == "0 helices, 0 strands (0 in 0 sheets), 0 stretches of nucleic acid (0 phosphates)"
    assert len(list(csv.reader(io.StringIO(found.to_csv())))) == 1


def test_the_table_holds_every_element():
    phosphates, bases = rods.duplex(8)
    parts = [
        (1, rods.helix(12), 1.0),
        (2, at(rods.strand(6), 16, 0, 0), 1.0),
        (2, at(rods.strand(6), 16, 4.8, 0), 1.0),
    ]
    parts += [(3, at(phosphates, -25, 0, 0), 2.0), (3, at(bases, -25, 0, 0), 1.0)]
    found = find_elements(rods.annotate(parts)[0])
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert [row["element"] for row in rows] == [element.name for element in found]
    assert {row["class"] for row in rows} == {HELIX.name, STRAND.name, NUCLEOTIDE.name}
    assert [row["sheet"] for row in rows if row["class"] == "strand"] == ["1", "1"]
    for row, element in zip(rows, found, strict=True):
        assert float(row["length"]) == pytest.approx(element.length, abs=0.01)
        np.testing.assert_allclose([float(row[f"start_{axis}"]) for axis in "xyz"], element.start, atol=0.01)
        np.testing.assert_allclose([float(row[f"end_{axis}"]) for axis in "xyz"], element.end, atol=0.01)
        assert bool(row["turns"]) == (element.kind is HELIX)
    numbers = [(element.kind, n) for element in found for n in range(element.first, element.last + 1)]
    assert len(numbers) == len(set(numbers))
    for one, other in itertools.pairwise(found.stretches):
        assert other.first - one.last > 10
