"""Models against maps: verdicts, ranked stretches and the files that show them."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree

import gemmi
import numpy as np
import pytest
from peptides import HELIX, STRAND, backbone, chain, document
from test_cli import failure, run

from haruspex_infer import Annotation, find_elements, read_map
from haruspex_infer.compare import ResidueReport
from haruspex_infer.errors import HaruspexError
from haruspex_infer.mapfile import Map, write_map_like
from haruspex_infer.residues import ResidueTable
from haruspex_infer.structure import from_gemmi, read_structure
from haruspex_infer.verdicts import VERDICTS, neighbours, stretches, verdicts

RESIDUES = 24


def helix(name="A", shift=0.0, residue="ALA"):
    return chain(name, backbone([HELIX] * RESIDUES) + np.array([shift, 0, 0]), residue=residue)


def annotated(structure, classes, level=None, probability=0.7):
    """An annotation that shows classes at the residues of a structure, in density of a given strength."""
    low = structure.xyz.min(axis=0)[::-1] - 5
    shape = tuple(np.ceil(np.ptp(structure.xyz, axis=0)[::-1] + 10).astype(int))
    map_ = Map.from_array(np.zeros(shape, np.float32), 1.0, origin=tuple(map(float, low)))
    z, y, x = (map_.grid.centres(axis) for axis in range(3))
    centres = np.stack(np.meshgrid(z, y, x, indexing="ij"), axis=-1)[..., ::-1]
    distance = np.full((structure.n_residues, *shape), np.inf, np.float32)
    for residue, place in zip(structure.residue, structure.xyz, strict=True):
        nearer = np.linalg.norm(centres - place, axis=-1)
        distance[residue] = np.minimum(distance[residue], nearer)
    owner = distance.argmin(axis=0)
    probabilities = np.full((4, *shape), (1 - probability) / 3, np.float32)
    np.put_along_axis(probabilities, np.asarray(classes)[owner][None], probability, axis=0)
    strength = np.ones(structure.n_residues) if level is None else np.asarray(level)
    density = np.where(distance.min(axis=0) < 3, strength[owner], 0).astype(np.float32)
    map_ = Map.from_array(density, 1.0, origin=map_.grid.origin)
    return Annotation(map_, probabilities, 0.0, 1.0)


@pytest.fixture
def wrong(tmp_path):
    """A model of two helices, one of which is a strand by its density for eight residues."""
    path = tmp_path / "wrong.cif"
    made = document(helix("A"), helix("B", 25))
    path.write_text(made.make_mmcif_document().as_string())
    classes = np.ones(2 * RESIDUES, int)
    classes[RESIDUES + 8 : RESIDUES + 16] = 2
    # ends of an ideal helix have no turn around them
    classes[[0, RESIDUES - 1, RESIDUES, -1]] = 0
    return annotated(read_structure(path), classes), path


def test_a_wrong_stretch_is_found_and_the_rest_agrees(wrong):
    annotation, path = wrong
    report = annotation.compare(path)
    assert len(report) == 2 * RESIDUES
    assert set(report.verdict[:RESIDUES]) == {"agrees"}
    (stretch,) = report.stretches
    assert (stretch.chain, stretch.first, stretch.last) == ("B", "9", "16")
    assert (stretch.modelled, stretch.seen) == ("helix", "strand")
    assert re.fullmatch(r"chain B 9–16: modelled helix, density looks like strand, \d\.\d σ", str(stretch))
    assert report.agreement[3] > 0.6
    assert report.agreement[RESIDUES + 11] < 0.2
    assert sum(report.counts.values()) == len(report)


def test_a_file_without_records_says_so_and_is_judged_by_its_coordinates(wrong):
    annotation, path = wrong
    report = annotation.compare(path)
    assert set(report.deposited) == {"?"}
    assert (report.columns()["modelled"] == "helix").sum() == 2 * RESIDUES - 4
    assert any("records no secondary structure" in note for note in report.notes)


def test_records_are_told_and_count_where_coordinates_are_silent(tmp_path):
    made = document(chain("A", backbone([STRAND] * 12)))
    sheet, strand = gemmi.Sheet("1"), gemmi.Sheet.Strand()
    strand.start = gemmi.AtomAddress("A", gemmi.SeqId(3, " "), "ALA", "CA", "\0")
    strand.end = gemmi.AtomAddress("A", gemmi.SeqId(9, " "), "ALA", "CA", "\0")
    sheet.strands.append(strand)
    made.sheets.append(sheet)
    structure = from_gemmi(made)
    classes = [0] * 2 + [2] * 7 + [0] * 3
    report = annotated(structure, classes).compare(made)
    assert report.columns()["deposited"].tolist() == [["other", "strand"][c > 0] for c in classes]
    assert report.columns()["modelled"].tolist() == report.columns()["deposited"].tolist()
    assert set(report.verdict) == {"agrees"}
    assert report.notes == ()


@pytest.mark.parametrize("given", [None, ["a.pdb", "b.pdb"], np.zeros((5, 3)), document(helix())[0]])
def test_what_is_no_model_is_told(given):
    structure = from_gemmi(document(helix()))
    with pytest.raises(HaruspexError, match=f"{type(given).__name__} is no model: give a file"):
        annotated(structure, np.ones(RESIDUES, int)).compare(given)


def test_what_a_prompt_shows_holds_no_arrays():
    structure = from_gemmi(document(helix()))
    annotation = annotated(structure, np.ones(RESIDUES, int))
    for shown in (annotation, annotation.compare(structure), find_elements(annotation)):
        assert repr(shown).startswith(type(shown).__name__)
        assert "array" not in repr(shown)


def test_one_residue_beside_an_element_is_its_fuzzy_end():
    structure = from_gemmi(document(helix()))
    classes = np.ones(RESIDUES, int)
    report = annotated(structure, classes).compare(structure)
    assert report.verdict[[0, -1]].tolist() == ["border", "border"]
    assert report.stretches == ()


def rows(chains, number, probability, sigma_level=2.0):
    """A table of residues, one probability (4,) for each."""
    names, probability = np.array(list(chains)), np.array(probability, np.float32)
    blank, level = np.full(len(names), " "), np.full(len(names), sigma_level)
    kind, number = np.ones(len(names), np.uint8), np.array(number, np.int32)
    return ResidueTable(names, names, number, blank, kind, probability, probability.argmax(1), level)


def test_neighbours_follow_each_other_in_their_chain():
    # 5 and 5A; 7 is missing; B begins
    table = rows("AAAAABB", [4, 5, 5, 6, 8, 9, 10], [[1, 0, 0, 0]] * 7)
    assert neighbours(table).tolist() == [True, True, True, False, False, True]


def test_evidence_is_the_difference_and_counts_by_half_against_coil():
    strand, coil = [0.1, 0.2, 0.7, 0.0], [0.7, 0.2, 0.1, 0.0]
    table = rows("AAAABBBB", [1, 2, 3, 4] * 2, [coil] * 4 + [strand] * 4)
    modelled = np.ones(8, np.uint8)  # helix
    first, second = stretches(table, modelled, verdicts(table, modelled))
    assert (first.chain, first.seen, second.chain, second.seen) == ("B", "strand", "A", "other")
    assert first.score == pytest.approx(4 * 0.5)
    assert second.score == pytest.approx(4 * 0.5 / 2)


def test_weak_density_and_residues_outside_are_not_called_wrong():
    structure = from_gemmi(document(helix()))
    level = np.ones(RESIDUES)
    level[6:12] = 0.0
    annotation = annotated(structure, np.ones(RESIDUES, int), level)
    report = annotation.compare(structure)
    assert set(report.verdict[7:11]) == {"weak"}
    assert any(
        stretch.seen == "weak" and "hardly any density" in str(stretch) for stretch in report.stretches
    )
    far = document(helix())
    for residue in list(far[0][0])[18:]:
        for atom in residue:
            atom.pos += gemmi.Position(500, 0, 0)
    report = annotation.compare(far)
    assert set(report.verdict[18:]) == {"outside"}
    assert report.columns()["predicted"][18:].tolist() == ["?"] * 6
    assert report.notes[-1].startswith("6 of 24 residues lie outside")


def test_alpha_carbons_alone_get_the_prediction_and_no_verdict():
    made = document(helix())
    for residue in made[0][0]:
        for name in ("N", "C", "O"):
            residue.remove_atom(name, "*", gemmi.Element(name))
    report = annotated(from_gemmi(made), np.ones(RESIDUES, int)).compare(made)
    assert set(report.verdict) == {"?"}
    assert set(report.columns()["predicted"]) == {"helix"}
    assert np.isnan(report.agreement).all()
    assert report.stretches == ()


def test_nucleotides_are_what_they_are(shared_data):
    hairpin = read_structure(shared_data / "maps/EMD-20353/6PJ6_hairpin3.pdb.gz")
    assert hairpin.n_residues == 7
    report = annotated(hairpin, [3, 3, 3, 1, 1, 1, 1]).compare(hairpin)
    assert set(report.deposited) == set(report.columns()["modelled"]) == {"nucleotide"}
    (stretch,) = report.stretches
    assert str(stretch).startswith("chain J 88–91: modelled nucleotide, density looks like helix, ")
    assert report.notes == ()


def test_the_strongest_evidence_comes_first():
    structure = from_gemmi(document(helix("A"), helix("B", 25), helix("C", 50)))
    classes = np.ones(3 * RESIDUES, int)
    classes[6:11] = 0  # a helix that the density does not show: a doubt
    classes[RESIDUES + 6 : RESIDUES + 11] = 2  # a contradiction of the same length
    classes[2 * RESIDUES + 6 : 2 * RESIDUES + 16] = 3  # a longer one
    report = annotated(structure, classes).compare(structure)
    assert [stretch.chain for stretch in report.stretches] == ["C", "B", "A"]
    assert "density looks like nucleotide" in str(report.stretches[0])
    assert "density does not look like helix" in str(report.stretches[2])
    ranks = report.columns()["stretch"]
    assert set(ranks[2 * RESIDUES + 6 : 2 * RESIDUES + 16]) == {1}


def test_a_model_elsewhere_is_refused(wrong):
    annotation, path = wrong
    with pytest.raises(HaruspexError, match=r"outside the map: its backbone spans x \d+ to \d+"):
        annotation.compare(document(helix("A", 900)))
    water = gemmi.read_pdb_string(
        "HETATM    1  FE  HEM A   1       1.0     1.0     1.0  1.00 10.00          FE"
    )
    with pytest.raises(HaruspexError, match="neither amino acids nor nucleotides"):
        annotation.compare(water)
    with pytest.raises(HaruspexError, match="no atomic model"):
        annotation.compare(path.with_name("none.pdb"))


def test_the_table_as_csv(wrong):
    annotation, path = wrong
    report = annotation.compare(path)
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert len(rows) == len(report)
    row = rows[RESIDUES + 11]
    assert row["chain"] == "B"
    assert row["number"] == "12"
    assert (row["modelled"], row["predicted"], row["verdict"], row["stretch"]) == (
        "helix",
        "strand",
        "differs",
        "1",
    )
    assert float(row["strand"]) > 0.5
    assert sum(float(row[name]) for name in ("other", "helix", "strand", "nucleotide")) == pytest.approx(
        1, abs=0.01
    )
    assert rows[0]["stretch"] == ""
    assert {row["verdict"] for row in rows} <= set(VERDICTS)


def test_the_model_s_copy_carries_prediction_and_agreement(wrong, tmp_path):
    annotation, path = wrong
    report = annotation.compare(path)
    report.save(tmp_path / "out", "m")
    copy = gemmi.read_structure(str(tmp_path / "out" / "m_model.cif"))
    assert [
        (h.start.chain_name, str(h.start.res_id.seqid), str(h.end.res_id.seqid)) for h in copy.helices
    ] == [
        ("A", "2", "23"),
        ("B", "2", "8"),
        ("B", "17", "23"),
    ]
    (strand,) = [strand for sheet in copy.sheets for strand in sheet.strands]
    assert (strand.start.chain_name, str(strand.start.res_id.seqid), str(strand.end.res_id.seqid)) == (
        "B",
        "9",
        "16",
    )
    values = [residue[0].b_iso for chain_ in copy[0] for residue in chain_]
    np.testing.assert_allclose(values, 100 * report.agreement, atol=0.06)
    again = read_structure(tmp_path / "out" / "m_model.cif")
    np.testing.assert_allclose(again.xyz, read_structure(path).xyz, atol=1e-3)


def test_the_copy_never_replaces_the_model(wrong):
    annotation, path = wrong
    mine = path.rename(path.with_name("m_model.cif"))
    before = mine.read_bytes()
    with pytest.raises(HaruspexError, match="would replace the model"):
        annotation.compare(mine).save(mine.parent, "m")
    assert mine.read_bytes() == before


def test_ligands_keep_their_place_and_count_as_not_compared(tmp_path):
    made = document(helix())
    ligand = gemmi.Residue()
    ligand.name, ligand.seqid, ligand.het_flag = "HEM", gemmi.SeqId(99, " "), "H"
    iron = gemmi.Atom()
    iron.name, iron.element, iron.pos = "FE", gemmi.Element("Fe"), gemmi.Position(5, 5, 5)
    ligand.add_atom(iron)
    made[0][0].add_residue(ligand)
    path = tmp_path / "ligand.pdb"
    made.setup_entities()
    path.write_text(made.make_pdb_string())
    annotation = annotated(read_structure(path), np.ones(RESIDUES + 1, int))
    report = annotation.compare(path)
    assert len(report) == RESIDUES
    report.save(tmp_path, "m")
    copy = gemmi.read_structure(str(tmp_path / "m_model.cif"))
    assert [r[0].b_iso for r in copy[0][0] if r.name == "HEM"] == [-1]


def test_the_strip_plot_is_svg_with_every_residue_and_chain(wrong, tmp_path):
    annotation, path = wrong
    annotation.compare(path).save(tmp_path, "m<&")
    root = ElementTree.parse(tmp_path / "m<&_residues.svg").getroot()
    name = "{http://www.w3.org/2000/svg}"
    tips = [rect.find(f"{name}title") for rect in root.iter(f"{name}rect")]
    told = [tip.text for tip in tips if tip is not None]
    assert len(told) == 2 * RESIDUES
    assert any(
        re.fullmatch(r"B 12 ALA: model helix, density strand \(\d\d%\), \d\.\d σ", tip) for tip in told
    )
    texts = ["".join(text.itertext()) for text in root.iter(f"{name}text")]
    assert {"m<&"} < set(texts)
    assert any(text.startswith("Chain B") for text in texts)
    height, bottom = float(root.get("height")), 0.0
    for rect in root.iter(f"{name}rect"):
        if rect.get("x"):
            assert 0 <= float(rect.get("x")) <= float(root.get("width")) - float(rect.get("width"))
            bottom = max(bottom, float(rect.get("y")) + float(rect.get("height")))
    assert bottom <= height


def test_a_long_chain_with_a_gap_is_broken_into_lines(tmp_path):
    made = chain("A", backbone([HELIX] * 130))
    for residue in list(made)[60:]:
        residue.seqid = gemmi.SeqId(residue.seqid.num + 40, " ")
    structure = from_gemmi(document(made))
    shape = (10, 10, 10)
    map_ = Map.from_array(np.random.default_rng(0).random(shape), 45.0, origin=(-200.0, -200.0, -200.0))
    uniform = np.full((4, *shape), 0.25, np.float32)
    uniform[1] += 0.1
    Annotation(map_, uniform, 0.0, 1.0).compare(structure).save(tmp_path, "long")
    text = (tmp_path / "long_residues.svg").read_text()
    assert text.count(">model</text>") == 2
    assert text.count('class="tip"') == 130
    tips = [rect for rect in ElementTree.fromstring(text).iter() if rect.get("class") == "tip"]
    places = [(float(rect.get("x")), float(rect.get("y"))) for rect in tips[58:62]]
    (before, *_), (last, line), (first, same), (after, _) = places
    width = float(tips[0].get("width"))
    assert line == same
    assert [last - before, first - last, after - first] == pytest.approx([width, 2 * width, width], abs=0.11)


def test_compared_on_the_command_line(wrong, toy, tmp_path):
    annotation, path = wrong
    write_map_like(annotation.map, annotation.map.density, tmp_path / "m.mrc", "x")
    done = run(
        "m.mrc", "--model", path, "--network", toy, "--device", "cpu", "--density-weighted", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "m_haruspex"
    written = {path.name for path in folder.iterdir()}
    assert {"m_residues.csv", "m_residues.svg", "m_model.cif", "m_helix_weighted.mrc", "m.pml"} < written
    summary = json.loads((folder / "m_summary.json").read_text())
    assert summary["model"]["residues"] == 2 * RESIDUES
    assert "48 residues, " in done.stdout
    for rank, stretch in enumerate(summary["model"]["look_first"][:10], 1):
        assert f"{rank:3}  {stretch['text']}" in done.stdout
    assert "note: " in done.stderr
    assert "records no secondary structure" in done.stderr


def test_a_bad_model_is_told_before_the_work(wrong, toy, tmp_path):
    annotation, _ = wrong
    write_map_like(annotation.map, annotation.map.density, tmp_path / "m.mrc", "x")
    far = tmp_path / "far.pdb"
    far.write_text(document(helix("A", 900)).make_pdb_string())
    assert "far.pdb lies outside the map" in failure(
        run("m.mrc", "--model", far, "--network", toy, cwd=tmp_path)
    )
    missing = run("m.mrc", "--model", "none.cif", "--network", toy, cwd=tmp_path)
    assert "There is no atomic model none.cif" in failure(missing)
    assert not (tmp_path / "m_haruspex").exists()


def test_weighted_maps_add_up_to_the_density(wrong, tmp_path):
    annotation, _ = wrong
    moved = Annotation(annotation.map, annotation.probabilities, 0.25, 2.0)
    moved.save(tmp_path, "m", density_weighted=True)
    names = ("other", "helix", "strand", "nucleotide")
    total = sum(read_map(tmp_path / f"m_{name}_weighted.mrc").density for name in names)
    np.testing.assert_allclose(total, annotation.map.density - 0.25, atol=1e-5)


def test_a_deposited_model_against_itself(shared_data):
    path = shared_data / "maps/EMD-2513/4ci0.pdb.gz"
    structure = read_structure(path)
    map_ = read_map(shared_data / "maps/EMD-2513/emd_2513.mrc.gz")
    uniform = np.zeros((4, *map_.grid.shape), np.float32)
    uniform[0] = 1
    report = Annotation(map_, uniform, 0.0, 1.0).compare(path)
    assert isinstance(report, ResidueReport)
    assert len(report) == (structure.kind > 0).sum() == 893
    # records and coordinates of a deposited model tell the same but for ends of elements
    same = report.columns()["deposited"] == report.columns()["modelled"]
    assert same.mean() > 0.85
    assert report.counts["weak"] + report.counts["outside"] < 20
