import json
import re

import mrcfile
import numpy as np
import pytest
from toys import lump

import haruspex_infer
from haruspex_infer import annotate, read_map
from haruspex_infer.chimerax import chimerax_script
from haruspex_infer.errors import HaruspexError
from haruspex_infer.grid import Grid
from haruspex_infer.mapfile import Map, write_map_like
from haruspex_infer.network import digest_of

GRID = Grid((4, 5, 6), (1.0, 1.0, 1.0))
CLASS_FILES = {name: f"m_{name}.mrc" for name in ("other", "helix", "strand", "nucleotide")}


@pytest.fixture
def saved(toy, tmp_path):
    """An annotated map of 0.9 Å voxels, and the folder of its files."""
    given = Map.from_array(lump(), 0.9, origin=(5.0, 6.0, 7.0))
    write_map_like(given, given.density, tmp_path / "m.map", "x")
    annotation = annotate(tmp_path / "m.map", network=toy, device="cpu")
    files = annotation.save(tmp_path / "out")
    return annotation, tmp_path / "out", files


def test_the_files_have_the_names_that_were_promised(saved):
    _, folder, files = saved
    names = {*CLASS_FILES.values(), "m_labels.mrc", "m.cxc", "m.pml", "m_summary.json", "m_report.html"}
    assert {path.name for path in files} == names
    assert {path.name for path in folder.iterdir()} == names


def test_maps_hold_the_annotation_on_the_voxels_of_the_input(saved):
    annotation, folder, _ = saved
    for number, name in enumerate(("other", "helix", "strand", "nucleotide")):
        written = read_map(folder / f"m_{name}.mrc")
        np.testing.assert_array_equal(written.density, annotation.probabilities[number])
        assert written.grid == annotation.grid
        with mrcfile.open(folder / f"m_{name}.mrc") as mrc:
            assert mrc.header.mode == 2
            assert f"probability of {name}" in mrc.get_labels()[-1]
        assert mrcfile.validate(folder / f"m_{name}.mrc")
    np.testing.assert_array_equal(read_map(folder / "m_labels.mrc").density, annotation.labels)


def test_the_summary_says_what_was_done(saved, toy):
    annotation, folder, _ = saved
    summary = json.loads((folder / "m_summary.json").read_text())
    assert summary["versions"]["haruspex-infer"] == haruspex_infer.__version__
    assert summary["network"] == {"name": "toy", "version": "0.0.1", "digest": digest_of(toy)}
    assert summary["device"] == "cpu"
    assert summary["input"]["shape_zyx"] == [40, 36, 44]
    assert summary["working"]["voxel_size_zyx"] == [1.1, 1.1, 1.1]
    assert summary["composition"] == annotation.composition
    assert set(summary["seconds"]) == {"resample", "normalise", "network", "checks", "write"}
    assert summary["density"]["molecule_from"] == pytest.approx(annotation.offset + 0.2 * annotation.scale)


def test_the_script_opens_files_that_exist(saved):
    _, folder, _ = saved
    lines = (folder / "m.cxc").read_text().splitlines()
    opened = [re.fullmatch(r'open "(.+)" id #(\d)', line) for line in lines if line.startswith("open")]
    assert [int(match[2]) for match in opened] == [1, 2, 3, 4, 5, 6]
    assert opened[0][1] == "../m.map"  # map and folder can be taken elsewhere together
    for match in opened:
        assert (folder / match[1]).is_file()
    assert any(line.startswith("color sample #1 map #6 palette ") for line in lines)


def test_every_class_has_its_colour_and_borders_are_grey():
    script = chimerax_script("m.map", GRID, 0.25, CLASS_FILES, "m_labels.mrc")
    palette = re.search(r"palette (\S+)", script)[1]
    pairs = [(float(value), colour) for value, colour in (pair.split(",") for pair in palette.split(":"))]
    values, colours = zip(*pairs, strict=True)
    assert list(values) == sorted(values)

    def colour_at(value):
        below = [c for v, c in pairs if v <= value] or [colours[0]]
        above = [c for v, c in pairs if v >= value] or [colours[-1]]
        return {below[-1], above[0]}

    assert colour_at(0) == {"#b0b0b0"}
    assert colour_at(1) == {"#2f6fde"}
    assert colour_at(2) == {"#d93a3a"}
    assert colour_at(3) == {"#f2941f"}
    for border in (0.5, 1.5, 2.5):
        assert colour_at(border) == {"#b0b0b0"}
    assert "key #2f6fde:helix #d93a3a:strand #f2941f:nucleotide #b0b0b0:other" in script


def test_the_script_places_the_map_whatever_the_viewer_makes_of_its_header():
    grid = Grid((4, 5, 6), (1.0, 1.1, 1.2), (-30.5, 20.0, 10.0))
    lines = chimerax_script("m.map", grid, 0.25, CLASS_FILES, "l.mrc").splitlines()
    # in this order: a new voxel size moves the origin along
    assert lines.index("volume #1 voxelSize 1.2,1.1,1") < lines.index("volume #1 origin 10,20,-30.5")


def test_paths_with_quotes_and_blanks_stay_whole():
    assert """open 'a "b" c.map' id #1""" in chimerax_script('a "b" c.map', GRID, 1, CLASS_FILES, "l.mrc")


def test_an_array_s_density_is_written_for_the_script(toy, tmp_path):
    annotation = annotate(lump(), voxel_size=1.1, network=toy, device="cpu")
    files = annotation.save(tmp_path / "out", "mine")
    assert tmp_path / "out" / "mine_density.mrc" in files
    assert 'open "mine_density.mrc" id #1' in (tmp_path / "out" / "mine.cxc").read_text()
    np.testing.assert_array_equal(read_map(tmp_path / "out" / "mine_density.mrc").density, lump())


def test_a_map_that_viewers_cannot_tell_by_its_name_is_written_for_them(saved, toy, tmp_path):
    (tmp_path / "nameless").write_bytes((tmp_path / "m.map").read_bytes())
    files = annotate(tmp_path / "nameless", network=toy, device="cpu").save(tmp_path / "out")
    assert tmp_path / "out" / "nameless_density.mrc" in files
    assert 'open "nameless_density.mrc" id #1' in (tmp_path / "out" / "nameless.cxc").read_text()


def test_a_map_with_a_new_voxel_size_is_written_for_the_scripts(saved, toy, tmp_path):
    annotation = annotate(tmp_path / "m.map", voxel_size=1.3, network=toy, device="cpu")
    files = annotation.save(tmp_path / "resized")
    assert tmp_path / "resized" / "m_density.mrc" in files
    written = read_map(tmp_path / "resized" / "m_density.mrc")
    np.testing.assert_allclose(written.grid.voxel_size, 1.3, rtol=1e-6)
    np.testing.assert_allclose(written.grid.origin, annotation.grid.origin, rtol=1e-6)
    assert 'load "m_density.mrc", density_map' in (tmp_path / "resized" / "m.pml").read_text()
    assert not (saved[1] / "m_density.mrc").exists()


def test_a_folder_that_cannot_be_made(toy, tmp_path):
    (tmp_path / "file").write_text("")
    annotation = annotate(lump((20, 20, 20)), voxel_size=1.1, network=toy, device="cpu")
    with pytest.raises(HaruspexError, match="cannot be written to"):
        annotation.save(tmp_path / "file" / "out")
