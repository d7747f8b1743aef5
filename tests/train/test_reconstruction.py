"""What a refinement would write: noise that follows from the resolution, and the filters after it."""

from dataclasses import replace

import pytest
import torch

from haruspex_train.atoms import Draw
from haruspex_train.density import Depositor
from haruspex_train.reconstruction import Reconstruction
from haruspex_train.settings import SimulationSettings

CPU = torch.device("cpu")
EDGE, VOXEL, RESOLUTION = 48, 1.1, 4.0
PLAIN = replace(
    SimulationSettings(),
    solvent_contrast=(0.0, 0.0),
    p_solvent=1.0,
    p_anisotropy=0.0,
    noise=(1.0, 1.0),
    low_noise=(0.0, 0.0),
    low_pass=(0.1, 0.1),
    fsc_slope=(8.0, 8.0),
    p_unweighted=0.0,
)


@pytest.fixture(scope="module")
def depositor():
    return Depositor(EDGE, CPU)


@pytest.fixture(scope="module")
def true():
    """Structure factors without any structure: as strong at all resolutions."""
    volume = torch.randn(4, EDGE, EDGE, EDGE, generator=torch.Generator().manual_seed(0))
    return torch.fft.rfftn(volume, dim=(1, 2, 3))


def reconstructed(depositor, true, seed, b_factor=0.0, **settings):
    """Coefficients of what is written."""
    make = Reconstruction(depositor, Draw(seed, CPU), replace(PLAIN, **settings))
    n = len(true)
    density = make(true, torch.full((n,), VOXEL), torch.full((n,), RESOLUTION), torch.full((n,), b_factor))
    return torch.fft.rfftn(density, dim=(1, 2, 3))


def shell(depositor, resolution, width=0.006):
    """Coefficients at a resolution."""
    q = depositor.q2(torch.tensor([VOXEL]))[0].sqrt()
    return (q - 1 / resolution).abs() < width


def correlation(one, other, where):
    a, b = one[:, where], other[:, where]
    return float((a * b.conj()).real.sum() / (a.abs().square().sum() * b.abs().square().sum()).sqrt())


def test_the_noise_is_that_of_the_resolution(depositor, true):
    """FSC = 0.143 between half-maps is a correlation of 0.5 of the whole map with the truth."""
    written = reconstructed(depositor, true, 1)
    assert correlation(written, true, shell(depositor, RESOLUTION)) == pytest.approx(0.5, abs=0.05)
    assert correlation(written, true, shell(depositor, 10.0)) > 0.9
    assert correlation(written, true, shell(depositor, 2.5)) < 0.2


def test_amplitudes_are_weighted_by_what_is_known_of_them(depositor, true):
    at = shell(depositor, RESOLUTION)
    weighted, plain = (reconstructed(depositor, true, 1, p_unweighted=p)[:, at] for p in (0.0, 1.0))
    ratio = (weighted.abs().sum() / plain.abs().sum()).item()
    assert ratio == pytest.approx(0.5, abs=0.05)  # √(2 FSC / (1 + FSC))


def test_the_map_falls_off_with_resolution(depositor, true):
    quiet = {"noise": (0.0, 0.0), "p_unweighted": 1.0}
    at = shell(depositor, 5.0)
    sharp, blurred = (reconstructed(depositor, true, 1, b, **quiet)[:, at] for b in (0.0, 100.0))
    ratio = (blurred.abs().sum() / sharp.abs().sum()).item()
    assert ratio == pytest.approx(torch.exp(torch.tensor(-100 / 4 / 25)).item(), rel=0.03)


def test_some_maps_fall_off_along_one_direction(depositor, true):
    quiet = {"noise": (0.0, 0.0), "p_unweighted": 1.0}
    strong = {"p_anisotropy": 1.0, "anisotropy": (150.0, 150.0)}
    at = shell(depositor, 4.0)
    even = reconstructed(depositor, true, 1, **quiet)[:, at].abs()
    uneven = reconstructed(depositor, true, 1, **quiet, **strong)[:, at].abs()
    ratio = uneven / even
    assert ratio.max() > 0.97
    assert ratio.min() == pytest.approx(torch.exp(torch.tensor(-150 / 4 / 16)).item(), abs=0.03)
