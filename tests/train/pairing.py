"""A pair of map and model made for tests, and a network that annotates it by density alone."""

import mrcfile
import numpy as np
from peptides import HELIX, LEFT, backbone, chain, document
from toys import metadata, pointwise_network

from haruspex_infer.grid import Grid
from haruspex_train.groundtruth import near

HEAD = "id\tsplit\tpdb\tresolution_A\tmasked\tmap\tmodels\tnote"


def network(path, name="threshold"):
    """A network that calls everything denser than half of strong density helix."""
    return pointwise_network(path, metadata(name=name), weight=[-10, 10, 0, 0], bias=[5, -5, -9, -9])


def write_pair(tmp_path):
    """A folder with one pair: a helix of 24 residues, then eight of coil, in density of its own shape."""
    coordinates = backbone([HELIX] * 24 + [LEFT, (-80.0, 80.0)] * 4)
    made = document(chain("A", coordinates - coordinates.mean(axis=(0, 1))))
    (tmp_path / "model.pdb").write_text(made.make_pdb_string())
    grid = Grid((56, 56, 64), (1.1,) * 3, (-30.0, -30.0, -35.0))
    positions = coordinates.reshape(-1, 3) - coordinates.mean(axis=(0, 1))
    density = near(grid, positions, 2.0) + np.random.default_rng(0).normal(0, 0.02, grid.shape)
    with mrcfile.new(tmp_path / "map.mrc") as file:
        file.set_data(density.astype(np.float32))
        file.voxel_size = 1.1
        file.header.origin.x, file.header.origin.y, file.header.origin.z = grid.origin[::-1]
    row = "EMD-1\tval\t1ABC\t3.5\tno\tmap.mrc\tmodel.pdb\tmade for a test"
    (tmp_path / "INDEX.tsv").write_text(f"{HEAD}\n{row}\n", encoding="utf-8")
    return tmp_path
