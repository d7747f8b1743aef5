"""From true structure factors to the density of a reconstruction: contrast, fall-off, noise and filters."""

import torch
from torch import Tensor

from haruspex_train.atoms import Draw
from haruspex_train.density import Depositor, frequencies
from haruspex_train.settings import SimulationSettings


class Reconstruction:
    """Draws how a map was measured and refined.

    Parameters
    ----------
    depositor : Depositor
        Grids and transforms.
    draw : Draw
        Source of random numbers.
    settings : SimulationSettings
        Ranges to draw from.
    """

    def __init__(self, depositor: Depositor, draw: Draw, settings: SimulationSettings) -> None:
        self.depositor, self.draw, self.settings = depositor, draw, settings

    def __call__(self, true: Tensor, voxel_size: Tensor, d_min: Tensor, b_total: Tensor) -> Tensor:
        """Return the density that a refinement program would write.

        Parameters
        ----------
        true : Tensor, complex
            Structure factors from `Depositor.structure_factors`.
        voxel_size, d_min, b_total : Tensor (n,)
            Å; resolution in Å; overall fall-off in Å².
        """
        s, draw, n = self.settings, self.draw, len(voxel_size)
        q2 = self.depositor.q2(voxel_size)
        q = q2.sqrt()
        column = (n, 1, 1, 1)

        contrast = draw.uniform(n, low=s.solvent_contrast[0], high=s.solvent_contrast[1])
        contrast = torch.where(draw.happens(s.p_solvent, n), contrast, -0.5 * draw.uniform(n))
        b_solvent = draw.uniform(n, low=120.0, high=400.0)
        signal = true * (1 - contrast.view(column) * torch.exp(-b_solvent.view(column) / 4 * q2))
        signal = signal * torch.exp(-b_total.view(column) / 4 * q2)
        signal = signal * self._anisotropic(voxel_size, n)

        slope = draw.uniform(n, low=s.fsc_slope[0], high=s.fsc_slope[1]).view(column)
        edge = 1 / d_min.view(column)
        # a logistic curve through 0.143 at the resolution
        fsc = torch.sigmoid(slope * (1 - q / edge) - 1.79)
        strength = draw.uniform(n, low=s.noise[0], high=s.noise[1]).view(column)
        spectrum = self.depositor.shell_power(signal)
        amplitude = strength * torch.sqrt(spectrum * ((1 - fsc) / (2 * fsc)).clamp(max=30))
        low = draw.uniform(n, low=s.low_noise[0], high=s.low_noise[1]).view(column)
        spread = signal.abs().square().mean((1, 2, 3), keepdim=True).sqrt()
        low_shape = torch.exp(-draw.uniform(n, low=100.0, high=1500.0).view(column) / 4 * q2)
        low_shape = low_shape / low_shape.square().mean((1, 2, 3), keepdim=True).sqrt()
        amplitude = amplitude + low * spread * low_shape
        white = (
            torch.fft.rfftn(draw.normal(n, *(self.depositor.edge,) * 3), dim=(1, 2, 3))
            / self.depositor.edge**1.5
        )
        weight = torch.sqrt(2 * fsc / (1 + fsc))
        plain = draw.happens(s.p_unweighted, n).view(column)
        weighted = (signal + amplitude * white) * torch.where(plain, 1, weight)

        cut = edge * draw.uniform(n, low=1 / s.low_pass[1], high=1 / s.low_pass[0]).view(column)
        cut = torch.minimum(cut, 0.47 / voxel_size.view(column))
        width = 0.05 * cut
        return self.depositor.real(weighted * torch.sigmoid((cut - q) / width))

    def _anisotropic(self, voxel_size: Tensor, n: int) -> Tensor:
        s, draw = self.settings, self.draw
        axis = torch.nn.functional.normalize(draw.normal(n, 3), dim=1)
        fall = draw.uniform(n, low=s.anisotropy[0], high=s.anisotropy[1]) * draw.happens(s.p_anisotropy, n)
        column = (n, 1, 1, 1)
        z, y, x = frequencies(self.depositor.edge, draw.device)
        dz, dy, dx = (along.view(column) for along in (axis / voxel_size[:, None]).unbind(1))
        along = dz * z + dy * y + dx * x
        return torch.exp(-fall[:, None, None, None] / 4 * along.square())
