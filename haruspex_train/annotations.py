"""Annotations of experimental maps, kept in a folder: a network that is judged again need not run again."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import haruspex_infer
from haruspex_infer.annotator import Annotator
from haruspex_infer.files import prepare_folder, written_whole
from haruspex_infer.mapfile import Map, read_map
from haruspex_infer.network import digest_of

_SHOWN = 12  # digits of a digest in a file's name


@dataclass(frozen=True)
class Annotated:
    """A map and what a network says about it.

    Attributes
    ----------
    map : Map
    probabilities : ndarray of float32, shape (4, z, y, x)
        On the voxels of the map.
    """

    map: Map
    probabilities: NDArray[np.float32]


class Annotations:
    """Annotates maps with one network, and keeps the probabilities.

    Files are named after the digests of the network, of the map's file and of the engine's source, and after
    the kind of device and of runtime: whatever changes one of them makes a new file.

    Parameters
    ----------
    annotator : Annotator
        The network.
    folder : path, optional
        Where annotations are kept; without it none are.

    Raises
    ------
    HaruspexError
        If the folder cannot be written to.
    """

    def __init__(self, annotator: Annotator, folder: Path | None = None) -> None:
        self.annotator, self.folder = annotator, folder
        if folder is not None:
            prepare_folder(folder)

    def of(self, path: Path) -> Annotated:
        """Annotate a map, or read what was kept of it.

        Raises
        ------
        HaruspexError
            If the map cannot be read or annotated, or the annotation not be kept.
        """
        map_ = read_map(path)
        if self.folder is None:
            return Annotated(map_, self.annotator.annotate(map_).probabilities)
        kept = self.folder / self._name(path)
        if kept.is_file():
            return Annotated(map_, np.load(kept, mmap_mode="r", allow_pickle=False))
        probabilities = self.annotator.annotate(map_).probabilities
        with written_whole(kept) as stream:
            np.save(stream, probabilities)
        return Annotated(map_, probabilities)

    def _name(self, path: Path) -> str:
        digests = (self.annotator.digest, digest_of(path), engine_digest())
        shown = [digest.removeprefix("sha256:")[:_SHOWN] for digest in digests]
        session = self.annotator.session
        device = session.device.split(":")[0]
        return "_".join([path.name.split(".")[0], *shown, device, *session.engine.split()]) + ".npy"


@cache
def engine_digest() -> str:
    """Return the SHA-256 of the source of `haruspex_infer`, as ``sha256:…``."""
    digest = hashlib.sha256()
    folder = Path(haruspex_infer.__file__).parent
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return "sha256:" + digest.hexdigest()
