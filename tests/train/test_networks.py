"""Shapes, layers and alignment of both networks."""

import pytest
import torch
from torch import nn

from haruspex_train.networks import NETWORKS, Mostosi2020, ResidualUNet


def small():
    torch.manual_seed(0)
    return ResidualUNet(channels=(4, 6, 8, 8), blocks=(1, 1, 1, 1)).eval()


@pytest.fixture(scope="module")
def mostosi():
    torch.manual_seed(0)
    return Mostosi2020().eval()


def test_layers_are_those_of_the_paper(mostosi):
    """Methods, Network Architecture; and "13 layers in total", which leaves the output's 1×1×1 out."""
    kinds = {nn.Conv3d: "conv", nn.ConvTranspose3d: "up"}
    layers = [
        (kinds[type(m)], m.kernel_size[0], m.in_channels, m.out_channels, m.padding[0])
        for m in mostosi.modules()
        if type(m) in kinds
    ]
    order = [
        ("conv", 3, 1, 32, 0),
        ("conv", 3, 32, 64, 0),
        ("conv", 3, 64, 128, 0),
        ("conv", 3, 128, 128, 1),  # "the same data padding in order to preserve its dimensions"
        ("up", 2, 128, 128, 0),
        ("conv", 3, 256, 128, 0),
        ("conv", 3, 128, 128, 0),
        ("up", 2, 128, 64, 0),
        ("conv", 3, 128, 64, 0),
        ("conv", 3, 64, 32, 0),
        ("conv", 1, 32, 4, 0),
    ]
    assert sorted(layers) == sorted(order)
    assert sum(p.numel() for p in mostosi.parameters()) == 2_520_932
    # each convolution and deconvolution but the last with its activation, and two poolings: 12 + 1 layers
    convolutions = sum(kind == "conv" for kind, *_ in layers) - 1
    assert convolutions == 8
    assert sum(isinstance(m, nn.ReLU) for m in mostosi.modules()) == 8


def test_sizes_on_the_way_are_those_of_the_paper(mostosi):
    """40³ in, 8³ with 128 channels at the bottom, 20³ out."""
    shapes = {}
    hooks = [
        module.register_forward_hook(lambda _m, _i, out, name=name: shapes.update({name: tuple(out.shape)}))
        for name, module in mostosi.named_children()
        if name != "pool"
    ]
    with torch.no_grad():
        out = mostosi(torch.rand(1, 1, 40, 40, 40))
    for hook in hooks:
        hook.remove()
    assert out.shape == (1, 4, 20, 20, 20)
    assert shapes["top"] == (1, 64, 36, 36, 36)
    assert shapes["middle"] == (1, 128, 16, 16, 16)
    assert shapes["bottom"] == (1, 128, 8, 8, 8)
    assert shapes["decode_middle"] == (1, 128, 12, 12, 12)
    assert shapes["decode_top"] == (1, 32, 20, 20, 20)


@pytest.mark.parametrize("shape", [(28, 40, 32), (44, 28, 28)])
def test_mostosi2020_at_other_sizes(mostosi, shape):
    with torch.no_grad():
        out = mostosi(torch.rand(1, 1, *shape))
    margin = mostosi.geometry.margin
    assert out.shape[2:] == tuple(edge - 2 * margin for edge in shape)


@pytest.mark.parametrize("shape", [(8, 8, 8), (16, 24, 8), (40, 16, 32)])
def test_residual_returns_every_voxel(shape):
    with torch.no_grad():
        assert small()(torch.rand(2, 1, *shape)).shape == (2, 4, *shape)


def test_default_residual_network():
    network = NETWORKS["residual"]()
    assert network.geometry.multiple == 8
    assert network.geometry.margin == 0
    # float16 in a wheel of at most 25 MB
    assert 2 * sum(p.numel() for p in network.parameters()) < 20e6


def seen_by(network, edge, place):
    """How strongly each input voxel moves the output at one place, over random inputs."""
    total = torch.zeros(edge, edge, edge)
    for seed in range(2):
        density = torch.randn(1, 1, edge, edge, edge, generator=torch.Generator().manual_seed(seed))
        density.requires_grad_()
        network(density)[0, :, place, place, place].square().sum().backward()
        total += density.grad[0, 0].abs()
    return total


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_lie_over_their_inputs(name, mostosi):
    """The receptive field of an output voxel is centred on the input voxel `margin` farther in."""
    network = mostosi if name == "mostosi2020" else small()
    g = network.geometry
    edge, output = (28, range(2, 6)) if name == "mostosi2020" else (32, range(12, 20))
    offsets = []
    for place in output:  # all phases of the poolings
        seen = seen_by(network, edge, place)
        for axis in range(3):
            profile = seen.sum([k for k in range(3) if k != axis])
            centre = (profile * torch.arange(edge)).sum() / profile.sum()
            offsets.append(float(centre) - (place + g.margin))
    assert max(map(abs, offsets)) < 2
    assert abs(sum(offsets) / len(offsets)) < 0.6


@pytest.mark.parametrize("name", NETWORKS)
def test_moving_the_input_moves_the_output(name, mostosi):
    network = mostosi if name == "mostosi2020" else small()
    step = network.geometry.multiple
    edge = 40 + step if name == "mostosi2020" else 96
    density = torch.zeros(1, 1, edge, edge, edge)
    middle = edge // 2
    density[..., middle - 4 : middle + 4, middle - 4 : middle + 4, middle - 4 : middle + 4] = torch.rand(
        8, 8, 8
    )
    with torch.no_grad():
        at_rest = network(density)
        moved = network(density.roll(step, 4))
    inner = slice(step, -step)
    away = 24 if name == "residual" else step
    a = at_rest[..., away:-away, away:-away, away:-away]
    b = moved.roll(-step, 4)[..., away:-away, away:-away, away:-away]
    assert a.numel() > 0
    torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(at_rest[..., inner], moved[..., inner])


def test_a_crop_does_not_depend_on_its_batch():
    network, density = small(), torch.rand(3, 1, 16, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(network(density)[1:2], network(density[1:2]), atol=1e-5, rtol=1e-5)


def test_channels_last_changes_the_layout_alone(mostosi):
    network, density = small(), torch.rand(1, 1, 16, 16, 16)
    with torch.no_grad():
        before = network(density)
        network.channels_last()
        torch.testing.assert_close(network(density), before, atol=1e-5, rtol=1e-5)
    kernels = [p for p in network.parameters() if p.ndim == 5]
    assert all(p.is_contiguous(memory_format=torch.channels_last_3d) for p in kernels)
