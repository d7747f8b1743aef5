"""Cuts the example map out of EMD-11007.

    python benchmarks/make_example.py ../shared/data/maps/EMD-11007/emd_11007.map.gz

The box holds helices and strands of nsp12, nsp7 and nsp8 and most of the RNA duplex. It was found with the
two docked protein models: 302 residues in helices, 96 in strands, and 8,700 voxels of strong density farther
than 4.5 Å from any of their atoms, which is mostly RNA. The crop keeps the deposited cell and axis order and
is placed by nstart, so that it lies on the deposited map in a viewer.
"""

import gzip
import sys
from pathlib import Path

import mrcfile.utils
import numpy as np
from numpy.typing import NDArray

from haruspex_infer.example import example_map
from haruspex_infer.mapfile import read_map

FIRST = (90, 86, 86)
"""First voxel (z, y, x) of the box in the deposited map."""
EDGE = 72
BITS = 8
"""Bits kept after the leading one: an error of 0.2 %, far under the noise, and half the bytes."""


def rounded(values: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """Round to a number of binary digits, so that the file compresses."""
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.round(mantissa * 2 ** (bits + 1)), exponent - bits - 1).astype(np.float32)


def main() -> None:
    """Write the example."""
    whole = read_map(sys.argv[1])
    box = tuple(slice(first, first + EDGE) for first in FIRST)
    density = rounded(whole.density[box], BITS)
    header = whole.header
    fields = header.fields.copy()
    fields.nx = fields.ny = fields.nz = EDGE
    first = dict(zip((3, 2, 1), FIRST, strict=True))
    fields.nxstart, fields.nystart, fields.nzstart = (first[axis] for axis in header.axes)
    fields.nsymbt = 0
    fields.machst = mrcfile.utils.machine_stamp_from_byte_order("<")
    fields.dmin, fields.dmax = density.min(), density.max()
    fields.dmean, fields.rms = density.mean(), density.std()
    place = "nstart " + " ".join(str(first[axis]) for axis in header.axes)
    label = f"{EDGE} x {EDGE} x {EDGE} voxels of EMD-11007, {place}; rounded to {BITS + 1} bits"
    fields.label[int(fields.nlabl)] = label.encode().ljust(80)
    fields.nlabl = int(fields.nlabl) + 1
    target = example_map()
    data = np.ascontiguousarray(header.to_file(density), dtype="<f4")
    # neither name nor time inside: the same input gives the same bytes
    with target.open("wb") as stream, gzip.GzipFile("", "wb", 9, stream, mtime=0) as packed:
        packed.write(fields.tobytes() + data.tobytes())
    print(f"{target}: {Path(target).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
