"""How many of the library's known homologues of the experimental pairs curation finds, and how fast.

The library's split ``holdout`` holds the models that others found to be homologues of the pairs; the other
splits are said to hold none.

    python benchmarks/homologues.py ../shared/data/atomic_models ../shared/data/maps
"""

import sys
import time
from pathlib import Path

from haruspex_infer.resources import available_cores
from haruspex_infer.structure import read_structure
from haruspex_train.candidates import read_candidates
from haruspex_train.homology import clusters, homologues
from haruspex_train.library import AtomLibrary
from haruspex_train.measure import sequences


def main() -> None:
    """Print what was found, and the pace."""
    library = AtomLibrary(Path(sys.argv[1]))
    pairs = {
        c.name: sequences(read_structure(c.pair.model_paths)) for c in read_candidates(Path(sys.argv[2]))
    }
    splits = {
        split: {name: sequences(library.structure(name)) for name in library.ids(split)}
        for split in ("holdout", "train", "val")
    }
    began, compared = time.perf_counter(), 0
    for split, entries in splits.items():
        found = homologues(entries, pairs)
        compared += len({s for several in entries.values() for s in several})
        named = ", ".join(f"{name} of {other}" for name, other in found.items()) if split != "holdout" else ""
        print(f"{split}: {len(found)} of {len(entries)} share a domain with a pair {named}")
    compared *= len({s for several in pairs.values() for s in several})
    seconds = time.perf_counter() - began
    print(f"{seconds / compared * 1e6:.0f} µs a comparison on {available_cores()} cores")
    began = time.perf_counter()
    related = clusters(splits["train"])
    number = len({cluster for several in related.values() for cluster in several})
    print(f"{len(related)} models fall into {number} clusters in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
