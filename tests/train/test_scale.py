"""Normalisation of training and of inference are one and the same."""

import numpy as np
import pytest
import torch

from haruspex_infer.normalise import Normaliser
from haruspex_train.scale import normalise_batch


def lumps(n, edge=28, seed=0):
    """Lumps of density in noise, one of them masked (exactly zero outside)."""
    rng = np.random.default_rng(seed)
    places = np.stack(np.meshgrid(*[np.linspace(-1, 1, edge)] * 3, indexing="ij"))
    radius = np.sqrt((places**2).sum(0))
    made = rng.gamma(2.0, 1.0, (n, edge, edge, edge)) * (radius < rng.uniform(0.4, 0.8, (n, 1, 1, 1)))
    made += 0.1 * rng.standard_normal(made.shape)
    made[0] *= radius < 0.8
    scale, shift = rng.uniform(0.01, 50, (2, n, 1, 1, 1))
    return (made * scale + shift).astype(np.float32)


@pytest.mark.parametrize("voxel_size", [1.0, 1.1, 1.19])
@pytest.mark.parametrize("normaliser", [Normaliser(), Normaliser(0.3, 4.0, 75.0, -1.0, 2.0)])
def test_crops_are_normalised_as_maps_are(voxel_size, normaliser):
    density = lumps(4)
    together = normalise_batch(torch.tensor(density), torch.full((4,), voxel_size), normaliser).numpy()
    for crop, found in zip(density, together, strict=True):
        np.testing.assert_allclose(found, normaliser(crop, (voxel_size,) * 3), atol=2e-3)


def test_scale_and_offset_of_a_crop_do_not_matter():
    density = torch.tensor(lumps(3))
    size = torch.full((3,), 1.1)
    plain = normalise_batch(density, size, Normaliser())
    moved = normalise_batch(density * 0.02 + 7, size, Normaliser())
    torch.testing.assert_close(plain, moved, atol=1e-2, rtol=0)


def test_a_crop_without_density_becomes_zeros():
    density = torch.zeros(2, 16, 16, 16)
    density[1] = torch.tensor(lumps(1, 16)[0])
    found = normalise_batch(density, torch.full((2,), 1.1), Normaliser())
    assert (found[0] == 0).all()
    assert torch.isfinite(found).all()
    assert found[1].max() > 0.5
