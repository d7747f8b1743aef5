"""Simulated crops: reproducible, true to their resolution, and labelled where the density is."""

from dataclasses import replace

import pytest
import torch

from haruspex_train.atoms import Draw
from haruspex_train.disorder import Disorder
from haruspex_train.labels import BORDER, COIL, CORE, plain
from haruspex_train.processing import Processing
from haruspex_train.settings import SimulationSettings
from haruspex_train.simulate import Simulator
from haruspex_train.truth import IGNORE

CPU = torch.device("cpu")
EDGE = 32

UNTOUCHED = replace(
    SimulationSettings(),
    p_blobs=0.0,
    p_zone=0.0,
    p_soft_mask=0.0,
    p_flatten=0.0,
    p_clamp=0.0,
    p_gamma=0.0,
    scale_jitter=0.0,
    offset_jitter=0.0,
    low_pass=(0.95, 1.1),
    p_unweighted=0.0,
)
"""Maps as refinement leaves them, normalised without error."""


def simulate(atoms, seed=0, n=6, resolution=None, settings=None):
    return Simulator(atoms, EDGE, CPU, seed, settings).batch(n, resolution)


def test_same_seed_same_crops(tiny_atoms):
    first, again, other = (simulate(tiny_atoms, seed) for seed in (4, 4, 5))
    for field in ("density", "labels", "resolution"):
        assert torch.equal(getattr(first, field), getattr(again, field))
    assert not torch.equal(first.density, other.density)
    assert not torch.equal(first.labels, other.labels)


def test_shapes_and_ranges(tiny_atoms):
    simulator = Simulator(tiny_atoms, EDGE, CPU, 1)
    labels = set()
    for _ in range(4):
        crops = simulator.batch(5)
        assert crops.density.shape == crops.labels.shape == (5, EDGE, EDGE, EDGE)
        assert torch.isfinite(crops.density).all()
        assert crops.density.min() >= simulator.normaliser.lowest
        assert crops.density.max() <= simulator.normaliser.highest
        assert ((crops.resolution >= 1.7) & (crops.resolution < 5.2)).all()
        labels |= set(crops.labels.unique().tolist())
    judged = {flag + c for flag in (CORE, BORDER) for c in (1, 2, 3, COIL)}
    assert labels <= {0, 1, 2, 3, COIL, IGNORE, *judged}
    assert {0, 1, 2, 3, COIL, CORE + 1, CORE + 2, CORE + 3, BORDER + COIL} <= labels


def test_density_is_high_where_the_backbone_is(tiny_atoms):
    crops = simulate(tiny_atoms, 2, n=10, resolution=3.0, settings=UNTOUCHED)
    near_one = crops.density[(crops.labels >= CORE)].mean()
    solvent = crops.density[crops.labels == 0].mean()
    assert near_one > 0.5
    assert solvent < 0.15
    for density, labels in zip(crops.density, crops.labels, strict=True):
        if (labels >= CORE).sum() > 100:
            assert density[labels >= CORE].mean() > 3 * density[labels == 0].mean()


def test_faint_voxels_are_other_unless_switched_off(tiny_atoms):
    """The paper's rule only takes voxels away, and those are fainter than what stays."""
    bare = replace(UNTOUCHED, label_density=False)
    pruned = simulate(tiny_atoms, 3, resolution=2.5, settings=UNTOUCHED)
    whole = simulate(tiny_atoms, 3, resolution=2.5, settings=bare)
    assert torch.equal(pruned.density, whole.density)
    changed = pruned.labels != whole.labels
    assert changed.any()
    assert (pruned.labels[changed] == 0).all()
    assert ((whole.labels[changed] < CORE) | (whole.labels[changed] == IGNORE)).all()
    shell = (pruned.labels > 0) & (pruned.labels < CORE)
    assert pruned.density[changed].mean() < 0.5 * pruned.density[shell].mean()


def power_beyond(density, resolution, voxel_size=1.1):
    """Share of the power, tapered at the faces, beyond a resolution."""
    window = torch.hann_window(EDGE, periodic=False)
    tapered = (density - density.mean((1, 2, 3), keepdim=True)) * (
        window[:, None, None] * window[:, None] * window
    )
    power = torch.fft.fftn(tapered, dim=(1, 2, 3)).abs().square()
    f = torch.fft.fftfreq(EDGE) / voxel_size
    q = (f[:, None, None] ** 2 + f[:, None] ** 2 + f**2).sqrt()
    return (power[:, q > 1 / resolution].sum(1) / power.sum((1, 2, 3))).max().item()


@pytest.mark.parametrize("resolution", [3.0, 4.0, 5.0])
def test_resolution_is_obeyed(tiny_atoms, resolution):
    crops = simulate(tiny_atoms, 5, resolution=resolution, settings=UNTOUCHED)
    assert (crops.resolution == resolution).all()
    # the low-pass lies at 0.95 d_min at the finest, and voxels at 1.0-1.2 Å
    assert power_beyond(crops.density, 0.75 * resolution) < 1e-3
    finer = simulate(tiny_atoms, 5, resolution=2.3, settings=UNTOUCHED)
    assert power_beyond(finer.density, 0.75 * resolution) > 10 * power_beyond(
        crops.density, 0.75 * resolution
    )


def test_a_cut_out_chain_leaves_nothing_else(tiny_atoms):
    """Outside a zone mask the density is exactly solvent and the labels are other."""
    zoned = replace(UNTOUCHED, p_zone=1.0, p_part=1.0)
    masked = simulate(tiny_atoms, 6, n=10, resolution=3.0, settings=zoned)
    free = simulate(tiny_atoms, 6, n=10, resolution=3.0, settings=UNTOUCHED)
    outside = masked.density == 0
    assert 0.3 < outside.float().mean() < 0.99
    assert (masked.labels[outside] == 0).all()
    # what remains keeps its class: a mask invents none
    left = masked.labels > 0
    assert left.any()
    assert torch.equal(
        plain(masked.labels)[left & (free.labels > 0)], plain(free.labels)[left & (free.labels > 0)]
    )
    removed = outside & (free.labels > 0)
    assert removed.any()


def test_soft_masks_and_flattening_weaken_the_surroundings(tiny_atoms):
    free = simulate(tiny_atoms, 7, resolution=3.0, settings=UNTOUCHED)
    for change in ({"p_soft_mask": 1.0, "p_part": 0.0}, {"p_flatten": 1.0}):
        changed = simulate(tiny_atoms, 7, resolution=3.0, settings=replace(UNTOUCHED, **change))
        solvent = (free.labels == 0) & (changed.labels == 0)
        assert changed.density[solvent].std() < free.density[solvent].std()
        core = (free.labels >= CORE) & (changed.labels >= CORE)
        assert changed.density[core].mean() > 0.5


def test_clamped_maps_have_no_negative_density(tiny_atoms):
    free = simulate(tiny_atoms, 8, resolution=3.0, settings=UNTOUCHED)
    clamped = simulate(tiny_atoms, 8, resolution=3.0, settings=replace(UNTOUCHED, p_clamp=1.0))
    lowest = clamped.density.amin((1, 2, 3))
    # all that was negative is now one value, the lowest
    share = (clamped.density == lowest[:, None, None, None]).float().mean((1, 2, 3))
    assert (share > 0.05).all()
    assert (free.density == free.density.amin((1, 2, 3), keepdim=True)).float().mean() < 1e-3


def test_stronger_disorder_flattens_the_density(tiny_atoms):
    """The overall fall-off of sharpening shows in the power at high resolution."""
    sharp, blurred = (
        simulate(tiny_atoms, 9, resolution=3.0, settings=replace(UNTOUCHED, b_total=((b, b),) * 3))
        for b in (0.0, 200.0)
    )
    assert power_beyond(sharp.density, 4.0) > 3 * power_beyond(blurred.density, 4.0)


def test_the_deposited_library_can_be_simulated(shared_data, tmp_path):
    """One real entry on its way from the library to crops."""
    from haruspex_train.library import AtomLibrary, TrainingAtoms
    from haruspex_train.secondary import elements, residue_classes

    whole = AtomLibrary(shared_data / "atomic_models").structure("11as")
    classes = residue_classes(whole)
    atoms = TrainingAtoms(
        xyz=whole.xyz,
        element=whole.element,
        b_iso=whole.b_iso,
        occupancy=whole.occupancy,
        backbone=whole.backbone,
        cls=classes[whole.residue],
        kind=whole.kind[whole.residue],
        residue=whole.residue,
        segment=elements(whole, classes)[whole.residue],
        offset=torch.tensor([0, whole.n_atoms]).numpy(),
        ids=("11as",),
        digest="",
    )
    crops = simulate(atoms, resolution=2.5, settings=UNTOUCHED)
    core = crops.labels >= CORE
    assert {1, 2, COIL} <= set(plain(crops.labels)[core].tolist())
    assert crops.density[core].mean() > 5 * crops.density[crops.labels == 0].mean().abs()


def test_mirror_images_hold_no_classes(tiny_atoms):
    shown, mirrored = SimulationSettings(), SimulationSettings(p_mirrored=1.0)
    right, left = (simulate(tiny_atoms, resolution=2.5, settings=s) for s in (shown, mirrored))
    assert torch.equal(left.density, right.density.flip(-1))
    classes = plain(right.labels).flip(-1)
    of_a_class = (classes > 0) & (classes < COIL)
    assert of_a_class.any()
    assert torch.equal(plain(left.labels), torch.where(of_a_class, COIL, classes))
    weak, weak_mirrored = (simulate(tiny_atoms, resolution=4.5, settings=s) for s in (shown, mirrored))
    assert torch.equal(weak.density, weak_mirrored.density)
    assert torch.equal(weak.labels, weak_mirrored.labels)


def placed(atoms, n=4):
    """Return a simulator, the atoms of crops of 1.1 Å voxels and the transform of their amplitudes."""
    simulator = Simulator(atoms, EDGE, CPU, 3, UNTOUCHED)
    size = torch.full((n,), 1.1)
    found = simulator.source.crops(simulator.draw, torch.ones(4), simulator.box, size)
    weight = torch.ones(len(found.index))
    grids = simulator.depositor.grids(found.crop, found.position, weight, torch.full_like(weight, 50.0), n)
    return simulator, found, weight, size, grids


def test_unexplained_density_is_as_strong_as_asked_and_strongest_at_the_molecule(tiny_atoms):
    simulator, found, weight, size, grids = placed(tiny_atoms)
    depositor = simulator.depositor
    density = depositor.real(depositor.structure_factors(grids, size))
    envelope = torch.fft.rfftn(grids.sum(1), dim=(1, 2, 3))

    def added(strength, probability=1.0):
        settings = replace(UNTOUCHED, unexplained=(strength, strength), p_unexplained=probability)
        process = Processing(simulator.source, depositor, Draw(0, CPU), settings)
        return process(density, envelope, found, weight, size)[0] - density

    assert not added(0.5, probability=0.0).any()
    noise = added(0.5)
    assert torch.allclose(added(1.0), 2 * noise, atol=1e-4 * float(noise.abs().max()))
    signal, power = (depositor.shell_power(torch.fft.rfftn(v, dim=(1, 2, 3))) for v in (density, noise))
    q = depositor.q2(size).sqrt()
    for low, high in ((0.1, 0.2), (0.2, 0.3)):
        shell = (q > low) & (q < high)
        ratio = float((power[shell].sum() / signal[shell].sum()).sqrt())
        assert 0.35 < ratio < 0.7
    near = density > density.std((1, 2, 3), keepdim=True)
    assert noise[near].std() > 1.3 * noise[~near].std()


def test_stretches_can_be_lost_altogether(tiny_atoms):
    simulator, found, *_ = placed(tiny_atoms)

    def weights(**settings):
        disorder = Disorder(simulator.source, Draw(0, CPU), replace(UNTOUCHED, **settings))
        return disorder(found, 4)[0]

    whole = weights(weak_stretch=0.0)
    lost = weights(weak_stretch=1.0, weak_share=(0.3, 0.5), weak_occupancy=(0.0, 0.0))
    gone = lost == 0
    assert 0.1 < float(gone.float().mean()) < 0.7
    assert bool((whole > 0).all())
    first = simulator.source.residue[found.index] // 12 * 4 + found.crop
    for stretch in first.unique():
        assert gone[first == stretch].all() or not gone[first == stretch].any()
