import numpy as np

from haruspex_infer.example import example_map
from haruspex_infer.mapfile import read_map
from haruspex_infer.structure import read_structure


def test_the_example_fits_into_the_wheel():
    assert example_map().stat().st_size <= 1_500_000


def test_the_example_lies_on_the_deposited_map(shared_data):
    crop = read_map(example_map())
    whole = read_map(shared_data / "maps/EMD-11007/emd_11007.map.gz")
    first = whole.grid.indices(crop.grid.positions([[0, 0, 0]]))[0]
    np.testing.assert_allclose(first, np.round(first), atol=1e-4)
    z, y, x = np.round(first).astype(int)
    same = whole.density[z : z + 72, y : y + 72, x : x + 72]
    np.testing.assert_allclose(crop.density, same, rtol=2**-9)
    assert crop.header.axes == whole.header.axes == (3, 2, 1)


def test_the_example_holds_protein_and_strong_density_beside_it(shared_data):
    crop = read_map(example_map())
    folder = shared_data / "maps/EMD-11007"
    model = read_structure(
        [folder / "nsp12_swissmodel_docked.pdb.gz", folder / "nsp7_nsp8_84-192_swissmodel_docked.pdb.gz"]
    )
    places = crop.grid.indices(model.xyz)
    inside = ((places > 0) & (places < 71)).all(axis=1)
    assert inside.sum() > 4000
    strong = crop.density >= np.percentile(crop.density[tuple(np.round(places[inside]).astype(int).T)], 50)
    far = np.ones(crop.grid.shape, dtype=bool)
    for z, y, x in np.round(places[inside]).astype(int):
        far[max(z - 5, 0) : z + 6, max(y - 5, 0) : y + 6, max(x - 5, 0) : x + 6] = False
    assert (strong & far).sum() > 1000
