"""Belts of detergent: around the molecule, not in it, in a slab, as dense and as grainy as asked."""

from dataclasses import replace

import pytest
import torch
from test_simulate import UNTOUCHED

from haruspex_train.atoms import Draw
from haruspex_train.density import DENSE_PROTEIN, Depositor
from haruspex_train.micelle import HALF_THICKNESS, Micelle
from haruspex_train.settings import SimulationSettings
from haruspex_train.simulate import Simulator

CPU = torch.device("cpu")
EDGE, SIZE, N = 72, 1.1, 6
RADIUS = 12.0
"""Å, of a ball of dense protein."""

EVEN = replace(SimulationSettings(), p_micelle=1.0, micelle_grain=(0.0, 0.0), b_micelle=(80.0, 80.0))


@pytest.fixture(scope="module")
def ball():
    """Structure of the amplitudes of a ball in the middle of every crop, and Å from its surface."""
    axis = (torch.arange(EDGE) - (EDGE - 1) / 2) * SIZE
    away = torch.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2) - RADIUS
    density = (away < 0).float() * DENSE_PROTEIN * SIZE**3
    depositor = Depositor(EDGE, CPU)
    return depositor, (torch.fft.rfftn(density)).expand(N, -1, -1, -1) / depositor.unspline, away


def belts(ball, settings, seed=1):
    """Belts, in units of dense protein."""
    depositor, envelope_f, _ = ball
    belt = Micelle(depositor, Draw(seed, CPU), settings)(envelope_f, torch.full((N,), SIZE))
    return depositor.real(belt) / (DENSE_PROTEIN * SIZE**3)


def test_a_belt_lies_around_the_molecule(ball):
    away = ball[2]
    for belt in belts(ball, EVEN):
        beside = belt[(away > 4) & (away < 8)]
        assert belt[away < -5].abs().max() < 0.1
        assert beside.mean() > 0.1
        assert 0.3 < beside.max() < 1.2
        assert belt[away > 25].abs().max() < 0.1 * beside.max()


def test_a_belt_is_a_slab(ball):
    """Along one direction it is no thicker than a bilayer; along the others it goes around the ball."""
    axis = (torch.arange(EDGE) - (EDGE - 1) / 2) * SIZE
    place = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
    for belt in belts(ball, EVEN):
        held = place[belt > 0.3 * belt.max()]
        thickness, *widths = torch.linalg.eigvalsh(torch.cov(held.T)).sqrt().tolist()
        assert thickness < HALF_THICKNESS[1]
        # matter outside a ring has at least this spread along any line in its plane
        assert min(widths) > RADIUS / 2**0.5


def test_grain_is_that_of_atoms_at_random(ball):
    """The more the atoms stand still at places of their own, the coarser; their mean is the even belt."""
    inside = (ball[2] > 4) & (ball[2] < 8)

    def roughness(grain, b):
        rough = replace(EVEN, micelle_grain=(grain, grain), b_micelle=(b, b))
        return (belts(ball, rough) - belts(ball, replace(EVEN, b_micelle=(b, b))))[:, inside]

    fixed, half, soft = (roughness(*case) for case in ((1.0, 80.0), (0.5, 80.0), (1.0, 400.0)))
    assert fixed.std() == pytest.approx(2 * half.std().item(), rel=1e-3)
    assert soft.std() < 0.5 * fixed.std()
    assert fixed.mean().abs() < 0.1 * fixed.std()


def test_none_is_drawn_where_none_is_asked_for(ball):
    assert belts(ball, replace(EVEN, p_micelle=0.0)).abs().max() == 0
    some = belts(ball, replace(EVEN, p_micelle=0.5), seed=3).abs().amax((1, 2, 3)) > 0
    assert some.any()
    assert not some.all()


def test_crops_hold_belts_that_are_other(tiny_atoms):
    bare, clad = (
        Simulator(tiny_atoms, 48, CPU, 4, settings).batch(6, 3.5)
        for settings in (UNTOUCHED, replace(UNTOUCHED, p_micelle=1.0, micelle=(1.0, 1.0)))
    )
    assert (clad.density > 0.3).float().mean() > 1.3 * (bare.density > 0.3).float().mean()
    # the molecule and its classes are the same, but for voxels next to the threshold of faint density
    assert ((bare.labels > 0) == (clad.labels > 0)).float().mean() > 0.97
