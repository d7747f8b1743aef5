"""Helices and strands by hydrogen bonds: ideal peptides here, deposited models against rs-dssp's answer."""

import numpy as np
import pytest
from peptides import HELIX, STRAND, backbone, chain, document

from haruspex_infer.backbone import UNKNOWN, hydrogen_bonded_classes, modelled_classes, peptide_bonded
from haruspex_infer.structure import read_structure


@pytest.fixture
def model(tmp_path):
    def read(*chains, change=lambda structure: None):
        made = document(*chains)
        change(made)
        path = tmp_path / "model.pdb"
        path.write_text(made.make_pdb_string())
        return read_structure(path)

    return read


def test_an_ideal_helix_but_for_its_ends(model):
    structure = model(chain("A", backbone([HELIX] * 15)))
    # turns start at 1..11, so residues 2..14 lie between two turns
    assert hydrogen_bonded_classes(structure).tolist() == [0] + [1] * 13 + [0]


def test_a_gap_ends_the_helix(model):
    coordinates = backbone([HELIX] * 24)
    structure = model(chain("A", np.delete(coordinates, 12, axis=0)))
    assert not peptide_bonded(structure)[11]
    classes = hydrogen_bonded_classes(structure)
    assert classes[1:11].tolist() == [1] * 10
    assert classes[11:13].tolist() == [0, 0]
    assert classes[13:22].tolist() == [1] * 9


def test_a_lonely_strand_is_none(model):
    structure = model(chain("A", backbone([STRAND] * 10)))
    assert not hydrogen_bonded_classes(structure).any()


def test_nothing_to_bond(model):
    assert hydrogen_bonded_classes(model(chain("A", backbone([HELIX])))).tolist() == [0]


def test_residues_without_oxygen_have_no_class_unless_records_tell(model):
    def strip(structure):
        for residue in structure[0][0]:
            residue.remove_atom("O", "*", residue[3].element)

    structure = model(chain("A", backbone([HELIX] * 8)), change=strip)
    assert structure.n_atoms == 24
    assert (modelled_classes(structure) == UNKNOWN).all()


@pytest.mark.parametrize(
    "name",
    [
        "EMD-2513/4ci0.pdb.gz",
        "EMD-20026/3ajo_fitted_refined.pdb.gz",
        "EMD-0093/6gyn.pdb.gz",
        "EMD-6374/3jb0-D.pdb.gz",
        "EMD-30342/390_7cec_A.cif.gz",
    ],
)
def test_deposited_models_as_rs_dssp_sees_them(shared_data, name):
    pytest.importorskip("haruspex_train", reason="rs-dssp comes with haruspex_train, which is not installed")
    from haruspex_train.secondary import dssp_classes, with_bulges

    structure = read_structure(shared_data / "maps" / name)
    protein = structure.kind == 1
    ours = hydrogen_bonded_classes(structure)[protein]
    theirs = with_bulges(dssp_classes(structure), structure)[protein]
    assert (ours == theirs).mean() >= 0.97
    # never a helix for a strand, or the other way round
    assert not ((ours > 0) & (theirs > 0) & (ours != theirs)).any()
