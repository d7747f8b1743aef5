"""A folder of PDB and mmCIF files in place of a packed library."""

import gzip
import shutil

import numpy as np
import pytest
from packing import pack
from peptides import HELIX, backbone, chain, document
from test_library import SPLITS, models

from haruspex_infer.errors import HaruspexError
from haruspex_train.library import load_training_atoms
from haruspex_train.modelfolder import ModelFolder
from haruspex_train.prepare import prepare


@pytest.fixture
def own(tmp_path):
    """Models as a person keeps them: below each other, packed or not, among other files."""
    models(tmp_path)
    folder = tmp_path / "own"
    (folder / "train" / "more").mkdir(parents=True)
    (folder / "val").mkdir()
    shutil.copy(tmp_path / "1aaa.cif", folder / "train")
    (folder / "train" / "more" / "1ddd.cif.gz").write_bytes(
        gzip.compress((tmp_path / "1ddd.cif").read_bytes())
    )
    shutil.copy(tmp_path / "1ccc.cif", folder / "val")
    (folder / "train" / "README.md").write_text("about them")
    (folder / "train" / "._1aaa.cif").write_bytes(b"\x00\x05\x16\x07")
    return folder


def test_it_gives_what_the_packed_library_gives(own, tmp_path):
    pack(tmp_path, models(tmp_path), SPLITS)
    of_files, of_library = tmp_path / "own.npz.xz", tmp_path / "packed.npz.xz"
    assert prepare(own, of_files, workers=1) == prepare(tmp_path, of_library, workers=1)
    for split in ("train", "val"):
        found, wanted = load_training_atoms(of_files, split), load_training_atoms(of_library, split)
        assert found.ids == wanted.ids
        np.testing.assert_allclose(found.xyz, wanted.xyz, atol=0.0201)
        np.testing.assert_array_equal(found.cls, wanted.cls)
        np.testing.assert_array_equal(found.segment, wanted.segment)


def test_a_model_is_in_one_place(own):
    shutil.copy(own / "val" / "1ccc.cif", own / "train" / "1ccc.pdb")
    with pytest.raises(HaruspexError, match=r"train/1ccc\.pdb and .*val/1ccc\.cif have the same name"):
        ModelFolder(own)


@pytest.mark.parametrize("split", ["train", "val"])
def test_both_kinds_of_models_are_needed(own, split):
    shutil.rmtree(own / split)
    with pytest.raises(HaruspexError, match=f"no PDB or mmCIF files in .*/{split}: .* judge networks by"):
        ModelFolder(own)


def test_a_model_of_which_nothing_comes_is_named(own, tmp_path):
    ion = "HETATM    1 ZN    ZN A   1       1.000   2.000   3.000  1.00 20.00          ZN\nEND\n"
    (own / "val" / "ion.pdb").write_text(ion)
    with pytest.raises(HaruspexError, match=r"val/ion\.pdb holds neither amino acids nor nucleotides"):
        prepare(own, tmp_path / "out.npz.xz", workers=1)


def test_a_model_that_is_too_large_is_named(own, tmp_path):
    near = backbone([HELIX] * 5)
    wide = document(chain("A", near), chain("B", near + 4000))
    (own / "val" / "wide.cif").write_text(wide.make_mmcif_document().as_string())
    with pytest.raises(HaruspexError, match="The model wide is larger than 1,300 Å"):
        prepare(own, tmp_path / "out.npz.xz", workers=1)
