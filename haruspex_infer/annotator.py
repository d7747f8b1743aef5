"""The way of a map through a network: plan, tiles, probabilities, and back to its own voxels."""

import gc
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from haruspex_infer.annotation import Annotation
from haruspex_infer.devices import gpu_numbers
from haruspex_infer.field import FieldOnGrid
from haruspex_infer.inputs import MapLike, as_map, as_mask
from haruspex_infer.mapfile import VoxelSize
from haruspex_infer.mirrorimage import with_mirror_image
from haruspex_infer.network import DEFAULT_NETWORK, METADATA_KEY, digest_of, find_network, parse_contract
from haruspex_infer.onnxfile import read_metadata, read_network
from haruspex_infer.outside import look
from haruspex_infer.plan import Plan, find_molecule, with_smaller_tiles, with_tiles
from haruspex_infer.session import OutOfMemoryError, Session
from haruspex_infer.stages import timed
from haruspex_infer.sweep import Progress, Sweep


class Annotator:
    """A network on a device, ready to annotate maps.

    The network is loaded in the background: a map can be read in the meantime.

    Parameters
    ----------
    network : str or path-like
        Name of a network that ships with this package, or an ONNX file.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N``, or ``cuda:N,M`` for several GPUs side by side.
    memory : float, optional
        Bytes of memory to use at most, as far as the size of tiles on a CPU decides that.

    Raises
    ------
    HaruspexError
        If the network cannot be found or run, or the device cannot be used.
    """

    def __init__(
        self,
        network: str | os.PathLike[str] = DEFAULT_NETWORK,
        device: str = "auto",
        memory: float | None = None,
    ) -> None:
        path = find_network(network)
        numbers = gpu_numbers(device)
        self._devices = [device] if len(numbers) == 1 else [f"cuda:{number}" for number in numbers]
        self._path, self._memory = path, memory
        model = read_network(path)
        self.contract = parse_contract(read_metadata(model, METADATA_KEY), str(path))
        self._loading = _load(path, self._devices, model)
        self.digest = digest_of(model)

    @property
    def sessions(self) -> list[Session]:
        """The network on each device, once it is loaded."""
        return [loading.result() for loading in self._loading]

    @property
    def session(self) -> Session:
        """The network on the first of its devices, once it is loaded."""
        return self._loading[0].result()

    @property
    def failed(self) -> bool:
        """Whether the network could not be loaded; waits until that is known."""
        return any(loading.exception() is not None for loading in self._loading)

    def line(self) -> str:
        """Return network and device in one line."""
        device = " and ".join(session.device for session in self.sessions)
        if device == "cpu":
            device += f" ({self.session.threads} core{'s' if self.session.threads > 1 else ''})"
        if self.session.fallback:
            device += f", no GPU: {self.session.fallback}"
        return f"{self.contract.name} {self.contract.version} on {device}"

    def plan(self, map_: MapLike, mask: MapLike | None = None) -> Plan:
        """Plan the annotation of a map: all that comes before the network.

        Parameters
        ----------
        map_ : Map or path-like
            The map.
        mask : path-like, Map or array_like, optional
            Only voxels of at least 0.5 are annotated, all others become other. The density outside still
            serves as surroundings.

        Returns
        -------
        Plan
            Working grid, region, tiles, memory and warnings.

        Raises
        ------
        HaruspexError
            If the map is constant or larger than memory, the mask is of another shape, or the network could
            not be loaded.
        """
        return self.lay(self.find(map_, mask))

    def find(self, map_: MapLike, mask: MapLike | None = None) -> Plan:
        """Find the molecule in a map: the part of `plan` that does not need the network to be loaded.

        Parameters
        ----------
        map_ : Map or path-like
            The map.
        mask : path-like, Map or array_like, optional
            Only voxels of at least 0.5 are annotated.

        Returns
        -------
        Plan
            Without tiles.
        """
        given = as_map(map_)
        return find_molecule(given, None if mask is None else as_mask(mask, given), self.contract)

    def lay(self, found: Plan) -> Plan:
        """Lay tiles over a molecule: the rest of `plan`.

        Parameters
        ----------
        found : Plan
            From `find`.

        Returns
        -------
        Plan
        """
        return with_tiles(found, self.contract, self.session, self._memory)

    def annotate(
        self, map_: MapLike, mask: MapLike | None = None, progress: Progress | None = None
    ) -> Annotation:
        """Annotate a map; see `plan` and `run`.

        Parameters
        ----------
        map_ : Map or path-like
            The map.
        mask : path-like, Map or array_like, optional
            Only voxels of at least 0.5 are annotated, all others become other. The density outside still
            serves as surroundings.
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
        return self.run(self.plan(map_, mask), progress)

    def run(self, plan: Plan, progress: Progress | None = None) -> Annotation:
        """Carry out a plan.

        Where a device has no room for the tiles, smaller ones are tried.

        Parameters
        ----------
        plan : Plan
            From `plan` of this object.
        progress : callable, optional
            Called with the number of tiles done and their total.

        Returns
        -------
        Annotation

        Raises
        ------
        HaruspexError
            If the device fails.
        """
        seconds = dict(plan.seconds)
        with timed(seconds, "network"):
            while True:
                sweep = Sweep(plan, self.contract.normaliser, progress)
                try:
                    field = sweep.run(self.sessions)
                    break
                except OutOfMemoryError:
                    largest = plan.tiles.largest
                    plan = with_smaller_tiles(plan, self.contract, self.session)
                    if plan.tiles.largest >= largest:
                        raise
                # not before the error is gone: it holds on to the session, and so to the device's memory
                self._load_anew()
        source = FieldOnGrid(field, plan.working, plan.map.grid, plan.mask)
        with timed(seconds, "checks"):
            found = look(plan.map, source, plan.offset, plan.scale)
            found = with_mirror_image(found, plan, self.contract, self.session)
        tiles = plan.tiles
        report = {
            "network": {
                "name": self.contract.name,
                "version": self.contract.version,
                "digest": self.digest,
            },
            "device": ", ".join(session.device for session in self.sessions),
            "engine": self.session.engine,
            "fallback": self.session.fallback,
            "working": {"shape_zyx": plan.working.shape, "voxel_size_zyx": plan.working.voxel_size},
            "tiles": {
                "run": len(tiles.tiles),
                "voxels": tiles.voxels,
                "largest_zyx": tiles.tiles[0].shape if tiles.tiles else None,
                "region_fraction": float(plan.survey.region.mean()),
            },
            "masked": plan.mask is not None,
            "checks": found.as_dict(),
            "memory_estimate": plan.memory,
            "first_tile_seconds_after_start": sweep.first_tile and round(sweep.first_tile, 3),
            "seconds": seconds,
        }
        return Annotation(
            plan.map,
            source,
            plan.offset,
            plan.scale,
            report,
            (*plan.warnings, *found.warnings),
        )

    def _load_anew(self) -> None:
        """Give back what a device holds after it ran out of memory."""
        self._loading = []
        gc.collect()
        self._loading = _load(self._path, self._devices)


def _load(path: Path, devices: list[str], model: bytes | None = None) -> list[Future[Session]]:
    pool = ThreadPoolExecutor(len(devices), thread_name_prefix="load")
    loading = [pool.submit(Session, path, device, model) for device in devices]
    pool.shutdown(wait=False)
    return loading


def annotate(
    map_: MapLike,
    voxel_size: VoxelSize | None = None,
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
    annotator = Annotator(network, device)
    return annotator.annotate(as_map(map_, voxel_size), mask, progress)
