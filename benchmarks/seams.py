"""How far annotations differ from those of the whole map in a single tile with no solvent skipped.

    python benchmarks/seams.py ../shared/data/maps --device cpu|cuda [--most-voxels 884736]

For every val map: probabilities on the working grid from our tiles, and from one tile that holds the whole
map with the same padding. In the region that is annotated: largest and mean difference of a probability, and
the share of voxels with another label, of all and of those with molecular density. Outside of it: voxels
that the single tile would not have called other.
"""

import argparse
from pathlib import Path
from unittest import mock

import numpy as np
from measuring import table
from numpy.typing import NDArray

from haruspex_infer.annotatedmap import MOLECULE
from haruspex_infer.annotator import Annotator
from haruspex_infer.mapfile import read_map
from haruspex_infer.occupancy import voxels_of
from haruspex_infer.plan import Plan
from haruspex_infer.session import Session
from haruspex_infer.sweep import Sweep
from haruspex_infer.tiles import plan_tiles
from haruspex_train.pairs import read_pairs


def single_tile(annotator: Annotator, plan: Plan, session: Session) -> NDArray[np.float32]:
    """Return the probabilities of the whole working grid from one tile, shape (4, z, y, x)."""
    everywhere = np.ones_like(plan.survey.region)
    whole = plan_tiles(annotator.contract, everywhere, plan.working.shape, 2**62)
    (tile,) = whole.tiles
    source, place = whole.places(tile)
    density = np.zeros((1, 1, *tile.shape), np.float32)
    density[(0, 0, *place)] = annotator.contract.normaliser.apply(
        plan.density[source], plan.offset, plan.scale
    )
    answer = session.run(density)[0]
    inside = [
        slice(-first, -first + n)
        for first, n in zip(whole.first_answered(tile), plan.working.shape, strict=True)
    ]
    return answer[(slice(None), *inside)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--network", default="residual")
    parser.add_argument("--most-voxels", type=int, help="of a tile, if not what suits the device")
    parser.add_argument("--only", nargs="+", help="names of maps")
    options = parser.parse_args()
    if options.most_voxels:
        mock.patch.object(Session, "most_voxels", lambda *_: options.most_voxels).start()
    annotator = Annotator(options.network, options.device)
    rows = []
    for pair in read_pairs(options.folder, "val"):
        if options.only and pair.name not in options.only:
            continue
        plan = annotator.plan(read_map(pair.map_path))
        kept = Sweep(plan, annotator.contract.normaliser).run([annotator.session])
        z, y, x = (slice(0, n) for n in plan.working.shape)
        three = kept.block((z, y, x))
        found = np.concatenate([1 - three.sum(axis=0, keepdims=True), three])
        reference = single_tile(annotator, plan, annotator.session)
        region = voxels_of(plan.survey.region, plan.working.shape)
        molecule = region & (plan.density >= plan.offset + MOLECULE * plan.scale)
        difference = np.abs(found - reference).max(axis=0)
        other_label = found.argmax(axis=0) != reference.argmax(axis=0)
        rows.append(
            [
                pair.name,
                str(len(plan.tiles.tiles)),
                f"{plan.tiles.voxels / reference[0].size:.2f}",
                f"{region.mean():.1%}",
                f"{difference[region].max():.3f}",
                f"{difference[region].mean():.5f}",
                f"{other_label[region].mean():.3%}",
                f"{other_label[molecule].mean():.3%}",
                str(int((reference.argmax(axis=0) != 0)[~region].sum())),
            ]
        )
        print(table(["map"] + ["…"] * (len(rows[-1]) - 1), rows[-1:]).splitlines()[-1], flush=True)
    head = ["map", "tiles", "computed / box", "annotated", "largest difference", "mean difference"]
    head += ["labels that differ", "in the molecule", "labelled voxels left out"]
    print(table(head, rows))


if __name__ == "__main__":
    main()
