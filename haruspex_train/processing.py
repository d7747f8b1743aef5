"""What people and programs do to a map before it is shown: masks, flattening, clamping, other scales."""

import math

import torch
from torch import Tensor

from haruspex_train.atoms import AtomSource, CropAtoms, Draw
from haruspex_train.density import Depositor
from haruspex_train.settings import SimulationSettings

SOFTNESS = 0.35
"""Width of the edge of a soft mask, as a share of the density at which it lies."""

REACH, REMAINDER = (4.0, 10.0), 0.15
"""Å over which unexplained density fades from the molecule, and the share of it that solvent keeps: in the
unmasked EMD-11007 its root mean square is 0.5 of strong density at atoms, 0.3 at 4 Å, 0.1 beyond 10 Å."""


class Processing:
    """Draws blobs beside the molecule, masks and scales.

    Parameters
    ----------
    source : AtomSource
        The library.
    depositor : Depositor
        Grids and transforms.
    draw : Draw
        Source of random numbers.
    settings : SimulationSettings
        Ranges to draw from.
    """

    def __init__(
        self, source: AtomSource, depositor: Depositor, draw: Draw, settings: SimulationSettings
    ) -> None:
        self.source, self.depositor, self.draw, self.settings = source, depositor, draw, settings

    def __call__(
        self,
        density: Tensor,
        envelope_f: Tensor,
        atoms: CropAtoms,
        weight: Tensor,
        voxel_size: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Return processed density, and where it is still there.

        Parameters
        ----------
        density : Tensor (n, box, box, box)
            From `Reconstruction`.
        envelope_f : Tensor, complex
            Transform of the amplitudes on the grid.
        atoms, weight : CropAtoms, Tensor
            Atoms and their amplitudes.
        voxel_size : Tensor (n,)
            Å.
        """
        s, draw, n = self.settings, self.draw, len(density)
        column = (n, 1, 1, 1)
        q2 = self.depositor.q2(voxel_size)
        # the smoothed molecule stands in for distances to atoms; 1 is dense protein
        width = draw.uniform(n, low=1.2, high=2.4).view(column)
        smooth = self.depositor.blurred(envelope_f, width, voxel_size)
        level = density.clamp(min=0)
        level = (level.pow(4).sum((1, 2, 3)) / level.pow(3).sum((1, 2, 3)).clamp(min=1e-12)).view(column)

        if s.p_unexplained:
            density = density + self._unexplained(density, envelope_f, q2, n)

        lumps = self.depositor.real(
            torch.fft.rfftn(draw.normal(n, *(self.depositor.edge,) * 3), dim=(1, 2, 3))
            * torch.exp(-draw.uniform(n, low=300.0, high=2500.0).view(column) / 4 * q2)
        )
        lumps = lumps / lumps.std((1, 2, 3), keepdim=True)
        strength = draw.uniform(n, low=0.15, high=0.7) * draw.happens(s.p_blobs, n)
        outside = torch.sigmoid(12 * (0.25 - smooth))
        threshold = draw.uniform(n, low=0.3, high=1.3).view(column)
        lumps = torch.sigmoid(4 * (lumps - threshold)) * (1 + 0.3 * lumps)
        density = density + strength.view(column) * level * outside * lumps

        kind = draw.uniform(n)
        zone = kind < s.p_zone
        soft = (kind >= s.p_zone) & (kind < s.p_zone + s.p_soft_mask)
        flat = kind >= 1 - s.p_flatten
        part = (zone | soft) & draw.happens(s.p_part, n)
        if bool(part.any()):
            smooth = torch.where(part.view(column), self._part(atoms, weight, width, voxel_size), smooth)
        border = draw.uniform(n, low=0.02, high=0.25).view(column)
        hard_mask = (smooth > border).float()
        # the sigmoid lowered to end at nothing: a mask must not leave a ghost of what it removes
        nothing = 1 / (1 + math.exp(1 / SOFTNESS))
        soft_mask = torch.sigmoid((smooth - border) / (SOFTNESS * border))
        soft_mask = ((soft_mask - nothing) / (1 - nothing)).clamp(min=0)
        remainder = draw.uniform(n, low=0.0, high=0.3).view(column)
        flat_mask = remainder + (1 - remainder) * soft_mask
        mask = torch.where(zone.view(column), hard_mask, torch.ones_like(smooth))
        mask = torch.where(soft.view(column), soft_mask, mask)
        kept = mask > 0.5
        mask = torch.where(flat.view(column), flat_mask, mask)
        density = density * mask
        clamp = draw.happens(s.p_clamp, n).view(column)
        density = torch.where(clamp, density.clamp(min=0), density)
        gamma = draw.uniform(n, low=0.6, high=1.5).view(column)
        curved = level * (density.clamp(min=0) / level.clamp(min=1e-12)).pow(gamma)
        bent = draw.happens(s.p_gamma, n).view(column)
        return torch.where(bent, curved, density), kept

    def _unexplained(self, density: Tensor, envelope_f: Tensor, q2: Tensor, n: int) -> Tensor:
        """Return noise as strong as asked in every shell of resolution, that fades away from the molecule."""
        s, draw, column = self.settings, self.draw, (n, 1, 1, 1)
        strength = draw.uniform(n, low=s.unexplained[0], high=s.unexplained[1])
        strength = strength * draw.happens(s.p_unexplained, n)
        spectrum = self.depositor.shell_power(torch.fft.rfftn(density, dim=(1, 2, 3)))
        white = torch.fft.rfftn(draw.normal(n, *(self.depositor.edge,) * 3), dim=(1, 2, 3))
        noise = self.depositor.real(white / self.depositor.edge**1.5 * spectrum.sqrt())
        reach = draw.uniform(n, low=REACH[0], high=REACH[1]).view(column)
        near = self.depositor.real(envelope_f * torch.exp(-2 * torch.pi**2 * reach.square() * q2))
        near = near.clamp(min=0) / near.amax((1, 2, 3), keepdim=True).clamp(min=1e-12)
        near = REMAINDER + (1 - REMAINDER) * near
        near = near / near.square().mean((1, 2, 3), keepdim=True).sqrt()
        return strength.view(column) * near * noise

    def _part(self, atoms: CropAtoms, weight: Tensor, width: Tensor, voxel_size: Tensor) -> Tensor:
        """Return the smoothed density of the residues around the centre of each crop, as of one chain."""
        n = len(voxel_size)
        residue = self.source.residue[atoms.index]
        before = self.draw.uniform(n, low=30.0, high=400.0)
        after = self.draw.uniform(n, low=30.0, high=400.0)
        away = residue - atoms.centre_residue[atoms.crop]
        mine = (away > -before[atoms.crop]) & (away < after[atoms.crop])
        zero = torch.zeros_like(weight)
        grids = self.depositor.grids(atoms.crop, atoms.position, weight * mine, zero, n)
        transformed = torch.fft.rfftn(grids[:, 0], dim=(1, 2, 3))
        return self.depositor.blurred(transformed, width, voxel_size)
