"""Density against direct summation, and against gemmi."""

import gemmi
import numpy as np
import pytest
import torch

from haruspex_train.density import B_LADDER, Depositor, amplitude_table, carbon_shape

CPU = torch.device("cpu")
EDGE = 24


def random_atoms(seed, n=30, crops=1, ladder_only=False):
    """Crops (sorted), places away from the faces, weights, B factors."""
    rng = np.random.default_rng(seed)
    crop = np.sort(rng.integers(crops, size=n))
    position = rng.uniform(6, EDGE - 7, (n, 3))
    b = rng.choice(B_LADDER, n) if ladder_only else rng.uniform(0, 300, n)
    arrays = (position, rng.uniform(1, 6, n), b)
    return torch.tensor(crop), *(torch.tensor(a, dtype=torch.float32) for a in arrays)


def direct(depositor, crop, position, weight, b, voxel_size):
    """Structure factors by summation over atoms."""
    q2 = depositor.q2(voxel_size)
    full, half = torch.fft.fftfreq(EDGE), torch.fft.rfftfreq(EDGE)
    grid = torch.stack(torch.meshgrid(full, full, half, indexing="ij"), -1).double()
    total = torch.zeros(q2.shape, dtype=torch.complex128)
    for c, r, w, b_atom in zip(crop, position.double(), weight, b, strict=True):
        fall = torch.exp(-b_atom / 4 * q2[c]) * carbon_shape(q2[c])
        total[c] += w * fall * torch.exp(-2j * torch.pi * (grid @ r))
    return total


def deposited(depositor, crop, position, weight, b, voxel_size):
    grids = depositor.grids(crop, position, weight, b, len(voxel_size))
    return depositor.structure_factors(grids, voxel_size)


@pytest.mark.parametrize("seed", range(3))
def test_structure_factors_are_those_of_summation_over_atoms(seed):
    depositor, voxel_size = Depositor(EDGE, CPU), torch.tensor([1.0, 1.2])
    atoms = random_atoms(seed, crops=2, ladder_only=True)
    found = deposited(depositor, *atoms, voxel_size)
    wanted = direct(depositor, *atoms, voxel_size)
    for frequency, bound in ((0.15, 0.002), (0.25, 0.02), (0.35, 0.12)):
        # the spline's own error grows as (q / (1 - q))⁴
        low = (depositor.frequency2 < frequency**2).expand(found.shape)
        error = (found - wanted).abs()[low].square().mean().sqrt()
        assert error < bound * wanted.abs()[low].square().mean().sqrt()


def test_density_is_a_sum_of_gaussians():
    depositor, voxel_size, blur = Depositor(EDGE, CPU), torch.tensor([1.1]), 60.0
    atoms = random_atoms(5, n=8, ladder_only=True)
    coefficients = deposited(depositor, *atoms, voxel_size)
    found = depositor.real(coefficients * torch.exp(-blur / 4 * depositor.q2(voxel_size)))[0].numpy()
    # Peng et al. 1996, carbon
    a = np.array([0.0893, 0.2563, 0.7570, 1.0487, 0.3575])
    own_b = np.array([0.2465, 1.7100, 6.4094, 18.6113, 50.2523])
    places = np.stack(np.meshgrid(*[np.arange(EDGE)] * 3, indexing="ij"), -1)
    wanted = np.zeros((EDGE,) * 3)
    for r, w, b in zip(*(t.numpy() for t in atoms[1:]), strict=True):
        distance2 = ((places - r) ** 2).sum(-1) * 1.1**2
        for ak, bk in zip(a / a.sum(), own_b + b + blur, strict=True):
            wanted += w * ak * (4 * np.pi / bk) ** 1.5 * np.exp(-4 * np.pi**2 * distance2 / bk) * 1.1**3
    # images in neighbouring boxes are all that separates the two, besides the spline
    np.testing.assert_allclose(found[3:-3, 3:-3, 3:-3], wanted[3:-3, 3:-3, 3:-3], atol=0.025 * wanted.max())


def test_an_atom_on_the_ladder_lies_on_one_grid_and_others_between_two():
    depositor = Depositor(EDGE, CPU)
    one = torch.zeros(1, dtype=torch.long), torch.tensor([[11.3, 9.8, 12.6]]), torch.tensor([2.5])
    for step, b in enumerate(B_LADDER):
        shares = depositor.grids(*one, torch.tensor([b]), 1).sum((0, 2, 3, 4))
        expected = torch.zeros(len(B_LADDER))
        expected[step] = 2.5
        torch.testing.assert_close(shares, expected, atol=1e-5, rtol=0)
    shares = depositor.grids(*one, torch.tensor([0.25 * 25 + 0.75 * 60]), 1).sum((0, 2, 3, 4))
    torch.testing.assert_close(shares[1:3], torch.tensor([0.625, 1.875]))
    beyond = depositor.grids(*one, torch.tensor([1e4]), 1).sum((0, 2, 3, 4))
    assert beyond[-1] == pytest.approx(2.5)


def test_b_factors_between_the_steps_err_little():
    depositor, voxel_size = Depositor(EDGE, CPU), torch.tensor([1.1])
    low = depositor.q2(voxel_size) < 1 / 4.0**2
    for seed in range(3):
        atoms = random_atoms(seed)
        error = (deposited(depositor, *atoms, voxel_size) - direct(depositor, *atoms, voxel_size))[low]
        scale = direct(depositor, *atoms, voxel_size)[low].abs().square().mean().sqrt()
        assert error.abs().square().mean().sqrt() < 0.05 * scale


def test_density_against_gemmi():
    depositor, voxel_size = Depositor(EDGE, CPU), torch.tensor([1.0])
    crop, position, _, _ = random_atoms(7, n=12)
    amplitude = amplitude_table(CPU)[6]
    b = torch.full((12,), 60.0)
    coefficients = deposited(depositor, crop, position, amplitude.expand(12), b, voxel_size)
    found = depositor.real(coefficients)[0].numpy()

    model, chain, residue = gemmi.Model(1), gemmi.Chain("A"), gemmi.Residue()
    for z, y, x in position.tolist():
        atom = gemmi.Atom()
        atom.element, atom.pos, atom.b_iso, atom.occ = gemmi.Element("C"), gemmi.Position(x, y, z), 60, 1
        residue.add_atom(atom)
    chain.add_residue(residue)
    model.add_chain(chain)
    calculator = gemmi.DensityCalculatorE()
    calculator.grid.set_unit_cell(gemmi.UnitCell(EDGE, EDGE, EDGE, 90, 90, 90))
    calculator.grid.spacegroup = gemmi.SpaceGroup("P1")
    calculator.grid.set_size(EDGE, EDGE, EDGE)
    calculator.put_model_density_on_grid(model)
    theirs = np.array(calculator.grid.array).T  # gemmi counts (x, y, z)
    assert np.corrcoef(found.ravel(), theirs.ravel())[0, 1] > 0.9995
    np.testing.assert_allclose(found.sum(), theirs.sum(), rtol=0.01)


def test_amplitudes_are_those_of_the_tables():
    table = amplitude_table(CPU)
    assert table[0] == 0
    for symbol in ("H", "C", "N", "O", "P", "S", "Mg", "Zn", "Fe"):
        element = gemmi.Element(symbol)
        assert table[element.atomic_number] == pytest.approx(element.c4322.calculate_sf(0), rel=0.01), symbol
