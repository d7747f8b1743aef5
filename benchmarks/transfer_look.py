"""What of an experimental map's look costs accuracy: it is made like a simulated one, and the reverse.

    python benchmarks/transfer_look.py ../shared/data/maps
    python benchmarks/transfer_look.py ../shared/data/maps --map EMD-2566 --only "phases"

For each ``val`` map of 4 Å or better one map is simulated of its model, as in ``transfer.py``; then radial
amplitudes, local strength and phases are exchanged between the two, for all resolutions or for one range of
them, and what the model does not explain of the experimental map is replaced by noise of the same spectrum
and local strength. Where a mask goes through the molecule, both are shown without it. Prints how strong the
density is that the model does not explain, by distance from the nearest atom (root of the mean square, as a
share of strong density), and how map and model agree; then the errors of every variant, same residues.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from commandline import add_network, add_pairs, parser_of
from measuring import table
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from shells import Shells, Volume, local_strength, with_strength_of
from transfer import five, surprise, wrong
from twins import AS_TRAINED, PERFECT, Twin, read_twins

from haruspex_infer.annotator import Annotator
from haruspex_infer.classes import OTHER
from haruspex_infer.mapfile import Map
from haruspex_infer.normalise import Normaliser
from haruspex_infer.sampling import sample
from haruspex_train.figures import shown
from haruspex_train.judged import JudgedResidues
from haruspex_train.judged import together as joined
from haruspex_train.working import working_density, working_grid

UNEXPLAINED = replace(AS_TRAINED, p_unexplained=1.0, unexplained=(0.8, 0.8))
DISTANCES = (0.0, 1.5, 3.0, 4.0, 6.0, 10.0)  # Å from the nearest atom
BANDS = (0.05, 0.1, 0.2, 0.25, 0.3)  # 1/Å
DRAWS = 4
CUT = 0.9  # share of the atoms; where a mask leaves fewer, it goes through the molecule
SHELLS = ((0.0, 0.1), (0.1, 0.2), (0.2, 0.3), (0.3, 9.0))  # 1/Å
WIDTH = 10.0  # Å, of the Gaussian under which strength is local
SEED = 0


def variants(twin: Twin) -> Iterator[tuple[str, Map]]:
    """Make the maps to compare."""
    grid = working_grid(twin.map.grid)
    shells = Shells(grid)
    real = seen(twin, twin.map)
    simulated = twin.with_density(twin.simulated(SEED))
    drawn = seen(twin, simulated)
    explained = shells.fitted(seen(twin, twin.with_density(twin.simulated(SEED, PERFECT))), real)
    left = real - explained
    noise = shells.scrambled(left, SEED)
    spread = local_strength(left, grid, WIDTH) / np.maximum(local_strength(noise, grid, WIDTH), 1e-9)
    phases = {f", {low:g}–{high:g} 1/Å": (low, high) for low, high in SHELLS}
    densities = {
        "experimental": real,
        "simulated": drawn,
        "experimental, radial amplitudes of the simulated": shells.matched(real, drawn),
        "simulated, radial amplitudes of the experimental": shells.matched(drawn, real),
        "experimental, local strength of the simulated": with_strength_of(real, drawn, grid, WIDTH),
        "simulated, local strength of the experimental": with_strength_of(drawn, real, grid, WIDTH),
        "experimental, phases of the simulated": shells.swapped(real, drawn, 0.0, 9.0),
        "simulated, phases of the experimental": shells.swapped(drawn, real, 0.0, 9.0),
        **{
            f"experimental, phases of the simulated{name}": shells.swapped(real, drawn, *limits)
            for name, limits in phases.items()
        },
        "what the model explains of the experimental": explained,
        "the same, and what it does not explain as noise": explained + noise * spread.astype(np.float32),
        "simulated, with unexplained density": twin.simulated(SEED, UNEXPLAINED),
    }
    for name, density in densities.items():
        yield name, twin.with_density(density)
    atoms = np.nan_to_num(sample((~twin.empty).astype(np.float32), twin.map.grid, twin.structure.xyz)) > 0.3
    if atoms.mean() < CUT:
        yield from cut(twin, atoms, simulated)


def cut(twin: Twin, atoms: NDArray[np.bool_], simulated: Map) -> Iterator[tuple[str, Map]]:
    """Make maps that tell what a mask through the molecule does."""
    free = replace(twin, empty=np.zeros_like(twin.empty))
    whole = free.with_density(free.simulated(SEED))
    yield "simulated, no mask", whole
    scale = float((twin.map.density * simulated.density).sum() / np.square(simulated.density).sum())
    filled = np.where(twin.empty, scale * whole.density, twin.map.density)
    yield "experimental, simulated where the mask is", replace(twin.map, density=filled)
    elements = np.where(atoms, twin.structure.element, 0).astype(np.uint8)
    some = replace(free, structure=replace(twin.structure, element=elements))
    yield "simulated, no mask, no atoms outside of it", free.with_density(some.simulated(SEED))


def seen(twin: Twin, map_: Map) -> Volume:
    """Return a map as the network sees it, on the working grid."""
    grid = working_grid(twin.map.grid)
    return Normaliser()(working_density(map_.density, twin.map.grid), grid.voxel_size)


def beside(twin: Twin, draws: int) -> list[list[str]]:
    """Measure what the model leaves unexplained: in shells of distance, and of resolution."""
    grid = working_grid(twin.map.grid)
    shells = Shells(grid)
    model = seen(twin, twin.with_density(twin.simulated(SEED, PERFECT)))
    places = grid.positions(np.argwhere(np.ones(grid.shape, bool)))
    away = cKDTree(twin.structure.xyz).query(places)[0].reshape(grid.shape)
    kept = working_density((~twin.empty).astype(np.float32), twin.map.grid) > 0.5
    made = {"deposited": [twin.map]}
    made["simulated"] = [twin.with_density(twin.simulated(seed)) for seed in range(draws)]
    made["with unexplained density"] = [twin.with_density(twin.simulated(SEED, UNEXPLAINED))]
    lines = []
    for name, maps in made.items():
        rows = []
        for density in (seen(twin, map_) for map_ in maps):
            left = density - shells.fitted(model, density)
            rings = [kept & (away >= low) & (away < high) for low, high in itertools.pairwise(DISTANCES)]
            agree = shells.correlation(density, model)
            bands = [(shells.q >= low) & (shells.q < high) for low, high in itertools.pairwise(BANDS)]
            rows.append(
                [float(np.sqrt(np.mean(left[ring] ** 2))) if ring.any() else np.nan for ring in rings]
                + [float(agree[band].mean()) for band in bands]
            )
        lines.append([twin.pair.name, name, *(shown(v, 2) for v in np.mean(rows, axis=0))])
    return lines


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    add_pairs(parser)
    add_network(parser)
    parser.add_argument("--map", action="append", help="name of a val map; several times for several")
    parser.add_argument("--only", default="", help="variants whose name holds this text")
    options = parser.parse_args()
    annotator = Annotator(options.network, options.device)
    found: dict[str, list[JudgedResidues]] = {}
    outside = []
    for twin in read_twins(options.folder, options.map):
        outside += beside(twin, DRAWS)
        for name, map_ in variants(twin):
            if options.only in name:
                found.setdefault(name, []).append(twin.judged(annotator, map_))
    head = ["map", "made", *(f"{low:g}–{high:g} Å" for low, high in itertools.pairwise(DISTANCES))]
    head += [f"FSC {low:g}–{high:g} 1/Å" for low, high in itertools.pairwise(BANDS)]
    print(table(head, outside) + "\n")
    head = ["map", "wrong", "coil called", "missed", "mixed", "−log likelihood"]
    head += ["recall", "precision", "helix F1", "strand F1", "macro F1 (medians)"]
    print(table(head, [[name, *line(parts)] for name, parts in found.items()]))


def line(parts: list[JudgedResidues]) -> list[str]:
    """Errors of the residues of all maps together, then medians over the maps."""
    rows = joined(parts)
    bad, coil, called = wrong(rows), rows.truth == OTHER.number, rows.predicted != OTHER.number
    counts = [bad, bad & coil, bad & ~called, bad & ~coil & called]
    medians = np.nanmedian([five(part.figures()) for part in parts], axis=0)
    return [*(str(int(count.sum())) for count in counts), shown(surprise(rows)), *map(shown, medians)]


if __name__ == "__main__":
    main()
