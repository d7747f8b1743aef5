"""Measures how well the fall of amplitudes tells the size of voxels.

    python benchmarks/voxel_size.py LIBRARY
    python benchmarks/voxel_size.py LIBRARY --profile

Maps at 3.3 Å (those with nucleotides also at 3.8 Å) are simulated of ``val`` entries of the library of atomic
models, and read with voxels as they are and declared too small or too large; prints how many are said to be
of another size, and how near the size found is to the true one. With ``--profile`` the profile that maps are
compared with is made anew, of ``train`` entries, and printed. No network is run.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from commandline import parser_of
from measuring import table
from numpy.typing import NDArray
from simulating import simulate

from haruspex_infer.outside import GAIN, TOLERANCE
from haruspex_infer.spectrum import at, feature_size, radial
from haruspex_infer.structure import NUCLEOTIDE_KIND, Structure
from haruspex_train.library import AtomLibrary

RESOLUTION, WORSE = 3.3, 3.8
FACTORS = (1.0, 0.8, 0.88, 1.14, 1.25)
SMALLEST, LARGEST = 100, 450  # residues
MODELS = 40

Spectrum = tuple[NDArray[np.float64], NDArray[np.float64]]


def models(library: AtomLibrary, split: str, nucleic: bool) -> Iterator[Structure]:
    """Yield models of middling size with or without nucleotides, evenly from the split."""
    fitting = []
    for entry in library.ids(split):
        row = library.index[entry]
        nucleotides = int(row["residues_dna"] or 0) + int(row["residues_rna"] or 0)
        residues = int(row["residues_protein"] or 0) + nucleotides
        if SMALLEST <= residues <= LARGEST and (nucleotides > 8) == nucleic:
            fitting.append(entry)
    for k in np.linspace(0, len(fitting) - 1, min(MODELS, len(fitting))).astype(int):
        yield library.structure(fitting[k])


def spectra(library: AtomLibrary, split: str, nucleic: bool) -> list[Spectrum]:
    """Spectra of simulated maps."""
    found = []
    for structure in models(library, split, nucleic):
        has = (structure.kind == NUCLEOTIDE_KIND).any()
        for resolution in (RESOLUTION, WORSE) if has else (RESOLUTION,):
            map_ = simulate(structure, resolution)
            found.append(radial(map_.density - np.median(map_.density), map_.grid))
    return found


def rates(found: list[Spectrum], what: str) -> list[list[str]]:
    """Rows of the table: how often another size is told, and by how much it is wrong."""
    rows = []
    for factor in FACTORS:
        # features of voxels declared too large lie at lower frequencies
        sizes = [feature_size(frequency / factor, power) for frequency, power in found]
        told = [size for size, gain in sizes if gain > GAIN and abs(math.log(size)) > TOLERANCE]
        off = np.median([abs(size / factor - 1) for size, _ in sizes if math.isfinite(size)])
        rows.append([what, f"{factor:g}", f"{len(told)} of {len(found)}", f"{off:.1%}"])
    return rows


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("library", type=Path, help="folder of packed atomic models")
    parser.add_argument("--profile", action="store_true", help="make the profile anew")
    options = parser.parse_args()
    library = AtomLibrary(options.library)
    if options.profile:
        profile = np.mean([at(*spectrum) for spectrum in spectra(library, "train", nucleic=False)], axis=0)
        print(", ".join(f"{value:.3f}" for value in profile))
        return
    rows = rates(spectra(library, "val", nucleic=False), "protein")
    rows += rates(spectra(library, "val", nucleic=True), "with or of nucleotides")
    print(table(["models", "voxels declared ×", "another size told", "median error"], rows))


if __name__ == "__main__":
    main()
