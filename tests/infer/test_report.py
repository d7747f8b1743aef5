"""The report as a file: what it holds, what it shows of a map, and that nothing foreign gets into it."""

import base64
import gzip
import hashlib
import html
import json
import shlex
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peptides import document
from test_cli import run
from test_compare import RESIDUES, annotated, helix
from toys import lump, pointwise_probabilities

from haruspex_infer import Annotation, annotate
from haruspex_infer.classes import CLASSES
from haruspex_infer.errors import HaruspexError
from haruspex_infer.mapfile import Map, write_map_like
from haruspex_infer.report import write_report, writing
from haruspex_infer.report.composition import (
    BINS,
    VOLUME_OF_RESIDUE,
    confidence,
    counted_volumes,
    estimated_residues,
)
from haruspex_infer.report.shown import shown_volume
from haruspex_infer.structure import from_gemmi

HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>\"'&"


class Page(HTMLParser):
    """Elements of a page, and the text of those that have an id."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.by_id, self.scripts, self.open = [], {}, [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        self.open = attributes.get("id") if tag in ("script", "output", "p") else None
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.scripts and self.cdata_elem == "script":
            self.scripts[-1] += data
            if self.open:
                self.by_id[self.open] = self.by_id.get(self.open, "") + data


def lumpy(shape=(40, 36, 44), **options):
    """An annotation of a lump, as the toy network would make it."""
    density = lump(shape)
    given = Map.from_array(density, options.pop("voxel_size", 1.1), options.pop("origin", (5.0, -6.0, 7.0)))
    return Annotation(
        replace(given, **options), pointwise_probabilities(density).astype(np.float32), 0.0, 1.0
    )


@pytest.fixture(scope="module")
def compared():
    """An annotation of two helices, one of which is a strand by its density, and the comparison."""
    structure = from_gemmi(document(helix("A"), helix("B", 25)))
    classes = np.ones(2 * RESIDUES, int)
    classes[RESIDUES + 8 : RESIDUES + 16] = 2
    annotation = annotated(structure, classes)
    return annotation, annotation.compare(structure)


def written(folder, annotation, *arguments, **options) -> str:
    write_report(annotation, folder / "r.html", *arguments, **options)
    return (folder / "r.html").read_text()


def test_the_page_holds_everything_and_asks_for_nothing(tmp_path, compared):
    annotation, residues = compared
    text = written(tmp_path, annotation, residues, "haruspex-infer map.mrc --model 'my model.cif'")
    page = Page(text)
    assert not [tags for tags in page.tags if tags[0] in ("link", "iframe", "img", "object", "embed")]
    for _, attributes in page.tags:
        assert "src" not in attributes
        assert attributes.get("href", "#").startswith("#")
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {"map", "slices", "composition", "confidence", "model", "made"} <= set(ids)
    assert "haruspex-infer map.mrc --model &#x27;my model.cif&#x27;" in text
    stretch = residues.stretches[0]
    assert f"{stretch.chain} {stretch.first}–{stretch.last}</button>" in text
    for c in CLASSES:
        assert f'style="background:{c.colour}"' in text


def test_only_the_scripts_of_the_package_are_allowed_to_run(tmp_path):
    page = Page(written(tmp_path, lumpy()))
    (policy,) = [a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a]
    data, volume, *scripts = page.scripts
    assert json.loads(data)["classes"][1]["name"] == "helix"
    assert len(scripts) == 2
    assert gzip.decompress(base64.b64decode(volume))
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    assert policy.startswith("default-src 'none'; script-src " + " ".join(f"'sha256-{d}'" for d in digests))
    assert "unsafe-inline" not in policy.split("style-src")[0]


def test_a_plot_that_is_too_heavy_stays_in_its_own_file(tmp_path, compared, monkeypatch):
    assert 'class="strips"' in written(tmp_path, *compared)
    monkeypatch.setattr(writing, "_LONGEST_STRIPS", 1000)
    text = written(tmp_path, *compared)
    assert 'class="strips"' not in text
    assert "see the SVG file" in text


def test_names_from_files_stay_text(tmp_path, compared):
    annotation, residues = compared
    plain = [tag for tag, _ in Page(written(tmp_path, annotation, residues, "x", title="x")).tags]
    hostile = replace(
        annotation,
        map=replace(annotation.map, path=Path(HOSTILE)),
        warnings=(HOSTILE,),
        report={"network": {"name": HOSTILE, "version": HOSTILE, "digest": HOSTILE}, "device": HOSTILE},
    )
    table = replace(
        residues.table, chain=np.full(len(residues), HOSTILE), name=np.full(len(residues), HOSTILE)
    )
    stretches = tuple(replace(s, chain=HOSTILE, first=HOSTILE) for s in residues.stretches)
    said = replace(residues, table=table, stretches=stretches, source=Path(HOSTILE), notes=(HOSTILE,))
    page = Page(written(tmp_path, hostile, said, HOSTILE, title=HOSTILE))
    # more rows for network and notes, one chain instead of two: but no kind of element that was not there
    assert {tag for tag, _ in page.tags} - set(plain) <= {"aside", "ul", "li"}
    assert len(page.scripts) == 4
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert HOSTILE in json.loads(page.scripts[0])["model"]["places"][0]["name"]


def test_the_same_annotation_gives_the_same_bytes(tmp_path, compared):
    first = written(tmp_path, *compared)
    assert written(tmp_path, *compared) == first


def test_probabilities_are_taken_part_by_part(toy, tmp_path):
    annotation = annotate(lump((40, 36, 44)), voxel_size=0.9, network=toy, device="cpu")
    shown = shown_volume(annotation, 5000)
    write_report(annotation, tmp_path / "r.html")
    # all of them at once may not fit into memory
    assert not {"probabilities", "labels"} & set(vars(annotation))
    whole = shown_volume(annotation)
    np.testing.assert_array_equal(whole.labels, annotation.labels[_box(annotation, whole)])
    places = annotation.grid.indices(shown.grid.positions(np.argwhere(shown.labels >= 0)))
    nearest = np.clip(np.rint(places - 1e-9).astype(int), 0, np.array(annotation.grid.shape) - 1)
    same = annotation.labels[tuple(nearest.T)] == shown.labels.ravel()
    assert same.mean() > 0.95  # halves round either way


def _box(annotation, shown):
    """Where shown voxels lie in the map."""
    first = np.rint(annotation.grid.indices(shown.grid.positions([[0, 0, 0]]))[0]).astype(int)
    return tuple(slice(f, f + n) for f, n in zip(first, shown.grid.shape, strict=True))


def test_a_file_that_cannot_be_written(tmp_path):
    with pytest.raises(HaruspexError, match="cannot be written"):
        write_report(lumpy((12, 12, 12)), tmp_path / "nowhere" / "r.html")


def test_the_shown_part_lies_where_the_map_does():
    density = np.zeros((60, 50, 40), np.float32)
    density[30:36, 20:26, 25:31] = 1.0
    density[33, 22, 28] = 2.5
    given = Map.from_array(density, (1.5, 1.2, 1.0), origin=(3.0, -4.0, 5.0))
    probabilities = np.zeros((4, *density.shape), np.float32)
    probabilities[0] = 1
    probabilities[:, 33, 22, 28] = (0.1, 0, 0.9, 0)
    shown = shown_volume(Annotation(given, probabilities, 0.0, 1.0))
    assert shown.grid.shape == (6 + 2 * 6, 6 + 2 * 7, 6 + 2 * 8)  # 8 Å on every side
    assert shown.grid.voxel_size == given.grid.voxel_size
    place = np.argwhere(shown.density == shown.density.max())
    assert len(place) == 1
    np.testing.assert_allclose(shown.grid.positions(place), given.grid.positions([[33, 22, 28]]), atol=1e-9)
    assert shown.labels[tuple(place[0])] == 2
    assert (shown.labels > 0).sum() == 1
    back = shown.low + shown.step * shown.density.astype(float)
    assert back.max() == pytest.approx(2.5, abs=shown.step)
    assert back.min() == pytest.approx(0, abs=shown.step)
    assert shown.note == "cropped to the molecule"


@settings(max_examples=25)
@given(
    st.tuples(*[st.integers(12, 34)] * 3),
    st.tuples(*[st.floats(0.6, 2.0)] * 3),
    st.integers(600, 9000),
)
def test_coarsening_keeps_box_and_centre(shape, voxel_size, most):
    annotation = lumpy(shape, voxel_size=voxel_size)
    fine = shown_volume(annotation, 10**9).grid
    shown = shown_volume(annotation, most)
    assert shown.grid.voxels <= most
    for axis in range(3):
        n, m = fine.shape[axis], shown.grid.shape[axis]
        assert m * shown.grid.voxel_size[axis] == pytest.approx(n * fine.voxel_size[axis])
        middle = fine.origin[axis] + (n - 1) / 2 * fine.voxel_size[axis]
        assert shown.grid.origin[axis] + (m - 1) / 2 * shown.grid.voxel_size[axis] == pytest.approx(middle)
    assert shown.density.shape == shown.labels.shape == shown.grid.shape


def test_coarsening_keeps_density_and_classes():
    z, y, x = np.mgrid[-1:1:48j, -1:1:48j, -1:1:48j]
    density = np.exp(-3 * (x * x + y * y + z * z)).astype(np.float32)
    probabilities = np.full((4, *density.shape), 0.05, np.float32)
    np.put_along_axis(probabilities, np.where(x < 0, 1, 3)[None], 0.85, axis=0)
    annotation = Annotation(Map.from_array(density, 1.0), probabilities, 0.0, 1.0)
    shown = shown_volume(annotation, 20_000)
    indices = np.moveaxis(np.indices(shown.grid.shape), 0, -1)
    inner = shown.grid.positions(indices)  # x, y, z
    scaled = inner / 47 * 2 - 1
    expected = np.exp(-3 * (scaled**2).sum(axis=-1))
    np.testing.assert_allclose(shown.low + shown.step * shown.density, expected, atol=0.03)
    far = np.abs(scaled[..., 0]) > 0.1
    np.testing.assert_array_equal(shown.labels[far], np.where(scaled[..., 0] < 0, 1, 3)[far])
    assert "coarsened from 1 Å to" in shown.note


def test_residues_follow_from_volumes():
    annotation = lumpy()
    volumes, parts = counted_volumes(annotation), annotation.composition
    assert volumes["helix"] == parts["helix"]["volume"]
    assert volumes["nucleotide"] == parts["nucleotide"]["molecule_volume"]
    whole = sum(part["molecule_volume"] for part in parts.values())
    assert volumes["protein"] + volumes["nucleotide"] == pytest.approx(whole)
    for name, residues in estimated_residues(annotation).items():
        assert residues == pytest.approx(volumes[name] / VOLUME_OF_RESIDUE[name], rel=0.06, abs=0.51)


def test_confidence_counts_the_molecular_density():
    annotation = lumpy()
    counts, median = confidence(annotation)
    inside = annotation.map.density >= annotation.level(0.2)
    assert counts.shape == (4, BINS)
    for c in CLASSES:
        assert counts[c.number].sum() == annotation.composition[c.name]["molecule_voxels"]
    highest = annotation.probabilities.max(axis=0)[inside]
    assert median == pytest.approx(np.median(highest), abs=2e-3)
    edges = np.linspace(0.25, 1, BINS + 1)
    np.testing.assert_allclose(counts.sum(axis=0), np.histogram(highest, edges)[0], atol=2)


def test_a_map_without_a_molecule_gives_a_report():
    density = np.random.default_rng(0).normal(0, 0.01, (20, 20, 20)).astype(np.float32)
    probabilities = np.zeros((4, 20, 20, 20), np.float32)
    probabilities[0] = 1
    annotation = Annotation(Map.from_array(density, 1.0), probabilities, 0.0, 1.0)
    assert shown_volume(annotation).grid == annotation.grid
    assert np.isnan(confidence(annotation)[1])
    assert estimated_residues(annotation) == dict.fromkeys(VOLUME_OF_RESIDUE, 0)


def test_the_command_line_writes_it_with_the_command_or_not_at_all(toy, tmp_path):
    density = lump((24, 24, 24))
    write_map_like(Map.from_array(density, 1.1), density, tmp_path / "a b.mrc", "x")
    done = run("a b.mrc", "--network", toy, "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "a b_haruspex" / "a b_report.html").read_text()
    command = shlex.join(["haruspex-infer", "a b.mrc", "--network", str(toy), "--device", "cpu"])
    assert f"{html.escape(command)}</code>" in text
    assert "a b_report.html in a browser" in done.stdout
    done = run("a b.mrc", "--network", toy, "--device", "cpu", "--no-report", "-o", "o", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not list((tmp_path / "o").glob("*.html"))
    assert "browser" not in done.stdout
