"""Belts of detergent or lipid around the molecule, which membrane proteins bring into a map."""

import torch
from torch import Tensor

from haruspex_train.atoms import Draw
from haruspex_train.density import DENSE_PROTEIN, Depositor, amplitude_table, carbon_shape
from haruspex_train.settings import SimulationSettings

HALF_THICKNESS, HEAD_WIDTH = (12.0, 20.0), 3.5
"""Å from the middle of a belt to its head groups, and their spread. Micelles are 30 to 45 Å thick."""

REACH, FAINT = (5.0, 13.0), 0.04
"""Å by which the molecule is blurred, and the share of protein left where a belt ends: 9 to 23 Å off."""

CONTACT = 1.8
"""Å by which the molecule is blurred where belt and molecule meet."""


class Micelle:
    """Draws a belt for some of the crops: a slab around the molecule, denser at both faces than inside.

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
        self._carbon = amplitude_table(draw.device)[6]

    def __call__(self, envelope_f: Tensor, voxel_size: Tensor) -> Tensor:
        """Return the structure factors of the belts.

        Parameters
        ----------
        envelope_f : Tensor, complex
            Transform of the molecule's amplitudes on the grid.
        voxel_size : Tensor (n,)
            Å.

        Returns
        -------
        Tensor, complex
            Of the shape of `envelope_f`; 0 where no belt was drawn.
        """
        s, draw, n = self.settings, self.draw, len(voxel_size)
        column = (n, 1, 1, 1)
        q2 = self.depositor.q2(voxel_size)
        beside = torch.sigmoid(12 * (0.25 - self.depositor.blurred(envelope_f, CONTACT, voxel_size)))
        reach = draw.uniform(n, low=REACH[0], high=REACH[1]).view(column)
        close = torch.sigmoid(6 * (self.depositor.blurred(envelope_f, reach, voxel_size) / FAINT - 1))

        across = self._across(voxel_size, n)
        half = draw.uniform(n, low=HALF_THICKNESS[0], high=HALF_THICKNESS[1]).view(column)
        tails = draw.uniform(n, low=s.micelle_tails[0], high=s.micelle_tails[1]).view(column)
        heads = torch.exp(-((across - half) / HEAD_WIDTH).square() / 2)
        slab = torch.sigmoid(half + HEAD_WIDTH - across) * (tails + (1 - tails) * heads)
        strength = draw.uniform(n, low=s.micelle[0], high=s.micelle[1]) * draw.happens(s.p_micelle, n)
        protein = DENSE_PROTEIN * voxel_size.view(column) ** 3
        density = strength.view(column) * protein * slab * beside * close

        # atoms at random places: as many as the density holds, each with its square of the amplitude
        grain = draw.uniform(n, low=s.micelle_grain[0], high=s.micelle_grain[1]).view(column)
        grains = torch.sqrt(self._carbon * density) * draw.normal(n, *(self.depositor.edge,) * 3)
        disorder = draw.uniform(n, low=s.b_micelle[0], high=s.b_micelle[1]).view(column)
        shape = carbon_shape(q2) * torch.exp(-disorder / 4 * q2)
        return torch.fft.rfftn(density + grain * grains, dim=(1, 2, 3)) * shape

    def _across(self, voxel_size: Tensor, n: int) -> Tensor:
        """Distance in Å from the middle of a slab that lies anyhow, near the middle of the crop."""
        normal = torch.nn.functional.normalize(self.draw.normal(n, 3), dim=1)
        shift = self.draw.uniform(n, low=-20.0, high=20.0).view(n, 1, 1, 1)
        edge = self.depositor.edge
        axis = torch.arange(edge, device=voxel_size.device) - (edge - 1) / 2
        z, y, x = (normal * voxel_size[:, None]).T[:, :, None, None, None]
        along = z * axis[:, None, None] + y * axis[:, None] + x * axis
        return (along - shift).abs()
