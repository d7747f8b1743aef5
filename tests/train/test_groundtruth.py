import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from peptides import HELIX, STRAND, backbone, chain, document

from haruspex_infer.errors import HaruspexError
from haruspex_infer.grid import Grid
from haruspex_infer.mapfile import read_map
from haruspex_infer.structure import Structure, read_structure
from haruspex_train.groundtruth import near, unmodelled, voxel_truth
from haruspex_train.secondary import residue_classes
from haruspex_train.truth import IGNORE

GRID = Grid((30, 30, 30), (1.0, 1.0, 1.0), (-15.0, -15.0, -15.0))


def one_atom_residues(positions, chains, kind=1):
    """Residues that consist of one backbone atom each."""
    n = len(positions)
    return Structure(
        xyz=np.array(positions, np.float32).reshape(-1, 3),
        element=np.full(n, 6, np.uint8),
        b_iso=np.zeros(n, np.float32),
        occupancy=np.ones(n, np.float32),
        atom_name=np.full(n, "CA"),
        residue=np.arange(n),
        chain=np.array(chains),
        name=np.full(n, "ALA"),
        number=np.arange(n, dtype=np.int32),
        insertion=np.full(n, " "),
        kind=np.full(n, kind, np.uint8),
        deposited=np.full(n, "?"),
    )


def ball(centre, radius, height, background=0.0):
    """Density of a given σ level around a place, on a map whose mean and σ are known afterwards."""
    z, y, x = np.meshgrid(*(GRID.centres(axis) for axis in range(3)), indexing="ij")
    distance = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)
    return np.where(distance <= radius, height, background), distance


@settings(max_examples=25)
@given(
    voxel_size=st.tuples(*[st.floats(0.6, 1.9)] * 3),
    radius=st.floats(1.0, 5.5),
    seed=st.integers(0, 10**6),
)
def test_near_is_every_voxel_within_the_radius(voxel_size, radius, seed):
    rng = np.random.default_rng(seed)
    grid = Grid((9, 10, 11), voxel_size, tuple(rng.normal(0, 30, 3)))
    xyz = grid.positions(rng.uniform(-2, 12, (7, 3)))
    z, y, x = np.meshgrid(*(grid.centres(axis) for axis in range(3)), indexing="ij")
    centres = np.stack([x, y, z], axis=-1)[..., None, :]
    nearest = np.linalg.norm(centres - xyz, axis=-1).min(axis=-1)
    clear = np.abs(nearest - radius) > 1e-6
    np.testing.assert_array_equal(near(grid, xyz, radius)[clear], (nearest <= radius)[clear])


def test_near_nothing():
    assert not near(GRID, np.zeros((0, 3)), 3.0).any()


def test_half_of_the_mean_backbone_density_within_three_angstrom():
    density, distance = ball((0, 0, 0), 8.0, 10.0)
    density = np.where(distance <= 2.0, 20.0, density)
    density = np.where((distance > 2.5) & (distance <= 8), 9.0, density)
    structure = one_atom_residues([(0, 0, 0)], ["A"])
    truth = voxel_truth(density, GRID, structure, np.array([1], np.uint8))
    mean, sigma = density.mean(), density.std()
    level = (density - mean) / sigma
    expected = (distance <= 3) & (level / (level.max() / 2) - 1 > 0.01)
    assert expected.sum() > 30
    np.testing.assert_array_equal(truth == 1, expected)
    assert not (truth == 1)[distance > 3].any()


@pytest.mark.parametrize(("rescaled", "label"), [(0.05, 1), (0.005, 0)])
def test_what_is_faint_even_for_its_element_is_other(rescaled, label):
    density, distance = ball((0, 0, 0), 2.0, 20.0)
    shell = (distance > 2) & (distance <= 3)
    for _ in range(30):  # the mean of the map depends on the shell
        density[shell] = density.mean() + (1 + rescaled) / 2 * (20 - density.mean())
    truth = voxel_truth(density, GRID, one_atom_residues([(0, 0, 0)], ["A"]), np.array([1], np.uint8))
    assert (truth[shell] == label).all()
    assert (truth[distance <= 2] == 1).all()


def test_a_faint_element_is_other():
    structure = one_atom_residues([(-8, 0, 0), (8, 0, 0)], ["A", "B"])
    strong, _ = ball((-8, 0, 0), 4.0, 10.0)
    weak, _ = ball((8, 0, 0), 4.0, 2.0)
    density = strong + weak
    level = (density - density.mean()) / density.std()
    assert level[15, 15, 23] < 2 < level[15, 15, 7]
    truth = voxel_truth(density, GRID, structure, np.array([1, 1], np.uint8))
    assert truth[15, 15, 7] == 1
    assert truth[15, 15, 23] == 0


@pytest.mark.parametrize(
    ("pair", "winner"), [((1, 2), 2), ((2, 1), 2), ((3, 1), 3), ((1, 3), 3), ((2, 3), 2)]
)
def test_ties_go_strand_nucleotide_helix(pair, winner):
    density, distance = ball((0, 0, 0), 4.0, 10.0)
    structure = one_atom_residues([(-1, 0, 0), (1, 0, 0)], ["A", "B"])
    truth = voxel_truth(density, GRID, structure, np.array(pair, np.uint8))
    both = (distance <= 4) & near(GRID, structure.xyz[:1], 3) & near(GRID, structure.xyz[1:], 3)
    assert (truth[both] == winner).all()


def test_the_stronger_channel_wins():
    density, _ = ball((0, 0, 0), 6.0, 10.0)
    density[15, 15, 12] = 25.0  # the helix atom sits on a peak: its element's mean is high, its channel low
    structure = one_atom_residues([(-3, 0, 0), (1, 0, 0)], ["A", "B"])
    truth = voxel_truth(density, GRID, structure, np.array([2, 1], np.uint8))
    assert truth[15, 15, 14] == 1


def test_strong_density_away_from_the_model_is_ignored():
    modelled, near_model = ball((-6, 0, 0), 3.0, 10.0)
    foreign, _ = ball((7, 0, 0), 3.0, 10.0)
    density = modelled + foreign
    structure = one_atom_residues([(-6, 0, 0)], ["A"])
    truth = voxel_truth(density, GRID, structure, np.array([0], np.uint8))
    np.testing.assert_array_equal(truth == IGNORE, foreign > 0)
    level = ((density - density.mean()) / density.std()).astype(np.float32)
    assert not unmodelled(level, GRID, structure.xyz)[near_model <= 5].any()


def test_strong_density_is_explained_up_to_five_angstrom():
    density, distance = ball((0, 0, 0), 8.0, 10.0)
    structure = one_atom_residues([(0, 0, 0)], ["A"])
    truth = voxel_truth(density, GRID, structure, np.array([0], np.uint8))
    np.testing.assert_array_equal(truth == IGNORE, (distance > 5) & (distance <= 8))


def test_atoms_in_weak_density_explain_nothing():
    density, _ = ball((7, 0, 0), 3.0, 10.0)
    structure = one_atom_residues([(7, 4.0, 0)], ["A"])
    truth = voxel_truth(density, GRID, structure, np.array([1], np.uint8))
    assert (truth[density > 0] == IGNORE).all()


def test_truth_does_not_depend_on_the_units(tmp_path):
    path = tmp_path / "model.pdb"
    torsions = [HELIX] * 14 + [STRAND] * 6
    path.write_text(document(chain("A", backbone(torsions))).make_pdb_string())
    structure = read_structure(path)
    density = np.random.default_rng(0).normal(0, 0.2, GRID.shape) + near(GRID, structure.xyz, 2.0)
    classes = residue_classes(structure)
    plain = voxel_truth(density, GRID, structure, classes)
    assert (plain == 1).sum() > 50
    np.testing.assert_array_equal(voxel_truth(density * 40 + 7, GRID, structure, classes), plain)


def test_a_constant_map_is_refused():
    with pytest.raises(HaruspexError, match="constant"):
        voxel_truth(np.ones(GRID.shape), GRID, one_atom_residues([(0, 0, 0)], ["A"]), np.array([1], np.uint8))


def test_an_experimental_pair(shared_data):
    folder = shared_data / "maps" / "EMD-2513"
    given = read_map(folder / "emd_2513.mrc.gz")
    structure = read_structure(folder / "4ci0.pdb.gz")
    truth = voxel_truth(given.density, given.grid, structure, residue_classes(structure))
    shares = [(truth == number).mean() for number in (1, 2, 3, IGNORE)]
    assert 0.01 < shares[0] < 0.03
    assert 0.004 < shares[1] < 0.01
    assert shares[2] == 0
    assert shares[3] < 0.001
