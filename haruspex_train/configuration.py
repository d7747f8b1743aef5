"""Named configurations of training: a TOML file each, read into one dataclass."""

import math
import tomllib
from collections.abc import Callable
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import torch

from haruspex_infer.errors import HaruspexError
from haruspex_train.networks import NETWORKS
from haruspex_train.settings import SimulationSettings

LOSSES = ("cross_entropy", "focal_and_dice")
OPTIMISERS = ("adam", "muon")
SCHEDULES = ("constant", "cosine")


_RANGES: tuple[tuple[str, tuple[str, ...], Callable[[float], bool]], ...] = (
    (
        "greater than 0",
        ("steps", "batch", "crop", "segment", "pool", "learning_rate", "epsilon"),
        lambda value: value > 0,
    ),
    ("at least 0", ("fresh", "warm_up", "clip", "weight_decay"), lambda value: value >= 0),
    ("at least 0 and under 1", ("segment_share", "ema", "beta1", "beta2"), lambda value: 0 <= value < 1),
)


@dataclass(frozen=True)
class Configuration:
    """Everything that decides a training run besides the data.

    Attributes
    ----------
    name : str
        Name of the run and of the network it makes.
    network : str
        Architecture, a key of `networks.NETWORKS`.
    network_options : dict
        Arguments of the architecture.
    steps, batch, crop : int
        Steps, crops a step, edge of a crop in voxels.
    segment, pool, fresh : int
        Edge of the simulated segments, how many are kept, how many are replaced at each step.
    segment_share : float
        Share of the crops, under 1, that are cut out of experimental segments in place of simulated ones.
    loss : str
        ``cross_entropy`` or ``focal_and_dice``.
    weights : tuple of 5
        Weights in the loss: other, helix, strand, nucleotide, coil.
    core, border, true_negative : float
        Factors in the loss, see `losses.cross_entropy`.
    optimiser : str
        ``adam``, or ``muon`` for the kernels and Adam for the rest (`optimiser`).
    learning_rate, weight_decay : float
        Of either; the weight decay is decoupled.
    beta1, beta2, epsilon : float
        Of Adam.
    schedule : str
        ``constant``, or ``cosine`` to zero.
    warm_up : int
        Steps of linear warm-up.
    clip : float
        Largest norm of the gradient; 0 leaves it alone.
    ema : float
        Decay of the moving average of weights that validates and ships; 0 uses the weights themselves.
    seed : int
        Seed of everything drawn.
    simulation : SimulationSettings
        Ranges of the simulator.
    """

    name: str
    network: str
    steps: int
    batch: int
    crop: int
    network_options: dict[str, Any] = field(default_factory=dict)
    segment: int = 64
    pool: int = 1536
    fresh: int = 8
    segment_share: float = 0.0
    loss: str = "cross_entropy"
    weights: tuple[float, ...] = (0.5, 1.0, 1.2, 1.0, 0.5)
    core: float = 1.0
    border: float | None = None
    true_negative: float = 1.0
    optimiser: str = "adam"
    learning_rate: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    schedule: str = "cosine"
    warm_up: int = 0
    clip: float = 0.0
    ema: float = 0.0
    seed: int = 0
    simulation: SimulationSettings = field(default_factory=SimulationSettings)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for logs and a network's metadata."""
        return asdict(self)


def load_configuration(name: str) -> Configuration:
    """Read a configuration.

    Where a file names a ``base``, another configuration that ships or a TOML file beside it, all that it does
    not set itself, the ranges of ``[simulation]`` one by one, is as it is there.

    Parameters
    ----------
    name : str
        Name of one that ships with the package, or the path of a TOML file.

    Raises
    ------
    HaruspexError
        If there is no such configuration, bases go in a circle, or it holds an unknown, missing or impossible
        setting.
    """
    values = _values(name, Path(), ())
    missing = [f.name for f in fields(Configuration) if _required(f) and f.name not in values]
    if missing:
        raise HaruspexError(f"The configuration {name} lacks the settings {', '.join(missing)}.")
    simulation = SimulationSettings(**values.pop("simulation", {}))
    made = Configuration(**values, simulation=simulation)
    _refuse_impossible(made, name)
    return made


def _values(name: str, beside: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    """Return what a configuration and its bases set; `above` are the files whose base it is."""
    shipped = resources.files("haruspex_train") / "configurations" / f"{name}.toml"
    source = beside / name if name.endswith(".toml") else Path(str(shipped))
    if not source.is_file():
        known = ", ".join(shipped_names())
        place = f", the base of {above[-1].name}" if above else ""
        raise HaruspexError(f"There is no configuration {name}{place}: give one of {known} or a TOML file.")
    if source.resolve() in above:
        raise HaruspexError(f"The configuration {name} is its own base, by way of others or at once.")
    try:
        values = _tuples(tomllib.loads(source.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise HaruspexError(f"The configuration {name} is not valid TOML: {fault}.") from fault
    base = values.pop("base", None)
    simulation = values.pop("simulation", {})
    _check(values, Configuration, name)
    _check(simulation, SimulationSettings, f"{name}, [simulation]")
    if base is None:
        return values | {"simulation": simulation}
    if not isinstance(base, str):
        raise HaruspexError(f"The configuration {name} gives base as {base!r}; it must be str.")
    inherited = _values(base, source.parent, (*above, source.resolve()))
    return inherited | values | {"simulation": inherited["simulation"] | simulation}


def changed(configuration: Configuration, **settings: Any) -> Configuration:  # noqa: ANN401
    """Return a configuration with other settings.

    Raises
    ------
    HaruspexError
        If one is impossible.
    """
    made = replace(configuration, **settings)
    _refuse_impossible(made, configuration.name)
    return made


def shipped_names() -> list[str]:
    """Names of the configurations in the package."""
    folder = resources.files("haruspex_train") / "configurations"
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))


def _check(values: dict[str, Any], cls: type, where: str) -> None:
    if not isinstance(values, dict):
        raise HaruspexError(f"The configuration {where} is no table of settings.")
    unknown = sorted(set(values) - {f.name for f in fields(cls)})
    if unknown:
        raise HaruspexError(f"The configuration {where} holds unknown settings: {', '.join(unknown)}.")
    kinds = get_type_hints(cls)
    for name, value in values.items():
        if not _is_of(value, kinds[name]):
            kind = kinds[name]
            said = str(kind).replace("tuple", "list") if get_args(kind) else kind.__name__
            raise HaruspexError(f"The configuration {where} gives {name} as {value!r}; it must be {said}.")


def _is_of(value: object, kind: Any) -> bool:  # noqa: ANN401
    """Whether a value is what a type hint says, whole numbers being numbers too."""
    parts = get_args(kind)
    if get_origin(kind) is tuple:
        if not isinstance(value, tuple):
            return False
        kinds = len(value) * parts[:1] if parts[-1] is Ellipsis else parts
        return len(value) == len(kinds) and all(map(_is_of, value, kinds))
    if get_origin(kind) is UnionType:
        return any(_is_of(value, part) for part in parts)
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, get_origin(kind) or kind)


def _required(setting: Field[Any]) -> bool:
    return setting.default is MISSING and setting.default_factory is MISSING


def _refuse_impossible(c: Configuration, where: str) -> None:
    """Say which settings do not go together, before hours of training do."""
    faults = {
        f"network is {c.network!r}, and the networks are {', '.join(NETWORKS)}": c.network not in NETWORKS,
        f"loss is {c.loss!r}, and the losses are {', '.join(LOSSES)}": c.loss not in LOSSES,
        f"optimiser is {c.optimiser!r}, and the optimisers are {', '.join(OPTIMISERS)}": (
            c.optimiser not in OPTIMISERS
        ),
        f"schedule is {c.schedule!r}, and the schedules are {', '.join(SCHEDULES)}": (
            c.schedule not in SCHEDULES
        ),
        f"crop ({c.crop}) exceeds segment ({c.segment})": c.crop > c.segment,
        f"batch ({c.batch}) exceeds pool ({c.pool})": c.batch > c.pool,
        f"weights are {len(c.weights)}, not 5: other, helix, strand, nucleotide, coil": len(c.weights) != 5,
    }
    for fault, present in faults.items():
        if present:
            raise HaruspexError(f"The configuration {where} cannot work: {fault}.")
    for what, names, fits in _RANGES:
        for name in names:
            if not fits(value := getattr(c, name)):
                raise HaruspexError(
                    f"The configuration {where} cannot work: {name} is {value:g}, not {what}."
                )
    _refuse_misfit(c, where)
    _refuse_impossible_maps(c.simulation, where)


def _refuse_misfit(c: Configuration, where: str) -> None:
    """Build the network without its weights, and see whether crops fit it."""
    try:
        with torch.device("meta"):
            geometry = NETWORKS[c.network](**c.network_options).geometry
    except (TypeError, ValueError, IndexError, RuntimeError) as fault:
        raise HaruspexError(
            f"The configuration {where} cannot work: network_options do not suit the network ({fault})."
        ) from fault
    if c.crop % geometry.multiple or c.crop <= 2 * geometry.margin:
        raise HaruspexError(
            f"The configuration {where} cannot work: crop is {c.crop}, and the network takes multiples of "
            f"{geometry.multiple} greater than {2 * geometry.margin}."
        )


def _refuse_impossible_maps(s: SimulationSettings, where: str) -> None:
    for name, value in asdict(s).items():
        probability = name.startswith("p_") or name == "weak_stretch"
        if probability and not 0 <= value <= 1:
            raise HaruspexError(
                f"The configuration {where} cannot work: the probability {name} is {value:g}."
            )
    masks = s.p_zone + s.p_soft_mask + s.p_flatten
    if masks > 1:
        raise HaruspexError(
            f"The configuration {where} cannot work: a crop has one kind of mask, and p_zone, p_soft_mask "
            f"and p_flatten are {masks:g} together."
        )
    if len(s.b_total) != len(s.resolution_bins):
        raise HaruspexError(
            f"The configuration {where} cannot work: b_total has {len(s.b_total)} pairs for "
            f"{len(s.resolution_bins)} resolution_bins."
        )


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Turn lists into tuples, nested ones too: settings are immutable."""

    def convert(value: object) -> object:
        if isinstance(value, dict):
            return {key: convert(v) for key, v in value.items()}
        return tuple(convert(v) for v in value) if isinstance(value, list) else value

    return {key: convert(value) for key, value in values.items()}
