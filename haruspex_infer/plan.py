"""What annotating a map will take: its working grid, where the molecule is, tiles and memory."""

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from haruspex_infer.errors import HaruspexError
from haruspex_infer.field import Field
from haruspex_infer.grid import Grid, Triple
from haruspex_infer.inputs import times
from haruspex_infer.mapfile import Map
from haruspex_infer.network import Contract
from haruspex_infer.normalise import INVERTED
from haruspex_infer.occupancy import Survey, cells_of, survey
from haruspex_infer.resample import resample_density, resample_probabilities
from haruspex_infer.resources import available_memory
from haruspex_infer.session import Session
from haruspex_infer.slabs import SLAB_VOXELS
from haruspex_infer.stages import timed
from haruspex_infer.tiles import TilePlan, plan_tiles

# the program with its libraries and a network
_PROGRAM_BYTES = 300_000_000
# density and answer of a tile, and its weights while it is stored
_TILE_BYTES = 4 * (1 + 4)
_WEIGHT_BYTES = 8
# on a GPU, tiles of so few shapes stay as they are on a CPU; more take longer to prepare for than to answer
_FEW_SHAPES = 2
# bytes for each voxel of the slabs that are written at once: probabilities, their interpolation, density
_SLAB_BYTES = 64
# the finest detail that such voxels can carry is 4 Å, about the limit of what the networks were trained on
_COARSE = 2.0


@dataclass(frozen=True)
class Plan:
    """A map, ready for a network.

    Attributes
    ----------
    map : Map
        The map.
    mask : ndarray of bool, shape (z, y, x), or None
        Voxels of the map to annotate.
    working : Grid
        Grid on which the network sees the map.
    density : ndarray, shape (z, y, x)
        Density there; the map's own array where the grid is the map's own.
    offset, scale : float
        What the normaliser measured.
    survey : Survey
        Which cells to annotate.
    tiles : TilePlan
        What the network will see of them.
    activations : int
        Bytes that the largest tile takes on the device.
    helpers : int
        Threads that cut tiles, and that store answers, beside the network.
    seconds : dict
        Time that each step took.
    """

    map: Map
    mask: NDArray[np.bool_] | None = field(repr=False)
    working: Grid
    density: NDArray[np.float32] = field(repr=False)
    offset: float
    scale: float
    survey: Survey = field(repr=False)
    tiles: TilePlan
    activations: int
    helpers: int
    seconds: dict[str, float]

    @property
    def memory(self) -> int:
        """Estimated peak in bytes; the network's share of it lies on the GPU where one is used.

        The program + the working grid where it is another than the map's (4 bytes a voxel) + the mask (1) +
        the larger of two: the map (4 bytes a voxel) while it is surveyed; or, later, the map where it is no
        view of a file, 6 bytes for each voxel of the region, the largest tile and slabs.
        """
        return self._always + max(4 * self.map.grid.voxels, self._later)

    def room(self, memory: float) -> float:
        """Return the bytes that are left for tiles where the whole is to keep to some."""
        return memory - self._always - self._later

    @property
    def _always(self) -> int:
        return (
            _PROGRAM_BYTES
            + (0 if self.working == self.map.grid else 4 * self.working.voxels)
            + (0 if self.mask is None else self.map.grid.voxels)
        )

    @property
    def _later(self) -> int:
        return (
            (0 if self.map.mapped else 4 * self.map.grid.voxels)
            + Field.memory(self.survey.region)
            + self.activations
            + self.tiles.largest * ((self.helpers + 1) * _TILE_BYTES + self.helpers * _WEIGHT_BYTES)
            + max(SLAB_VOXELS, math.prod(self.map.grid.shape[1:])) * _SLAB_BYTES
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know about the map."""
        notes = list(self.map.warnings)
        coarsest = max(self.map.grid.voxel_size)
        if coarsest > _COARSE:
            notes.append(
                f"voxels of {coarsest:.3g} Å show no detail under {2 * coarsest:.3g} Å, "
                "and secondary structure needs about 4 Å: expect little"
            )
        if self.survey.inverted:
            notes.append(INVERTED)
        return tuple(notes)

    def line(self) -> str:
        """Describe voxel size, grid, tiles and memory in one line."""
        grid, tiles = self.map.grid, self.tiles.tiles
        text = f"{times(grid.shape)} voxels of {shown_size(grid.voxel_size)}"
        if self.working != grid:
            text += f" → {times(self.working.shape)} of {shown_size(self.working.voxel_size)}"
        text += f", {self.survey.region.mean():.0%} to annotate"
        if tiles:
            number = "1 tile of" if len(tiles) == 1 else f"{len(tiles)} tiles of up to"
            text += f", {number} {times(tiles[0].shape)}"
        return f"{text}, about {self.memory / 1e9:.1f} GB"


def find_molecule(map_: Map, mask: NDArray[np.bool_] | None, contract: Contract) -> Plan:
    """Bring a map to the grid of a network and find out where the molecule is; tiles are laid later.

    Parameters
    ----------
    map_ : Map
    mask : ndarray of bool, shape (z, y, x), optional
        Voxels to annotate.
    contract : Contract
        What the network asks for.

    Raises
    ------
    HaruspexError
        If the map is constant, or does not fit into memory.
    """
    seconds: dict[str, float] = {}
    working = map_.grid.working(contract.finest, contract.coarsest, contract.voxel_size)
    density = map_.density
    with timed(seconds, "resample"):
        if working != map_.grid:
            _refuse_beyond_memory(4 * (map_.grid.voxels + working.voxels) + _PROGRAM_BYTES, map_)
            density = resample_density(density, map_.grid, working)
    with timed(seconds, "normalise"):
        offset, scale = contract.normaliser.measure(density, working.voxel_size)
        found = survey(density, contract.normaliser, offset, scale)
        if mask is not None:
            wanted = resample_probabilities(mask.astype(np.float32), map_.grid, working) > 0
            found = Survey(found.region & cells_of(wanted), found.inverted)
    map_.forget()
    no_tiles = TilePlan((), working.shape, contract.margin, contract.overlap)
    return Plan(map_, mask, working, density, offset, scale, found, no_tiles, 0, 0, seconds)


def with_tiles(plan: Plan, contract: Contract, session: Session, memory: float | None = None) -> Plan:
    """Lay the tiles that are best for a device.

    Parameters
    ----------
    plan : Plan
        From `find_molecule`.
    contract : Contract
    session : Session
        The network on its device.
    memory : float, optional
        Bytes that the whole is to keep to, as far as tiles decide that.

    Raises
    ------
    HaruspexError
        If the map does not fit into memory, or what it is to keep to leaves no room for tiles on a CPU.
    """
    room = None if memory is None else plan.room(memory)
    if memory is not None and room is not None and room <= 0 and session.device == "cpu":
        raise HaruspexError(
            f"The map needs more than {(memory - room) / 1e9:.1f} GB of memory and is to keep to "
            f"{memory / 1e9:.1f} GB: allow more, or cut out the part of interest."
        )
    plan = _laid(plan, contract, session, session.most_voxels(room))
    # an allocation beyond memory need not fail: the kernel may kill the program later, without a word
    _refuse_beyond_memory(plan.memory - (0 if session.device == "cpu" else plan.activations), plan.map)
    return plan


def with_smaller_tiles(plan: Plan, contract: Contract, session: Session) -> Plan:
    """Lay tiles of half the size, after the device had no room for these."""
    return _laid(plan, contract, session, plan.tiles.largest // 2)


def _laid(plan: Plan, contract: Contract, session: Session, most_voxels: int) -> Plan:
    tiles = plan_tiles(contract, plan.survey.region, plan.working.shape, most_voxels)
    if session.one_shape and len(tiles.shapes) > _FEW_SHAPES:
        tiles = plan_tiles(contract, plan.survey.region, plan.working.shape, most_voxels, one_shape=True)
    activations = session.activations(tiles.largest)
    return replace(plan, tiles=tiles, activations=activations, helpers=session.helpers)


def _refuse_beyond_memory(needed: float, map_: Map) -> None:
    if needed > available_memory():
        raise HaruspexError(
            f"The map needs about {needed / 1e9:.1f} GB of memory and this machine has "
            f"{available_memory() / 1e9:.1f} GB: check the voxel size ({shown_size(map_.grid.voxel_size)}), "
            "or cut out the part of interest."
        )


def shown_size(voxel_size: Triple) -> str:
    """Return voxel edges (z, y, x) as users read them, x first."""
    shown = [f"{edge:.4g}" for edge in reversed(voxel_size)]
    return f"{shown[0] if len(set(shown)) == 1 else ' × '.join(shown)} Å"
