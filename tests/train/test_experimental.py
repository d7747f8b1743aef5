import json
import subprocess
import sys
from collections import Counter

import h5py
import numpy as np
import pytest
import torch
from test_annotate import HEAD, write_pair
from test_train import TINY, stop_at

from haruspex_infer.errors import HaruspexError
from haruspex_train.annotate import annotate
from haruspex_train.configuration import changed
from haruspex_train.experimental import ExperimentalSegments, MixedPool, part
from haruspex_train.pool import ROTATIONS
from haruspex_train.progress import Log, read_weights
from haruspex_train.segments import EDGE, Rules
from haruspex_train.store import segment
from haruspex_train.train import Schedule, train
from haruspex_train.truth import IGNORE

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Segments of two entries, of which one may be held out."""
    folder = tmp_path_factory.mktemp("experimental")
    pairs = (write_pair(folder, name, 1.1, size=size) for name, size in (("ONE", 60), ("TWO", 50)))
    rows = [row.replace("\tval\t", "\ttrain\t") for row in pairs]
    (folder / "INDEX.tsv").write_text("\n".join([HEAD, *rows]) + "\n")
    annotate(folder, folder / "truth")
    segment(folder, folder / "truth", folder / "segments", rules=Rules(atoms=1, level=0.5, annotated=0.0001))
    return folder / "segments"


class Simulated:
    """Stands in for the pool of simulated segments: parts that are all -1."""

    def __init__(self, seed=0, lanes=1, own=None):
        self.seed, self.step, self.lanes, self.own = seed, 0, lanes, own or range(lanes)

    def batch(self, n, edge):
        self.step += 1
        n = n // self.lanes * len(self.own)
        return torch.full((n, 1, edge, edge, edge), -1.0), torch.full(
            (n, edge, edge, edge), 7, dtype=torch.uint8
        )


def experimental(batch):
    return [k for k, labels in enumerate(batch[1]) if (labels != 7).all()]


@pytest.mark.parametrize("share", [0.2, 0.33, 0.9])
def test_the_share_is_kept_and_the_places_change(store, share):
    pool = MixedPool(Simulated(), ExperimentalSegments(store), share)
    found = [experimental(pool.batch(8, 16)) for _ in range(50)]
    counts = [len(places) for places in found]
    assert sum(counts) == int(50 * 8 * share)
    assert max(counts) - min(counts) <= 1
    assert set(Counter(place for places in found for place in places)) == set(range(8))


def test_parts_hold_what_the_store_holds(store):
    segments = ExperimentalSegments(store)
    density, labels = MixedPool(Simulated(), segments, 0.25).batch(8, EDGE)
    places = experimental((density, labels))
    assert len(places) == 2
    for place in places:
        # a turned segment has all of its voxels, and every voxel its label
        found = by_label(density[place, 0].numpy(), labels[place].numpy())
        stored = [by_label(*segments.read(number)) for number in range(len(segments))]
        assert sum(all(map(np.array_equal, found, one)) for one in stored) == 1


def by_label(density, labels):
    """Density of the voxels of each label, in order."""
    return [np.sort(density[labels == label].astype(np.float32)) for label in (0, 1, IGNORE)]


def test_density_and_labels_are_cut_and_turned_together():
    rng = np.random.default_rng(0)
    volume = rng.integers(0, 1000, (20, 20, 20)).astype(np.int32)
    for turn in range(len(ROTATIONS)):
        where = rng.random(3)
        cube = part(volume, where, 8, -1, turn)
        np.testing.assert_array_equal(part(volume * 3, where, 8, -3, turn), cube * 3)
        assert cube.shape == (8, 8, 8)
        assert np.isin(cube, volume).all()


def test_every_place_is_reached():
    volume = np.arange(10**3).reshape(10, 10, 10)
    firsts = {part(volume, np.full(3, where), 8, 0, 0)[0, 0, 0] for where in np.linspace(0, 0.999, 50)}
    assert firsts == {0, 111, 222}


def test_larger_parts_are_padded_with_what_does_not_count():
    labels = np.ones((10, 10, 10), np.uint8)
    cube = part(labels, np.array([0.0, 0.5, 0.999]), 14, IGNORE, 5)
    assert (cube == 1).sum() == 1000
    assert (cube == IGNORE).sum() == 14**3 - 1000


def test_a_batch_follows_from_its_number_alone(store):
    segments = ExperimentalSegments(store)
    one, other = MixedPool(Simulated(), segments, 0.4), MixedPool(Simulated(), segments, 0.4)
    batches = [one.batch(8, 16) for _ in range(5)]
    other.simulated.step = 3
    for found, expected in zip(other.batch(8, 16), batches[3], strict=True):
        assert torch.equal(found, expected)
    different = MixedPool(Simulated(seed=1), segments, 0.4).batch(8, 16)
    assert not torch.equal(different[0], batches[0][0])


def test_processes_draw_together_what_one_would(store):
    segments = ExperimentalSegments(store)
    whole = MixedPool(Simulated(lanes=4), segments, 0.5)
    halves = [MixedPool(Simulated(lanes=4, own=own), segments, 0.5) for own in (range(2), range(2, 4))]
    for _ in range(3):
        density, labels = whole.batch(8, 12)
        shares = [half.batch(8, 12) for half in halves]
        assert torch.equal(torch.cat([d for d, _ in shares]), density)
        assert torch.equal(torch.cat([t for _, t in shares]), labels)


def test_what_is_held_out_does_not_train(store, tmp_path):
    text = (store / "SEGMENTS.tsv").read_text()
    everything = len(ExperimentalSegments(store))
    (tmp_path / "SEGMENTS.tsv").write_text(text.replace("\ttrain\t", "\theld out\t", 1))
    for path in store.glob("*.h5"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert len(ExperimentalSegments(tmp_path)) < everything
    (tmp_path / "SEGMENTS.tsv").write_text(text.splitlines()[0] + "\n")
    with pytest.raises(HaruspexError, match="no segment to train on"):
        ExperimentalSegments(tmp_path)


def test_segments_of_another_normalisation_are_refused(store, tmp_path):
    for path in store.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    for path in tmp_path.glob("*.h5"):
        with h5py.File(path, "a") as file:
            file.attrs["normalisation"] = json.dumps({"percentile": 1})
    with pytest.raises(HaruspexError, match="normalised in another way"):
        ExperimentalSegments(tmp_path)


def test_training_mixes_and_goes_on(training_file, store, tmp_path, monkeypatch, few_held_out_crops):
    mixed = changed(TINY, steps=4, segment_share=0.5)
    often = Schedule(log_every=2, checkpoint_minutes=0)
    about = read_weights(
        train(mixed, training_file, tmp_path / "mixed", "cpu", schedule=often, segments=store), CPU
    )
    assert "segments sha256:" in about["digest"]
    assert about["configuration"]["segment_share"] == 0.5
    alone = read_weights(train(changed(TINY, steps=4), training_file, tmp_path / "alone", "cpu"), CPU)
    assert any(not torch.equal(about["weights"][k], alone["weights"][k]) for k in alone["weights"])
    # a run that stops half way goes on to the same weights
    write = stop_at(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(mixed, training_file, tmp_path / "again", "cpu", schedule=often, segments=store)
    monkeypatch.setattr(Log, "write", write)
    again = read_weights(
        train(mixed, training_file, tmp_path / "again", "cpu", schedule=often, segments=store), CPU
    )
    assert again["step"] == 4
    for name, values in about["weights"].items():
        assert torch.equal(values, again["weights"][name])


def test_a_folder_and_a_share_go_together(training_file, store, tmp_path):
    for share, folder in ((0.2, None), (0.0, store)):
        mixed = changed(TINY, segment_share=share)
        with pytest.raises(HaruspexError, match="need both"):
            train(mixed, training_file, tmp_path / "run", "cpu", segments=folder)
    with pytest.raises(HaruspexError, match=r"segment_share is 1\.5"):
        changed(TINY, segment_share=1.5)


def test_the_command_names_what_is_missing(training_file, tmp_path):
    command = [sys.executable, "-m", "haruspex_train", "train", "mostosi2020", "--atoms", str(training_file)]
    command += ["-o", str(tmp_path / "run"), "--device", "cpu", "--segment-share", "0.2"]
    done = subprocess.run(
        [*command, "--segments", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "SEGMENTS.tsv" in done.stderr
    assert "Traceback" not in done.stderr
