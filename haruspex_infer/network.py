"""Finds networks and reads the contract that each carries in its own file."""

import hashlib
import json
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from haruspex_infer.classes import CLASS_NAMES
from haruspex_infer.errors import HaruspexError

if TYPE_CHECKING:
    from haruspex_infer.normalise import Normaliser

DEFAULT_NETWORK = "residual"
METADATA_KEY = "haruspex"
FORMAT = 1
# voxels along the smallest tile that has an answer; activations of such a tile take some 100 GB
_LARGEST_TILE = 512
# numbers held for each voxel: by the network that ships and takes most, and what may be believed
_MOST_HELD, _BELIEVED = 240.0, (8.0, 10_000.0)


def find_network(name: str | os.PathLike[str]) -> Path:
    """Return the file of a network.

    Parameters
    ----------
    name : str or path-like
        Name of a network that ships with this package, or the path of an ONNX file.

    Raises
    ------
    HaruspexError
        If there is neither.
    """
    path = Path(name)
    if path.suffix == ".onnx" or path.is_file():
        if not path.is_file():
            raise HaruspexError(f"The network file {path} does not exist.")
        return path
    shipped = shipped_networks()
    if str(name) not in shipped:
        known = ", ".join(sorted(shipped)) or "none"
        raise HaruspexError(
            f"There is no network {name!s}: give a .onnx file or one of those shipped ({known})."
        )
    return shipped[str(name)]


def shipped_networks() -> dict[str, Path]:
    """Return the networks inside this package: file by name."""
    try:
        folder = resources.files("haruspex_infer.models")
    except ModuleNotFoundError:
        # in a source checkout the folder lies beside the package, and the wheel puts it inside
        folder = Path(__file__).parent.parent / "models"
    if not folder.is_dir():
        return {}
    files = [Path(str(entry)) for entry in folder.iterdir() if entry.name.endswith(".onnx")]
    return {path.stem: path for path in files}


def digest_of(network: Path | bytes) -> str:
    """Return the SHA-256 of a file, or of what is in it, as ``sha256:…``."""
    content = network if isinstance(network, bytes) else network.read_bytes()
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True)
class Contract:
    """What a network asks of its input and says of itself.

    Attributes
    ----------
    name, version : str
        Which network this is.
    finest, coarsest, voxel_size : float
        Voxel edges in Å: maps between the first two are used as they are, others go to the third.
    margin : int
        Voxels by which the output is smaller than the input on every side.
    multiple : int
        The input's edges are multiples of this.
    overlap : int
        Voxels by which neighbouring output blocks overlap. How large tiles are, the device decides.
    normaliser : Normaliser
        How density is normalised.
    """

    name: str
    version: str
    finest: float
    coarsest: float
    voxel_size: float
    margin: int
    multiple: int
    overlap: int
    normaliser: "Normaliser"


def parse_contract(text: str | None, name: str) -> Contract:
    """Read the metadata of a network.

    Parameters
    ----------
    text : str or None
        JSON, the value of the metadata key ``haruspex``.
    name : str
        How to call the file in messages.

    Raises
    ------
    HaruspexError
        If the metadata are missing, incomplete or of another format.
    """
    from haruspex_infer.normalise import Normaliser  # NumPy takes its time to load, and --help needs none

    if text is None:
        raise HaruspexError(
            f"{name} carries no {METADATA_KEY!r} metadata: it is not a network for this program."
        )
    try:
        metadata: dict[str, Any] = json.loads(text)
        if metadata["format"] != FORMAT:
            raise HaruspexError(
                f"{name} has metadata of format {metadata['format']}, and this version reads format "
                f"{FORMAT}: install a matching haruspex-infer."
            )
        if tuple(metadata["classes"]) != CLASS_NAMES:
            raise HaruspexError(
                f"{name} predicts the classes {', '.join(metadata['classes'])}, not {', '.join(CLASS_NAMES)}."
            )
        voxel = metadata["voxel_size"]
        contract = Contract(
            name=str(metadata["name"]),
            version=str(metadata["version"]),
            finest=float(voxel["min"]),
            coarsest=float(voxel["max"]),
            voxel_size=float(voxel["target"]),
            margin=int(metadata["margin"]),
            multiple=int(metadata["multiple"]),
            overlap=int(metadata["overlap"]),
            normaliser=Normaliser(**{k: float(v) for k, v in metadata["normalisation"].items()}),
        )
    except RecursionError as error:
        raise HaruspexError(f"{name} carries metadata nested too deep to be read.") from error
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise HaruspexError(
            f"{name} carries incomplete metadata ({type(error).__name__}: {error})."
        ) from error
    _refuse_impossible(contract, name)
    return contract


def numbers_held(text: str | None) -> float:
    """Return how many numbers a runtime holds at once for each voxel of a tile, as a network says of itself.

    Parameters
    ----------
    text : str or None
        JSON, the value of the metadata key ``haruspex``. Of a network that does not say, or says what cannot
        be, as many are assumed as the largest that ships takes.
    """
    try:
        held = float(json.loads(text or "{}").get("held", _MOST_HELD))
    except (AttributeError, TypeError, ValueError, OverflowError, RecursionError):
        return _MOST_HELD
    return held if _BELIEVED[0] <= held <= _BELIEVED[1] else _MOST_HELD


def _refuse_impossible(contract: Contract, name: str) -> None:
    smallest = 2 * contract.margin + contract.overlap + contract.multiple
    possible = (
        0 < contract.finest <= contract.voxel_size <= contract.coarsest
        and contract.margin >= 0
        and contract.multiple >= 1
        and contract.overlap >= 0
        and smallest <= _LARGEST_TILE
        and contract.normaliser.possible
    )
    if not possible:
        raise HaruspexError(
            f"{name} carries impossible metadata: margin {contract.margin}, multiple {contract.multiple}, "
            f"overlap {contract.overlap}, voxel size {contract.finest}-{contract.coarsest} Å, "
            f"target {contract.voxel_size} Å, {contract.normaliser}."
        )
