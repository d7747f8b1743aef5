import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation

from haruspex_infer.errors import HaruspexError
from haruspex_infer.normalise import Normaliser, half_sample_mode, is_inverted

VOXEL = (1.1, 1.1, 1.1)


def blob_map(seed: int = 0, noise: float = 0.05) -> np.ndarray:
    """A lump of uneven density in noise."""
    rng = np.random.default_rng(seed)
    z, y, x = np.mgrid[:48, :40, :44].astype(np.float32)
    inside = (z - 24) ** 2 + (y - 20) ** 2 + (x - 22) ** 2 < 13**2
    density = noise * rng.standard_normal(z.shape)
    density[inside] += rng.gamma(2.0, 0.4, inside.sum())
    return density.astype(np.float32)


@settings(max_examples=25)
@given(
    factor=st.floats(1e-4, 1e4),
    shift=st.floats(-3, 3),
)
def test_scale_and_shift_change_nothing(factor, shift):
    density = blob_map()
    changed = ((density + np.float32(shift)) * np.float32(factor)).astype(np.float32)
    np.testing.assert_allclose(Normaliser()(changed, VOXEL), Normaliser()(density, VOXEL), atol=2e-4)


def test_padding_with_solvent_and_zone_masking_hardly_change_the_scale():
    density = blob_map()
    rng = np.random.default_rng(1)
    padded = (0.05 * rng.standard_normal((96, 96, 96))).astype(np.float32)
    padded[20:68, 30:70, 40:84] = density
    z, y, x = np.mgrid[:48, :40, :44]
    zone = np.where((z - 24) ** 2 + (y - 20) ** 2 + (x - 22) ** 2 < 16**2, density, 0).astype(np.float32)
    offset, scale = Normaliser().measure(density, VOXEL)
    for other in (padded, zone):
        other_offset, other_scale = Normaliser().measure(other, VOXEL)
        assert other_scale == pytest.approx(scale, rel=0.03)
        assert other_offset == pytest.approx(offset, abs=0.05 * scale)


def test_solvent_is_zero_and_strong_density_one():
    normalised = Normaliser()(blob_map(noise=0.0), VOXEL)
    assert normalised[0, 0, 0] == 0
    assert 0.5 < np.percentile(normalised[normalised > 0], 90) < 1.5


@pytest.mark.parametrize("voxel_size", [(1.1, 1.1, 1.1), (0.7, 1.0, 2.2)])
def test_the_scale_is_that_of_the_formula(voxel_size):
    """Networks were trained on this scale: any other formula would make all of them wrong a little."""
    density = blob_map(noise=0.02)
    normaliser = Normaliser(core_fraction=0.5, dilation=3.0, percentile=90.0)
    offset, scale = normaliser.measure(density, voxel_size)
    above = np.maximum(density.astype(np.float64) - offset, 0)
    core = np.average(above, weights=above**3)
    widths = [2 * round(3.0 / edge) + 1 for edge in voxel_size]
    envelope = binary_dilation(above > 0.5 * core, np.ones(widths, bool))
    assert scale == pytest.approx(np.percentile(above[envelope], 90), rel=1e-5)


def test_an_inverted_map_is_one_whose_strong_density_lies_below():
    density = np.full((16, 16, 16), 0.1, np.float32)  # more than half of it above solvent, but hardly
    density[6:9, 6:9, 6:9] = -1
    assert density.sum() > 0
    assert is_inverted(density)
    assert not is_inverted(-density)


def test_a_heavy_atom_is_clipped():
    density = blob_map()
    density[24, 20, 22] = 30
    assert Normaliser()(density, VOXEL).max() <= Normaliser().highest


@pytest.mark.parametrize("level", [0.0, 3.7, -2.0])
def test_a_constant_map_is_refused(level):
    with pytest.raises(HaruspexError, match="no density above"):
        Normaliser().measure(np.full((16, 16, 16), level, np.float32), VOXEL)


def test_mode_finds_the_densest_value():
    rng = np.random.default_rng(2)
    values = np.concatenate([rng.normal(5, 0.1, 4000), rng.uniform(0, 30, 3000)]).astype(np.float32)
    assert half_sample_mode(values) == pytest.approx(5, abs=0.1)
    assert half_sample_mode(np.array([0, 0, 0, 1, 2, 9], np.float32)) == 0
