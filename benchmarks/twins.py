"""Experimental maps beside maps simulated of their own models: the same molecules on the same voxels.

What a network gets wrong in both is a matter of the molecule or of its model; what it gets wrong in the
experimental map alone is a matter of how that map looks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from haruspex_infer.annotator import Annotator
from haruspex_infer.grid import Grid
from haruspex_infer.mapfile import Map, read_map
from haruspex_infer.resample import resample_density
from haruspex_infer.residues import RESOLVED, sigma_levels
from haruspex_infer.structure import AMINO_ACID, OTHER_KIND, Structure, read_structure
from haruspex_train.atoms import AtomSource, CropAtoms, Draw
from haruspex_train.density import Depositor
from haruspex_train.disorder import Disorder
from haruspex_train.judged import JudgedResidues, judge
from haruspex_train.library import TrainingAtoms
from haruspex_train.pairs import Pair, read_pairs
from haruspex_train.processing import Processing
from haruspex_train.reconstruction import Reconstruction
from haruspex_train.scoreboard import RESOLUTION_LIMIT
from haruspex_train.secondary import elements, residue_classes
from haruspex_train.settings import SimulationSettings
from haruspex_train.working import working_grid

AS_TRAINED = replace(
    SimulationSettings(), p_blobs=0.0, p_zone=0.0, p_soft_mask=0.0, p_flatten=0.0, p_clamp=0.0, p_gamma=0.0
)
"""The first stage's ranges, less masks and what else people do to maps: those are of the experimental map."""

PERFECT = replace(
    AS_TRAINED,
    b_total=((20.0, 20.0),) * 3,
    b_spread=(0.0, 0.0),
    p_b_field=0.0,
    p_b_side_chain=0.0,
    p_lost_side_chains=0.0,
    side_oxygen=(1.0, 1.0),
    weak_stretch=0.0,
    fsc_slope=(14.0, 14.0),
    low_pass=(0.9, 0.9),
    p_unweighted=0.0,
    solvent_contrast=(0.5, 0.5),
    p_solvent=1.0,
    p_anisotropy=0.0,
    noise=(0.05, 0.05),
    low_noise=(0.0, 0.0),
)
"""A model as it is, without noise or disorder."""

_ROOM = 20.0  # Å of a map that are kept beside its model
_MARGIN = 16  # voxels at least between the box and where Fourier transforms wrap
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Twin:
    """An experimental map, cut to the surroundings of its model, and all that its simulated twins share.

    Attributes
    ----------
    pair : Pair
    map : Map
        As deposited, less what is far from the model.
    structure : Structure
    classes : ndarray of uint8, shape (m,)
        True class of every residue.
    rows : ndarray of int64
        Residues that the published figures count in the experimental map.
    empty : ndarray of bool, shape of the map
        What a mask removed.
    """

    pair: Pair
    map: Map
    structure: Structure
    classes: NDArray[np.uint8]
    rows: NDArray[np.int64]
    empty: NDArray[np.bool_]

    def with_density(self, density: NDArray[np.floating]) -> Map:
        """Bring density from the working grid to the voxels of the map, and under its mask."""
        here = resample_density(density, working_grid(self.map.grid), self.map.grid)
        return replace(self.map, density=np.where(self.empty, np.float32(0), here))

    def simulated(
        self, seed: int, settings: SimulationSettings = AS_TRAINED, resolution: float | None = None
    ) -> NDArray[np.float32]:
        """Draw a map of the model as training would, at the resolution of the entry; on the working grid."""
        grid = working_grid(self.map.grid)
        return simulate_on(
            grid, self.structure, self.classes, resolution or self.pair.resolution, seed, settings
        )

    def judged(self, annotator: Annotator, map_: Map) -> JudgedResidues:
        """Annotate a map on these voxels and read it at the residues that count."""
        probabilities = annotator.annotate(map_).probabilities
        judged = judge(probabilities, self.map.density, map_.grid, self.structure, self.classes)
        inside = np.isfinite(sigma_levels(self.map.density, map_.grid, self.structure))
        listed = np.flatnonzero(inside & (self.structure.kind != OTHER_KIND))
        return judged.chosen(np.isin(listed, self.rows))


def read_twins(folder: Path, names: list[str] | None = None) -> Iterator[Twin]:
    """Read the ``val`` maps of 4 Å or better that hold protein."""
    for pair in read_pairs(folder, "val"):
        if pair.resolution > RESOLUTION_LIMIT or (names and pair.name not in names):
            continue
        structure = read_structure(pair.model_paths)
        if not (structure.kind == AMINO_ACID).any():
            continue
        whole = read_map(pair.map_path)
        levels = sigma_levels(whole.density, whole.grid, structure)
        rows = np.flatnonzero((structure.kind != OTHER_KIND) & (levels >= RESOLVED))
        map_ = near(whole, structure)
        yield Twin(pair, map_, structure, residue_classes(structure), rows, map_.density == 0)


def near(map_: Map, structure: Structure) -> Map:
    """Cut a map to the surroundings of a model."""
    places = map_.grid.indices(structure.xyz)
    room = _ROOM / np.array(map_.grid.voxel_size)
    low = np.clip(np.floor(places.min(axis=0) - room), 0, None).astype(int)
    high = np.minimum(np.ceil(places.max(axis=0) + room).astype(int) + 1, map_.grid.shape)
    z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    grid = map_.grid.part((z, y, x))
    return Map.from_array(map_.density[z, y, x], grid.voxel_size, grid.origin)


def simulate_on(
    grid: Grid,
    structure: Structure,
    classes: NDArray[np.uint8],
    resolution: float,
    seed: int,
    settings: SimulationSettings,
) -> NDArray[np.float32]:
    """Draw a map of a model on given voxels, in the steps of training."""
    edge = 2 * ((max(grid.shape) + 2 * _MARGIN + 1) // 2)
    before = [(edge - n) // 2 for n in grid.shape]
    position = (grid.indices(structure.xyz) + before).astype(np.float32)
    inside = ((position > 2) & (position < edge - 3)).all(axis=1)
    index = torch.from_numpy(np.flatnonzero(inside))
    source = AtomSource(_as_training(structure, classes), _CPU)
    draw, depositor = Draw(seed, _CPU), Depositor(edge, _CPU)
    atoms = CropAtoms(
        torch.zeros_like(index), torch.from_numpy(position[inside]), index, torch.zeros(1, dtype=torch.long)
    )
    size, d_min = torch.tensor([grid.voxel_size[0]]), torch.tensor([resolution])
    tops = [high for _, _, high in settings.resolution_bins[:-1]]
    low, high = settings.b_total[int(np.searchsorted(tops, resolution))]
    with torch.no_grad():
        b_total = draw.uniform(1, low=low, high=high)
        weight, b_factor = Disorder(source, draw, settings)(atoms, 1)
        grids = depositor.grids(atoms.crop, atoms.position, weight, b_factor, 1)
        true = depositor.structure_factors(grids, size)
        density = Reconstruction(depositor, draw, settings)(true, size, d_min, b_total)
        envelope_f = torch.fft.rfftn(grids.sum(1), dim=(1, 2, 3))
        process = Processing(source, depositor, draw, settings)
        density, _ = process(density, envelope_f, atoms, weight, size)
    z, y, x = (slice(a, a + n) for a, n in zip(before, grid.shape, strict=True))
    return density[0, z, y, x].numpy()


def _as_training(structure: Structure, classes: NDArray[np.uint8]) -> TrainingAtoms:
    """Pack one model as the library of models is packed."""
    of_atom = structure.residue
    return TrainingAtoms(
        xyz=structure.xyz,
        element=structure.element,
        b_iso=structure.b_iso,
        occupancy=structure.occupancy,
        backbone=structure.backbone,
        cls=classes[of_atom],
        kind=structure.kind[of_atom],
        residue=of_atom.astype(np.int32),
        segment=elements(structure, classes)[of_atom].astype(np.int32),
        offset=np.array([0, structure.n_atoms]),
        ids=("twin",),
        digest="",
    )
