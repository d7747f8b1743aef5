"""How strongly, and how sharply, each atom of a crop shows: damage, loss and disorder."""

import torch
from torch import Tensor

from haruspex_train.atoms import AtomSource, CropAtoms, Draw
from haruspex_train.density import amplitude_table
from haruspex_train.settings import SimulationSettings

_OXYGEN, _HEAVIEST = 8, 118


class Disorder:
    """Draws amplitudes and B factors for the atoms of crops.

    Parameters
    ----------
    source : AtomSource
        The library.
    draw : Draw
        Source of random numbers.
    settings : SimulationSettings
        Ranges to draw from.
    """

    def __init__(self, source: AtomSource, draw: Draw, settings: SimulationSettings) -> None:
        self.source, self.draw, self.settings = source, draw, settings
        self._amplitude = amplitude_table(draw.device)

    def __call__(self, atoms: CropAtoms, n: int) -> tuple[Tensor, Tensor]:
        """Return scattering amplitude and B factor (Å²) of every atom of `n` crops."""
        s, draw, source = self.settings, self.draw, self.source
        crop, index = atoms.crop, atoms.index
        residue, backbone = source.residue[index], source.backbone[index]
        element = source.element[index].clamp(max=_HEAVIEST)
        weight = self._amplitude[element] * source.occupancy[index].clamp(min=0.1)
        side = (source.kind[index] == 1) & ~backbone

        lost = draw.uniform(n, low=s.lost_side_chains[0], high=s.lost_side_chains[1]) * draw.happens(
            s.p_lost_side_chains, n
        )
        is_lost = side & (self._per_residue(residue, crop, n) < lost[crop])
        oxygen = draw.uniform(n, low=s.side_oxygen[0], high=s.side_oxygen[1])
        weight = torch.where(is_lost, 0.1 * weight, weight)
        weight = torch.where(side & (element == _OXYGEN), weight * oxygen[crop], weight)
        stretches = self._within(s.weak_share, n) * draw.happens(s.weak_stretch, n)
        is_weak = self._per_residue(residue // 12, crop, n) < stretches[crop]
        weight = torch.where(is_weak, self._within(s.weak_occupancy, n)[crop] * weight, weight)

        entry = torch.searchsorted(source.offset, index, right=True) - 1
        spread = draw.uniform(n, low=s.b_spread[0], high=s.b_spread[1])
        b = spread[crop] * (source.b_iso[index] - source.b_low[entry]).clamp(0, 200)
        extra = draw.uniform(n, low=s.b_side_chain[0], high=s.b_side_chain[1]) * draw.happens(
            s.p_b_side_chain, n
        )
        b = b + side * extra[crop]
        amplitude = draw.uniform(n, low=s.b_field[0], high=s.b_field[1]) * draw.happens(s.p_b_field, n)
        return weight, b + amplitude[crop] * self._smooth_field(atoms, n)

    def _within(self, limits: tuple[float, float], n: int) -> Tensor:
        """Draw from a range; one without width takes no random number: old settings draw as they did."""
        low, high = limits
        if low == high:
            return torch.full((n,), low, device=self.draw.device)
        return self.draw.uniform(n, low=low, high=high)

    def _per_residue(self, residue: Tensor, crop: Tensor, n: int) -> Tensor:
        """Return a uniform random number for each residue of each crop, the same for all its atoms."""
        salt = torch.randint(1 << 30, (n,), generator=self.draw.generator, device=self.draw.device)
        mixed = (residue * 0x9E3779B1 + salt[crop]) & 0xFFFFFFFF
        mixed = ((mixed ^ (mixed >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
        mixed = ((mixed ^ (mixed >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
        return (mixed ^ (mixed >> 16)).double().mul(2.0**-32).float()

    def _smooth_field(self, atoms: CropAtoms, n: int) -> Tensor:
        """Return a field between 0 and 1 at the atoms that varies over 25-100 voxels in each crop."""
        waves = 3
        direction = torch.nn.functional.normalize(self.draw.normal(n, waves, 3), dim=2)
        length = self.draw.uniform(n, waves, 1, low=25.0, high=100.0)
        phase = self.draw.uniform(n, waves, high=2 * torch.pi)
        along = ((2 * torch.pi * direction / length)[atoms.crop] * atoms.position[:, None]).sum(2)
        return (0.5 + 0.5 * torch.cos(along + phase[atoms.crop])).mean(1)
