"""Cryo-EM maps simulated from atomic models, batched, every step on the device.

A crop is made as a reconstruction would make it: electron scattering of atoms with their own disorder,
contrast of the solvent, fall-off and anisotropy, noise whose spectrum follows from the Fourier shell
correlation, weighting and sharpening, then what people do to maps: masks, flattening, clamping, local
post-processing.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from haruspex_infer.normalise import Normaliser
from haruspex_train.atoms import AtomSource, CropAtoms, Draw
from haruspex_train.density import Depositor
from haruspex_train.disorder import Disorder
from haruspex_train.labels import drop_faint, label, nearest_atom, without_classes
from haruspex_train.library import TrainingAtoms
from haruspex_train.micelle import Micelle
from haruspex_train.processing import Processing
from haruspex_train.reconstruction import Reconstruction
from haruspex_train.scale import normalise_batch
from haruspex_train.settings import SimulationSettings


@dataclass
class Crops:
    """A batch of simulated crops.

    Attributes
    ----------
    density : Tensor (n, edge, edge, edge)
        Normalised as inference normalises a map, with the errors that a map's normalisation may have.
    labels : Tensor (n, edge, edge, edge), uint8
        See `haruspex_train.labels`.
    resolution : Tensor (n,)
        Å.
    atoms : CropAtoms, optional
        What was simulated; positions count from `Simulator.margin` voxels outside the crop.
    """

    density: Tensor
    labels: Tensor
    resolution: Tensor
    atoms: CropAtoms | None = None


class Simulator:
    """Simulates crops of cryo-EM maps with their ground truth.

    Parameters
    ----------
    atoms : TrainingAtoms
        The atomic models of one split.
    edge : int
        Edge of the crops in voxels.
    device : torch.device
        Where everything is computed.
    seed : int
        Same seed, device and settings: same crops.
    settings : SimulationSettings
        Ranges to draw from.
    """

    margin = 8  # voxels around the crop, cut away at the end: Fourier transforms wrap there

    def __init__(
        self,
        atoms: TrainingAtoms,
        edge: int,
        device: torch.device,
        seed: int,
        settings: SimulationSettings | None = None,
    ) -> None:
        self.settings = settings or SimulationSettings()
        self.edge, self.box, self.device = edge, edge + 2 * self.margin, device
        self.source = AtomSource(atoms, device)
        self.depositor = Depositor(self.box, device)
        self.draw = Draw(seed, device)
        self.normaliser = Normaliser()
        self._disorder = Disorder(self.source, self.draw, self.settings)
        self._micelle = Micelle(self.depositor, self.draw, self.settings)
        self._reconstruct = Reconstruction(self.depositor, self.draw, self.settings)
        self._process = Processing(self.source, self.depositor, self.draw, self.settings)
        self._class_weights = torch.tensor(self.settings.class_weights, device=device)

    def restart(self, seed: int) -> None:
        """Draw the crops that follow from another seed."""
        self.draw.restart(seed)

    @torch.no_grad()
    def batch(self, n: int, resolution: float | None = None) -> Crops:
        """Simulate `n` crops, at one resolution (Å) if it is given."""
        s, draw = self.settings, self.draw
        voxel_size = draw.uniform(n, low=s.voxel_size[0], high=s.voxel_size[1])
        d_min, b_total = self._resolutions(n, resolution)
        atoms = self.source.crops(draw, self._class_weights, self.box, voxel_size)
        weight, b_factor = self._disorder(atoms, n)
        grids = self.depositor.grids(atoms.crop, atoms.position, weight, b_factor, n)
        true = self.depositor.structure_factors(grids, voxel_size)
        envelope_f = torch.fft.rfftn(grids.sum(1), dim=(1, 2, 3))
        if s.p_micelle:
            true = true + self._micelle(envelope_f, voxel_size)
        density = self._reconstruct(true, voxel_size, d_min, b_total)
        density, kept = self._process(density, envelope_f, atoms, weight, voxel_size)
        inner = (slice(None), *(slice(self.margin, self.margin + self.edge),) * 3)
        density = density[inner].contiguous()
        labels = self._labels(atoms, voxel_size, density, kept[inner])
        density = normalise_batch(density, voxel_size, self.normaliser)
        jitter = torch.exp(s.scale_jitter * draw.normal(n, 1, 1, 1))
        density = density * jitter + s.offset_jitter * draw.normal(n, 1, 1, 1)
        density = density.clamp(self.normaliser.lowest, self.normaliser.highest)
        mirrored = (draw.happens(s.p_mirrored, n) & (d_min < s.mirrored_to)).view(n, 1, 1, 1)
        density = torch.where(mirrored, density.flip(-1), density)
        labels = torch.where(mirrored, without_classes(labels.flip(-1)), labels)
        return Crops(density, labels, d_min, atoms)

    def _resolutions(self, n: int, resolution: float | None) -> tuple[Tensor, Tensor]:
        bins = torch.tensor(self.settings.resolution_bins, device=self.device)
        falls = torch.tensor(self.settings.b_total, device=self.device)
        if resolution is None:
            which = self.draw.category(bins[:, 0], n)
            d_min = self.draw.uniform(n, low=bins[which, 1], high=bins[which, 2])
        else:
            d_min = torch.full((n,), resolution, device=self.device)
            which = torch.searchsorted(bins[:-1, 2].contiguous(), d_min)
        return d_min, self.draw.uniform(n, low=falls[which, 0], high=falls[which, 1])

    def _labels(self, atoms: CropAtoms, voxel_size: Tensor, density: Tensor, kept: Tensor) -> Tensor:
        """Ground truth of the crop; what a mask removed is *other*."""
        source = self.source
        judged = torch.nonzero(source.backbone[atoms.index] & (source.kind[atoms.index] > 0))[:, 0]
        index = atoms.index[judged]
        position = atoms.position[judged] - self.margin
        nearest, distance = nearest_atom(atoms.crop[judged], position, voxel_size, self.edge)
        labels = label(nearest, distance, source.cls[index], source.kind[index], source.border[index])
        if self.settings.label_density:
            segment = source.segment[index]
            # atoms of one element lie together, so a change of element or crop starts a new number
            change = (segment[1:] != segment[:-1]) | (atoms.crop[judged][1:] != atoms.crop[judged][:-1])
            element = torch.cat([change.new_zeros(1), change]).long().cumsum(0)
            labels = drop_faint(labels, nearest, distance, density, element)
        return torch.where(kept, labels, 0)
