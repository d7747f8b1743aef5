import shutil
import subprocess
from dataclasses import replace

import gemmi
import numpy as np
import pytest
from peptides import HELIX, LEFT, STRAND, backbone, chain, document

from haruspex_infer.backbone import completed_by_records, peptide_bonded
from haruspex_infer.structure import read_structure
from haruspex_train.secondary import (
    dssp_classes,
    elements,
    extended,
    helical,
    residue_classes,
    stretched,
    torsions,
    with_bulges,
)


@pytest.fixture
def model(tmp_path):
    def read(*chains):
        path = tmp_path / "model.pdb"
        path.write_text(document(*chains).make_pdb_string())
        return read_structure(path)

    return read


@pytest.fixture(scope="module")
def hydrogenase(shared_data):
    return read_structure(shared_data / "maps" / "EMD-2513" / "4ci0.pdb.gz")


def letters(classes):
    return "".join(" HEN"[c] for c in classes)


def test_an_ideal_helix(model):
    structure = model(chain("A", backbone([STRAND] * 3 + [HELIX] * 12 + [STRAND] * 3)))
    found = letters(dssp_classes(structure))
    assert found.strip() == "H" * len(found.strip())
    assert 9 <= len(found.strip()) <= 12
    assert letters(residue_classes(structure)).strip() == "H" * 12


def test_torsions_are_gemmis(hydrogenase, shared_data):
    phi, psi = torsions(hydrogenase)
    document = gemmi.read_structure(str(shared_data / "maps" / "EMD-2513" / "4ci0.pdb.gz"))
    document.remove_alternative_conformations()
    document.setup_entities()
    row = {key: k for k, key in enumerate(zip(hydrogenase.chain, hydrogenase.number, strict=True))}
    compared = 0
    for protein in document[0]:
        residues = list(protein.get_polymer())
        for before, here, after in zip(residues, residues[1:], residues[2:], strict=False):
            k = row[protein.name, here.seqid.num]
            if np.isfinite(phi[k]) and np.isfinite(psi[k]):
                wanted = np.degrees(gemmi.calculate_phi_psi(before, here, after))
                np.testing.assert_allclose([phi[k], psi[k]], wanted, atol=0.01)
                compared += 1
    assert compared > 850


def test_names_and_numbers_do_not_matter(hydrogenase):
    found = dssp_classes(hydrogenase)
    assert np.bincount(found).tolist()[1] > 350
    n = hydrogenase.n_residues
    renamed = replace(
        hydrogenase,
        chain=np.char.add("Long", hydrogenase.chain),
        number=np.full(n, 7, np.int32),
        insertion=np.array(list("ABCDEFGHIJ") * n)[:n],
    )
    np.testing.assert_array_equal(dssp_classes(renamed), found)
    np.testing.assert_array_equal(dssp_classes(replace(hydrogenase, xyz=hydrogenase.xyz + 5000)), found)


def test_strands_pair_across_chains(hydrogenase):
    found = dssp_classes(hydrogenase)
    strand = found == 2
    kept = strand.copy()
    for shift in (-1, 1):
        kept |= np.roll(strand, shift)
    residues = np.flatnonzero(kept)
    fragments = hydrogenase.part(np.isin(hydrogenase.residue, residues))
    number = np.cumsum(np.diff(residues, prepend=-1) > 1)
    fragments = replace(fragments, chain=np.char.add("f", number.astype(str)))
    assert number[-1] > 20
    again = dssp_classes(fragments) == 2
    assert (again & strand[residues]).sum() > 0.9 * strand.sum()


def test_residues_without_a_whole_backbone(model):
    coordinates = backbone([HELIX] * 16)
    made = chain("A", coordinates)
    made[8].remove_atom("O", "\0")
    structure = model(made)
    found = dssp_classes(structure)
    assert found[8] == 0
    assert (found[2:5] == 1).all()
    assert len(found) == 16


def test_too_few_residues_have_no_structure(model):
    assert dssp_classes(model(chain("A", backbone([HELIX])))).tolist() == [0]


def test_extension_takes_two_residues_of_the_profile(model):
    structure = model(chain("A", backbone([HELIX] * 9)))
    classes = np.array([0, 0, 0, 1, 1, 0, 0, 0, 0], np.uint8)
    assert letters(extended(classes, structure)) == " HHHHHH  "
    structure = model(chain("A", backbone([HELIX] * 5 + [LEFT] + [HELIX] * 3)))
    assert letters(extended(classes, structure)) == " HHHH    "
    strands = np.array([0, 0, 0, 2, 2, 0, 0, 0, 0], np.uint8)
    assert letters(extended(strands, structure)) == "   EE    "
    structure = model(chain("A", backbone([STRAND] * 9)))
    assert letters(extended(strands, structure)) == " EEEEEE  "


def test_extension_stops_at_gaps_and_other_elements(model):
    coordinates = backbone([HELIX] * 9)
    structure = model(chain("A", np.delete(coordinates, 5, axis=0)))
    classes = np.array([0, 0, 0, 1, 1, 0, 0, 0], np.uint8)
    assert not peptide_bonded(structure)[4]
    assert letters(extended(classes, structure)) == " HHHH   "
    structure = model(chain("A", coordinates))
    classes = np.array([0, 2, 2, 0, 1, 1, 0, 0, 0], np.uint8)
    assert letters(extended(classes, structure)) == " EEHHHHH "


def test_profiles_exclude_each_other():
    phi, psi = np.meshgrid(np.arange(-180.0, 181), np.arange(-180.0, 181))
    assert not (helical(phi, psi) & stretched(phi, psi)).any()
    inside = np.array([[-99, -74], [-41, -11], [-99, -11], [-41, -74]]).T
    assert helical(*inside).all()
    assert not helical(*np.array([[-101, -40], [-39, -40], [-60, -76], [-60, -9]]).T).any()
    assert helical(np.array(HELIX[0]), np.array(HELIX[1]))
    assert stretched(np.array(STRAND[0]), np.array(STRAND[1]))
    nothing = np.array([np.nan])
    assert not helical(nothing, nothing).any()
    assert not stretched(nothing, nothing).any()


def test_dssp_stands_over_records(model):
    structure = model(chain("A", backbone([HELIX] * 6)))
    structure = replace(structure, deposited=np.array(list("HHEE ?")))
    found = np.array([0, 2, 1, 0, 1, 0], np.uint8)
    assert letters(completed_by_records(found, structure)) == "HEHEH "


def test_bulges_of_one_residue(model):
    structure = model(chain("A", backbone([STRAND] * 9)))
    found = np.array([2, 2, 0, 2, 2, 0, 0, 2, 2], np.uint8)
    assert letters(with_bulges(found, structure)) == "EEEEE  EE"
    broken = model(chain("A", np.delete(backbone([STRAND] * 10), 2, axis=0)))
    assert letters(with_bulges(found, broken)) == "EE EE  EE"


def test_nucleotides_and_elements(shared_data):
    hairpin = read_structure(shared_data / "maps" / "EMD-20353" / "6PJ6_hairpin3.pdb.gz")
    assert letters(residue_classes(hairpin)) == "NNNNNNN"
    assert elements(hairpin, residue_classes(hairpin)).tolist() == [0] * 7


def test_elements_end_at_class_chain_and_gap(model):
    first, second = backbone([HELIX] * 7), backbone([HELIX] * 3) + 40
    structure = model(chain("A", np.delete(first, 5, axis=0)), chain("B", second))
    classes = np.array([0, 1, 1, 1, 1, 1, 1, 1, 0], np.uint8)
    assert elements(structure, classes).tolist() == [0, 1, 1, 1, 1, 2, 3, 3, 4]


@pytest.mark.skipif(shutil.which("mkdssp") is None, reason="mkdssp is not installed")
def test_agreement_with_mkdssp(hydrogenase, shared_data, tmp_path):
    document = gemmi.read_structure(str(shared_data / "maps" / "EMD-2513" / "4ci0.pdb.gz"))
    document.remove_ligands_and_waters()
    model, result = tmp_path / "model.pdb", tmp_path / "model.dssp"
    header = "HEADER    OXIDOREDUCTASE                          01-JAN-14   4CI0\n"
    model.write_text(header + document.make_pdb_string(gemmi.PdbWriteOptions(minimal=True)))
    subprocess.run(["mkdssp", "--output-format", "dssp", model, result], check=True, capture_output=True)
    row = {key: k for k, key in enumerate(zip(hydrogenase.chain, hydrogenase.number, strict=True))}
    theirs = np.full(hydrogenase.n_residues, 9)
    lines = result.read_text().splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("  #  RESIDUE"))
    for line in lines[start + 1 :]:
        if line[13] != "!":
            theirs[row[line[11], int(line[5:10])]] = {"H": 1, "G": 1, "I": 1, "E": 2}.get(line[16], 0)
    compared = theirs < 9
    assert compared.sum() > 880
    ours = with_bulges(dssp_classes(hydrogenase), hydrogenase)
    assert (ours == theirs)[compared].mean() > 0.96
