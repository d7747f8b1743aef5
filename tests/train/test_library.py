import hashlib
import lzma
import subprocess
import sys

import numpy as np
import pytest
from packing import pack
from peptides import HELIX, STRAND, backbone, chain, document

from haruspex_infer.errors import HaruspexError
from haruspex_infer.structure import read_structure
from haruspex_train.library import AtomLibrary, differences, load_training_atoms, undo_differences
from haruspex_train.prepare import prepare
from haruspex_train.secondary import elements, residue_classes

SPLITS = {"1aaa": "train", "1bbb": "holdout", "1ccc": "val", "1ddd": "train"}


def models(folder):
    """Four small models, as read from files, moved away from the origin and from each other."""
    made = {}
    for k, name in enumerate(SPLITS):
        coordinates = backbone([HELIX] * (10 + k) + [STRAND] * 4) + np.array([150.0 * k, -90, 33.333])
        chains = [chain("A", coordinates), chain("BB", coordinates + 30, first=-3, residue="GLY")]
        path = folder / f"{name}.cif"
        path.write_text(document(*chains).make_mmcif_document().as_string())
        made[name] = read_structure(path)
    return made


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    structures = models(folder)
    pack(folder, structures, SPLITS)
    prepare(folder, folder / "training.npz.xz", workers=2)
    return folder, structures


def test_structures_come_back(packed):
    folder, structures = packed
    library = AtomLibrary(folder)
    assert library.ids("train") == ["1aaa", "1ddd"]
    assert library.index["1bbb"]["split"] == "holdout"
    for name, wanted in structures.items():
        found = library.structure(name)
        np.testing.assert_allclose(found.xyz, wanted.xyz, atol=0.0101)
        for field in (
            "element",
            "atom_name",
            "residue",
            "chain",
            "name",
            "number",
            "insertion",
            "kind",
            "deposited",
        ):
            np.testing.assert_array_equal(getattr(found, field), getattr(wanted, field))
        np.testing.assert_allclose(found.occupancy, wanted.occupancy, atol=0.005)
        np.testing.assert_array_equal(found.backbone, wanted.backbone)


def test_training_atoms(packed):
    folder, structures = packed
    path = folder / "training.npz.xz"
    atoms = load_training_atoms(path, "train")
    assert atoms.ids == ("1aaa", "1ddd")
    assert atoms.digest == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    residues = segments = 0
    for k, name in enumerate(atoms.ids):
        wanted = structures[name]
        rows = slice(atoms.offset[k], atoms.offset[k + 1])
        classes = residue_classes(wanted)
        element = elements(wanted, classes)
        np.testing.assert_allclose(atoms.xyz[rows], wanted.xyz, atol=0.021)
        np.testing.assert_array_equal(atoms.element[rows], wanted.element)
        np.testing.assert_array_equal(atoms.backbone[rows], wanted.backbone)
        np.testing.assert_array_equal(atoms.cls[rows], classes[wanted.residue])
        np.testing.assert_array_equal(atoms.kind[rows], wanted.kind[wanted.residue])
        np.testing.assert_array_equal(atoms.residue[rows], wanted.residue + residues)
        np.testing.assert_array_equal(atoms.segment[rows], element[wanted.residue] + segments)
        np.testing.assert_allclose(atoms.b_iso[rows], 30)
        residues += wanted.n_residues
        segments += element[-1] + 1
    assert atoms.offset[-1] == len(atoms.xyz)
    assert {1} <= set(atoms.cls.tolist())
    assert load_training_atoms(path, "val").ids == ("1ccc",)


def test_holdout_does_not_travel(packed):
    folder, _ = packed
    with pytest.raises(HaruspexError, match="no split 'holdout'"):
        load_training_atoms(folder / "training.npz.xz", "holdout")


def test_preparing_again_gives_the_same_bytes(packed, tmp_path):
    folder, structures = packed
    counts = prepare(folder, tmp_path / "again.npz.xz", workers=1)
    assert (tmp_path / "again.npz.xz").read_bytes() == (folder / "training.npz.xz").read_bytes()
    assert counts["entries"] == 3
    assert counts["atoms"] == sum(s.n_atoms for name, s in structures.items() if SPLITS[name] != "holdout")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.npz.xz"]


def test_loading_needs_numpy_alone(packed):
    folder, _ = packed
    code = (
        "import sys\n"
        "from haruspex_train.library import load_training_atoms\n"
        "atoms = load_training_atoms(sys.argv[1], 'val')\n"
        "unwanted = {'gemmi', 'rs_dssp', 'torch', 'onnxruntime'}\n"
        "print(len(atoms.xyz), sorted(unwanted & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder / "training.npz.xz")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().endswith("[]")
    assert int(done.stdout.split()[0]) > 0


def test_wrapped_differences_come_back():
    steps = np.array([-32768, 32767, 0, -1, 12000, -20000], np.int16)
    np.testing.assert_array_equal(undo_differences(differences(steps)), steps)


def test_what_goes_wrong_is_told(packed, tmp_path):
    folder, _ = packed
    with pytest.raises(HaruspexError, match="There is no packed library"):
        AtomLibrary(tmp_path)
    (tmp_path / "atomic_models.npz.xz").write_bytes(b"nothing")
    with pytest.raises(HaruspexError, match="neither a training file nor a packed library"):
        AtomLibrary(tmp_path)
    with pytest.raises(HaruspexError, match="holds no entry 9zzz"):
        AtomLibrary(folder).structure("9zzz")
    with pytest.raises(HaruspexError, match="There is no folder"):
        prepare(folder, tmp_path / "absent" / "out.npz.xz")


@pytest.mark.parametrize(
    "content", [b"text", lzma.compress(b"text"), lzma.compress(b"PK\x03\x04 and no more")]
)
def test_what_is_no_training_file_is_refused(tmp_path, content):
    (tmp_path / "a.npz.xz").write_bytes(content)
    with pytest.raises(HaruspexError, match="is neither a training file nor"):
        load_training_atoms(tmp_path / "a.npz.xz", "train")


def test_the_deposited_library(shared_data):
    library = AtomLibrary(shared_data / "atomic_models")
    assert [len(library.ids(split)) for split in ("train", "val", "holdout")] == [2434, 130, 26]
    structure = library.structure("11as")
    assert (structure.kind == 1).sum() == int(library.index["11as"]["residues_protein"])
    classes = residue_classes(structure)
    assert 0.35 < (classes == 1).mean() < 0.5
    assert 0.18 < (classes == 2).mean() < 0.35
