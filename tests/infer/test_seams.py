"""With a network that ships: where tiles are cut hardly shows."""

import numpy as np

from haruspex_infer.annotation import MOLECULE
from haruspex_infer.annotator import Annotator
from haruspex_infer.example import example_map
from haruspex_infer.mapfile import read_map
from haruspex_infer.occupancy import voxels_of
from haruspex_infer.session import Session
from haruspex_infer.sweep import Sweep


def test_small_tiles_annotate_like_a_single_one(monkeypatch):
    annotator = Annotator(device="cpu")
    map_ = read_map(example_map())
    answers = []
    for most in (10**6, 56 * 56 * 72):
        monkeypatch.setattr(Session, "most_voxels", lambda self, memory, most=most: most)
        plan = annotator.plan(map_)
        z, y, x = (slice(0, n) for n in plan.working.shape)
        three = Sweep(plan, annotator.contract.normaliser).run([annotator.session]).block((z, y, x))
        answers.append((len(plan.tiles.tiles), np.concatenate([1 - three.sum(axis=0, keepdims=True), three])))
    (one, whole), (several, cut) = answers
    assert one == 1
    assert several > 1
    region = voxels_of(plan.survey.region, plan.working.shape)
    molecule = region & (plan.density >= plan.offset + MOLECULE * plan.scale)
    difference = np.abs(whole - cut).max(axis=0)
    # tiles far smaller than those of real runs, so the bounds are wider than those in docs/speed.md
    assert difference[region].mean() < 0.01
    assert (whole.argmax(axis=0) != cut.argmax(axis=0))[molecule].mean() < 0.01
    assert difference.max() > 0
