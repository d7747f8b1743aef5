"""Files of elements, read back with gemmi and as XML, and by PyMOL where it is installed."""

import json
import os
import shlex
import shutil
import subprocess
import xml.etree.ElementTree as ET

import gemmi
import numpy as np
import pytest

from haruspex_infer import Elements, HaruspexError
from haruspex_infer.classes import HELIX, NUCLEOTIDE, STRAND
from haruspex_infer.element import Element
from haruspex_infer.elementfiles import marker_text, pseudo_model
from haruspex_infer.sheets import sheets

ENDINGS = ("cif", "pdb", "cmm", "csv")


def element(kind, number, count, step, place, **more):
    points = np.array(place, float) + np.arange(count)[:, None] * np.array([0, 0, step])
    return Element(kind, number, points, np.linspace(0.5, 0.9, count), **more)


@pytest.fixture
def found():
    """Two helices, a sheet of two strands, a chain of phosphates."""
    (sheet,) = sheets(2, [(0, 1)])
    return Elements(
        helices=(
            element(HELIX, 1, 12, 1.5, (0, 0, 0)),
            element(HELIX, 2, 8, 1.5, (10, 0, -999.25), first=31),
        ),
        strands=(
            element(STRAND, 1, 6, 3.3, (20, 0, 0), sheet=1),
            element(STRAND, 2, 5, 3.3, (20, 4.8, 0), sheet=1, first=31),
        ),
        stretches=(element(NUCLEOTIDE, 1, 4, 6.0, (1234.5, 0, 0)),),
        sheets=(sheet,),
    )


@pytest.mark.parametrize("ending", ["cif", "pdb"])
def test_pseudo_atoms_come_back(found, tmp_path, ending):
    files = found.save(tmp_path, "m")
    assert [path.name for path in files] == [f"m_elements.{one}" for one in ENDINGS]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in files)
    read = gemmi.read_structure(str(tmp_path / f"m_elements.{ending}"))
    read.setup_entities()
    (model,) = read
    assert [chain.name for chain in model] == ["H", "S", "N"]
    for each in found:
        chain = model[{HELIX: "H", STRAND: "S", NUCLEOTIDE: "N"}[each.kind]]
        for number, point, probability in zip(
            range(each.first, each.last + 1), each.points, each.probabilities, strict=True
        ):
            (residue,) = chain[str(number)]
            (atom,) = residue
            np.testing.assert_allclose(atom.pos.tolist(), point, atol=5e-4)
            assert atom.b_iso == pytest.approx(100 * probability, abs=0.006)
            expected = ("P", "P", "N") if each.kind is NUCLEOTIDE else ("CA", "C", "UNK")
            assert (atom.name, atom.element.name, residue.name) == expected
    spans = [(h.start.chain_name, h.start.res_id.seqid.num, h.end.res_id.seqid.num) for h in read.helices]
    assert spans == [("H", 1, 12), ("H", 31, 38)]
    (sheet,) = read.sheets
    spans = [(s.start.res_id.seqid.num, s.end.res_id.seqid.num) for s in sheet.strands]
    assert spans == [(1, 6), (31, 35)]
    assert [strand.sense for strand in sheet.strands] == [0, 0], "which way strands run is unknown"


def test_records_name_residues_by_both_numberings(found, tmp_path):
    """Some readers take the authors' numbers, others the labels': both must lead to the same residues."""
    found.save(tmp_path, "m")
    block = gemmi.cif.read(str(tmp_path / "m_elements.cif")).sole_block()
    site = block.find(["_atom_site.label_asym_id", "_atom_site.label_seq_id", "_atom_site.auth_seq_id"])
    by_label = {(row[0], row[1]): row[2] for row in site}
    for category, count in (("_struct_conf", 2), ("_struct_sheet_range", 2)):
        names = [
            f"{category}.{end}_{what}"
            for end in ("beg", "end")
            for what in ("label_asym_id", "label_seq_id", "auth_seq_id")
        ]
        rows = list(block.find(names))
        assert len(rows) == count
        for row in rows:
            assert by_label[row[0], row[1]] == row[2]
            assert by_label[row[3], row[4]] == row[5]


def test_bonds_stay_within_elements(found, tmp_path):
    found.save(tmp_path, "m")
    lines = (tmp_path / "m_elements.pdb").read_text().splitlines()
    place = {
        int(line[6:11]): np.array([float(line[k : k + 8]) for k in (30, 38, 46)])
        for line in lines
        if line.startswith("ATOM")
    }
    bonds = set()
    for line in lines:
        if line.startswith("CONECT"):
            first, *others = (int(line[k : k + 5]) for k in range(6, len(line.rstrip()), 5))
            bonds |= {tuple(sorted((first, other))) for other in others}
    assert len(bonds) == sum(each.residues - 1 for each in found)
    assert all(np.linalg.norm(place[i] - place[j]) < 7 for i, j in bonds)


def test_markers_are_what_chimerax_documents(found):
    root = ET.fromstring(marker_text(tuple(found)))
    assert root.tag == "marker_sets"
    assert [one.get("name") for one in root] == [
        "helix axes",
        "strand traces",
        "phosphates of nucleic acid",
    ]
    known = {
        "marker": {"id", "x", "y", "z", "r", "g", "b", "radius", "note"},
        "link": {"id1", "id2", "r", "g", "b", "radius"},
    }
    for group, elements in zip(root, (found.helices, found.strands, found.stretches), strict=True):
        markers = {one.get("id"): one for one in group.iter("marker")}
        assert len(markers) == sum(each.residues for each in elements)
        places = [[float(one.get(axis)) for axis in "xyz"] for one in markers.values()]
        np.testing.assert_allclose(places, np.concatenate([each.points for each in elements]), atol=5e-4)
        links = [(one.get("id1"), one.get("id2")) for one in group.iter("link")]
        assert len(links) == sum(each.residues - 1 for each in elements)
        assert {name for link in links for name in link} <= set(markers)
        for one in group:
            assert set(one.attrib) <= known[one.tag]
            assert all(0 <= float(one.get(name)) <= 1 for name in "rgb")
        assert [one.get("note").split(",")[0] for one in markers.values() if one.get("note")] == [
            each.name for each in elements
        ]


def test_more_residues_than_a_pdb_file_can_number():
    many = tuple(element(HELIX, k + 1, 8, 1.5, (12 * k, 0, 0), first=30 * k + 1) for k in range(400))
    text = pseudo_model(many, (), "m").make_pdb_string()
    read = gemmi.read_pdb_string(text)
    assert [residue.seqid.num for residue in read[0]["H"]][-1] == many[-1].last
    assert read[0]["H"][-1][0].pos.tolist() == pytest.approx(many[-1].points[-1].tolist(), abs=1e-3)


def test_nothing_found_is_written_too(tmp_path):
    files = Elements((), (), (), ()).save(tmp_path, "m")
    assert len(ET.fromstring(files[ENDINGS.index("cmm")].read_text())) == 0
    assert files[ENDINGS.index("csv")].read_text().startswith("element,class,length,")
    assert gemmi.read_structure(str(files[0])) is not None


def test_a_folder_that_cannot_be_written_to(found, tmp_path):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(HaruspexError, match="cannot be written to"):
        found.save(tmp_path / "taken", "m")


PYMOL_CHECK = """
import json
from pymol import cmd
found = {}
for ending in ("cif", "pdb"):
    cmd.load("m_elements." + ending, ending)
    ss = []
    cmd.iterate(ending + " and name CA", "seen.append((chain, resi, ss))", space={"seen": ss})
    bonds = len(cmd.get_model(ending).bond)
    cmd.show_as("cartoon", ending)
    found[ending] = {"ss": ss, "bonds": bonds, "atoms": cmd.count_atoms(ending)}
print("CHECK" + json.dumps(found))
"""


def test_pymol_reads_them(found, tmp_path):
    command = shlex.split(os.environ.get("PYMOL", "")) or [shutil.which("pymol") or ""]
    if not command[0]:
        pytest.skip("PyMOL is not installed (set PYMOL to the command that runs it)")
    found.save(tmp_path, "m")
    (tmp_path / "check.py").write_text(PYMOL_CHECK)
    done = subprocess.run([*command, "-cq", "check.py"], cwd=tmp_path, capture_output=True, text=True)
    told = done.stdout + done.stderr
    (line,) = [line for line in told.splitlines() if line.startswith("CHECK")]
    for ending, seen in json.loads(line.removeprefix("CHECK")).items():
        assert seen["atoms"] == sum(each.residues for each in found), ending
        letters = {chain: {ss for c, _, ss in seen["ss"] if c == chain} for chain in "HS"}
        assert letters == {"H": {"H"}, "S": {"S"}}, ending
