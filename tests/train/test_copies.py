import gemmi
import numpy as np
import pytest
from peptides import HELIX, backbone, chain, document

from haruspex_infer.grid import Grid
from haruspex_infer.mapfile import Map, read_map, write_map_like
from haruspex_infer.structure import from_gemmi, join, read_structure
from haruspex_train.annotate import annotate, read_truth, truth_path
from haruspex_train.copies import centres, moved, read_model
from haruspex_train.curate import curate
from haruspex_train.fit import model_density
from haruspex_train.groundtruth import near

CENTRE = np.array([3.0, -2.0, 5.0])


def turn(degrees):
    """Rotation about an axis along z through CENTRE: matrix and shift."""
    angle = np.radians(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    return rotation, CENTRE - rotation @ CENTRE


def with_operators(made, transforms, subchains=True):
    """Add an assembly that copies everything."""
    assembly, generator = gemmi.Assembly("1"), gemmi.Assembly.Gen()
    for number, (rotation, shift) in enumerate([(np.eye(3), np.zeros(3)), *transforms], start=1):
        operator = gemmi.Assembly.Operator()
        operator.name = str(number)
        operator.transform = gemmi.Transform(gemmi.Mat33(rotation.tolist()), gemmi.Vec3(*map(float, shift)))
        generator.operators.append(operator)
    if subchains:
        generator.subchains = [sub.subchain_id() for one in made[0] for sub in one.subchains()]
    else:
        generator.chains = [one.name for one in made[0]]
    assembly.generators.append(generator)
    made.assemblies.append(assembly)
    return made


def subunit():
    """A helix of 24 residues, 14 Å from the axis."""
    coordinates = backbone([HELIX] * 24)
    made = document(chain("A", coordinates - coordinates.mean(axis=(0, 1)) + CENTRE + [14, 0, 0]))
    made.setup_entities()
    return made


@pytest.fixture
def tetramer():
    """A map of four helices around an axis, and the model of one of them."""
    one = from_gemmi(subunit())
    whole = join([moved(one, turn(angle)) for angle in (0, 90, 180, 270)])
    low = whole.xyz.min(axis=0)[::-1].astype(float) - 12
    shape = np.ceil((whole.xyz.max(axis=0)[::-1] + 12 - low) / 1.1).astype(int)
    grid = Grid(tuple(map(int, shape)), (1.1,) * 3, tuple(low))
    noise = np.random.default_rng(0).normal(0, 0.01, grid.shape).astype(np.float32)
    density = model_density(grid, whole, 3.0)
    return Map.from_array(density / density.max() + noise, 1.1, grid.origin), whole


def written(made, path):
    if path.suffix == ".pdb":
        made.write_pdb(str(path))
    else:
        made.make_mmcif_document().write_file(str(path))
    return path


@pytest.mark.parametrize("ending", ["cif", "pdb"])
def test_copies_that_the_map_shows_are_added(tetramer, tmp_path, ending):
    density_map, whole = tetramer
    made = with_operators(subunit(), [turn(a) for a in (90, 180, 270)], subchains=ending == "cif")
    model = read_model([written(made, tmp_path / f"model.{ending}")], density_map)
    assert (model.copies, model.refused) == (3, 0)
    assert sorted(set(model.structure.chain)) == ["A", "A-2", "A-3", "A-4"]
    np.testing.assert_allclose(model.structure.xyz, whole.xyz, atol=2e-3)


def test_copies_that_the_map_does_not_show_are_refused(tetramer, tmp_path):
    density_map, _ = tetramer
    wrong = [turn(45), turn(135), (np.eye(3), np.array([300.0, 0, 0])), (np.eye(3), np.array([0, 0, 4.5]))]
    made = with_operators(subunit(), [turn(180), *wrong])
    model = read_model([written(made, tmp_path / "model.cif")], density_map)
    assert (model.copies, model.refused) == (1, 3)  # the last lies on the original itself


def test_a_copy_that_fits_worse_than_the_original_is_refused(tetramer, tmp_path):
    density_map, whole = tetramer
    density = density_map.density.copy()
    third = whole.part(np.isin(whole.residue, np.arange(48, 56)))  # 8 of the 24 residues of a helix
    density[near(density_map.grid, third.xyz, 3.5)] = 0
    made = with_operators(subunit(), [turn(a) for a in (90, 180, 270)])
    path = written(made, tmp_path / "model.cif")
    model = read_model([path], Map.from_array(density, 1.1, density_map.grid.origin))
    assert (model.copies, model.refused) == (2, 1)


def test_what_the_model_lists_already_is_not_added(tetramer, tmp_path):
    density_map, _ = tetramer
    made = subunit()
    for name, angle in zip("BCD", (90, 180, 270), strict=True):
        other = subunit()[0][0]
        other.name = name
        rotation, shift = turn(angle)
        made[0].add_chain(other)
        for residue in made[0][-1]:
            for atom in residue:
                atom.pos = gemmi.Position(*(rotation @ atom.pos.tolist() + shift))
    made.setup_entities()
    made = with_operators(made, [turn(90), turn(180)])
    model = read_model([written(made, tmp_path / "model.cif")], density_map)
    assert (model.copies, model.refused) == (0, 0)
    assert len(set(model.structure.chain)) == 4


def test_copies_are_annotated_and_counted(tetramer, tmp_path):
    density_map, whole = tetramer
    write_map_like(density_map, density_map.density, tmp_path / "map.mrc", "made for a test")
    written(subunit(), tmp_path / "alone.cif")
    written(with_operators(subunit(), [turn(a) for a in (90, 180, 270)]), tmp_path / "model.cif")
    head = "id\tsplit\tpdb\tresolution_A\tmasked\tmap\tmodels\tnote"
    rows = [
        f"{n}\ttrain\t-\t3.0\tno\tmap.mrc\t{f}\t-" for n, f in (("ONE", "alone.cif"), ("ALL", "model.cif"))
    ]
    (tmp_path / "INDEX.tsv").write_text("\n".join([head, *rows]) + "\n")
    found = {row["id"]: row for row in curate(tmp_path, tmp_path / "curated")}
    assert (found["ALL"]["copies"], found["ALL"]["copies_refused"], found["ALL"]["helix"]) == ("3", "0", "88")
    assert float(found["ALL"]["explained"]) > 0.95 > 0.4 > float(found["ONE"]["explained"])
    truths = {row["id"]: row for row in annotate(tmp_path, tmp_path / "truth")}
    assert int(truths["ALL"]["helix"]) > 3.5 * int(truths["ONE"]["helix"])
    assert int(truths["ALL"]["ignored"]) < 0.2 * int(truths["ONE"]["ignored"])
    truth = read_truth(truth_path(tmp_path / "truth", "ALL"))
    core = near(density_map.grid, centres(whole), 1.0)
    assert (truth[core] == 1).mean() > 0.9


def test_a_real_tetramer_is_restored_from_one_chain(shared_data, tmp_path):
    folder = shared_data / "maps" / "EMD-0093"
    density_map = read_map(folder / "MAP_m4A.mrc.gz")
    whole = gemmi.read_structure(str(folder / "6gyn.pdb.gz"))
    whole.setup_entities()
    first = whole[0][0].get_polymer()
    transforms = []
    for one in list(whole[0])[1:]:
        fit = gemmi.calculate_superposition(
            one.get_polymer(), first, gemmi.PolymerType.PeptideL, gemmi.SupSelect.CaP
        )
        transforms.append((np.array(fit.transform.mat.tolist()), np.array(fit.transform.vec.tolist())))
    for name in [one.name for one in whole[0]][1:]:
        whole[0].remove_chain(name)
    # beside the three true operators three that lead astray: a few Å, a few degrees, into the solvent
    rotation, shift = transforms[0]
    tilt, _ = turn(15)
    wrong = [(rotation, np.add(shift, [0, 0, 4])), (tilt @ rotation, tilt @ shift), (np.eye(3), [0, 0, 40])]
    whole.assemblies.clear()
    path = written(with_operators(whole, [*wrong, *transforms]), tmp_path / "model.cif")
    model = read_model([path], density_map)
    assert (model.copies, model.refused) == (3, 3)
    deposited = read_structure(folder / "6gyn.pdb.gz")
    found, expected = centres(model.structure), centres(deposited)
    assert found.shape == expected.shape
    away = np.sqrt(((found[:, None] - expected) ** 2).sum(-1)).min(axis=1)
    assert away.max() < 1.0
