"""An experimental map to try the program on.

Part of EMD-11007: SARS-CoV-2 RNA polymerase with RNA, 2.9 Å (Hillen et al. 2020, Nature 584, 154; EMDB, CC0).
It holds helices, strands and RNA.
"""

from pathlib import Path


def example_map() -> Path:
    """Return the file of the example map."""
    return Path(__file__).parent / "emd_11007_crop.map.gz"
