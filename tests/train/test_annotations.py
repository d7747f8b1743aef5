import numpy as np
import pytest
from pairing import network

from haruspex_infer.annotator import Annotator
from haruspex_infer.errors import HaruspexError
from haruspex_infer.mapfile import read_map
from haruspex_train import annotations as module
from haruspex_train.annotations import Annotations, engine_digest


class Counting(Annotator):
    runs = 0

    def annotate(self, *args, **options):
        self.runs += 1
        return super().annotate(*args, **options)


def test_the_network_runs_once_for_each_map(pairs, tmp_path):
    annotator = Counting(network(tmp_path / "n.onnx"), "cpu")
    kept = Annotations(annotator, tmp_path / "kept")
    first, second = (kept.of(pairs / "map.mrc") for _ in range(2))
    assert annotator.runs == 1
    np.testing.assert_array_equal(first.probabilities, second.probabilities)
    assert second.map.grid == read_map(pairs / "map.mrc").grid
    assert len(list((tmp_path / "kept").iterdir())) == 1


def test_whatever_changes_is_annotated_anew(pairs, tmp_path, monkeypatch):
    annotator = Counting(network(tmp_path / "n.onnx"), "cpu")
    kept = Annotations(annotator, tmp_path / "kept")
    kept.of(pairs / "map.mrc")
    content = bytearray((pairs / "map.mrc").read_bytes())
    content[-1] ^= 1
    (pairs / "map.mrc").write_bytes(content)
    kept.of(pairs / "map.mrc")
    assert annotator.runs == 2
    monkeypatch.setattr(module, "engine_digest", lambda: "sha256:" + "0" * 64)
    kept.of(pairs / "map.mrc")
    assert annotator.runs == 3


def test_nothing_is_kept_without_a_folder(pairs, tmp_path):
    annotator = Counting(network(tmp_path / "n.onnx"), "cpu")
    before = sorted(tmp_path.rglob("*"))
    for _ in range(2):
        Annotations(annotator).of(pairs / "map.mrc")
    assert annotator.runs == 2
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_cannot_be_written_is_told_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HaruspexError, match="cannot be written"):
        Annotations(Annotator(network(tmp_path / "n.onnx"), "cpu"), tmp_path / "file" / "kept")


def test_the_engine_has_one_digest():
    assert engine_digest() == engine_digest()
    assert engine_digest().startswith("sha256:")
