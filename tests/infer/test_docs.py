"""The pages of docs/: every Python block runs, and does what the text around it says."""

import re
from pathlib import Path

import gemmi
import numpy as np
import pytest
from peptides import write_helix_in_map
from toys import pointwise_probabilities

import haruspex_infer
from haruspex_infer import network, read_map

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def block(start: str, page: Path = PAGE) -> str:
    """The Python block of the section whose heading starts so."""
    (section,) = [part for part in re.split(r"^#+ ", page.read_text(), flags=re.M) if part.startswith(start)]
    (code,) = re.findall(r"```python\n(.*?)```", section, flags=re.S)
    return code


@pytest.fixture
def folder(toy, tmp_path, monkeypatch):
    """A folder with map.mrc and model.pdb, where the network is a toy."""
    write_helix_in_map(tmp_path)
    monkeypatch.setattr(network, "shipped_networks", lambda: {"residual": toy})
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(code: str) -> dict:
    names: dict = {}
    exec(compile(code, str(PAGE), "exec"), names)
    return names


def test_the_overview(folder):
    annotation = run(block("Haruspex"))["annotation"]
    np.testing.assert_allclose(annotation.probabilities.sum(axis=0), 1, atol=1e-5)
    assert (folder / "out" / "map_labels.mrc").is_file()


def test_nucleic_acid_is_faded(folder):
    annotation = run(block("Mask out"))["annotation"]
    written, given = read_map("protein.mrc"), annotation.map
    assert written.grid == given.grid
    normalised = (given.density - annotation.offset) / annotation.scale
    share = pointwise_probabilities(normalised)[3]
    share[annotation.probabilities[0] == 1] = 0  # solvent, which the network never saw
    left = (written.density - annotation.offset) / annotation.scale
    np.testing.assert_allclose(left, normalised * (1 - share), atol=1e-3)
    strong = share > 0.9
    assert strong.any()
    assert (left[strong] < 0.1 * normalised[strong] + 1e-6).all()


def test_the_fit_finds_where_the_model_came_from(folder):
    names = run(block("Weight a fit"))
    assert names["best"][0] == 0
    turned = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    assert names["score"](turned, np.zeros(3)) < names["best"][1]


def test_the_loop_tells_what_became_of_the_model(folder, capsys):
    names = run(block("Check each"))
    assert len(names["history"]) == 3
    report = names["report"]
    again = haruspex_infer.annotate("map.mrc").compare("model.pdb")
    assert not np.allclose(report.agreement, again.agreement)
    first = gemmi.read_structure("model.pdb")[0][0][0][0].pos.x
    assert names["model"][0][0][0][0].pos.x == pytest.approx(first + 0.3, abs=1e-4)
    for line in capsys.readouterr().out.splitlines():
        assert re.match(r"[012] chain A \d+–\d+: modelled ", line)


def test_a_report_is_written(folder):
    run(block("From Python", PAGE.parent / "howto" / "report.md"))
    text = (folder / "map.html").read_text()
    assert "<h1>My map</h1>" in text
    assert 'id="model"' in text


# napari's own parts, as they are loaded
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_layers_are_added_to_napari(folder, monkeypatch):
    napari = pytest.importorskip("napari", reason="napari is not installed")
    from napari.components import ViewerModel  # a viewer without a window

    monkeypatch.setattr(napari, "Viewer", ViewerModel)
    viewer = run(block("napari", PAGE.parent / "howto" / "viewers.md"))["viewer"]
    assert [layer.name for layer in viewer.layers][::4] == ["map", "classes"]
    assert viewer.dims.ndisplay == 3


def test_a_segmentation_is_written(folder):
    pytest.importorskip("h5py", reason="h5py is not installed")
    run(block("ChimeraX", PAGE.parent / "howto" / "viewers.md"))
    assert (folder / "map.seg").stat().st_size > 1000


def test_every_column_is_explained(folder):
    report = haruspex_infer.annotate("map.mrc").compare("model.pdb")
    text = PAGE.read_text()
    for name in report.columns():
        assert f"`{name}`" in text
    for name in haruspex_infer.__all__:
        assert f"`{name}" in text or f".{name}`" in text, name
