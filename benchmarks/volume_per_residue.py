"""Volume that a residue takes in an annotated map: what the report estimates numbers of residues with.

    python benchmarks/volume_per_residue.py ../shared/data/maps

For each map whose model accounts for it (all of `val` but EMD-11007), the volume of a class is divided by
the residues of that class in the model. Helices and strands: all voxels where the class is the most probable,
since the network marks them within a fixed distance of the backbone, whatever the density around.
Nucleotides, and protein as a whole: the molecular density of `Annotation.composition`, to which every atom
contributes. The last lines give the median over the maps, and how far the residues estimated with it are from
those of each model, leaving that map out of the median.
"""

import numpy as np
from commandline import add_network, add_pairs, parser_of

from haruspex_infer.annotation import Annotation
from haruspex_infer.annotator import Annotator
from haruspex_infer.backbone import modelled_classes
from haruspex_infer.classes import HELIX, NUCLEOTIDE, STRAND
from haruspex_infer.mapfile import read_map
from haruspex_infer.report.composition import PROTEIN, counted_volumes
from haruspex_infer.structure import AMINO_ACID, Structure, read_structure
from haruspex_train.pairs import read_pairs

PARTIAL = ("EMD-11007",)  # its models leave out RNA and a part of the protein
# fewer residues in a model give no ratio; a single map of val holds nucleotides at all
FEWEST = {HELIX.name: 50, STRAND.name: 50, NUCLEOTIDE.name: 5, PROTEIN: 50}


def ratios(annotation: Annotation, structure: Structure) -> dict[str, tuple[float, int]]:
    """Return volume (Å³) and modelled residues by class."""
    classes = modelled_classes(structure)
    counts = {c.name: int((classes == c.number).sum()) for c in (HELIX, STRAND, NUCLEOTIDE)}
    counts[PROTEIN] = int((structure.kind == AMINO_ACID).sum())
    return {name: (volume, counts[name]) for name, volume in counted_volumes(annotation).items()}


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    add_pairs(parser)
    add_network(parser)
    options = parser.parse_args()
    annotator = Annotator(options.network, options.device)
    found: dict[str, list[float]] = {name: [] for name in FEWEST}
    print(f"| map | Å | {' | '.join(f'{name}: residues | Å³ each' for name in FEWEST)} |")
    print("|---|---|" + "---|---|" * len(FEWEST))
    for pair in read_pairs(options.folder, "val"):
        if pair.name in PARTIAL:
            continue
        annotation = annotator.annotate(read_map(pair.map_path))
        parts = ratios(annotation, read_structure(pair.model_paths))
        cells = []
        for name, fewest in FEWEST.items():
            volume, count = parts[name]
            if count >= fewest:
                found[name].append(volume / count)
            cells.append(f"{count} | {volume / count:.0f}" if count >= fewest else f"{count} | –")
        print(f"| {pair.name} | {pair.resolution:.1f} | {' | '.join(cells)} |", flush=True)
    print()
    for name, values in found.items():
        if not values:
            continue
        numbers = np.array(values)
        line = f"{name}: median {np.median(numbers):.0f} Å³ a residue, of {len(numbers)} in all"
        if len(numbers) > 1:
            others = [np.median(np.delete(numbers, i)) for i in range(len(numbers))]
            errors = numbers / others - 1  # residues estimated over residues modelled
            line += f"; estimated residues are off by {np.median(np.abs(errors)):.0%} (median), "
            line += f"from {errors.min():+.0%} to {errors.max():+.0%}"
        print(line)


if __name__ == "__main__":
    main()
