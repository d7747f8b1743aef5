"""How far annotations differ from those of the whole map in a single tile with no solvent skipped.

    python benchmarks/seams.py MAPS --device cpu|cuda
    python benchmarks/seams.py MAPS --edges 88 96 104 112 120 --overlaps 32 40 48 --only EMD-11007
    python benchmarks/seams.py MAPS --edges 151 96 --overlaps 32 40 48 --count

For the example and every val map: probabilities on the working grid from our tiles, and from one tile that
holds the whole map with the same padding. In the region that is annotated: largest and mean difference of a
probability, and the share of voxels with another label, of all and of those with molecular density. Outside
of it: voxels that the single tile would not have called other. `--edges` and `--overlaps` lay other tiles, as
where memory is short (edges of cubes with as many voxels). `--count` only counts what would be computed, of a
made map of 400³ voxels as well, and `--one-shape` where a GPU gets many tiles: equal cubes.
"""

from contextlib import nullcontext
from dataclasses import replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
from commandline import parser_of
from measuring import table, write_made_map
from numpy.typing import NDArray

from haruspex_infer.annotatedmap import MOLECULE
from haruspex_infer.annotator import Annotator
from haruspex_infer.example import example_map
from haruspex_infer.mapfile import read_map
from haruspex_infer.occupancy import voxels_of
from haruspex_infer.plan import Plan
from haruspex_infer.session import Session
from haruspex_infer.sweep import Sweep
from haruspex_infer.tiles import TilePlan, plan_tiles
from haruspex_train.pairs import read_pairs

MADE = 400


def undivided(annotator: Annotator, plan: Plan) -> TilePlan:
    """Return the plan of one tile that holds the whole map."""
    return plan_tiles(annotator.contract, np.ones_like(plan.survey.region), plan.working.shape, 2**62)


def answer_of(annotator: Annotator, plan: Plan, whole: TilePlan) -> NDArray[np.float32]:
    """Return the probabilities of the whole working grid from one tile, shape (4, z, y, x)."""
    (tile,) = whole.tiles
    source, place = whole.places(tile)
    density = np.zeros((1, 1, *tile.shape), np.float32)
    density[(0, 0, *place)] = annotator.contract.normaliser.apply(
        plan.density[source], plan.offset, plan.scale
    )
    answer = annotator.session.run(density)[0]
    inside = [
        slice(-first, -first + n)
        for first, n in zip(whole.first_answered(tile), plan.working.shape, strict=True)
    ]
    return answer[(slice(None), *inside)]


def differences(annotator: Annotator, plan: Plan, reference: NDArray[np.float32]) -> list[str]:
    """Return the figures of a plan that is carried out, against the probabilities of a single tile."""
    kept = Sweep(plan, annotator.contract.normaliser).run([annotator.session])
    z, y, x = (slice(0, n) for n in plan.working.shape)
    three = kept.block((z, y, x))
    found = np.concatenate([1 - three.sum(axis=0, keepdims=True), three])
    region = voxels_of(plan.survey.region, plan.working.shape)
    molecule = region & (plan.density >= plan.offset + MOLECULE * plan.scale)
    difference = np.abs(found - reference).max(axis=0)
    other_label = found.argmax(axis=0) != reference.argmax(axis=0)
    return [
        f"{difference[region].max():.3f}",
        f"{difference[region].mean():.5f}",
        f"{other_label[region].mean():.3%}",
        f"{other_label[molecule].mean():.3%}",
        str(int((reference.argmax(axis=0) != 0)[~region].sum())),
    ]


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--network", default="residual")
    parser.add_argument("--edges", type=int, nargs="+", default=[0], help="if not what suits the device")
    parser.add_argument("--overlaps", type=int, nargs="+", help="if not what the network asks for")
    parser.add_argument("--only", nargs="+", help="names of maps")
    parser.add_argument("--count", action="store_true")
    parser.add_argument("--one-shape", action="store_true")
    options = parser.parse_args()
    if options.one_shape:
        mock.patch.object(Session, "one_shape", True).start()
    annotator = Annotator(options.network, options.device)
    asked = annotator.contract
    head = ["map", "tile", "overlap", "tiles", "computed, million voxels", "of the box", "annotated"]
    if not options.count:
        head += ["largest difference", "mean difference", "labels that differ", "in the molecule"]
        head += ["labelled voxels left out"]
    print(table(head, []))
    with TemporaryDirectory() as folder:
        maps = {"example": example_map()} | {p.name: p.map_path for p in read_pairs(options.folder, "val")}
        if options.count:
            maps[f"made, {MADE}³"] = write_made_map(Path(folder) / "made.mrc", MADE, 0.15)
        for name in options.only or maps:
            found = annotator.find(read_map(maps[name]))
            references: dict[TilePlan, NDArray[np.float32]] = {}
            for edge, overlap in product(options.edges, options.overlaps or [asked.overlap]):
                annotator.contract = replace(asked, overlap=overlap)
                most = mock.patch.object(Session, "most_voxels", lambda *_, most=edge**3: most)
                with most if edge else nullcontext():
                    plan = annotator.lay(found)
                row = [name, f"{edge}³" if edge else "", str(overlap), str(len(plan.tiles.tiles))]
                row.append(f"{plan.tiles.voxels / 1e6:.2f}")
                row.append(f"{plan.tiles.voxels / plan.density.size:.2f}")
                row.append(f"{plan.survey.region.mean():.1%}")
                if not options.count:
                    whole = replace(undivided(annotator, plan), overlap=0)  # a single tile does not fade
                    if whole not in references:
                        references[whole] = answer_of(annotator, plan, whole)
                    row += differences(annotator, plan, references[whole])
                print(table(head, [row]).splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
