"""Whether curation rejects pairs that are wrong on purpose.

Of every val pair five copies: the model shifted by 3, 4.5 and 6 Å in directions drawn at random, the map
mirrored, map and model both mirrored (a perfect fit with the wrong hand).

    python benchmarks/curation_controls.py ../shared/data/maps
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from haruspex_infer.mapfile import Map, read_map
from haruspex_infer.structure import Structure, read_structure
from haruspex_train.candidates import Candidate
from haruspex_train.curate import Judged, misfits
from haruspex_train.measure import measure_fit
from haruspex_train.pairs import Pair, read_pairs
from haruspex_train.secondary import residue_classes

DISTANCES = (3.0, 4.5, 6.0)


def mirrored(density_map: Map, plane: float) -> Map:
    """Mirror a map at a plane of constant x (Å)."""
    grid = density_map.grid
    last = grid.origin[2] + (grid.shape[2] - 1) * grid.voxel_size[2]
    origin = (grid.origin[0], grid.origin[1], 2 * plane - last)
    return Map.from_array(density_map.density[:, :, ::-1], grid.voxel_size, origin)


def copies(density_map: Map, structure: Structure, seed: int) -> dict[str, tuple[Map, Structure]]:
    """Wrong copies of a good pair, by name."""
    rng = np.random.default_rng(seed)
    made = {}
    for distance in DISTANCES:
        direction = rng.normal(size=3)
        step = distance * direction / np.linalg.norm(direction)
        moved = replace(structure, xyz=(structure.xyz + step).astype(np.float32))
        made[f"shifted {distance:g} Å"] = (density_map, moved)
    plane = float(structure.xyz[:, 0].mean())
    flipped = structure.xyz.copy()
    flipped[:, 0] = 2 * plane - flipped[:, 0]
    other_hand = mirrored(density_map, plane)
    made["map mirrored"] = (other_hand, structure)
    made["both mirrored"] = (other_hand, replace(structure, xyz=flipped))
    return made


def reasons(pair: Pair, density_map: Map, structure: Structure, model: Structure) -> list[str]:
    """Why curation rejects a copy; `structure` is the model before it was changed."""
    measures = measure_fit(density_map, model, residue_classes(structure), pair.resolution)
    return misfits(Judged(Candidate(pair), measures, ()))


def main() -> None:
    """Print a table of all copies."""
    rejected = total = 0
    print("| map | Å | copy | rejected because |\n|---|---|---|---|")
    for seed, pair in enumerate(read_pairs(Path(sys.argv[1]), "val")):
        density_map, structure = read_map(pair.map_path), read_structure(pair.model_paths)
        for name, (changed_map, model) in copies(density_map, structure, seed).items():
            found = reasons(pair, changed_map, structure, model)
            total += 1
            rejected += bool(found)
            print(f"| {pair.name} | {pair.resolution:g} | {name} | {'; '.join(found) or '**kept**'} |")
    print(f"\n{rejected} of {total} wrong copies are rejected.")


if __name__ == "__main__":
    main()
