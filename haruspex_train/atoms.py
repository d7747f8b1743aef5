"""Gathers, on the device, the atoms around random places of a library of atomic models."""

from dataclasses import dataclass

import torch
from torch import Tensor

from haruspex_infer.classes import CLASSES
from haruspex_train.library import TrainingAtoms
from haruspex_train.truth import IGNORE


class Draw:
    """Random numbers of one seeded generator, on one device, a row for every crop."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.device = device
        self.generator = torch.Generator(device).manual_seed(seed)

    def restart(self, seed: int) -> None:
        """Begin another stream of numbers."""
        self.generator.manual_seed(seed)

    def uniform(self, *shape: int, low: float | Tensor = 0.0, high: float | Tensor = 1.0) -> Tensor:
        """Return uniform numbers in [low, high)."""
        unit = torch.rand(*shape, generator=self.generator, device=self.device)
        return low + (high - low) * unit

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers."""
        return torch.randn(*shape, generator=self.generator, device=self.device)

    def happens(self, probability: float, *shape: int) -> Tensor:
        """Return booleans that are true with the given probability."""
        return torch.rand(*shape, generator=self.generator, device=self.device) < probability

    def category(self, weights: Tensor, n: int) -> Tensor:
        """Return `n` indices drawn with the given weights."""
        # multinomial takes at most 2**24 categories; the libraries here have a few thousand entries
        return torch.multinomial(weights, n, replacement=True, generator=self.generator)

    def rotations(self, n: int) -> Tensor:
        """Return `n` rotation matrices, uniform over all orientations (from random unit quaternions)."""
        w, x, y, z = torch.nn.functional.normalize(self.normal(n, 4), dim=1).unbind(1)
        rows = [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
        return torch.stack([torch.stack(row, 1) for row in rows], 1)


@dataclass
class CropAtoms:
    """The atoms of a batch of crops, one after another.

    Attributes
    ----------
    crop : Tensor (n,)
        Crop of the batch that the atom belongs to; never decreasing.
    position : Tensor (n, 3)
        Position (z, y, x) in voxels of the crop, voxel centres at whole numbers.
    index : Tensor (n,)
        Row of the atom in the library.
    centre_residue : Tensor (crops,)
        Library residue around which each crop was taken.
    """

    crop: Tensor
    position: Tensor
    index: Tensor
    centre_residue: Tensor


class AtomSource:
    """A library of atomic models on the device.

    Parameters
    ----------
    atoms : TrainingAtoms
        Atoms of one split.
    device : torch.device
        Where the atoms are kept and gathered.
    """

    def __init__(self, atoms: TrainingAtoms, device: torch.device) -> None:
        def put(array: object, dtype: torch.dtype) -> Tensor:
            return torch.as_tensor(array).to(device=device, dtype=dtype)

        self.xyz = put(atoms.xyz, torch.float32)
        self.element = put(atoms.element, torch.long)
        self.b_iso = put(atoms.b_iso, torch.float32)
        self.occupancy = put(atoms.occupancy, torch.float32)
        self.backbone = put(atoms.backbone, torch.bool)
        self.cls = put(atoms.cls, torch.uint8)
        self.kind = put(atoms.kind, torch.uint8)
        self.residue = put(atoms.residue, torch.long)
        self.segment = put(atoms.segment, torch.long)
        self.offset = put(atoms.offset, torch.long)
        self.b_low = self._entry_low_b()
        self.border = self._changes()
        self._places = [self._candidates(c.number) for c in CLASSES]

    def _entry_low_b(self) -> Tensor:
        """B factor of the best-ordered atoms of every entry (10th percentile), Å²."""
        lows = [
            torch.quantile(self.b_iso[a:b][:100_000], 0.1) if b > a else self.b_iso.new_zeros(())
            for a, b in zip(self.offset[:-1].tolist(), self.offset[1:].tolist(), strict=True)
        ]
        return torch.stack(lows)

    def _changes(self) -> Tensor:
        """Whether the residue of each atom, or one of its two neighbours, is of another class than the next.

        Residues are neighbours as they stand in the file, so the ends of chains count as well.
        """
        first = torch.cat([self.residue.new_ones(1, dtype=torch.bool), self.residue[1:] != self.residue[:-1]])
        cls = self.cls[first]
        change = torch.zeros(len(cls) + 1, dtype=torch.bool, device=cls.device)  # between i - 1 and i
        change[1:-1] = (cls[1:] != cls[:-1]) & (cls[1:] != IGNORE) & (cls[:-1] != IGNORE)
        wide = torch.nn.functional.pad(change, (1, 1))
        border = wide[:-3] | wide[1:-2] | wide[2:-1] | wide[3:]
        return border[first.long().cumsum(0) - 1]

    def _candidates(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """Backbone atoms of one class, where those of every entry begin, and the weight of every entry.

        The weight is the square root of the number of atoms: no ribosome may own the nucleotides.
        """
        protein_or_nucleic = self.kind > 0
        index = torch.nonzero((self.cls == number) & self.backbone & protein_or_nucleic)[:, 0]
        start = torch.searchsorted(index, self.offset)
        return index, start, (start[1:] - start[:-1]).float().sqrt()

    def crops(self, draw: Draw, class_weights: Tensor, edge: int, voxel_size: Tensor) -> CropAtoms:
        """Gather the atoms of random crops.

        Each crop lies around a random backbone atom of a class drawn by `class_weights`, in a random
        orientation, moved off centre by about 10 Å (one in twenty by about 35 Å, so that solvent is seen).

        Parameters
        ----------
        draw : Draw
            Source of random numbers.
        class_weights : Tensor (4,)
            How often each class is at the centre.
        edge : int
            Edge of the crop in voxels.
        voxel_size : Tensor (n,)
            Voxel size of each crop, Å.
        """
        n = len(voxel_size)
        centre, entry = self._centres(draw, class_weights, n)
        spread = torch.where(draw.happens(0.05, n, 1), 35.0, 10.0)
        middle = self.xyz[centre] + spread * draw.normal(n, 3) / 3**0.5
        rotation = draw.rotations(n)

        length = self.offset[entry + 1] - self.offset[entry]
        crop = torch.repeat_interleave(torch.arange(n, device=length.device), length)
        first = torch.repeat_interleave(self.offset[entry] - (length.cumsum(0) - length), length)
        index = first + torch.arange(len(crop), device=crop.device)

        # a sphere around the box first: most atoms of large entries fall away before they are turned
        reach = (3**0.5 / 2 * edge) * voxel_size
        away = self.xyz[index] - middle[crop]
        near = torch.nonzero(away.square().sum(1) < reach[crop].square())[:, 0]
        crop, index, away = crop[near], index[near], away[near]
        turned = torch.einsum("nij,nj->ni", rotation[crop], away)
        # (x, y, z) becomes (z, y, x): without the flip the crop would be a mirror image
        position = turned.flip(1) / voxel_size[crop, None] + (edge - 1) / 2
        inside = torch.nonzero(((position > 2) & (position < edge - 3)).all(1))[:, 0]
        return CropAtoms(crop[inside], position[inside], index[inside], self.residue[centre])

    def _centres(self, draw: Draw, class_weights: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """Draw `n` backbone atoms; returns their rows and their entries."""
        present = torch.tensor([bool(w.sum() > 0) for _, _, w in self._places], device=class_weights.device)
        cls = draw.category(class_weights * present, n)
        centre = torch.empty(n, dtype=torch.long, device=cls.device)
        entry = torch.empty_like(centre)
        for number, (index, start, weight) in enumerate(self._places):
            if not present[number]:
                continue
            # all classes are drawn for all crops, then picked: no transfer to the host in between
            e = draw.category(weight, n)
            count = start[e + 1] - start[e]
            k = start[e] + (draw.uniform(n) * count).long().clamp(max=count - 1)
            mine = cls == number
            centre, entry = torch.where(mine, index[k], centre), torch.where(mine, e, entry)
        return centre, entry
