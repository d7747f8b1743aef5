"""Measures how a network's answer depends on the sharpening of experimental maps.

    python benchmarks/sharpening.py ../shared/data/maps EMD-2566 EMD-30342

Each map is sharpened or blurred by a B factor up to 0.8 of its resolution before it is annotated. A network
that has learned the molecule and not the map would not care. Residues with a backbone density of at least 1 σ
of the map as deposited.
"""

from dataclasses import replace

import numpy as np
from commandline import add_network, add_pairs, parser_of
from numpy.typing import NDArray

from haruspex_infer.annotator import Annotator
from haruspex_infer.mapfile import Map, read_map
from haruspex_infer.structure import read_structure
from haruspex_train.figures import shown
from haruspex_train.judged import judge
from haruspex_train.pairs import read_pairs
from haruspex_train.secondary import residue_classes

B_FACTORS = (-60.0, 0.0, 60.0, 120.0)  # Å²; positive sharpens


def sharpened(map_: Map, b_factor: float, limit: float) -> NDArray[np.float32]:
    """Density with amplitudes multiplied by exp(B / 4 d²), constant beyond a limit in Å; masks stay empty."""
    density, edges = map_.density.astype(np.float32), map_.grid.voxel_size
    z, y = (np.fft.fftfreq(n, edge) for n, edge in zip(density.shape[:2], edges[:2], strict=True))
    x = np.fft.rfftfreq(density.shape[2], edges[2])
    q2 = np.minimum(z[:, None, None] ** 2 + y[:, None] ** 2 + x**2, 1 / limit**2)
    coefficients = np.fft.rfftn(density) * np.exp(b_factor / 4 * q2)
    changed = np.fft.irfftn(coefficients, s=density.shape, axes=(0, 1, 2)).astype(np.float32)
    return np.where(density == 0, 0, changed)


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    add_pairs(parser)
    parser.add_argument("maps", nargs="*", help="names of val maps; all by default")
    add_network(parser)
    options = parser.parse_args()
    annotator = Annotator(options.network, options.device)
    print("| map | Å | B, Å² | recall | precision | helix F1 | strand F1 | macro F1 |\n" + "|---" * 8 + "|")
    for pair in read_pairs(options.folder, "val"):
        if options.maps and pair.name not in options.maps:
            continue
        map_, structure = read_map(pair.map_path), read_structure(pair.model_paths)
        classes = residue_classes(structure)
        for b_factor in B_FACTORS:
            given = map_
            if b_factor:
                given = replace(map_, density=sharpened(map_, b_factor, 0.8 * pair.resolution))
            annotation = annotator.annotate(given)
            judged = judge(annotation.probabilities, map_.density, map_.grid, structure, classes)
            figures = judged.chosen(judged.resolved).figures()
            values = (figures.recall, figures.precision, *figures.class_f1[1:3], figures.macro_f1)
            cells = " | ".join(map(shown, values))
            print(f"| {pair.name} | {pair.resolution:g} | {b_factor:g} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
