"""What the density of a map says about itself: noise, resolution, hand, scale."""

from functools import cache

import numpy as np
import pytest
from onnx import helper
from peptides import HELIX as HELICAL
from peptides import backbone
from toys import metadata, save_network

from haruspex_infer import mirrorimage
from haruspex_infer.annotator import Annotator
from haruspex_infer.grid import Grid
from haruspex_infer.idealhelix import fit, helix_axes, preference
from haruspex_infer.mapfile import Map
from haruspex_infer.outside import Outside, above_below, annotated_share, judge
from haruspex_infer.spectrum import PLACES, PROFILE, at, detail, feature_size, radial

SHAPE, EDGE = (72, 72, 72), 1.1


@cache
def helices(width=1.0):
    """Density of nine helices of 36 residues side by side, and where they are helix for sure."""
    rng = np.random.default_rng(5)
    grid = Grid(SHAPE, (EDGE,) * 3)
    density = np.zeros(SHAPE, np.float32)
    atoms = backbone([HELICAL] * 36).reshape(-1, 3)
    atoms = atoms - atoms.mean(axis=0)
    axis = np.linalg.svd(atoms)[2]
    atoms = atoms @ axis.T * np.sign(np.linalg.det(axis))
    for place in np.stack(np.meshgrid([18, 39, 60], [18, 39, 60], indexing="ij"), -1).reshape(-1, 2):
        turned = atoms[:, [1, 2, 0]]  # the longest axis along z
        angle = rng.uniform(0, 2 * np.pi)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        positions = np.column_stack([turned[:, :2] @ turn.T + place, turned[:, 2] + 39])
        for x, y, z in positions:
            gap = [np.exp(-(((grid.centres(k) - at) / width) ** 2) / 2) for k, at in enumerate((z, y, x))]
            density += np.einsum("i,j,k->ijk", *gap).astype(np.float32)
    density /= np.percentile(density[density > 0.3], 90)
    return density, (density > 0.2).astype(np.float32), grid


def test_true_helices_are_no_reason_to_warn():
    found = judge(*helices())
    assert found.helices >= 20
    assert found.hand > 5
    assert found.warnings == ()


def test_mirrored_helices_are_told():
    density, helix, grid = helices()
    found = judge(density[:, :, ::-1].copy(), helix[..., ::-1].copy(), grid)
    assert found.hand < -5
    (warning,) = found.warnings
    assert "wrong hand" in warning


def noise_like_proteins(voxel_size, shape=(64, 64, 64)):
    """Noise on voxels of 1.1 Å with the amplitudes of proteins, in a file that states another size."""
    true = Grid(shape, (EDGE,) * 3)
    frequency, _ = radial(np.zeros(shape, np.float32), true)
    with np.errstate(divide="ignore"):
        place = np.clip(np.log(frequency), PLACES[0], PLACES[-1])
    amplitude = np.exp(np.interp(place, PLACES, PROFILE) - 30 * np.minimum(frequency, 0.25) ** 2)
    white = np.random.default_rng(3).standard_normal(shape)
    coefficients = np.fft.rfftn(white)
    density = np.fft.irfftn(coefficients * amplitude.reshape(coefficients.shape), shape, axes=(0, 1, 2))
    return density.astype(np.float32), Grid(shape, (voxel_size,) * 3)


@pytest.mark.parametrize("factor", [0.7, 0.8, 1.0, 1.25, 1.4])
def test_amplitudes_tell_the_size_of_voxels(factor):
    size, gain = feature_size(*radial(*noise_like_proteins(factor * EDGE)))
    assert size == pytest.approx(factor, rel=0.06)
    assert (gain > 0.2) == (factor != 1)


def test_a_wrong_voxel_size_is_told():
    found = {"above_below": 50.0, "detail": 0.5, "helices": 0, "hand": np.nan}
    assert Outside(**found, scale=1.04, scale_gain=0.02).warnings == ()
    assert Outside(**found, scale=1.25, scale_gain=0.05).warnings == ()
    assert Outside(**found, scale=np.nan, scale_gain=np.nan).warnings == ()
    (warning,) = Outside(**found, scale=0.8, scale_gain=0.7).warnings
    assert "about 0.8 times the true one" in warning


def test_sharpening_leaves_the_profile_where_it_is():
    density, grid = noise_like_proteins(EDGE)
    frequency, power = radial(density, grid)
    sharpened = power * np.exp(40 * frequency**2)
    np.testing.assert_allclose(at(frequency, power), at(frequency, sharpened), atol=0.01)


def test_what_is_no_protein_has_no_size():
    white = np.random.default_rng(0).standard_normal((48, 48, 48)).astype(np.float32)
    size, gain = feature_size(*radial(white, Grid(white.shape, (EDGE,) * 3)))
    assert np.isnan(size)
    assert np.isnan(gain)
    tiny = np.ones((4, 4, 4), np.float32)
    assert np.isnan(feature_size(*radial(tiny, Grid(tiny.shape, (EDGE,) * 3)))[0])


def test_axes_run_along_the_helices():
    density, helix, grid = helices()
    axes = helix_axes(density, helix, grid)
    np.testing.assert_allclose(np.abs(axes.direction[:, 2]), 1, atol=0.02)
    away = np.abs(axes.centre[:, None, :2] - np.array([18, 39, 60])[None, :, None]).min(axis=1)
    assert away.max() < 1
    assert (fit(density, grid, axes) > fit(density, grid, axes, sense=-1.0)).mean() > 0.8


def test_few_pieces_say_nothing():
    few = np.arange(14.0)
    assert np.isnan(preference(few, few[::-1]))
    density, helix, grid = helices()
    none = judge(density, np.zeros_like(helix), grid)
    assert none.helices == 0
    assert np.isnan(none.hand)
    assert none.warnings == ()
    assert none.as_dict()["hand"] is None


def test_noise_is_told():
    rng = np.random.default_rng(0)
    density = rng.standard_normal(SHAPE).astype(np.float32)
    assert above_below(density) == pytest.approx(1, abs=0.1)
    found = judge(density, np.zeros(SHAPE, np.float32), Grid(SHAPE, (EDGE,) * 3))
    (warning,) = found.warnings
    assert "noise" in warning


def test_a_blurred_map_is_told():
    density, helix, grid = helices(width=3.0)
    found = judge(density, helix, grid)
    assert found.detail < 0.1 < detail(*radial(helices()[0], grid))
    assert "resolution seems too low" in found.warnings[0]


def test_a_box_too_small_for_the_scale_has_no_detail():
    tiny = np.ones((4, 4, 4), np.float32)
    assert np.isnan(detail(*radial(tiny, Grid(tiny.shape, (EDGE,) * 3))))


def test_the_summary_holds_what_was_found(toy):
    density, _, grid = helices()
    annotation = Annotator(toy, "cpu").annotate(Map.from_array(density, grid.voxel_size))
    checks = annotation.report["checks"]
    assert set(checks) == set(Outside.__dataclass_fields__)
    noise = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    annotation = Annotator(toy, "cpu").annotate(Map.from_array(noise, 1.1))
    assert any("noise" in warning for warning in annotation.warnings)


@pytest.fixture
def handed(tmp_path):
    """A network that calls helix what grows denser along x."""
    weight = np.zeros((4, 1, 1, 1, 3), np.float32)
    weight[1, 0, 0, 0] = -90, 0, 90
    nodes = [
        helper.make_node(
            "Conv", ["density", "weight"], ["logits"], kernel_shape=[1, 1, 3], pads=[0, 0, 1] * 2
        ),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    return save_network(tmp_path / "handed.onnx", nodes, {"weight": weight}, metadata())


def saw():
    """Density that rises slowly and falls at once along x, in solvent."""
    density = np.zeros((48, 48, 72), np.float32)
    density[12:36, 12:36, 12:60] = 0.5 + np.arange(48) / 48
    return density


def test_a_network_that_knows_the_hand_is_asked_of_the_mirror_image(handed):
    annotator = Annotator(handed, "cpu")
    right, wrong = (annotator.annotate(Map.from_array(d, 1.1)) for d in (saw(), saw()[:, :, ::-1].copy()))
    assert right.report["checks"]["annotated"] > 0.5
    assert right.report["checks"]["annotated_mirrored"] is None  # enough is annotated
    checks = wrong.report["checks"]
    assert checks["annotated_mirrored"] > 5 * checks["annotated"]
    assert any("wrong hand" in warning for warning in wrong.warnings)
    assert not any("wrong hand" in warning for warning in right.warnings)


def test_the_part_that_is_mirrored_is_of_the_molecule(handed):
    density = np.zeros((40, 44, 200), np.float32)
    density[8:32, 10:34, 150:190] = 1
    annotator = Annotator(handed, "cpu")
    plan = annotator.plan(Map.from_array(density, 1.1))
    part = mirrorimage._part(plan, annotator.contract, 80)
    assert all(edge % annotator.contract.multiple == 0 and edge <= 80 for edge in part.shape)
    assert (part > 0.5).sum() == (density > 0.5).sum()


def test_of_the_molecule_what_is_of_any_class_counts():
    density = np.ones((2, 2, 2), np.float32)
    density[1] = 0.0  # solvent
    probabilities = np.zeros((4, 2, 2, 2), np.float32)
    probabilities[0] = 1.0
    for voxel, number in enumerate((1, 2, 3)):
        probabilities[:, 0, voxel // 2, voxel % 2] = np.eye(4)[number]
    assert annotated_share(probabilities, density) == 0.75
    assert annotated_share(probabilities, np.zeros_like(density)) == 0.0
