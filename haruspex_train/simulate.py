"""Cryo-EM maps simulated from atomic models, batched, every step on the device.

A crop is made as a reconstruction would make it: electron scattering of atoms with their own disorder,
contrast of the solvent, fall-off and anisotropy, noise whose spectrum follows from the Fourier shell
correlation, weighting and sharpening, then what people do to maps: masks, flattening, clamping, local
post-processing. Ranges are those that transferred to experimental maps in trials.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from haruspex_infer.normalise import Normaliser
from haruspex_train.atoms import AtomSource, CropAtoms, Draw
from haruspex_train.density import Depositor, amplitude_table
from haruspex_train.labels import drop_faint, label, nearest_atom
from haruspex_train.library import TrainingAtoms
from haruspex_train.scale import normalise_batch

_OXYGEN, _HEAVIEST = 8, 118


@dataclass(frozen=True)
class SimulationSettings:
    """What is drawn for each crop. Pairs are the ends of uniform ranges; others are probabilities.

    Attributes
    ----------
    voxel_size : tuple
        Å.
    class_weights : tuple of 4
        How often a residue of each class (other, helix, strand, nucleotide) is at the centre.
    resolution_bins : tuple of (probability, lowest, highest)
        Resolution (FSC = 0.143), Å.
    b_total : tuple of pairs
        Fall-off of the best-ordered atoms after sharpening for each bin, Å²; negative is over-sharpened.
    b_spread : tuple
        Share of the model's own spread of B factors that the crop keeps.
    b_field : tuple
        Amplitude of a smooth field of disorder (local resolution), Å²; `p_b_field`.
    b_side_chain : tuple
        Extra disorder of side chains, Å²; `p_b_side_chain`.
    lost_side_chains : tuple
        Share of residues without density for the side chain; `p_lost_side_chains`.
    side_oxygen : tuple
        Weight of side-chain oxygens: carboxylates scatter weakly and are damaged by the beam.
    weak_stretch : float
        Probability that a crop has stretches of 12 residues at an occupancy of 0.35.
    fsc_slope : tuple
        Steepness of the logistic Fourier shell correlation.
    low_pass : tuple
        Final low-pass, in multiples of the resolution.
    solvent_contrast : tuple
        Contrast taken away at low resolution by bulk solvent (Babinet); `p_solvent`, otherwise up to 0.5
        is added.
    anisotropy : tuple
        Extra fall-off along one direction, Å²; `p_anisotropy`.
    noise : tuple
        Strength of noise relative to what the FSC implies (log-uniform).
    low_noise : tuple
        Strength of low-resolution noise, as a share of the density's spread.
    p_blobs : float
        Probability of shapeless density beside the molecule (detergent, lipids, disordered domains).
    p_zone, p_soft_mask, p_flatten : float
        Probabilities of a hard zone mask, a soft mask and flattened solvent.
    p_part : float
        Probability, where there is a mask, that it keeps only a stretch of the model (a chain cut out).
    p_clamp : float
        Probability that negative density is cut away.
    p_gamma : float
        Probability of a non-linear scale as post-processing networks leave it.
    scale_jitter, offset_jitter : float
        Standard deviations of errors of normalisation (logarithm of the scale; offset).
    label_density : bool
        Whether faint voxels are *other*; see `labels.drop_faint`.
    """

    voxel_size: tuple[float, float] = (1.0, 1.2)
    class_weights: tuple[float, ...] = (0.17, 0.28, 0.34, 0.21)
    resolution_bins: tuple[tuple[float, float, float], ...] = (
        (0.12, 1.7, 2.4),
        (0.73, 2.4, 4.2),
        (0.15, 4.2, 5.2),
    )
    b_total: tuple[tuple[float, float], ...] = ((-25.0, 70.0), (-20.0, 170.0), (20.0, 230.0))
    b_spread: tuple[float, float] = (0.2, 1.3)
    b_field: tuple[float, float] = (0.0, 150.0)
    p_b_field: float = 0.6
    b_side_chain: tuple[float, float] = (0.0, 70.0)
    p_b_side_chain: float = 0.6
    lost_side_chains: tuple[float, float] = (0.0, 0.25)
    p_lost_side_chains: float = 0.5
    side_oxygen: tuple[float, float] = (0.2, 1.0)
    weak_stretch: float = 0.3
    fsc_slope: tuple[float, float] = (8.0, 22.0)
    low_pass: tuple[float, float] = (0.95, 1.6)
    solvent_contrast: tuple[float, float] = (0.0, 0.75)
    p_solvent: float = 0.65
    anisotropy: tuple[float, float] = (20.0, 150.0)
    p_anisotropy: float = 0.3
    noise: tuple[float, float] = (0.1, 1.5)
    low_noise: tuple[float, float] = (0.0, 0.15)
    p_blobs: float = 0.25
    p_zone: float = 0.29
    p_soft_mask: float = 0.16
    p_flatten: float = 0.2
    p_part: float = 0.4
    p_clamp: float = 0.15
    p_gamma: float = 0.12
    scale_jitter: float = 0.25
    offset_jitter: float = 0.03
    label_density: bool = True


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
    """

    density: Tensor
    labels: Tensor
    resolution: Tensor


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
        self._amplitude = amplitude_table(device)
        self._class_weights = torch.tensor(self.settings.class_weights, device=device)
        rings = torch.sqrt(self.depositor.frequency2) * self.box
        self._ring = rings.round().long().clamp(max=self.box // 2 + 1)

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
        density = self._reconstruct(true, voxel_size, d_min, b_total)
        density, kept = self._process(density, envelope_f, atoms, weight, voxel_size, n)
        inner = (slice(None), *(slice(self.margin, self.margin + self.edge),) * 3)
        density = density[inner].contiguous()
        labels = self._labels(atoms, voxel_size, density, kept[inner])
        density = normalise_batch(density, voxel_size, self.normaliser)
        jitter = torch.exp(s.scale_jitter * draw.normal(n, 1, 1, 1))
        density = density * jitter + s.offset_jitter * draw.normal(n, 1, 1, 1)
        density = density.clamp(self.normaliser.lowest, self.normaliser.highest)
        return Crops(density, labels, d_min)

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

    def _disorder(self, atoms: CropAtoms, n: int) -> tuple[Tensor, Tensor]:
        """Scattering amplitude and B factor of every atom: occupancies, damage and disorder."""
        s, draw, source = self.settings, self.draw, self.source
        crop, index = atoms.crop, atoms.index
        residue, backbone = source.residue[index], source.backbone[index]
        element = source.element[index].clamp(max=_HEAVIEST)
        weight = self._amplitude[element] * source.occupancy[index].clamp(min=0.1)
        side = (source.kind[index] == 1) & ~backbone

        lost = draw.uniform(n, high=s.lost_side_chains[1]) * draw.happens(s.p_lost_side_chains, n)
        is_lost = side & (self._per_residue(residue, crop, n) < lost[crop])
        oxygen = draw.uniform(n, low=s.side_oxygen[0], high=s.side_oxygen[1])
        weight = torch.where(is_lost, 0.1 * weight, weight)
        weight = torch.where(side & (element == _OXYGEN), weight * oxygen[crop], weight)
        stretches = 0.12 * draw.happens(s.weak_stretch, n)
        is_weak = self._per_residue(residue // 12, crop, n) < stretches[crop]
        weight = torch.where(is_weak, 0.35 * weight, weight)

        entry = torch.searchsorted(source.offset, index, right=True) - 1
        spread = draw.uniform(n, low=s.b_spread[0], high=s.b_spread[1])
        b = spread[crop] * (source.b_iso[index] - source.b_low[entry]).clamp(0, 200)
        extra = draw.uniform(n, high=s.b_side_chain[1]) * draw.happens(s.p_b_side_chain, n)
        b = b + side * extra[crop]
        amplitude = draw.uniform(n, high=s.b_field[1]) * draw.happens(s.p_b_field, n)
        return weight, b + amplitude[crop] * self._smooth_field(atoms, n)

    def _per_residue(self, residue: Tensor, crop: Tensor, n: int) -> Tensor:
        """Return a uniform random number for each residue of each crop, the same for all its atoms."""
        salt = torch.randint(1 << 30, (n,), generator=self.draw.generator, device=self.device)
        mixed = (residue * 0x9E3779B1 + salt[crop]) & 0xFFFFFFFF
        mixed = ((mixed ^ (mixed >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
        mixed = ((mixed ^ (mixed >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
        return (mixed ^ (mixed >> 16)).double().mul(2.0**-32).float()

    def _smooth_field(self, atoms: CropAtoms, n: int) -> Tensor:
        """Return a field between 0 and 1 at the atoms that varies over 25-100 Å in each crop."""
        waves = 3
        direction = torch.nn.functional.normalize(self.draw.normal(n, waves, 3), dim=2)
        length = self.draw.uniform(n, waves, 1, low=25.0, high=100.0)
        phase = self.draw.uniform(n, waves, high=2 * torch.pi)
        along = ((2 * torch.pi * direction / length)[atoms.crop] * atoms.position[:, None]).sum(2)
        return (0.5 + 0.5 * torch.cos(along + phase[atoms.crop])).mean(1)

    def _reconstruct(self, true: Tensor, voxel_size: Tensor, d_min: Tensor, b_total: Tensor) -> Tensor:
        """Density with noise, fall-off, weighting and low-pass, as a refinement program writes it."""
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
        strength = torch.exp(draw.uniform(n, low=s.noise[0], high=s.noise[1]).log()).view(column)
        spectrum = self._ring_power(signal)
        amplitude = strength * torch.sqrt(spectrum * ((1 - fsc) / (2 * fsc)).clamp(max=30))
        low = draw.uniform(n, low=s.low_noise[0], high=s.low_noise[1]).view(column)
        spread = signal.abs().square().mean((1, 2, 3), keepdim=True).sqrt()
        low_shape = torch.exp(-draw.uniform(n, low=100.0, high=1500.0).view(column) / 4 * q2)
        low_shape = low_shape / low_shape.square().mean((1, 2, 3), keepdim=True).sqrt()
        amplitude = amplitude + low * spread * low_shape
        white = torch.fft.rfftn(draw.normal(n, *(self.box,) * 3), dim=(1, 2, 3)) / self.box**1.5
        weighted = (signal + amplitude * white) * torch.sqrt(2 * fsc / (1 + fsc))

        cut = edge * draw.uniform(n, low=1 / s.low_pass[1], high=1 / s.low_pass[0]).view(column)
        cut = torch.maximum(cut, edge * 0.9)
        cut = torch.minimum(cut, 0.47 / voxel_size.view(column))
        width = 0.05 * cut
        return self.depositor.real(weighted * torch.sigmoid((cut - q) / width))

    def _anisotropic(self, voxel_size: Tensor, n: int) -> Tensor:
        s, draw = self.settings, self.draw
        axis = torch.nn.functional.normalize(draw.normal(n, 3), dim=1)
        fall = draw.uniform(n, low=s.anisotropy[0], high=s.anisotropy[1]) * draw.happens(s.p_anisotropy, n)
        full = torch.fft.fftfreq(self.box, device=self.device)
        half = torch.fft.rfftfreq(self.box, device=self.device)
        axis = axis / voxel_size[:, None]
        along = (
            axis[:, 0, None, None, None] * full[:, None, None]
            + axis[:, 1, None, None, None] * full[None, :, None]
            + axis[:, 2, None, None, None] * half[None, None, :]
        )
        return torch.exp(-fall[:, None, None, None] / 4 * along.square())

    def _ring_power(self, coefficients: Tensor) -> Tensor:
        """Mean power of each shell of resolution, at every coefficient of that shell."""
        n, rings = len(coefficients), int(self.box // 2 + 2)
        ring = self._ring.reshape(-1)
        power = coefficients.abs().square().view(n, -1)
        total = torch.zeros(n, rings, device=self.device).index_add_(1, ring, power)
        count = torch.zeros(rings, device=self.device).index_add_(0, ring, torch.ones_like(power[0]))
        return (total / count.clamp(min=1))[:, ring].view(coefficients.shape)

    def _process(
        self,
        density: Tensor,
        envelope_f: Tensor,
        atoms: CropAtoms,
        weight: Tensor,
        voxel_size: Tensor,
        n: int,
    ) -> tuple[Tensor, Tensor]:
        """Blobs, masks, flattening, clamping and non-linear scales; returns density and what was kept."""
        s, draw = self.settings, self.draw
        column = (n, 1, 1, 1)
        q2 = self.depositor.q2(voxel_size)
        # the smoothed molecule stands in for distances to atoms; 1 is dense protein
        width = draw.uniform(n, low=1.2, high=2.4).view(column)
        blur = torch.exp(-2 * torch.pi**2 * width.square() * q2)
        protein = 0.055 * 2.4 * voxel_size.view(column) ** 3  # amplitude per voxel of dense protein
        smooth = self.depositor.real(envelope_f * blur * self.depositor.unspline) / protein
        level = density.clamp(min=0)
        level = (level.pow(4).sum((1, 2, 3)) / level.pow(3).sum((1, 2, 3)).clamp(min=1e-12)).view(column)

        lumps = self.depositor.real(
            torch.fft.rfftn(draw.normal(n, *(self.box,) * 3), dim=(1, 2, 3))
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
            smooth = torch.where(part.view(column), self._part(atoms, weight, blur, protein, n), smooth)
        border = draw.uniform(n, low=0.02, high=0.25).view(column)
        hard_mask = (smooth > border).float()
        soft_mask = torch.sigmoid((smooth - border) / (0.35 * border))
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

    def _part(self, atoms: CropAtoms, weight: Tensor, blur: Tensor, protein: Tensor, n: int) -> Tensor:
        """Smoothed density of a stretch of residues around the centre of each crop, as of one chain."""
        residue = self.source.residue[atoms.index]
        before = self.draw.uniform(n, low=30.0, high=400.0)
        after = self.draw.uniform(n, low=30.0, high=400.0)
        away = residue - atoms.centre_residue[atoms.crop]
        mine = (away > -before[atoms.crop]) & (away < after[atoms.crop])
        zero = torch.zeros_like(weight)
        grids = self.depositor.grids(atoms.crop, atoms.position, weight * mine, zero, n)
        transformed = torch.fft.rfftn(grids[:, 0], dim=(1, 2, 3))
        return self.depositor.real(transformed * blur * self.depositor.unspline) / protein

    def _labels(self, atoms: CropAtoms, voxel_size: Tensor, density: Tensor, kept: Tensor) -> Tensor:
        """Ground truth of the crop; what a mask removed is *other*."""
        source = self.source
        judged = torch.nonzero(source.backbone[atoms.index] & (source.kind[atoms.index] > 0))[:, 0]
        index = atoms.index[judged]
        position = atoms.position[judged] - self.margin
        nearest, distance = nearest_atom(atoms.crop[judged], position, voxel_size, self.edge)
        labels = label(nearest, distance, source.cls[index], source.kind[index])
        if self.settings.label_density:
            segment = source.segment[index]
            # atoms of one element lie together, so a change of element or crop starts a new number
            change = (segment[1:] != segment[:-1]) | (atoms.crop[judged][1:] != atoms.crop[judged][:-1])
            element = torch.cat([change.new_zeros(1), change]).long().cumsum(0)
            labels = drop_faint(labels, nearest, distance, density, element)
        return torch.where(kept, labels, 0)
