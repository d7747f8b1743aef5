"""The command line, run as users run it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from test_mapfile import bad_files, header_of, write_mrc
from toys import lump, save_network

import haruspex_infer
from haruspex_infer.example import example_map
from haruspex_infer.mapfile import stem_of

KEPT = ["nx", "ny", "nz", "mx", "my", "mz", "cella", "cellb", "mapc", "mapr", "maps", "ispg", "origin"]
KEPT += ["nxstart", "nystart", "nzstart"]
COMMAND = [sys.executable, "-m", "haruspex_infer"]


def run(*arguments, cwd=None, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "COLUMNS": "200"},
        **options,
    )


def failure(done: subprocess.CompletedProcess) -> str:
    """The sentence of an error, after checking that there is nothing but that sentence."""
    assert done.returncode == 2, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("haruspex-infer: error: ")
    return lines[0]


@pytest.fixture
def some_map(tmp_path):
    """A small map whose columns run along z, placed by nstart."""
    return write_mrc(tmp_path / "some.map", lump(), (1.3, 1.2, 0.9), order=(3, 2, 1), start=(-5, 6, 7))


def test_a_map_is_annotated_beside_where_one_stands(some_map, toy, tmp_path):
    done = run(some_map, "--network", toy, "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "some_haruspex"
    names = ["other", "helix", "strand", "nucleotide", "labels"]
    assert {path.name for path in folder.iterdir()} == {
        *(f"some_{name}.mrc" for name in names),
        "some.cxc",
        "some.pml",
        "some_summary.json",
        "some_report.html",
    }
    before = header_of(some_map)
    for name in names:
        after = header_of(folder / f"some_{name}.mrc")
        for field in KEPT:
            assert before[field].tobytes() == after[field].tobytes()
    plan, *rest = done.stderr.splitlines()
    assert rest == []
    assert plan.startswith("some.map: toy 0.0.1 on cpu (")
    assert "44 × 36 × 40 voxels of 0.9 × 1.2 × 1.3 Å → 36 × 40 × 48 of 1.1 Å" in plan
    assert "1 tile of 40 × 40 × 48, about" in plan
    assert done.stdout.startswith("some_haruspex: ")
    assert "helix" in done.stdout
    assert "some.cxc" in done.stdout


def test_elements_are_written_when_asked_for(some_map, toy, tmp_path):
    done = run(some_map, "--network", toy, "--device", "cpu", "--elements", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    written = {path.name for path in (tmp_path / "some_haruspex").glob("*_elements.*")}
    assert written == {f"some_elements.{ending}" for ending in ("cif", "pdb", "cmm", "csv")}
    told = done.stderr.splitlines()[-1]
    assert re.match(r"some.map: \d+ heli.*strand.*nucleic acid", told)
    rows = (tmp_path / "some_haruspex" / "some_elements.csv").read_text().splitlines()
    found = sum(int(number) for number in re.findall(r"(\d+) (?:heli|strand|stretch)", told))
    assert len(rows) == 1 + found


def test_quiet_prints_nothing(some_map, toy, tmp_path):
    done = run(some_map, "--network", toy, "--quiet", "-o", tmp_path / "out")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "out" / "some_labels.mrc").is_file()


def test_auto_says_what_it_fell_back_to(some_map, toy, tmp_path):
    plan = run(some_map, "--network", toy, "-o", tmp_path / "out").stderr.splitlines()[0]
    assert " on cuda:0" in plan or "no GPU: " in plan


def test_one_bad_map_among_several(some_map, toy, tmp_path):
    (tmp_path / "bad.mrc").write_bytes(b"")
    other = shutil.copy(some_map, tmp_path / "other.mrc")
    done = run(some_map, tmp_path / "bad.mrc", other, "--network", toy, "--quiet", "-o", tmp_path / "out")
    assert "bad.mrc is empty" in failure(done)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "some_haruspex",
        "other_haruspex",
        "haruspex_maps.csv",
    }


def test_a_fault_among_several_says_which_map_it_is_of(some_map, toy, tmp_path):
    flat = write_mrc(tmp_path / "flat.mrc", np.ones((20, 20, 20), np.float32))
    for asked in (("--check",), ("--network", toy, "-q", "-o", tmp_path / "out")):
        assert "error: flat.mrc: The map holds no density" in failure(run(some_map, flat, *asked))


def test_what_an_earlier_run_left_is_told(some_map, toy, tmp_path):
    asked = (some_map, "--network", toy, "--device", "cpu", "--no-report", "-o", tmp_path / "out")
    assert "left from" not in run(*asked, "--elements").stderr
    told = run(*asked).stderr
    assert re.search(r"some.map: note: some_elements\.cif, .* in .*out are left from an earlier run", told)
    assert "left from" not in run(*asked).stderr


def test_maps_of_one_name_must_not_overwrite_each_other(some_map, toy, tmp_path):
    twin = shutil.copy(some_map, tmp_path / "some.ccp4")
    message = failure(run(some_map, twin, "--network", toy, cwd=tmp_path))
    assert "Two maps would write to some_haruspex" in message
    assert not (tmp_path / "some_haruspex").exists()


def test_what_bad_files_print(toy, tmp_path):
    (tmp_path / "in").mkdir()
    # one file of each stem: two would share an output folder
    expected = {stem_of(Path(name)): (name, said) for name, said in bad_files(tmp_path / "in")}
    maps = [tmp_path / "in" / name for name, _ in expected.values()]
    done = run(*maps, "--network", toy, "--device", "cpu", "-o", tmp_path / "out")
    assert done.returncode == 2
    assert [line.split()[0] for line in done.stdout.splitlines()[1:-1]] == ["failed"] * len(maps)
    lines = done.stderr.splitlines()
    assert len(lines) == len(maps)
    for line, (name, said) in zip(lines, expected.values(), strict=True):
        assert line.startswith("haruspex-infer: error: ")
        assert name in line
        assert re.search(said, line)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["haruspex_maps.csv"]


def test_a_constant_map(toy, tmp_path):
    path = write_mrc(tmp_path / "flat.mrc", np.ones((20, 20, 20), np.float32))
    done = run(path, "--network", toy, "-q", "-o", tmp_path / "out")
    assert "constant or inverted" in failure(done)
    assert not (tmp_path / "out").exists()


def test_a_gpu_that_is_not_there(some_map, toy, tmp_path):
    done = run(some_map, "--network", toy, "--device", "cuda:99", "-o", tmp_path / "out")
    assert "The GPU (cuda:99) cannot be used: " in failure(done)
    assert not (tmp_path / "out").exists()


def test_an_unwritable_folder_is_told_before_the_work(some_map, toy, tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        done = run(some_map, "--network", toy, "-o", out)
        assert f"{out} cannot be written to (there is a file of that name); choose another" in failure(done)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "No map is given"),
        (["--example", "a.mrc"], "Give either maps or --example"),
        (["a.mrc", "--device", "tpu"], "There is no device 'tpu'"),
        (["a.mrc", "--network", "wonder"], "There is no network wonder"),
    ],
)
def test_arguments_that_make_no_sense(toy, tmp_path, arguments, message):
    if "--network" not in arguments:
        arguments = [*arguments, "--network", toy]
    assert message in failure(run(*arguments, cwd=tmp_path))


def test_a_network_without_metadata(some_map, tmp_path):
    from onnx import helper

    nodes = [helper.make_node("Concat", ["density"] * 4, ["probabilities"], axis=1)]
    path = save_network(tmp_path / "bare.onnx", nodes, {}, None)
    assert "carries no 'haruspex' metadata" in failure(run(some_map, "--network", path))


def test_voxel_size_and_mask(some_map, toy, tmp_path):
    mask = write_mrc(tmp_path / "mask.mrc", (lump() > 0.3).astype(np.float32))
    done = run(
        some_map,
        "--network",
        toy,
        "--voxel-size",
        "1.05",
        "--mask",
        mask,
        "-o",
        tmp_path / "out",
        "--device",
        "cpu",
    )
    assert done.returncode == 0, done.stderr
    assert "voxels of 1.05 Å, " in done.stderr
    assert f"the mask keeps {(lump() > 0.3).mean():.1%} of the voxels" in done.stderr
    summary = json.loads((tmp_path / "out" / "some_summary.json").read_text())
    assert summary["masked"]
    with mrcfile.open(tmp_path / "out" / "some_labels.mrc", permissive=True) as mrc:
        np.testing.assert_allclose(mrc.voxel_size.tolist(), 1.05, rtol=1e-6)
    assert "voxelSize 1.05,1.05,1.05" in (tmp_path / "out" / "some.cxc").read_text()


def test_the_example(toy, tmp_path):
    done = run("--example", "--network", toy, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "emd_11007_crop_haruspex"
    before, after = header_of(example_map()), header_of(folder / "emd_11007_crop_labels.mrc")
    assert (after.mapc, after.mapr, after.maps) == (3, 2, 1)
    for field in KEPT:
        assert before[field].tobytes() == after[field].tobytes()


def test_version_and_help():
    assert run("--version").stdout == f"haruspex-infer {haruspex_infer.__version__}\n"
    help_text = run("--help").stdout
    for option in (
        "--network",
        "--device",
        "--voxel-size",
        "--mask",
        "--quiet",
        "--example",
        "--output",
        "--model",
    ):
        assert option in help_text
