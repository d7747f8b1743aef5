"""Time and size of the report, for a map and for a synthetic one of any size.

    python benchmarks/report_cost.py ../shared/data/maps/EMD-11007/emd_11007.map.gz
    python benchmarks/report_cost.py --synthetic 400

A map is annotated and summed up first, as the other files need it too; only the report is timed. The
synthetic map is a particle that fills three fifths of the box in each direction, of correlated noise with
classes in blobs: nothing in it compresses well.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from commandline import parser_of

from haruspex_infer.annotation import Annotation
from haruspex_infer.annotator import Annotator
from haruspex_infer.mapfile import Map, read_map
from haruspex_infer.report import write_report


def synthetic(edge: int) -> Annotation:
    """Return an annotated particle in solvent with noise, made up, in a box of so many voxels each way."""
    rng = np.random.default_rng(0)
    density = rng.standard_normal((edge,) * 3, dtype=np.float32)
    for axis in range(3):  # noise that is correlated as that of a map is
        density += np.roll(density, 1, axis)
    density *= 0.15 / density.std()
    places = np.linspace(-1, 1, edge, dtype=np.float32)
    z, y, x = places[:, None, None], places[None, :, None], places[None, None, :]
    inside = z * z + y * y + x * x < 0.6**2
    density[inside] = np.abs(density[inside]) * 6
    pattern = np.sin(40 * z) + np.sin(37 * y) + np.sin(43 * x)
    probabilities = np.full((4, edge, edge, edge), 0.02, np.float32)
    for number, (low, high) in enumerate(((-9, -1), (-1, 0), (0, 1), (1, 9))):
        probabilities[number][(pattern >= low) & (pattern < high)] = 0.94
    return Annotation(Map.from_array(density, 0.83), probabilities, 0.0, 1.0)


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("map", type=Path, nargs="?")
    parser.add_argument("--synthetic", type=int, metavar="EDGE", help="voxels along each edge")
    parser.add_argument("--keep", type=Path, help="write the report here")
    options = parser.parse_args()
    if (options.map is None) == (options.synthetic is None):
        parser.error("give a map or --synthetic")
    if options.map is None:
        annotation = synthetic(options.synthetic)
    else:
        annotation = Annotator().annotate(read_map(options.map))
    _ = annotation.composition  # labels and composition are there anyway when files are written
    with tempfile.TemporaryDirectory() as folder:
        path = options.keep or Path(folder) / "report.html"
        began = time.process_time()  # one core, whatever else the machine does
        write_report(annotation, path, title=annotation.map.stem)
        seconds = time.process_time() - began
        shape = " × ".join(map(str, annotation.grid.shape))
        print(f"{annotation.map.stem}, {shape}: {seconds:.1f} s, {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
