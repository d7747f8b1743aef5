"""Adam and Muon behind one step."""

from dataclasses import replace

import pytest
import torch
from test_train import TINY
from torch import nn

from haruspex_infer.classes import CLASSES
from haruspex_train.networks import ResidualUNet
from haruspex_train.optimiser import optimiser_of

RATE = 0.01


def network():
    torch.manual_seed(0)
    made = ResidualUNet((4, 8), (1, 1))
    made.channels_last()
    return made


def step(made, optimiser, seed=1):
    torch.manual_seed(seed)
    density = torch.randn(2, 1, 8, 8, 8).contiguous(memory_format=torch.channels_last_3d)
    truth = torch.randint(len(CLASSES), (2, 8, 8, 8))
    loss = nn.functional.cross_entropy(made(density), truth)
    made.zero_grad()
    loss.backward()
    optimiser.step(RATE)
    return loss.item()


def moved(before, after):
    return {name: not torch.equal(before[name], after[name]) for name in before}


def test_kernels_that_would_be_copied_are_refused():
    with pytest.raises(ValueError, match="channels_last"):
        optimiser_of(replace(TINY, optimiser="muon"), ResidualUNet((4, 8), (1, 1)), fused=False)


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_every_weight_moves_and_the_loss_falls(name):
    made = network()
    optimiser = optimiser_of(replace(TINY, optimiser=name), made, fused=False)
    before = {n: p.detach().clone() for n, p in made.named_parameters()}
    losses = [step(made, optimiser) for _ in range(20)]
    assert all(moved(before, dict(made.named_parameters())).values())
    assert losses[-1] < 0.8 * losses[0]


def test_a_step_of_muon_goes_equally_far_in_all_directions():
    made = network()
    optimiser = optimiser_of(replace(TINY, optimiser="muon", weight_decay=0.0), made, fused=False)
    kernel = made.encoders[1][0].body[0].weight  # 8 channels of 8 × 27 numbers
    before = kernel.detach().clone()
    step(made, optimiser)
    steps = torch.linalg.svdvals((kernel.detach() - before).flatten(1))
    assert steps.min() > 0.5 * steps.max()
    # as long as a step of Adam: a fifth of the learning rate in each number (Liu et al. 2025)
    assert (kernel.detach() - before).square().mean().sqrt() == pytest.approx(0.2 * RATE, rel=0.2)


def test_what_sees_the_density_and_what_gives_the_classes_is_adams():
    made = network()
    adam = optimiser_of(TINY, made, fused=False)
    muon = optimiser_of(replace(TINY, optimiser="muon"), made, fused=False)
    in_adam = sum(len(state["param_groups"][0]["params"]) for state in adam.state_dict().values())
    parts = [state["param_groups"][0]["params"] for state in muon.state_dict().values()]
    kernels = [m for m in made.modules() if isinstance(m, (nn.Conv3d, nn.ConvTranspose3d))]
    assert in_adam == sum(map(len, parts)) == len(list(made.parameters()))
    assert len(parts[1]) == len(kernels) - 2


def test_taken_up_again_it_goes_on_as_if_never_stopped():
    never, again = network(), network()
    settings = replace(TINY, optimiser="muon")
    optimiser = optimiser_of(settings, never, fused=False)
    first = optimiser_of(settings, again, fused=False)
    for made, steps in ((never, optimiser), (again, first)):
        step(made, steps)
    second = optimiser_of(settings, again, fused=False)
    second.load_state_dict(first.state_dict())
    for made, steps in ((never, optimiser), (again, second)):
        step(made, steps, seed=2)
    pairs = zip(never.parameters(), again.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
