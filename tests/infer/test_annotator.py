import gzip
import hashlib
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import lump, pointwise_network, pointwise_probabilities, valid_network

from haruspex_infer import annotate
from haruspex_infer.annotatedmap import most_probable
from haruspex_infer.annotation import MOLECULE
from haruspex_infer.annotator import Annotator
from haruspex_infer.classes import CLASS_NAMES, OTHER
from haruspex_infer.errors import HaruspexError
from haruspex_infer.field import STEP
from haruspex_infer.inputs import as_mask
from haruspex_infer.mapfile import Map, write_map_like
from haruspex_infer.normalise import Normaliser
from haruspex_infer.occupancy import voxels_of
from haruspex_infer.session import Session

# probabilities are kept in 65,000ths, and up to eight tiles answer for a voxel
ROUNDING = 3 * STEP


def normalised(density, voxel_size=1.1):
    return Normaliser()(density, (voxel_size,) * 3)


def test_the_annotation_of_a_pointwise_network_is_its_direct_answer(toy):
    density = lump()
    found = annotate(density, voxel_size=1.1, network=toy, device="cpu")
    expected = pointwise_probabilities(normalised(density))
    assert found.probabilities.dtype == np.float32
    inside = voxels_of(Annotator(toy, "cpu").plan(Map.from_array(density, 1.1)).survey.region, density.shape)
    assert 0.5 < inside.mean() < 1
    np.testing.assert_allclose(found.probabilities[:, inside], expected[:, inside], atol=ROUNDING)
    assert (found.probabilities[OTHER.number][~inside] == 1).all()
    np.testing.assert_array_equal(found.labels, found.probabilities.argmax(axis=0))
    assert found.labels.dtype == np.uint8


@settings(max_examples=12)
@given(
    shape=st.tuples(*[st.integers(5, 45)] * 3),
    edge=st.sampled_from([16, 24, 32]),
    margin=st.sampled_from([1, 3]),
)
def test_a_valid_network_answers_as_if_it_saw_the_whole_map_at_once(tmp_path_factory, shape, edge, margin):
    # whatever the tile: same places, same phase of the pooling, solvent around the box
    density = lump(shape, noise=0.5)
    path = valid_network(tmp_path_factory.mktemp("net") / "valid.onnx", margin)
    annotator = Annotator(path, "cpu")
    with patch.object(Session, "most_voxels", lambda *_: edge**3):
        plan = annotator.plan(Map.from_array(density, 1.1))
    found = annotator.run(plan)
    inside = voxels_of(plan.survey.region, shape)
    odd = [n % 2 for n in shape]
    # the pooling starts at the first voxel of the padding
    wide = np.pad(normalised(density), [(margin, margin + o) for o in odd])
    direct = Session(path, "cpu").run(wide[None, None])[0][(slice(None), *(slice(0, n) for n in shape))]
    np.testing.assert_allclose(found.probabilities[:, inside], direct[:, inside], atol=ROUNDING)
    assert (found.probabilities[OTHER.number][~inside] == 1).all()


def test_the_size_of_the_tiles_changes_nothing(tmp_path, monkeypatch):
    given = Map.from_array(lump((64, 60, 56), noise=0.5), 1.1)
    annotator = Annotator(valid_network(tmp_path / "valid.onnx"), "cpu")
    found = []
    for most in (64**3, 32**3, 20**3):
        monkeypatch.setattr(Session, "most_voxels", lambda self, memory, most=most: most)
        plan = annotator.plan(given)
        found.append((len(plan.tiles.tiles), annotator.run(plan).probabilities))
    numbers, answers = zip(*found, strict=True)
    assert numbers[0] < numbers[1] < numbers[2]
    for other in answers[1:]:
        np.testing.assert_allclose(other, answers[0], atol=ROUNDING)


def test_the_same_input_gives_the_same_bytes(toy, tmp_path):
    digests = []
    for run in ("a", "b"):
        files = annotate(lump(), voxel_size=1.0, network=toy, device="cpu").save(tmp_path / run, "x")
        digests.append(
            [hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.suffix == ".mrc"]
        )
    assert digests[0] == digests[1]
    assert len(digests[0]) == 6


@settings(max_examples=8)
@given(factor=st.floats(1e-3, 1e3), shift=st.floats(-2, 2))
def test_scale_and_shift_of_the_density_change_nothing(toy, factor, shift):
    density = lump((30, 28, 26))
    plain = annotate(density, voxel_size=0.9, network=toy, device="cpu")
    changed = annotate((density + shift) * factor, voxel_size=0.9, network=toy, device="cpu")
    np.testing.assert_allclose(changed.probabilities, plain.probabilities, atol=1e-3)


@settings(max_examples=15)
@given(
    shape=st.tuples(*[st.integers(3, 40)] * 3),
    voxel=st.tuples(*[st.floats(0.5, 2.5)] * 3),
)
def test_any_shape_and_voxel_size_comes_back_on_its_own_voxels(toy, shape, voxel):
    found = annotate(lump(shape), voxel_size=voxel, network=toy, device="cpu")
    assert found.probabilities.shape == (4, *shape)
    assert found.grid.voxel_size == voxel
    np.testing.assert_allclose(found.probabilities.sum(axis=0), 1, atol=1e-5)
    assert found.probabilities.min() >= 0


def test_resampling_there_and_back_keeps_things_in_place(toy):
    # a block of strong density at known voxels: its class must come back at those voxels
    density = np.zeros((60, 50, 55), dtype=np.float32)
    density[35:50, 10:22, 30:45] = 1
    density += 0.01 * np.random.default_rng(0).standard_normal(density.shape).astype(np.float32)
    for voxel in (0.8, (0.7, 0.8, 1.5), 1.2156):
        labels = annotate(density, voxel_size=voxel, network=toy, device="cpu").labels
        assert (labels[36:49, 11:21, 31:44] != OTHER.number).all()
        outside = np.ones(density.shape, dtype=bool)
        outside[34:51, 9:23, 29:46] = False
        assert (labels[outside] == OTHER.number).all()


def test_empty_tiles_are_skipped_and_their_voxels_are_other(toy):
    density = np.zeros((96, 96, 96), dtype=np.float32)
    density[:30, :30, :30] = lump((30, 30, 30))
    found = annotate(density, voxel_size=1.1, network=toy, device="cpu")
    assert found.report["tiles"]["voxels"] < 0.2 * density.size
    np.testing.assert_array_equal(
        found.probabilities[:, -30:, -30:, -30:].sum(axis=(1, 2, 3)), [27000, 0, 0, 0]
    )
    # nothing of the molecule was skipped
    expected = pointwise_probabilities(normalised(density))
    strong = normalised(density) >= MOLECULE
    np.testing.assert_allclose(found.probabilities[:, strong], expected[:, strong], atol=ROUNDING)


def test_a_mask_leaves_the_rest_other_and_skips_its_tiles(toy, tmp_path):
    density = lump((64, 64, 64))
    mask = np.zeros(density.shape, dtype=np.float32)
    mask[:24, :24, :24] = 1
    plain = annotate(density, voxel_size=1.1, network=toy, device="cpu")
    masked = annotate(density, voxel_size=1.1, network=toy, device="cpu", mask=mask)
    inside = mask > 0
    np.testing.assert_allclose(masked.probabilities[:, inside], plain.probabilities[:, inside], atol=ROUNDING)
    assert (masked.probabilities[OTHER.number][~inside] == 1).all()
    assert masked.report["tiles"]["voxels"] < plain.report["tiles"]["voxels"] / 2
    given = Map.from_array(density, 1.1)
    write_map_like(given, mask, tmp_path / "mask.mrc", "mask")
    np.testing.assert_array_equal(as_mask(tmp_path / "mask.mrc", given), inside)


def test_a_mask_on_other_voxels_is_refused(toy):
    message = "The mask has 4 × 4 × 4 voxels and the map 44 × 36 × 40"
    for mask in (np.ones((4, 4, 4)), Map.from_array(np.ones((4, 4, 4)), 1.0)):
        with pytest.raises(HaruspexError, match=message):
            annotate(lump(), voxel_size=1.1, network=toy, device="cpu", mask=mask)


def test_a_mask_that_keeps_nothing_is_refused(toy):
    with pytest.raises(HaruspexError, match="keeps nothing: its highest value is"):
        annotate(lump(), voxel_size=1.1, network=toy, device="cpu", mask=np.full(lump().shape, 0.4))


def test_inverted_contrast_is_noted(toy):
    for sign, notes in ((1, 0), (-1, 1)):
        found = annotate(sign * lump(), voxel_size=1.1, network=toy, device="cpu")
        assert sum("contrast may be inverted" in warning for warning in found.warnings) == notes


def test_a_map_larger_than_memory_is_refused(toy, monkeypatch):
    monkeypatch.setattr("haruspex_infer.plan.available_memory", lambda: 1e8)
    with pytest.raises(HaruspexError, match=r"needs about 0\.4 GB .* has 0\.1 GB: .* \(1\.1 Å\)"):
        annotate(lump(), voxel_size=1.1, network=toy, device="cpu")


@pytest.mark.parametrize("allowed", [-1e9, 0, 1e8])
def test_memory_that_leaves_no_room_for_tiles_is_refused(toy, allowed):
    with pytest.raises(
        HaruspexError, match=r"needs more than 0\.4 GB .* is to keep to -?[01]\.\d GB: allow more"
    ):
        Annotator(toy, "cpu", memory=allowed).annotate(Map.from_array(lump(), 1.1))


def test_a_file_a_map_and_an_array_give_the_same(toy, tmp_path):
    given = Map.from_array(lump(), 1.1)
    write_map_like(given, given.density, tmp_path / "a.mrc", "x")
    (tmp_path / "a.mrc.gz").write_bytes(gzip.compress((tmp_path / "a.mrc").read_bytes()))
    plain = annotate(given, network=toy, device="cpu").probabilities
    for source in (tmp_path / "a.mrc", str(tmp_path / "a.mrc.gz")):
        np.testing.assert_allclose(
            annotate(source, network=toy, device="cpu").probabilities, plain, atol=1e-6
        )


def test_another_voxel_size_for_a_map(toy):
    given = Map.from_array(lump(), 2.0, origin=(1.0, 2.0, 3.0))
    found = annotate(given, voxel_size=1.0, network=toy, device="cpu")
    assert found.grid.voxel_size == (1, 1, 1)
    assert found.grid.origin == (1, 2, 3)


def test_what_the_api_refuses(toy):
    with pytest.raises(HaruspexError, match="give it in Å as voxel_size"):
        annotate(lump(), network=toy)
    with pytest.raises(HaruspexError, match="constant or inverted"):
        annotate(np.ones((20, 20, 20)), voxel_size=1.0, network=toy, device="cpu")
    for device in (None, 0, "gpu"):
        with pytest.raises(HaruspexError, match=f"There is no device {device!r}: use auto"):
            Annotator(toy, device)


def test_progress_counts_the_tiles_that_run(tmp_path):
    seen = []
    path = pointwise_network(tmp_path / "toy.onnx")
    found = annotate(
        lump((64, 64, 64)),
        voxel_size=1.1,
        network=path,
        device="cpu",
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1] == (found.report["tiles"]["run"],) * 2
    assert seen == sorted(seen)


def test_the_plan_says_what_will_be_done(toy):
    annotator = Annotator(toy, "cpu")
    plan = annotator.plan(Map.from_array(lump(), 0.8))
    grids = "44 × 36 × 40 voxels of 0.8 Å → 32 × 27 × 30 of 1.1 Å"
    share = f"{plan.survey.region.mean():.0%} to annotate"
    assert plan.line().startswith(f"{grids}, {share}, 1 tile of 32 × 32 × 32, about ")
    assert plan.memory > 4 * 44 * 36 * 40 + 4 * 32 * 27 * 30
    assert annotator.line().startswith("toy 0.0.1 on cpu (")
    same = annotator.plan(Map.from_array(lump(), (1.1, 1.0, 1.2)))
    assert same.line().startswith("44 × 36 × 40 voxels of 1.2 × 1 × 1.1 Å, ")


def test_voxels_too_coarse_for_secondary_structure_are_noted(toy):
    annotator = Annotator(toy, "cpu")
    assert annotator.plan(Map.from_array(lump(), 2.0)).warnings == ()
    (note,) = annotator.plan(Map.from_array(lump(), (1.0, 3.0, 1.0))).warnings
    assert note.startswith("voxels of 3 Å show no detail under 6 Å")


def test_labels_are_the_most_probable_classes():
    probabilities = np.random.default_rng(0).integers(0, 4, (4, 5, 6, 7)).astype(np.float32)  # many equals
    np.testing.assert_array_equal(most_probable(probabilities), probabilities.argmax(axis=0))
    one = np.broadcast_to(np.array([0, 0, 1, 0], np.float32).reshape(4, 1, 1, 1), (4, 3, 3, 3))
    np.testing.assert_array_equal(most_probable(one), np.full((3, 3, 3), 2))


def test_composition_is_the_same_counted_while_writing_or_by_itself(toy, tmp_path):
    map_ = Map.from_array(lump((40, 44, 90)), 1.3)
    annotations = [Annotator(toy, "cpu").annotate(map_) for _ in range(2)]
    annotations[0].save(tmp_path / "out", html=False)
    whole, strong = annotations[1].probabilities, map_.density >= annotations[1].level(0.2)
    for name, part in annotations[0].composition.items():
        assert part == annotations[1].composition[name]
        of = whole.argmax(axis=0) == CLASS_NAMES.index(name)
        assert (part["voxels"], part["molecule_voxels"]) == (of.sum(), (of & strong).sum())


def test_composition_counts_voxels_and_volumes(toy):
    density = lump()
    found = annotate(density, voxel_size=1.1, network=toy, device="cpu")
    parts = found.composition
    assert list(parts) == ["other", "helix", "strand", "nucleotide"]
    assert sum(part["voxels"] for part in parts.values()) == density.size
    inside = normalised(density) >= MOLECULE
    assert sum(part["molecule_voxels"] for part in parts.values()) == inside.sum()
    assert sum(part["molecule_fraction"] for part in parts.values()) == pytest.approx(1)
    helix = parts["helix"]
    assert helix["voxels"] == (found.labels == 1).sum()
    assert helix["molecule_voxels"] == ((found.labels == 1) & inside).sum()
    assert helix["volume"] == pytest.approx(helix["voxels"] * 1.1**3)
    assert helix["molecule_volume"] == pytest.approx(helix["molecule_voxels"] * 1.1**3)
