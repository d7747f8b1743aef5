import subprocess
import sys

import mrcfile
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peptides import HELIX, backbone, chain, document

from haruspex_infer.classes import HELIX as HELIX_CLASS
from haruspex_infer.errors import HaruspexError
from haruspex_infer.grid import Grid
from haruspex_infer.mapfile import read_map
from haruspex_infer.structure import read_structure
from haruspex_train.annotate import annotate, read_truth, truth_path
from haruspex_train.fit import model_density
from haruspex_train.groundtruth import voxel_truth
from haruspex_train.secondary import residue_classes
from haruspex_train.tables import read_table
from haruspex_train.truth import IGNORE
from haruspex_train.working import working_density, working_grid, working_labels

HEAD = "id\tsplit\tpdb\tresolution_A\tmasked\tmap\tmodels\tnote"


def write_pair(folder, name, edge, size=30):
    """One helix with density of its own, on voxels of `edge` Å."""
    coordinates = backbone([HELIX] * size)
    made = document(chain("A", coordinates - coordinates.mean(axis=(0, 1))))
    made.write_pdb(str(folder / f"{name}.pdb"))
    structure = read_structure(folder / f"{name}.pdb")
    low = structure.xyz.min(axis=0)[::-1] - 15
    shape = np.ceil((structure.xyz.max(axis=0)[::-1] + 15 - low) / edge).astype(int)
    grid = Grid(tuple(map(int, shape)), (edge,) * 3, tuple(map(float, low)))
    with mrcfile.new(folder / f"{name}.mrc") as file:
        file.set_data(model_density(grid, structure, 3.0))
        file.voxel_size = edge
        file.header.origin = grid.origin[::-1]
    return f"{name}\tval\t-\t3.0\tno\t{name}.mrc\t{name}.pdb\t-"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "pairs"
    made.mkdir()
    rows = [write_pair(made, "ASIS", 1.1), write_pair(made, "FINE", 0.7)]
    (made / "INDEX.tsv").write_text("\n".join([HEAD, *rows]) + "\n")
    return made


def test_ground_truth_lies_on_the_working_grid(folder, tmp_path):
    out = tmp_path / "truth"
    rows = {row["id"]: row for row in annotate(folder, out)}
    for name in ("ASIS", "FINE"):
        density_map = read_map(folder / f"{name}.mrc")
        written = read_map(truth_path(out, name))
        expected = working_grid(density_map.grid)
        assert written.grid.shape == expected.shape
        assert written.grid.origin == pytest.approx(expected.origin, abs=1e-3)
        truth = read_truth(truth_path(out, name))
        assert int(rows[name]["helix"]) == (truth == HELIX_CLASS.number).sum() > 100
        # the helix's own atoms lie in voxels called helix
        structure = read_structure(folder / f"{name}.pdb")
        z, y, x = np.rint(written.grid.indices(structure.xyz[structure.atom_name == "CA"])).astype(int).T
        assert (truth[z, y, x] == HELIX_CLASS.number).mean() > 0.9


def test_maps_on_good_voxels_keep_their_ground_truth_as_it_is(folder, tmp_path):
    annotate(folder, tmp_path)
    density_map, structure = read_map(folder / "ASIS.mrc"), read_structure(folder / "ASIS.pdb")
    expected = voxel_truth(density_map.density, density_map.grid, structure, residue_classes(structure))
    np.testing.assert_array_equal(read_truth(truth_path(tmp_path, "ASIS")), expected)


def test_ignored_voxels_survive_the_file(shared_data, tmp_path):
    row = "SPIKE\tval\t-\t3.2\tno\temd_21457_seg.mrc.gz\t6vyb_Ndom.pdb.gz\t-"
    source = shared_data / "maps" / "EMD-21457"
    for name in ("emd_21457_seg.mrc.gz", "6vyb_Ndom.pdb.gz"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    (tmp_path / "INDEX.tsv").write_text(f"{HEAD}\n{row}\n")
    (found,) = annotate(tmp_path, tmp_path / "out")
    truth = read_truth(truth_path(tmp_path / "out", "SPIKE"))
    assert int(found["ignored"]) == (truth == IGNORE).sum() > 0


def test_a_run_goes_on_and_a_lost_volume_is_made_again(folder, tmp_path):
    out = tmp_path / "truth"
    annotate(folder, out)
    kept = truth_path(out, "ASIS").stat().st_mtime_ns
    lost = truth_path(out, "FINE").read_bytes()
    truth_path(out, "FINE").unlink()
    table = (out / "TRUTH.tsv").read_bytes()
    annotate(folder, out)
    assert truth_path(out, "ASIS").stat().st_mtime_ns == kept
    assert read_truth(truth_path(out, "FINE")).shape
    assert truth_path(out, "FINE").stat().st_size == len(lost)
    assert (out / "TRUTH.tsv").read_bytes() == table


def test_what_curation_drops_is_left_out(folder, tmp_path):
    manifest = tmp_path / "MANIFEST.tsv"
    manifest.write_text("id\tverdict\nASIS\tdrop\nFINE\tkeep\n")
    annotate(folder, tmp_path / "truth", manifest)
    assert [row["id"] for row in read_table(tmp_path / "truth" / "TRUTH.tsv")] == ["FINE"]
    manifest.write_text("id\tverdict\nASIS\tdrop\n")
    with pytest.raises(HaruspexError, match="keeps no pair"):
        annotate(folder, tmp_path / "truth", manifest)


def test_the_command_annotates_the_rest_and_names_what_it_cannot(folder, tmp_path):
    (folder / "FINE.mrc").write_bytes(b"no map")
    command = [sys.executable, "-m", "haruspex_train", "annotate", str(folder), "-o", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "ground truth of 1 of 2 maps" in done.stdout
    assert "FINE" in done.stderr
    assert "Traceback" not in done.stderr


@settings(max_examples=40)
@given(
    edge=st.floats(0.5, 0.99) | st.floats(1.21, 2.5),
    shape=st.tuples(*[st.integers(4, 12)] * 3),
    seed=st.integers(0, 99),
)
def test_a_working_voxel_has_the_label_of_the_nearest(edge, shape, seed):
    grid = Grid(shape, (edge,) * 3, (3.0, -2.0, 7.0))
    labels = np.random.default_rng(seed).integers(0, 4, shape).astype(np.uint8)
    moved = working_labels(labels, grid)
    target = working_grid(grid)
    assert moved.shape == target.shape
    for index in np.random.default_rng(seed).integers(0, target.shape, (60, 3)):
        place = np.array(target.origin) + index * 1.1
        nearest = (place - np.array(grid.origin)) / edge
        if (np.abs(nearest - np.floor(nearest) - 0.5) < 1e-6).any():
            continue
        at = np.rint(nearest).astype(int)
        assert ((at >= 0) & (at < np.array(shape))).all()
        assert moved[tuple(index)] == labels[tuple(at)]


def test_density_on_good_voxels_is_not_touched():
    grid = Grid((5, 6, 7), (1.0, 1.1, 1.2))
    density = np.random.default_rng(0).normal(size=grid.shape).astype(np.float32)
    np.testing.assert_array_equal(working_density(density, grid), density)
