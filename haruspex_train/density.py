"""Electron-scattering density of atoms on grids, batched, by B-spline deposition and FFT.

Atoms are deposited on the grid with a cubic B-spline, on one grid for every step of a ladder of B factors;
the Fourier transform of every grid is multiplied by its Gaussian and by the inverse of the spline (as in
particle-mesh Ewald; Essmann et al. 1995, J. Chem. Phys. 103, 8577). An atom between two steps is shared out.
"""

import itertools

import torch
from torch import Tensor

# Scattering amplitude at zero angle, Å (Peng et al. 1996, Acta Cryst. A52, 257: sums of coefficients)
_AMPLITUDE = {
    1: 0.529, 6: 2.509, 7: 2.211, 8: 1.983, 9: 1.801, 11: 4.778, 12: 5.207, 15: 5.488, 16: 5.161,
    17: 4.857, 19: 8.984, 20: 9.913, 25: 7.506, 26: 7.165, 27: 6.854, 29: 5.600, 30: 6.065, 34: 7.205,
}  # fmt: skip
_OTHER_METAL = 7.0
# Shape: that of carbon for every element (same source); differences at 2-5 Å lie far below those of B factors
_CARBON_A = (0.0893, 0.2563, 0.7570, 1.0487, 0.3575)
_CARBON_B = (0.2465, 1.7100, 6.4094, 18.6113, 50.2523)

DENSE_PROTEIN = 0.132
"""Scattering amplitude of dense protein without hydrogen, Å in an Å³."""

B_LADDER = (0.0, 25.0, 60.0, 120.0, 220.0, 400.0)


def amplitude_table(device: torch.device) -> Tensor:
    """Scattering amplitude by atomic number (0-118), Å; 0 for unknown atoms."""
    table = torch.full((119,), _OTHER_METAL, device=device)
    table[0] = 0.0
    for number, amplitude in _AMPLITUDE.items():
        table[number] = amplitude
    return table


def carbon_shape(q2: Tensor) -> Tensor:
    """Fall-off of scattering with resolution, 1 at zero angle; `q2` is 1/d² in Å⁻²."""
    terms = [a * torch.exp(-b * q2 / 4) for a, b in zip(_CARBON_A, _CARBON_B, strict=True)]
    return torch.stack(terms).sum(0) / sum(_CARBON_A)


def frequencies(edge: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Frequencies (z, y, x) of a real FFT over a cube, cycles per voxel, ready to broadcast."""
    full = torch.fft.fftfreq(edge, device=device)
    half = torch.fft.rfftfreq(edge, device=device)
    return full[:, None, None], full[None, :, None], half[None, None, :]


class Depositor:
    """Brings atoms onto grids of one size.

    Parameters
    ----------
    edge : int
        Edge of the cubic grids, voxels.
    device : torch.device
        Where the grids are made.
    """

    def __init__(self, edge: int, device: torch.device) -> None:
        self.edge = edge
        self.ladder = torch.tensor(B_LADDER, device=device)
        z, y, x = frequencies(edge, device)
        self.frequency2 = z * z + y * y + x * x
        spline = (torch.sinc(z) * torch.sinc(y) * torch.sinc(x)) ** 4
        self.unspline = 1 / spline.clamp(min=0.02)
        rings = torch.sqrt(self.frequency2) * edge
        self._ring = rings.round().long().clamp(max=edge // 2 + 1)

    def grids(self, crop: Tensor, position: Tensor, weight: Tensor, b_factor: Tensor, n: int) -> Tensor:
        """Deposit atoms.

        Parameters
        ----------
        crop, position, weight, b_factor : Tensor (atoms,), (atoms, 3), (atoms,), (atoms,)
            Crop of each atom, place (z, y, x) in voxels at least 2 from every face, scattering amplitude,
            B factor in Å² (clamped to the ladder).
        n : int
            Number of crops.

        Returns
        -------
        Tensor (n, steps, edge, edge, edge)
            One grid for every crop and step of `B_LADDER`.
        """
        steps, edge = len(self.ladder), self.edge
        b_factor = b_factor.clamp(self.ladder[0], self.ladder[-1])
        upper = torch.searchsorted(self.ladder, b_factor).clamp(1, steps - 1)
        low, high = self.ladder[upper - 1], self.ladder[upper]
        share = (b_factor - low) / (high - low)

        base = position.floor()
        splines = _cubic_spline(position - base)
        z, y, x = (base.long() - 1).unbind(1)
        out = torch.zeros(n * steps * edge**3, device=position.device)
        below = (((crop * steps + upper - 1) * edge + z) * edge + y) * edge + x
        for i, j, k in itertools.product(range(4), repeat=3):
            value = weight * splines[i][:, 0] * splines[j][:, 1] * splines[k][:, 2]
            at = below + (i * edge + j) * edge + k
            out.index_add_(0, at, value * (1 - share))
            out.index_add_(0, at + edge**3, value * share)
        return out.view(n, steps, edge, edge, edge)

    def structure_factors(self, grids: Tensor, voxel_size: Tensor) -> Tensor:
        """Fourier coefficients of the density without overall B factor, complex (n, edge, edge, edge//2+1).

        Parameters
        ----------
        grids : Tensor
            From `grids`.
        voxel_size : Tensor (n,)
            Å.
        """
        q2 = self.q2(voxel_size)
        total = torch.zeros_like(q2, dtype=torch.complex64)
        for step, b in enumerate(B_LADDER):
            total += torch.fft.rfftn(grids[:, step], dim=(1, 2, 3)) * torch.exp(-b / 4 * q2)
        return total * (carbon_shape(q2) * self.unspline)

    def q2(self, voxel_size: Tensor) -> Tensor:
        """Squared spatial frequency 1/d² of every Fourier coefficient, Å⁻²."""
        return self.frequency2 / voxel_size[:, None, None, None].square()

    def shell_power(self, coefficients: Tensor) -> Tensor:
        """Mean power of each shell of resolution, at every coefficient of that shell."""
        n, rings = len(coefficients), self.edge // 2 + 2
        ring = self._ring.reshape(-1)
        power = coefficients.abs().square().view(n, -1)
        total = torch.zeros(n, rings, device=power.device).index_add_(1, ring, power)
        count = torch.zeros(rings, device=power.device).index_add_(0, ring, torch.ones_like(power[0]))
        return (total / count.clamp(min=1))[:, ring].view(coefficients.shape)

    def blurred(self, envelope_f: Tensor, width: Tensor | float, voxel_size: Tensor) -> Tensor:
        """Return the molecule blurred so far that no atom is told from another; dense protein is 1.

        Parameters
        ----------
        envelope_f : Tensor, complex
            Transform of the amplitudes on the grid.
        width : Tensor or float
            Standard deviation of the Gaussian in Å, to broadcast over the crops.
        voxel_size : Tensor (n,)
            Å.
        """
        fall = torch.exp(-2 * torch.pi**2 * width**2 * self.q2(voxel_size))
        protein = DENSE_PROTEIN * voxel_size[:, None, None, None] ** 3
        return self.real(envelope_f * fall * self.unspline) / protein

    def real(self, coefficients: Tensor) -> Tensor:
        """Transform back to the grid."""
        return torch.fft.irfftn(coefficients, s=(self.edge,) * 3, dim=(1, 2, 3))


def _cubic_spline(t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weights of a cubic B-spline at the four nearest nodes, for offsets `t` in [0, 1)."""
    s = 1 - t
    return (
        s**3 / 6,
        2 / 3 - t * t + t**3 / 2,
        2 / 3 - s * s + s**3 / 2,
        t**3 / 6,
    )
