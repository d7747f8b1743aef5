"""Measures how often the warnings about a map are right: on maps as they are, and on maps made wrong.

    python benchmarks/map_warnings.py PAIRS
    python benchmarks/map_warnings.py PAIRS --variant as-deposited --variant mirrored

The maps of the ``val`` split (but EMD-11007, of which the example is a part) are annotated as they are,
mirrored, with inverted contrast, blurred to 6, 8 and 10 Å, cut off at 6 Å, with voxels declared too small or
too large, and with white noise or noise of the map's own spectrum in their place. Prints what was measured on
each, then for every variant how many maps drew which warning. Where maps were annotated as they are and
mirrored, a third table compares the two: a network that knows the hand annotates less of the mirror image,
and less surely. With ``--density-only`` no network is run, and nothing is said of the hand.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from commandline import add_network, add_pairs, parser_of
from numpy.typing import NDArray

from haruspex_infer.annotatedmap import MOLECULE
from haruspex_infer.annotation import Annotation
from haruspex_infer.annotator import Annotator
from haruspex_infer.classes import OTHER
from haruspex_infer.errors import HaruspexError
from haruspex_infer.example import example_map
from haruspex_infer.mapfile import Map, read_map
from haruspex_infer.normalise import INVERTED, Normaliser, is_inverted
from haruspex_infer.outside import look_at_density
from haruspex_train.pairs import read_pairs

Volume = NDArray[np.float32]
KINDS = {
    "inverted": "inverted",
    "noise": "noise",
    "resolution": "resolution seems",
    "hand": "wrong hand",
    "scale": "voxel size may",
}
REFUSED = "refused"
SURE = 0.9  # probability
LARGE = "EMD-11007"


def frequencies(map_: Map) -> NDArray[np.float64]:
    """Spatial frequency (1/Å) of every coefficient of the real Fourier transform."""
    total = np.zeros((*map_.grid.shape[:2], map_.grid.shape[2] // 2 + 1))
    for axis, (n, edge) in enumerate(zip(map_.grid.shape, map_.grid.voxel_size, strict=True)):
        along = np.fft.rfftfreq(n, edge) if axis == 2 else np.fft.fftfreq(n, edge)
        total += np.square(along).reshape([-1 if k == axis else 1 for k in range(3)])
    return np.sqrt(total)


def back(coefficients: NDArray[np.complexfloating], map_: Map) -> Volume:
    """Transform back to density."""
    return np.fft.irfftn(coefficients, map_.grid.shape, axes=(0, 1, 2)).astype(np.float32)


def blurred(resolution: float) -> Callable[[Map], Map]:
    """Gaussian of the width that programs give to simulated maps of a resolution (0.225 of it)."""

    def make(map_: Map) -> Map:
        fall = np.exp(-2 * np.square(np.pi * 0.225 * resolution * frequencies(map_)))
        return remade(map_, back(np.fft.rfftn(map_.density) * fall, map_))

    return make


def cut(resolution: float) -> Callable[[Map], Map]:
    """Nothing beyond a resolution, as in maps that are filtered at it."""

    def make(map_: Map) -> Map:
        kept = 1 / (1 + np.exp((frequencies(map_) * resolution - 1) / 0.03))
        return remade(map_, back(np.fft.rfftn(map_.density) * kept, map_))

    return make


def of_size(factor: float) -> Callable[[Map], Map]:
    """Declare another voxel size."""

    def make(map_: Map) -> Map:
        z, y, x = map_.grid.voxel_size
        return Map.from_array(map_.density, (factor * z, factor * y, factor * x))

    return make


def noise(map_: Map, own_spectrum: bool) -> Map:
    """Noise in place of the map, white or with its radial spectrum."""
    white = np.random.default_rng(0).standard_normal(map_.grid.shape).astype(np.float32)
    if not own_spectrum:
        return remade(map_, white)
    shell = (frequencies(map_) * 60).astype(np.int64)
    power = np.square(np.abs(np.fft.rfftn(map_.density - np.median(map_.density))))
    mean = np.bincount(shell.ravel(), weights=power.ravel()) / np.maximum(1, np.bincount(shell.ravel()))
    mean[0] = mean[1]
    return remade(map_, back(np.fft.rfftn(white) * np.sqrt(mean)[shell], map_))


def remade(map_: Map, density: Volume) -> Map:
    """Other density on the voxels of a map."""
    return replace(map_, density=density)


VARIANTS: dict[str, Callable[[Map], Map]] = {
    "as-deposited": lambda map_: map_,
    "mirrored": lambda map_: remade(map_, map_.density[:, :, ::-1].copy()),
    "inverted": lambda map_: remade(map_, -map_.density),
    "white-noise": lambda map_: noise(map_, own_spectrum=False),
    "coloured-noise": lambda map_: noise(map_, own_spectrum=True),
    "blurred-6": blurred(6.0),
    "blurred-8": blurred(8.0),
    "blurred-10": blurred(10.0),
    "cut-6": cut(6.0),
    "voxels-0.8": of_size(0.8),
    "voxels-1.25": of_size(1.25),
}


def maps_of(folder: Path) -> dict[str, Path]:
    """Files by name, the smallest first."""
    files = {pair.name: pair.map_path for pair in read_pairs(folder, "val") if pair.name != LARGE}
    files["example"] = example_map()
    return dict(sorted(files.items(), key=lambda item: item[1].stat().st_size))


def density_only(map_: Map) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what a map is asked and told of without a network."""
    found = look_at_density(map_)
    normalised = Normaliser()(map_.density, map_.grid.voxel_size)
    return found.as_dict(), (*((INVERTED,) if is_inverted(normalised) else ()), *found.warnings)


def shares(annotation: Annotation) -> tuple[float, float]:
    """Share of the molecular density that is annotated, and that is so with a probability of 0.9."""
    molecule = annotation.map.density >= annotation.level(MOLECULE)
    best = annotation.probabilities[1:, molecule].max(axis=0)
    annotated = best > annotation.probabilities[OTHER.number, molecule]
    return float(annotated.mean()), float((best >= SURE).mean())


def print_hands(found: dict[str, dict[str, tuple[float, float]]]) -> None:
    """Print maps against their mirror images."""
    heads = [
        "map",
        *(f"{of}{image}" for of in ("annotated", "sure") for image in ("", ", mirrored", ", ratio")),
    ]
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name, (annotated, sure) in found["as-deposited"].items():
        annotated_mirrored, sure_mirrored = found["mirrored"][name]
        print(
            f"| {name} | {annotated:.2f} | {annotated_mirrored:.2f} | {annotated_mirrored / annotated:.2f} "
            f"| {sure:.2f} | {sure_mirrored:.2f} | {sure_mirrored / max(sure, 1e-9):.2f} |"
        )


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    add_pairs(parser)
    add_network(parser)
    parser.add_argument("--variant", action="append", choices=VARIANTS, help="several times for several")
    parser.add_argument("--density-only", action="store_true", help="run no network")
    options = parser.parse_args()
    annotator = None if options.density_only else Annotator(options.network, options.device)
    heads = [
        "above/below",
        "detail",
        "helices",
        "hand",
        "scale",
        "gain",
        "annotated of part",
        "of its mirror image",
    ]
    heads += ["annotated", "sure", "warnings"]
    print(f"| variant | map | {' | '.join(heads)} |\n|---|---|{'---|' * len(heads)}")
    counts: dict[str, list[str]] = {}
    told = (*KINDS, REFUSED)
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for variant in options.variant or VARIANTS:
        found[variant], drawn = {}, []
        for name, path in maps_of(options.folder).items():
            share = (math.nan, math.nan)
            try:
                map_ = VARIANTS[variant](read_map(path))
                if annotator is None:
                    checks, notes = density_only(map_)
                else:
                    annotation = annotator.annotate(map_)
                    checks, notes = annotation.report["checks"], annotation.warnings
                    share = shares(annotation)
            except HaruspexError as refusal:
                print(f"| {variant} | {name} | refused: {refusal} |", flush=True)
                drawn.append({REFUSED})
                continue
            kinds = {kind for kind, text in KINDS.items() if any(text in note for note in notes)}
            drawn.append(kinds)
            found[variant][name] = share
            cells = ["–" if value is None else f"{value:g}" for value in checks.values()]
            cells += [f"{share[0]:.2f}", f"{share[1]:.2f}", ", ".join(sorted(kinds)) or "none"]
            print(f"| {variant} | {name} | {' | '.join(cells)} |", flush=True)
        counts[variant] = [f"{sum(kind in kinds for kinds in drawn)} of {len(drawn)}" for kind in told]
    print(f"\n| variant | {' | '.join(told)} |\n|---|{'---|' * len(told)}")
    for variant, cells in counts.items():
        print(f"| {variant} | {' | '.join(cells)} |")
    if annotator is not None and {"as-deposited", "mirrored"} <= found.keys():
        print_hands(found)


if __name__ == "__main__":
    main()
