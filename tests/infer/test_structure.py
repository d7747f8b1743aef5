import gzip

import gemmi
import numpy as np
import pytest
from peptides import HELIX, backbone, chain, document

from haruspex_infer.errors import HaruspexError
from haruspex_infer.structure import join, read_structure


def add_atom(residue, name, element, position, altloc="\0", occupancy=1.0):
    atom = gemmi.Atom()
    atom.name, atom.element, atom.altloc, atom.occ = name, gemmi.Element(element), altloc, occupancy
    atom.pos = gemmi.Position(*position)
    residue.add_atom(atom)


def other_residue(name, number, atoms):
    residue = gemmi.Residue()
    residue.name, residue.seqid, residue.het_flag = name, gemmi.SeqId(number, " "), "H"
    for k, (atom, element) in enumerate(atoms):
        add_atom(residue, atom, element, (20 + number, k, 0))
    return residue


@pytest.fixture
def varied():
    """A helix of ten residues, one selenomethionine, with a hydrogen, an alternative, ion and water."""
    made = document(chain("A", backbone([HELIX] * 10)))
    protein = made[0]["A"]
    protein[4].name = "MSE"
    protein[6].seqid = gemmi.SeqId(6, "A")
    add_atom(protein[0], "HA", "H", (0, 0, 1))
    first = protein[2].find_atom("CA", "*")
    first.altloc, first.occ = "A", 0.6
    add_atom(protein[2], "CA", "C", (9, 9, 9), "B", 0.4)
    ligands = gemmi.Chain("L")
    ligands.add_residue(other_residue("ZN", 1, [("ZN", "Zn")]))
    ligands.add_residue(other_residue("HOH", 2, [("O", "O")]))
    made[0].add_chain(ligands)
    acid = gemmi.Chain("R")
    for number, name in ((1, "G"), (2, "DC")):
        acid.add_residue(other_residue(name, number, [("P", "P"), ("C1'", "C"), ("N9", "N")]))
    made[0].add_chain(acid)
    made.add_model(gemmi.Model(2))
    made[1].add_chain(chain("A", backbone([HELIX] * 3)))
    made.setup_entities()
    return made


def with_records(made):
    helix = gemmi.Helix()
    helix.start = gemmi.AtomAddress("A", gemmi.SeqId(2, " "), "ALA", "CA")
    helix.end = gemmi.AtomAddress("A", gemmi.SeqId(6, "A"), "ALA", "CA")
    helix.pdb_helix_class = gemmi.Helix.HelixClass.RAlpha
    made.helices.append(helix)
    sheet, strand = gemmi.Sheet("S"), gemmi.Sheet.Strand()
    strand.start = gemmi.AtomAddress("A", gemmi.SeqId(9, " "), "ALA", "CA")
    strand.end = gemmi.AtomAddress("A", gemmi.SeqId(10, " "), "ALA", "CA")
    sheet.strands.append(strand)
    made.sheets.append(sheet)
    return made


def test_atoms_and_residues(varied, tmp_path):
    path = tmp_path / "model.pdb"
    path.write_text(varied.make_pdb_string())
    s = read_structure(path)
    assert s.n_residues == 13
    assert s.n_atoms == 40 + 1 + 6
    assert "HOH" not in s.name
    assert 1 not in s.element
    assert s.kind.tolist() == [1] * 10 + [0] + [2, 2]
    assert s.name[4] == "MSE"
    assert (s.number[6], s.insertion[6]) == (6, "A")
    assert set(s.deposited) == {"?"}
    alternative = (s.residue == 2) & (s.atom_name == "CA")
    assert alternative.sum() == 1
    assert s.occupancy[alternative] == pytest.approx(0.6)
    assert s.element[s.atom_name == "ZN"].tolist() == [30]


def test_backbone_is_main_chain_and_whole_nucleotides(varied, tmp_path):
    path = tmp_path / "model.pdb"
    path.write_text(varied.make_pdb_string())
    s = read_structure(path)
    assert s.backbone.sum() == 40 + 6
    assert not s.backbone[s.kind[s.residue] == 0].any()
    main_chain = s.main_chain()
    assert np.isfinite(main_chain[:10]).all()
    assert np.isnan(main_chain[10:]).all()
    np.testing.assert_allclose(main_chain[:10], backbone([HELIX] * 10), atol=1e-3)


@pytest.mark.parametrize("ending", [".pdb", ".pdb.gz", ".cif", ".cif.gz"])
def test_records_in_every_format(varied, tmp_path, ending):
    made = with_records(varied)
    text = made.make_mmcif_document().as_string() if ".cif" in ending else made.make_pdb_string()
    path = tmp_path / f"model{ending}"
    path.write_bytes(gzip.compress(text.encode()) if ending.endswith(".gz") else text.encode())
    s = read_structure(path)
    assert "".join(s.deposited) == " HHHHHH EE   "
    assert s.n_atoms == 47


def test_several_files_become_one(varied, tmp_path):
    paths = [tmp_path / "a.pdb", tmp_path / "b.pdb"]
    paths[0].write_text(document(chain("A", backbone([HELIX] * 4))).make_pdb_string())
    paths[1].write_text(with_records(varied).make_pdb_string())
    s = read_structure(paths)
    parts = [read_structure(path) for path in paths]
    assert s.n_residues == 4 + 13
    assert "".join(s.deposited) == "????" + " HHHHHH EE   "
    assert (np.diff(s.residue) >= 0).all()
    np.testing.assert_array_equal(s.residue[parts[0].n_atoms :] - 4, parts[1].residue)
    assert join([parts[0]]) is parts[0]


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"\x00\x01", "cannot be read"), (b"", "is empty"), (b"data_x\n_a.b 1\n", "holds no atoms")],
)
def test_what_is_no_model(tmp_path, content, told):
    path = tmp_path / "file.pdb"
    path.write_bytes(content)
    with pytest.raises(HaruspexError) as fault:
        read_structure(path)
    assert told in str(fault.value)
    assert str(path) in str(fault.value)
    assert "\n" not in str(fault.value)


def test_missing_model(tmp_path):
    with pytest.raises(HaruspexError, match="There is no atomic model"):
        read_structure(tmp_path / "absent.pdb")
    with pytest.raises(HaruspexError, match="at least one"):
        read_structure([])


def test_deposited_models(shared_data):
    maps = shared_data / "maps"
    hydrogenase = read_structure(maps / "EMD-2513" / "4ci0.pdb.gz")
    assert np.bincount(hydrogenase.kind).tolist() == [9, 893]
    assert [(hydrogenase.deposited == letter).sum() for letter in "HE"] == [442, 148]
    integrin = read_structure(maps / "EMD-30342" / "390_7cec_A.cif.gz")
    assert [(integrin.deposited == letter).sum() for letter in "HE"] == [16, 194]
    hairpin = read_structure(maps / "EMD-20353" / "6PJ6_hairpin3.pdb.gz")
    assert np.bincount(hairpin.kind, minlength=3).tolist() == [0, 0, 7]
    assert hairpin.backbone.all()
