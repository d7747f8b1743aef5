"""Simulated twins of experimental maps, and what is exchanged between the two."""

import numpy as np
import pytest
from peptides import HELIX as HELICAL
from peptides import backbone, chain, document

from haruspex_infer.classes import HELIX
from haruspex_infer.grid import Grid
from haruspex_infer.sampling import sample
from haruspex_infer.structure import from_gemmi

GRID = Grid((40, 36, 44), (1.1, 1.1, 1.1), (-20.0, -19.0, -23.0))


@pytest.fixture
def twins(benchmark_called):
    return benchmark_called("twins")


@pytest.fixture
def shells(benchmark_called):
    return benchmark_called("shells")


@pytest.fixture
def volumes():
    rng = np.random.default_rng(0)
    return rng.standard_normal((2, *GRID.shape)).astype(np.float32)


def test_a_twin_has_its_molecule_on_the_voxels_asked(twins):
    whole = from_gemmi(document(chain("A", backbone([HELICAL] * 16))))
    whole.xyz[:] -= whole.xyz.mean(axis=0)
    classes = np.full(whole.n_residues, HELIX.number, np.uint8)
    density = twins.simulate_on(GRID, whole, classes, 3.0, 1, twins.PERFECT)
    assert density.shape == GRID.shape
    assert sample(density, GRID, whole.xyz).min() > 3 * density.std()
    mirrored = whole.xyz * np.array([-1, 1, 1], np.float32)
    assert sample(density, GRID, mirrored).mean() < 0.7 * sample(density, GRID, whole.xyz).mean()
    again = twins.simulate_on(GRID, whole, classes, 3.0, 1, twins.PERFECT)
    assert (density == again).all()


def test_a_map_is_cut_to_its_model_without_moving(twins):
    whole = from_gemmi(document(chain("A", backbone([HELICAL] * 6))))
    large = Grid((90, 80, 100), (1.1, 1.1, 1.1), (-40.0, -35.0, -45.0))
    density = np.random.default_rng(1).standard_normal(large.shape).astype(np.float32)
    cut = twins.near(twins.Map.from_array(density, large.voxel_size, large.origin), whole)
    assert cut.grid.voxels < large.voxels
    np.testing.assert_allclose(
        sample(cut.density, cut.grid, whole.xyz), sample(density, large, whole.xyz), rtol=1e-4, atol=1e-5
    )


def test_amplitudes_are_taken_over_shell_by_shell(shells, volumes):
    made, (one, other) = shells.Shells(GRID), volumes
    steep = made.back(made.transform(other) * np.exp(-3 * made.q**2))
    matched = made.matched(one, steep)
    # the shells' means of the result are those of the volume it was matched to
    np.testing.assert_allclose(
        made.power(made.transform(matched)), made.power(made.transform(steep)), rtol=1e-2, atol=1e-3
    )
    assert made.correlation(matched, one)[made.q > 0.1].min() > 0.999


def test_phases_are_taken_over_where_asked(shells, volumes):
    made, (one, other) = shells.Shells(GRID), volumes
    turned = made.swapped(one, other, 0.1, 0.3)
    within = (made.q > 0.12) & (made.q < 0.28)
    beyond = made.q > 0.32
    assert made.correlation(turned, other)[within].mean() > 0.7
    assert made.correlation(turned, one)[beyond].min() > 0.999
    np.testing.assert_allclose(made.swapped(one, one, 0.0, 9.0), one, atol=1e-4)


def test_what_is_fitted_leaves_nothing_to_explain(shells, volumes):
    made, (one, other) = shells.Shells(GRID), volumes
    mixed = one + 0.5 * other
    left = mixed - made.fitted(one, mixed)
    # shells of a single coefficient, at the origin and in the corners, are explained to the last bit
    many = (made.q > 0.05) & (made.q < 0.7)
    assert np.abs(made.correlation(left, one))[many].max() < 1e-3


def test_local_strength_is_taken_over(shells, volumes):
    one, other = volumes
    ramp = other * np.linspace(0.2, 2, GRID.shape[0], dtype=np.float32)[:, None, None]
    given = shells.with_strength_of(one, ramp, GRID, 6.0)
    assert given[-10:].std() > 3 * given[:10].std()
