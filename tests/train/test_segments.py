import json
import subprocess
import sys

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_annotate import HEAD, write_pair

from haruspex_infer.errors import HaruspexError
from haruspex_infer.grid import Grid
from haruspex_infer.mapfile import read_map
from haruspex_infer.normalise import Normaliser
from haruspex_infer.structure import read_structure
from haruspex_train.annotate import annotate, read_truth, truth_path
from haruspex_train.segments import (
    EDGE,
    Rules,
    Segment,
    corners,
    cut,
    held_out,
    measure_segment,
)
from haruspex_train.store import read_segments, segment
from haruspex_train.tables import read_table
from haruspex_train.truth import IGNORE

ANY = Rules(atoms=1, level=0.5, annotated=0.0001)


@given(shape=st.tuples(*[st.integers(20, 300)] * 3))
def test_segments_are_spread_evenly_over_the_volume(shape):
    found = np.array(corners(shape))
    assert len(np.unique(found, axis=0)) == len(found)
    for axis, n in enumerate(shape):
        starts = np.unique(found[:, axis])
        if len(starts) == 1:
            assert abs(2 * starts[0] + EDGE - n) <= 1
            assert n <= EDGE + 18
        else:
            assert (starts[0], starts[-1]) == (0, n - EDGE)
            assert np.diff(starts).min() >= 17
            assert np.diff(starts).max() <= 53


@given(shape=st.tuples(*[st.integers(30, 120)] * 3), data=st.data())
def test_a_cut_holds_the_volume_and_nothing_else(shape, data):
    corner = data.draw(st.sampled_from(corners(shape)))
    volume = np.arange(np.prod(shape), dtype=np.int64).reshape(shape) + 1
    found = cut(volume, corner, 0)
    assert found.shape == (EDGE,) * 3
    for index in ((0, 0, 0), (35, 35, 35), (69, 69, 69), (0, 40, 69)):
        at = tuple(c + i for c, i in zip(corner, index, strict=True))
        inside = all(0 <= a < n for a, n in zip(at, shape, strict=True))
        assert found[index] == (volume[at] if inside else 0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, ""),
        ({"atoms": 99}, "99 atoms"),
        ({"level": 2.9}, "backbone at 2.9 σ"),
        ({"level": float("nan")}, "backbone at nan σ"),
        ({"voxels": (300_000, 10_000, 7_000, 100)}, "5.0% annotated"),
    ],
)
def test_the_papers_rules_are_applied(change, reason):
    good = {"corner": (0, 0, 0), "atoms": 100, "level": 3.0, "voxels": (300_000, 10_000, 7_000, 200)}
    assert Segment(**(good | change)).reason(Rules()) == reason


def test_atoms_and_classes_are_counted_inside_the_segment_only(tmp_path):
    write_pair(tmp_path, "ONE", 1.1)
    structure = read_structure(tmp_path / "ONE.pdb")
    low = structure.xyz.min(axis=0)[::-1].astype(float)
    grid = Grid((100, 100, 100), (1.1,) * 3, tuple(low))
    truth = np.full(grid.shape, IGNORE, np.uint8)
    truth[:10] = 1
    truth[80:] = 3
    at_atoms = np.linspace(0, 2, structure.n_atoms)
    found = measure_segment((0, 0, 0), truth, grid, structure, at_atoms)
    assert found.atoms == (at_atoms >= 1).sum()
    assert found.level == pytest.approx(1.0)
    assert found.voxels == (0, 10 * EDGE * EDGE, 0, 0)
    assert found.annotated == pytest.approx(10 / EDGE)
    away = measure_segment((0, 0, 75), truth, grid, structure, at_atoms)
    assert away.atoms == 0
    assert np.isnan(away.level)


def test_about_one_entry_in_twenty_is_held_out():
    assert 380 < sum(held_out(f"EMD-{number}") for number in range(10_000)) < 620


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "pairs"
    made.mkdir()
    rows = [write_pair(made, "ASIS", 1.1), write_pair(made, "LONG", 1.1, size=70)]
    rows.append(write_pair(made, "TEST", 1.1).replace("\tval\t", "\ttest\t"))
    (made / "INDEX.tsv").write_text("\n".join([HEAD, *rows]).replace("\tval\t", "\ttrain\t") + "\n")
    annotate(made, tmp_path / "truth")
    return made


def test_segments_hold_what_the_network_would_see(folder, tmp_path):
    summary = segment(folder, tmp_path / "truth", tmp_path / "out", rules=ANY)
    rows = read_table(tmp_path / "out" / "SEGMENTS.tsv")
    assert {row["entry"] for row in rows} == {"ASIS", "LONG"}
    density, labels = read_segments(tmp_path / "out")
    assert len(density) == len(labels) == len(rows) == summary["segments"] > 2
    for number, row in enumerate(rows):
        density_map = read_map(folder / f"{row['entry']}.mrc")
        corner = tuple(int(row[axis]) for axis in "zyx")
        normalised = Normaliser()(density_map.density, density_map.grid.voxel_size)
        np.testing.assert_array_equal(density[number], cut(normalised, corner, 0).astype(np.float16))
        truth = read_truth(truth_path(tmp_path / "truth", row["entry"]))
        np.testing.assert_array_equal(labels[number], cut(truth, corner, IGNORE))
        assert int(row["helix"]) == (labels[number] == 1).sum()
    with h5py.File(tmp_path / "out" / "ASIS.h5") as file:
        assert file.attrs["entry"] == "ASIS"
        assert file["density"].chunks == (1, EDGE, EDGE, EDGE)


def test_counts_and_weights_are_of_what_trains(folder, tmp_path):
    summary = segment(folder, tmp_path / "truth", tmp_path / "out", rules=ANY)
    assert json.loads((tmp_path / "out" / "SEGMENTS.json").read_text()) == summary
    rows = [row for row in read_table(tmp_path / "out" / "SEGMENTS.tsv") if row["use"] == "train"]
    assert summary["voxels"]["helix"] == sum(int(row["helix"]) for row in rows) > 0
    shares = [summary["weights"][name] * summary["voxels"][name] for name in ("other", "helix")]
    assert shares[0] == pytest.approx(shares[1])
    assert summary["weights"]["nucleotide"] == 0


def test_a_run_goes_on_and_takes_changes_in(folder, tmp_path):
    out = tmp_path / "out"
    segment(folder, tmp_path / "truth", out, rules=ANY)
    table = (out / "SEGMENTS.tsv").read_bytes()
    kept = (out / "LONG.h5").stat().st_mtime_ns
    (out / "ASIS.h5").unlink()
    (out / ".ASIS.h5.1.part").write_bytes(b"half")
    segment(folder, tmp_path / "truth", out, rules=ANY)
    assert (out / "SEGMENTS.tsv").read_bytes() == table
    assert (out / "LONG.h5").stat().st_mtime_ns == kept
    path = truth_path(tmp_path / "truth", "LONG")
    changed = bytearray(path.read_bytes())
    changed[1024:] = bytes(len(changed) - 1024)
    path.write_bytes(bytes(changed))
    summary = segment(folder, tmp_path / "truth", out, rules=ANY)
    assert {row["entry"] for row in read_table(out / "SEGMENTS.tsv")} == {"ASIS"}
    assert not summary["faults"]
    assert not (out / "LONG.h5").exists()
    strict = segment(folder, tmp_path / "truth", out)
    assert strict["segments"] == 0


def test_test_pairs_are_never_cut(folder, tmp_path):
    with pytest.raises(HaruspexError, match="nothing may train"):
        segment(folder, tmp_path / "truth", tmp_path / "out", split="test")
    with pytest.raises(HaruspexError, match="no pair of the split 'val'"):
        segment(folder, tmp_path / "truth", tmp_path / "out", split="val")


def test_a_damaged_store_is_an_error(folder, tmp_path):
    segment(folder, tmp_path / "truth", tmp_path / "out", rules=ANY)
    (tmp_path / "out" / "ASIS.h5").write_bytes(b"no HDF5")
    with pytest.raises(HaruspexError, match="ASIS"):
        read_segments(tmp_path / "out")


def test_the_command_cuts_and_names_what_lacks_ground_truth(folder, tmp_path):
    truth_path(tmp_path / "truth", "LONG").unlink()
    command = [sys.executable, "-m", "haruspex_train", "segment", str(folder), str(tmp_path / "truth")]
    command += ["-o", str(tmp_path / "out"), "--annotated", "0.001"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "candidates (SEGMENTS.tsv" in done.stdout
    assert "LONG has no ground truth" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_ends_the_cutting_and_room_lets_it_go_on(folder, tmp_path):
    """HDF5 itself crashes where a file has no room."""
    resource = pytest.importorskip("resource")
    arguments = [str(path) for path in (folder, tmp_path / "truth", "-o", tmp_path / "out")]
    command = [sys.executable, "-m", "haruspex_train", "segment", *arguments, "--annotated", "0.001"]

    def fill():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=fill)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert ".h5 cannot be written: File too large." in done.stderr
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert len(read_table(tmp_path / "out" / "SEGMENTS.tsv")) > 0
