"""What is said of a map, and that every map at hand lies where its model is."""

import csv
import gzip
import runpy
from pathlib import Path

import numpy as np
import pytest
from test_cli import failure, run
from test_mapfile import bad_files, numbered, write_mrc
from toys import lump

from haruspex_infer.errors import HaruspexError
from haruspex_infer.mapcheck import check_map
from haruspex_infer.mapfile import read_map

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_every_map_lies_where_its_model_is(shared_data):
    placement = runpy.run_path(str(BENCHMARKS / "map_reading.py"))["placement"]
    with (shared_data / "maps" / "INDEX.tsv").open(newline="") as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    for row in rows:
        map_file = shared_data / "maps" / row["map"]
        if map_file.stat().st_size > 2**22:
            continue  # the benchmark reads them all; this is to take a few seconds
        found = placement(map_file, [shared_data / "maps" / m for m in row["models"].split()])
        assert found.right > 1.5, row["id"]
        assert found.right > 2 * max(found.shifted, found.turned), row["id"]


def test_what_a_file_says_is_told(tmp_path):
    volume = lump((40, 36, 44))
    path = write_mrc(tmp_path / "some.map", volume, (1.3, 1.2, 0.9), order=(3, 1, 2), start=(-5, 6, 7))
    facts = check_map(path).facts
    assert facts["file"] == "plain; mode 2, 32-bit floats; little-endian, machine stamp 44 44 00 00"
    assert facts["size"] == "44 × 36 × 40 voxels (x × y × z); columns, rows, sections along z, x, y"
    assert facts["voxel size"] == "0.9 × 1.2 × 1.3 Å"
    assert facts["cell"] == "39.6 × 43.2 × 52 Å, that of the box"
    assert facts["position"] == "first voxel at (-4.50, 7.20, 9.10) Å, by nstart"
    assert facts["symmetry"] == "space group 1; no extended header"
    assert f"mean {volume.mean():.4g}, σ {volume.std():.4g}" in facts["density"]
    packed = tmp_path / "some.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert check_map(packed).facts["file"].startswith("packed, .gz; ")
    moved = write_mrc(tmp_path / "moved.map", volume, origin=(1, 2, 3), ispg=19, mx=50)
    assert check_map(moved, 1.5).facts["position"].endswith("(1.00, 2.00, 3.00) Å, by origin")
    assert check_map(moved, 1.5).facts["voxel size"] == "1.5 × 1.5 × 1.5 Å as given"
    assert check_map(moved).facts["cell"].endswith("of 50 × 36 × 40 voxels")


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"voxel": (1, 1, 1)}, "exactly 1 Å"),
        ({"voxel": (1.1, 1.1, 1.2)}, "differ by more than 1 %"),
        ({"voxel": (13.3, 13.3, 13.3)}, "a tomogram"),
        ({"ispg": 19}, "that of a crystal"),
        ({"dmax": 99}, "the statistics in the header are not those of the data"),
        ({"machst": (0, 0, 0, 0)}, "unusual machine stamp"),
        ({"origin": (np.nan, 0, 0)}, "makes no sense; nstart was used"),
        ({"origin": (3e9, 0, 0)}, "makes no sense; nstart was used"),
        ({"start": (4, 4, 4), "origin": (9, 9, 9)}, "place the map differently"),
    ],
)
def test_what_is_unusual_is_noted(tmp_path, change, note):
    plain = check_map(write_mrc(tmp_path / "plain.mrc", lump(), (1.1, 1.1, 1.1)))
    assert plain.notes == ()
    odd = check_map(write_mrc(tmp_path / "odd.mrc", lump(), **{"voxel": (1.1, 1.1, 1.1)} | change))
    assert len(odd.notes) == 1
    assert note in odd.notes[0]


@pytest.mark.parametrize(
    ("name", "half"),
    [
        ("run_half1_class001_unfil.mrc", True),
        ("emd_1234_half_map_2.map", True),
        ("cryosparc_P1_J2_007_volume_map_half_B.mrc", True),
        ("Half-Map-A.ccp4", True),
        ("halfmaps_summed.mrc", False),
        ("behalf1.mrc", False),
        ("half_box.mrc", False),
        ("J2_half12.mrc", False),
    ],
)
def test_half_maps_are_noted_by_their_names(tmp_path, name, half):
    notes = check_map(write_mrc(tmp_path / name, lump(), (1.1,) * 3)).notes
    assert ["half-map" in note for note in notes] == [True] * half


def test_noise_is_noted_before_anything_is_annotated(tmp_path):
    noise = np.random.default_rng(0).standard_normal((40, 40, 40)).astype(np.float32)
    assert any(
        "more than noise" in note
        for note in check_map(write_mrc(tmp_path / "n.mrc", noise, (1.1,) * 3)).notes
    )


def test_masked_and_inverted_maps_are_noted(tmp_path):
    volume = lump(noise=0.0)
    (masked,) = check_map(write_mrc(tmp_path / "a.mrc", volume, (1.1,) * 3)).notes
    assert "masked or padded" in masked
    (inverted,) = check_map(write_mrc(tmp_path / "b.mrc", -lump(), (1.1,) * 3)).notes
    assert "the contrast may be inverted" in inverted


def test_the_command_checks_and_annotates_nothing(tmp_path):
    path = write_mrc(tmp_path / "some.map", lump(), (1.1,) * 3)
    done = run("--check", path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("some.map\n  file        plain; mode 2")
    assert [p.name for p in tmp_path.iterdir()] == ["some.map"]
    flat = write_mrc(tmp_path / "flat.mrc", np.ones((9, 9, 9), np.float32))
    assert "constant or inverted" in failure(run("--check", flat))


def test_what_cannot_be_read_is_not_checked_either(tmp_path):
    for name, message in bad_files(tmp_path):
        with pytest.raises(HaruspexError, match=message):
            check_map(tmp_path / name)


def test_a_packed_header_cannot_ask_for_more_than_memory(tmp_path, monkeypatch):
    """Nothing is unpacked for a map that cannot be kept, whatever it would unpack to."""
    path = write_mrc(tmp_path / "a.mrc", numbered())
    packed = tmp_path / "a.map.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    monkeypatch.setattr("haruspex_infer.mapfile.available_memory", lambda: 479)
    monkeypatch.setattr(np, "empty", None)
    for name in (path, packed):
        with pytest.raises(HaruspexError, match=r"states 6 × 5 × 4 voxels, which take 0 GB of memory"):
            read_map(name)
