import json

import numpy as np
import pytest
from pairing import HEAD, network
from peptides import HELIX, backbone, chain, document
from toys import metadata, pointwise_network

from haruspex_infer.errors import HaruspexError
from haruspex_infer.grid import Grid
from haruspex_infer.structure import read_structure
from haruspex_train.evaluate import evaluate_against, evaluate_pairs, score
from haruspex_train.groundtruth import near
from haruspex_train.pairs import Pair, read_pairs
from haruspex_train.scoreboard import COLUMNS


def test_evaluation_from_files_to_files(pairs, tmp_path):
    seen = []
    board = evaluate_pairs(network(tmp_path / "n.onnx"), pairs, "val", tmp_path / "out", "cpu", seen.append)
    assert [s.pair.name for s in seen] == ["EMD-1"]
    (result,) = board.scores
    assert result.resolved.recall == 1
    helix = result.resolved.confusion.sum(axis=1)[1]
    assert 22 <= helix <= 25
    assert result.resolved.precision == pytest.approx(helix / 32)
    assert result.voxels.class_recall[1] > 0.9
    assert result.protein_nucleotide == 0
    stem = tmp_path / "out" / "threshold_val"
    rows = stem.with_suffix(".tsv").read_text(encoding="utf-8").splitlines()
    values = dict(zip(rows[0].split("\t"), rows[1].split("\t"), strict=True))
    assert len(rows) == 2
    assert set(COLUMNS) < set(values)
    assert float(values["recall"]) == 1
    assert values["strand_f1"] == ""
    everything = json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))
    assert everything["network"]["digest"].startswith("sha256:")
    assert everything["summary"]["protein, all"]["recall"]["median"] == 1
    assert everything["maps"][0]["all_residues"]["cases"] == 32
    table = stem.with_suffix(".md").read_text(encoding="utf-8")
    assert "| EMD-1 | 3.5 | 32 | 1.000 |" in table
    assert "**median** (protein, 4 Å or better, 1 maps)" in table
    assert "### Taken for, residues together" in table
    names = {path.name.removeprefix("threshold_val") for path in (tmp_path / "out").iterdir()}
    assert names == {
        ".tsv", ".md", ".json", "_residues.csv",
        "_recall.png", "_density.png", "_calibration.png", "annotations",
    }  # fmt: skip
    residues = (tmp_path / "out" / "threshold_val_residues.csv").read_text(encoding="utf-8").splitlines()
    assert len(residues) == 33


def test_a_second_evaluation_writes_the_same_files(pairs, tmp_path):
    out = tmp_path / "out"
    evaluate_pairs(network(tmp_path / "n.onnx"), pairs, "val", out, "cpu")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    evaluate_pairs(network(tmp_path / "n.onnx"), pairs, "val", out, "cpu")
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_two_networks_are_compared_on_the_same_maps(pairs, tmp_path):
    rows = (pairs / "INDEX.tsv").read_text(encoding="utf-8").splitlines()
    (pairs / "INDEX.tsv").write_text("\n".join([*rows, rows[1].replace("EMD-1", "EMD-2")]), encoding="utf-8")
    good = network(tmp_path / "n.onnx")
    # it calls the molecule strand where the other finds helix
    wrong = pointwise_network(
        tmp_path / "w.onnx", metadata(name="wrong"), weight=[-10, 0, 10, 0], bias=[5, -9, -5, -9]
    )
    printed = evaluate_against(good, wrong, pairs, "val", tmp_path / "out", "cpu")
    kept = (tmp_path / "out" / "threshold_against_wrong_val.md").read_text(encoding="utf-8")
    assert printed.endswith(f"\n\n{kept}")
    head, _, median, together, *_ = kept.splitlines()
    assert head.startswith("| threshold − wrong | recall | precision | helix F1 |")
    # the wrong one has no helix right, in whatever maps and stretches are drawn
    best = json.loads((tmp_path / "out" / "threshold_val.json").read_text(encoding="utf-8"))
    f1 = best["summary"]["protein, all"]["helix_f1"]
    assert f1["median_interval"][0] <= f1["median"] <= f1["median_interval"][1]
    assert f1["together"] == pytest.approx(f1["median"])
    assert f"| +{f1['median']:.3f} (" in median
    assert f"| +{f1['together']:.3f} (" in together
    assert (tmp_path / "out" / "wrong_val.json").is_file()


def test_results_of_one_network_do_not_replace_those_of_another(pairs, tmp_path):
    one, other = network(tmp_path / "n.onnx"), network(tmp_path / "m.onnx")
    with pytest.raises(HaruspexError, match="Both networks are called threshold"):
        evaluate_against(one, other, pairs, "val", tmp_path / "out", "cpu")
    assert not (tmp_path / "out").exists()
    assert "| threshold − threshold |" in evaluate_against(one, other, pairs, "val", None, "cpu")


def test_nucleotides_of_what_is_not_modelled(tmp_path):
    path = tmp_path / "model.pdb"
    coordinates = backbone([HELIX] * 10)
    path.write_text(document(chain("A", coordinates)).make_pdb_string())
    structure = read_structure(path)
    grid = Grid((40, 40, 60), (1.0,) * 3, (-15.0, -15.0, -12.0))
    foreign = near(grid, np.array([[38.0, 0, 0]]), 4.0)
    density = (near(grid, structure.xyz, 2.0) + 2.0 * foreign).astype(np.float32)
    probabilities = np.zeros((4, *grid.shape), np.float32)
    probabilities[0] = 1
    half = foreign.copy()
    half[:20] = False
    probabilities[:, half] = np.array([0, 0, 0, 1])[:, None]
    pair = Pair("x", "-", "val", 3.0, "no", path, (path,))
    result = score(pair, probabilities, density, grid, structure)
    assert result.unmodelled_nucleotide == pytest.approx(half.sum() / foreign.sum())
    assert result.protein_nucleotide == 0
    assert result.resolved.recall == 0


def test_the_table_of_experimental_pairs(shared_data):
    chosen = read_pairs(shared_data / "maps", "val")
    assert len(chosen) == 10
    for pair in chosen:
        assert pair.map_path.is_file()
        assert all(path.is_file() for path in pair.model_paths)
    assert {pair.name: len(pair.model_paths) for pair in chosen}["EMD-11007"] == 2


def test_faulty_tables_are_told(tmp_path):
    with pytest.raises(HaruspexError, match="cannot be read"):
        read_pairs(tmp_path, "val")
    (tmp_path / "INDEX.tsv").write_text("id\tsplit\nEMD-1\tval\n")
    with pytest.raises(HaruspexError, match="not a table of maps"):
        read_pairs(tmp_path, "val")
    row = "EMD-1\ttest\t1ABC\t3.5\tno\tmap.mrc\tmodel.pdb\t"
    (tmp_path / "INDEX.tsv").write_text(f"{HEAD}\n{row}\n")
    with pytest.raises(HaruspexError, match="no pair of the split 'val'; it has test"):
        read_pairs(tmp_path, "val")
    (tmp_path / "INDEX.tsv").write_text(f"{HEAD}\n{row}\n{row}\n")
    with pytest.raises(HaruspexError, match="lists EMD-1 more than once"):
        read_pairs(tmp_path, "test")
    (tmp_path / "INDEX.tsv").write_text(f"{HEAD}\n{row.replace('3.5', 'nan')}\n")
    with pytest.raises(HaruspexError, match="gives EMD-1 no resolution"):
        read_pairs(tmp_path, "test")
