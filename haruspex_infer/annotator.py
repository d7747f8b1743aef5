"""The way of a map through a network: working grid, tiles, probabilities, and back to its own voxels."""

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from haruspex_infer.annotation import MOLECULE, Annotation
from haruspex_infer.classes import CLASSES, OTHER
from haruspex_infer.errors import HaruspexError
from haruspex_infer.grid import Grid, Triple
from haruspex_infer.mapfile import Map, edges, read_map
from haruspex_infer.mapheader import locate
from haruspex_infer.network import DEFAULT_NETWORK, digest_of, find_network, parse_contract
from haruspex_infer.normalise import INVERTED, is_inverted
from haruspex_infer.resample import resample_density, resample_probabilities
from haruspex_infer.resources import available_memory
from haruspex_infer.session import Session
from haruspex_infer.tiles import Blend, TilePlan, plan_tiles

Progress = Callable[[int, int], None]
MapLike = str | os.PathLike[str] | Map | ArrayLike

# Measured on a CPU: activations of both networks take 1,330 to 1,450 bytes for each voxel of the tiles that
# run at once, and stay allocated; the program itself takes 0.15 GB.
_ACTIVATION_BYTES = 1450
_PROGRAM_BYTES = 150_000_000
# the finest detail that such voxels can carry is 4 Å, about the limit of what the networks were trained on
_COARSE = 2.0


@dataclass(frozen=True)
class Plan:
    """What annotating a map will take.

    Attributes
    ----------
    map : Map
        The map.
    working : Grid
        Grid on which the network sees it.
    tiles : TilePlan
        Tiles of the working grid; those that hold only solvent will be skipped.
    batch : int
        Tiles that run at once.
    """

    map: Map
    working: Grid
    tiles: TilePlan
    batch: int

    @property
    def memory(self) -> int:
        """Estimated peak in bytes; the network's share of it lies on the GPU where one is used."""
        given, working = self.map.grid.voxels, self.working.voxels
        tile = math.prod(self.tiles.edge) * min(self.batch, len(self.tiles))
        on_tiles = 4 * given + 4 * working * (2 + len(CLASSES))
        back = 4 * given * (2 + len(CLASSES)) + 4 * working * len(CLASSES)
        return _PROGRAM_BYTES + tile * _ACTIVATION_BYTES + max(on_tiles, back)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should know about the map."""
        coarsest = max(self.map.grid.voxel_size)
        if coarsest <= _COARSE:
            return self.map.warnings
        note = (
            f"voxels of {coarsest:.3g} Å show no detail under {2 * coarsest:.3g} Å, "
            "and secondary structure needs about 4 Å: expect little"
        )
        return (*self.map.warnings, note)

    def line(self) -> str:
        """Describe voxel size, grid, tiles and memory in one line."""
        grid = self.map.grid
        text = f"{_times(grid.shape)} voxels of {_size(grid.voxel_size)}"
        if self.working != grid:
            text += f" → {_times(self.working.shape)} of {_size(self.working.voxel_size)}"
        tiles = f"{len(self.tiles)} tile{'s' if len(self.tiles) > 1 else ''} of {_times(self.tiles.edge)}"
        return f"{text}, {tiles}, about {self.memory / 1e9:.1f} GB"


class Annotator:
    """A network on a device, ready to annotate maps.

    Parameters
    ----------
    network : str or path-like
        Name of a network that ships with this package, or an ONNX file.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises
    ------
    HaruspexError
        If the network cannot be found or run, or the device cannot be used.
    """

    def __init__(self, network: str | os.PathLike[str] = DEFAULT_NETWORK, device: str = "auto") -> None:
        path = find_network(network)
        self.session = Session(path, device)
        self.contract = parse_contract(self.session.metadata, str(path))
        self.digest = digest_of(path)

    def line(self) -> str:
        """Return network and device in one line."""
        device = self.session.device
        if device == "cpu":
            device += f" ({self.session.threads} core{'s' if self.session.threads > 1 else ''})"
        if self.session.fallback:
            device += f", no GPU: {self.session.fallback}"
        return f"{self.contract.name} {self.contract.version} on {device}"

    def plan(self, map_: Map) -> Plan:
        """Plan the annotation of a map.

        Parameters
        ----------
        map_ : Map
            The map.

        Returns
        -------
        Plan
            Working grid, tiles, memory and warnings.
        """
        contract = self.contract
        working = map_.grid.working(contract.finest, contract.coarsest, contract.voxel_size)
        tiles = plan_tiles(working.shape, contract)
        return Plan(map_, working, tiles, self.session.batch_size(tiles.edge))

    def annotate(
        self, map_: Map, mask: NDArray[np.bool_] | None = None, progress: Progress | None = None
    ) -> Annotation:
        """Annotate a map.

        Parameters
        ----------
        map_ : Map
            The map.
        mask : ndarray of bool, shape (z, y, x), optional
            Voxels to annotate; all others become other. The density outside still serves as surroundings.
        progress : callable, optional
            Called with the number of tiles done and their total.

        Returns
        -------
        Annotation

        Raises
        ------
        HaruspexError
            If the map is constant or larger than memory, the mask is of another shape, or the device fails.
        """
        if mask is not None:
            _refuse_another_shape(mask, map_)
        plan = self.plan(map_)
        # an allocation beyond memory need not fail: the kernel may kill the program later, without a word
        if plan.memory > available_memory():
            raise HaruspexError(
                f"The map needs about {plan.memory / 1e9:.1f} GB of memory and this machine has "
                f"{available_memory() / 1e9:.1f} GB: check the voxel size "
                f"({_size(map_.grid.voxel_size)}), or cut out the part of interest."
            )
        timings: dict[str, float] = {}
        with _timed(timings, "resample"):
            density = map_.density
            if plan.working != map_.grid:
                density = resample_density(density, map_.grid, plan.working)
        with _timed(timings, "normalise"):
            offset, scale = self.contract.normaliser.measure(density, plan.working.voxel_size)
            density = self.contract.normaliser.apply(density, offset, scale)
            inverted = is_inverted(density)
        with _timed(timings, "network"):
            wanted = self._tiles_to_run(plan, density, mask)
            probabilities = self._run(plan, density, wanted, progress)
        del density
        with _timed(timings, "resample back"):
            probabilities = _back(probabilities, plan.working, map_.grid)
            if mask is not None:
                probabilities[:, ~mask] = 0
                probabilities[OTHER.number][~mask] = 1
        report = {
            "network": {
                "name": self.contract.name,
                "version": self.contract.version,
                "digest": self.digest,
            },
            "device": self.session.device,
            "fallback": self.session.fallback,
            "working": {"shape_zyx": plan.working.shape, "voxel_size_zyx": plan.working.voxel_size},
            "tiles": {
                "total": len(plan.tiles),
                "run": len(wanted),
                "skipped": len(plan.tiles) - len(wanted),
                "edge_zyx": plan.tiles.edge,
            },
            "masked": mask is not None,
            "seconds": {name: round(seconds, 3) for name, seconds in timings.items()},
        }
        warnings = (*plan.warnings, INVERTED) if inverted else plan.warnings
        return Annotation(map_, probabilities, offset, scale, report, warnings)

    def _tiles_to_run(
        self, plan: Plan, density: NDArray[np.float32], mask: NDArray[np.bool_] | None
    ) -> list[tuple[int, int, int]]:
        """Return the tiles that answer for molecular density, and for voxels of the mask."""
        inside = None
        if mask is not None:
            inside = resample_probabilities(mask.astype(np.float32), plan.map.grid, plan.working)
        wanted = []
        for origin in plan.tiles.origins():
            part = plan.tiles.answered(origin)
            if density[part].max() >= MOLECULE and (inside is None or inside[part].any()):
                wanted.append(origin)
        return wanted

    def _run(
        self,
        plan: Plan,
        density: NDArray[np.float32],
        wanted: list[tuple[int, int, int]],
        progress: Progress | None,
    ) -> NDArray[np.float32]:
        blend = Blend(plan.tiles)
        for first in range(0, len(wanted), plan.batch):
            origins = wanted[first : first + plan.batch]
            tiles = np.stack([plan.tiles.cut(density, origin) for origin in origins])
            answers = self.session.run(tiles[:, None])
            for origin, answer in zip(origins, answers, strict=True):
                blend.add(origin, answer)
            if progress is not None:
                progress(first + len(origins), len(wanted))
        return blend.result()


def annotate(
    map_: MapLike,
    voxel_size: float | Triple | None = None,
    device: str = "auto",
    network: str | os.PathLike[str] = DEFAULT_NETWORK,
    mask: MapLike | None = None,
    progress: Progress | None = None,
) -> Annotation:
    """Annotate a cryo-EM map: helix, strand, nucleotide or other for every voxel.

    Parameters
    ----------
    map_ : path-like, Map or array_like
        MRC/CCP4 file, a map, or density of shape (z, y, x).
    voxel_size : float or tuple of float, optional
        Voxel edges in Å, one number or (z, y, x). Needed for an array; for a file it replaces the header's.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    network : str or path-like
        Name of a network that ships with this package, or an ONNX file.
    mask : path-like, Map or array_like, optional
        Mask on the voxels of the map; only voxels of at least 0.5 are annotated.
    progress : callable, optional
        Called with the number of tiles done and their total.

    Returns
    -------
    Annotation

    Raises
    ------
    HaruspexError
        If anything about the input, the network or the device is wrong.
    """
    given = as_map(map_, voxel_size)
    where = None if mask is None else as_mask(mask, given)
    return Annotator(network, device).annotate(given, where, progress)


def as_map(source: MapLike, voxel_size: float | Triple | None = None) -> Map:
    """Return a map from a file, a map or an array; see `annotate`."""
    if isinstance(source, Map):
        if voxel_size is None:
            return source
        header, grid = locate(source.header, edges(voxel_size), "The map", [])
        return replace(source, header=header, grid=grid, misread=True)
    if isinstance(source, str | os.PathLike):
        return read_map(source, voxel_size)
    if voxel_size is None:
        raise HaruspexError("An array has no voxel size of its own: give it in Å as voxel_size.")
    return Map.from_array(source, voxel_size)


def as_mask(source: MapLike, map_: Map) -> NDArray[np.bool_]:
    """Return the voxels of at least 0.5 of a mask on the grid of a map.

    Raises
    ------
    HaruspexError
        If the mask lies on another grid, or is empty.
    """
    if isinstance(source, str | os.PathLike):
        # many programs write masks without position or with 1 Å voxels: the voxels are what counts
        source = read_map(source, map_.grid.voxel_size)
    values = source.density if isinstance(source, Map) else np.asarray(source)
    _refuse_another_shape(values, map_)
    inside = values >= 0.5
    if not inside.any():
        raise HaruspexError(
            f"The mask keeps nothing: its highest value is {float(values.max()):.3g}, "
            "and voxels of at least 0.5 are annotated."
        )
    return inside


def _refuse_another_shape(mask: NDArray, map_: Map) -> None:
    if mask.shape != map_.grid.shape:
        raise HaruspexError(
            f"The mask has {_times(mask.shape)} voxels and the map {_times(map_.grid.shape)}: "
            "they must have the same grid."
        )


def _back(probabilities: NDArray[np.float32], working: Grid, grid: Grid) -> NDArray[np.float32]:
    if working == grid:
        return probabilities
    result = np.empty((len(CLASSES), *grid.shape), dtype=np.float32)
    for number, volume in enumerate(probabilities):
        result[number] = resample_probabilities(volume, working, grid)
    return result


@contextmanager
def _timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    timings[stage] = time.perf_counter() - start


def _times(numbers: tuple[int, ...]) -> str:
    return " × ".join(str(n) for n in reversed(numbers))


def _size(voxel_size: Triple) -> str:
    shown = [f"{edge:.4g}" for edge in reversed(voxel_size)]
    return f"{shown[0] if len(set(shown)) == 1 else ' × '.join(shown)} Å"
