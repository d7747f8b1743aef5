"""The PyMOL script: read as text everywhere, run where PyMOL is installed."""

import json
import os
import shlex
import shutil
import subprocess

import numpy as np
import pytest
from peptides import HELIX, backbone, chain, document

from haruspex_infer import annotate, read_map
from haruspex_infer.mapfile import Map, write_map_like
from haruspex_infer.modelfile import CERTAIN, CONFIRMED, CONTRADICTED
from haruspex_infer.pymol import pymol_script

CLASS_FILES = {name: f"m_{name}.mrc" for name in ("other", "helix", "strand", "nucleotide")}
CHECK = """
import json
from pymol import cmd
atoms = []
cmd.iterate("compared", "atoms.append((b, cmd.get_color_tuple(color)))", space={"atoms": atoms, "cmd": cmd})
field = cmd.get_volume_field("density_map")
print("CHECK" + json.dumps({
    "maps": {name: cmd.get_extent(name) for name in cmd.get_names("objects") if name.endswith("_map")},
    "shown": cmd.get_names("objects", enabled_only=1),
    "highest": float(field.max()),
    "level": cmd.isolevel("helix", query=1),
    "atoms": atoms,
    "cartoons": cmd.count_atoms("compared and rep cartoon"),
}))
"""


@pytest.fixture(scope="module")
def pymol() -> list[str]:
    """The command that runs PyMOL: the variable PYMOL, such as ``python -m pymol``, or pymol on the path."""
    command = shlex.split(os.environ.get("PYMOL", "")) or [shutil.which("pymol") or ""]
    if not command[0]:
        pytest.skip("PyMOL is not installed (set PYMOL to the command that runs it)")
    return command


def test_files_beside_the_script_are_named_without_a_folder():
    lines = pymol_script("/data/some map.mrc", 0.25, CLASS_FILES).splitlines()
    assert 'load "/data/some map.mrc", density_map' in lines
    assert "isosurface density, density_map, 0.25" in lines
    for name, file in CLASS_FILES.items():
        assert f'load "{file}", {name}_map' in lines
    assert lines.index("set normalize_ccp4_maps, 0") < lines.index('load "/data/some map.mrc", density_map')
    # PyMOL would take the rest of the line for a command, even in a comment
    assert not any(";" in line for line in lines)
    assert not any("compared" in line for line in lines)


def test_pymol_shows_maps_and_model_where_they_are(pymol, toy, tmp_path):
    folder = tmp_path / "it's a, folder; here"
    folder.mkdir()
    made = document(chain("A", backbone([HELIX] * 12)))
    model = folder / "model.pdb"
    model.write_text(made.make_pdb_string())
    density = np.random.default_rng(1).random((30, 34, 38)).astype(np.float32)
    given = Map.from_array(density, (1.3, 1.2, 1.1), origin=(-15.0, -12.5, -10.0))
    write_map_like(given, density, folder / "m.mrc", "x")
    annotation = annotate(folder / "m.mrc", network=toy, device="cpu")
    annotation.save(folder / "out", report=annotation.compare(model))
    (tmp_path / "check.py").write_text(CHECK)
    done = subprocess.run(
        [*pymol, "-cq", str(folder / "out" / "m.pml"), str(tmp_path / "check.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    told = done.stdout + done.stderr
    assert "Error" not in told, told
    (line,) = [line for line in told.splitlines() if line.startswith("CHECK")]
    found = json.loads(line.removeprefix("CHECK"))
    grid = read_map(folder / "m.mrc").grid
    corners = grid.positions([[0, 0, 0], [29, 33, 37]])
    assert set(found["maps"]) == {"density_map", *(f"{name}_map" for name in CLASS_FILES)}
    for extent in found["maps"].values():
        np.testing.assert_allclose(extent, corners, atol=1e-3)
    assert found["highest"] == pytest.approx(density.max(), rel=1e-5)
    assert found["level"] == pytest.approx(0.5)
    assert {"density", "helix", "strand", "nucleotide", "compared"} <= set(found["shown"])
    assert "other" not in found["shown"]
    assert found["cartoons"] > 0
    assert len(found["atoms"]) == 48
    wrong, right = (
        np.array([int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)]) for c in (CONTRADICTED, CONFIRMED)
    )
    for agreement, colour in found["atoms"]:
        share = min(agreement / CERTAIN, 1)
        np.testing.assert_allclose(colour, share * right + (1 - share) * wrong, atol=0.02)
