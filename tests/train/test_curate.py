import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from clusters import cluster
from peptides import HELIX, backbone, chain, document

from haruspex_infer.errors import CannotWriteError, HaruspexError
from haruspex_infer.files import sole_use
from haruspex_infer.grid import Grid
from haruspex_infer.idealhelix import preference
from haruspex_infer.mapfile import Map
from haruspex_infer.scheduling import Machines
from haruspex_infer.structure import read_structure
from haruspex_train.candidates import Candidate, recorded
from haruspex_train.curate import Judged, curate, manifest, misfits
from haruspex_train.fit import contrast, correlation, displacement, model_density
from haruspex_train.hand import branches, hand, helix_axes
from haruspex_train.homology import Query, clusters, homologues
from haruspex_train.measure import FEWEST, Measures, measure_fit
from haruspex_train.pairs import Pair
from haruspex_train.secondary import residue_classes
from haruspex_train.tables import read_table

GOOD = Measures(
    helix=50,
    strand=10,
    nucleotide=0,
    in_map=1.0,
    inclusion=0.95,
    correlation=0.7,
    displacement=0.0,
    fitted=0.9,
    explained=0.9,
    helix_hand=8.0,
    side_hand=9.0,
)
SEQUENCE = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQ"


@pytest.fixture
def helix(tmp_path):
    """A helix of 30 residues with its own density at 3 Å, as Structure, Map and files."""
    coordinates = backbone([HELIX] * 30)
    made = document(chain("A", coordinates - coordinates.mean(axis=(0, 1))))
    made.write_pdb(str(tmp_path / "model.pdb"))
    structure = read_structure(tmp_path / "model.pdb")
    low = structure.xyz.min(axis=0)[::-1] - 12
    shape = np.ceil((structure.xyz.max(axis=0)[::-1] + 12 - low) / 1.1).astype(int)
    grid = Grid(tuple(map(int, shape)), (1.1,) * 3, tuple(map(float, low)))
    density = model_density(grid, structure, 3.0)
    return structure, Map.from_array(density, 1.1, grid.origin)


def moved(structure, step):
    return replace(structure, xyz=(structure.xyz + np.array(step)).astype(np.float32))


def judged(name="EMD-1", measures=GOOD, sequences=(), authors=(), sample="", **pair):
    settings = {"split": "train", "resolution": 3.0} | pair
    made = Pair(name, "1ABC", masked="-", map_path=Path("m"), model_paths=(Path("p"),), **settings)
    return Judged(Candidate(made, authors, sample), measures, sequences)


def verdicts(*everyone):
    return {row["id"]: (row["verdict"], row["reason"]) for row in manifest(everyone)}


def test_a_model_in_its_own_density_fits_best_where_it_is(helix):
    structure, density_map = helix
    found = measure_fit(density_map, structure, residue_classes(structure), 3.0)
    assert found.displacement == 0
    assert found.correlation == pytest.approx(1)
    assert found.fitted == 1
    assert found.explained == 1
    assert found.in_map == 1
    assert not misfits(judged(measures=found))


@pytest.mark.parametrize("step", [(3, 0, 0), (0, -4.4, 0), (-2, 3, 2), (0, 0, 5.5)], ids=str)
def test_a_shifted_model_is_told_how_far_it_is_off(helix, step):
    structure, density_map = helix
    away = displacement(density_map.density, density_map.grid, moved(structure, step), 3.0)
    assert away == pytest.approx(np.linalg.norm(step), abs=1.0)


def test_the_contrast_of_a_shifted_model_is_gone(helix):
    structure, density_map = helix
    here = contrast(density_map.density, density_map.grid, structure)
    ((_, axis), *_) = helix_axes(structure, residue_classes(structure))
    aside = np.cross(axis, (1, 0, 0)) / np.linalg.norm(np.cross(axis, (1, 0, 0)))
    there = contrast(density_map.density, density_map.grid, moved(structure, 6 * aside))
    assert np.median(here) > 1
    assert np.median(there) < 0.5


def test_correlation_does_not_depend_on_scale_and_is_undefined_for_constants(helix):
    _, density_map = helix
    everywhere = np.ones(density_map.grid.shape, bool)
    density = density_map.density
    assert correlation(density * 3 - 1, density, everywhere) == pytest.approx(1)
    assert np.isnan(correlation(np.zeros_like(density), density, everywhere))


def test_a_model_outside_the_map_is_rejected(helix):
    structure, density_map = helix
    found = measure_fit(density_map, moved(structure, (500, 0, 0)), residue_classes(structure), 3.0)
    assert found.in_map == 0
    assert "outside the map" in misfits(judged(measures=found))[0]


def test_the_hand_of_a_map_is_told_from_its_density_alone(helix):
    structure, density_map = helix
    axes = helix_axes(structure, residue_classes(structure))
    assert len(axes) >= 4
    right, left = hand(density_map.density, density_map.grid, axes)
    assert (right > left).all()
    grid = density_map.grid
    last = grid.origin[2] + (grid.shape[2] - 1) * grid.voxel_size[2]
    flipped = axes * np.array([-1, 1, 1])
    other = Grid(grid.shape, grid.voxel_size, (grid.origin[0], grid.origin[1], -last))
    right, left = hand(density_map.density[:, :, ::-1], other, flipped)
    assert (left > right).all()


def test_helix_axes_are_straight_and_point_along_the_chain(helix):
    structure, _ = helix
    axes = helix_axes(structure, residue_classes(structure))
    first, last = structure.main_chain()[[3, -4], 1]
    along = (last - first) / np.linalg.norm(last - first)
    assert (axes[:, 1] @ along > 0.97).all()


def test_preference_needs_several_and_grows_with_agreement():
    assert np.isnan(preference(np.ones(4), np.zeros(4), FEWEST))
    one = np.array([1.0, 1.1, 0.9, 1.2, np.nan, 1.0])
    assert preference(one, np.zeros(6), FEWEST) > 5
    assert preference(np.zeros(6), one, FEWEST) < -5


@pytest.mark.parametrize(
    ("name", "map_file", "model_file"),
    [
        ("EMD-2566", "2566_3J6B_9.mrc.gz", "3J6B_9.pdb.gz"),
        ("EMD-20353", "map.mrc.gz", "6PJ6_hairpin3.pdb.gz"),
        ("EMD-21457", "emd_21457_seg.mrc.gz", "6vyb_Ndom.pdb.gz"),
    ],
)
def test_real_pairs_pass_and_their_wrong_copies_do_not(shared_data, name, map_file, model_file):
    from haruspex_infer.mapfile import read_map

    folder = shared_data / "maps" / name
    density_map, structure = read_map(folder / map_file), read_structure(folder / model_file)
    classes = residue_classes(structure)

    def reasons(one_map, model):
        return misfits(judged(measures=measure_fit(one_map, model, classes, 3.2)))

    assert not reasons(density_map, structure)
    assert any("fits better" in r for r in reasons(density_map, moved(structure, (0, 2.5, -2.5))))
    grid = density_map.grid
    last = grid.origin[2] + (grid.shape[2] - 1) * grid.voxel_size[2]
    origin = (grid.origin[0], grid.origin[1], -last)
    other_hand = Map.from_array(density_map.density[:, :, ::-1], grid.voxel_size, origin)
    perfect_fit = replace(structure, xyz=structure.xyz * np.array([-1, 1, 1], np.float32))
    (reason,) = reasons(other_hand, perfect_fit)
    assert reason.startswith("mirrored")


def test_bases_and_side_chains_branch_off_in_density(shared_data):
    structure = read_structure(shared_data / "maps" / "EMD-20353" / "6PJ6_hairpin3.pdb.gz")
    low = structure.xyz.min(axis=0)[::-1].astype(float) - 6
    grid = Grid((60, 60, 60), (0.8,) * 3, tuple(low))
    right, wrong = branches(model_density(grid, structure, 2.0), grid, structure)
    assert len(right) == 7
    assert (right > wrong).all()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"helix": 0, "strand": 0}, "no helix, strand or nucleotide"),
        ({"in_map": 0.5}, "outside the map"),
        ({"inclusion": 0.3}, "of the backbone in density"),
        ({"correlation": 0.2}, "correlation 0.20"),
        ({"correlation": float("nan")}, "correlation"),
        ({"fitted": 0.2}, "20% of the residues fit"),
        ({"displacement": 3.3}, "fits better 3.3 Å away"),
        ({"explained": 0.001}, "of the density modelled"),
        ({"helix_hand": -9.0, "side_hand": float("nan")}, "mirrored"),
    ],
)
def test_every_misfit_is_named(change, reason):
    (found,) = misfits(judged(measures=replace(GOOD, **change)))
    assert reason in found


def test_nucleotides_alone_are_enough():
    assert not misfits(judged(measures=replace(GOOD, helix=0, strand=0, nucleotide=20)))


def test_of_the_same_authors_and_complex_the_best_resolution_stays():
    authors = ("A", "B", "C")
    one = judged("EMD-1", resolution=3.4, sequences=(SEQUENCE,), authors=authors)
    two = judged("EMD-2", resolution=2.9, sequences=(SEQUENCE,), authors=authors)
    others = judged("EMD-3", resolution=3.9, sequences=(SEQUENCE,), authors=("X", "Y"))
    larger = judged("EMD-4", resolution=3.9, sequences=(SEQUENCE, "WWHHCC" * 10), authors=authors)
    poor = judged("EMD-5", replace(GOOD, fitted=0.1), resolution=2.0, sequences=(SEQUENCE,), authors=authors)
    found = verdicts(one, two, others, larger, poor)
    assert found["EMD-1"] == ("drop", "same authors and complex as EMD-2")
    assert [name for name, (verdict, _) in found.items() if verdict == "keep"] == ["EMD-2", "EMD-3", "EMD-4"]


def test_no_homologue_of_a_test_entry_trains():
    changed = SEQUENCE.replace("K", "R").replace("L", "I")
    found = verdicts(
        judged("EMD-1", sequences=(changed,)),
        judged("EMD-2", sequences=("WWHHCC" * 10,)),
        judged("EMD-3", sequences=(SEQUENCE,), split="test"),
    )
    assert found["EMD-1"] == ("drop", "homologue of the test entry EMD-3")
    assert found["EMD-2"][0] == found["EMD-3"][0] == "keep"


def test_versions_of_a_protein_are_alike_and_chance_is_not():
    assert Query(SEQUENCE).align(SEQUENCE).identical == len(SEQUENCE)
    assert Query(SEQUENCE[5:50]).alike(SEQUENCE)
    assert not Query("WWHHCC" * 10).alike(SEQUENCE)
    rng = np.random.default_rng(0)
    random = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 400)) for _ in range(20)]
    assert not any(Query(one).related(other) for one in random for other in random if one is not other)


def test_a_domain_that_long_proteins_share_is_found():
    rng = np.random.default_rng(1)
    parts = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 500)) for _ in range(4)]
    one, other = parts[0] + SEQUENCE + parts[1], parts[2] + SEQUENCE.replace("K", "R") + parts[3]
    assert Query(one).related(other)
    assert not Query(one).alike(other)
    found = homologues(
        {"a": [one], "b": [parts[1]], "c": [parts[3][:300], "MK"]}, {"z": ["MK"], "y": [other], "x": [other]}
    )
    assert found == {"a": "x", "c": "x"}
    assert homologues({"a": [one]}, {}) == {}


def test_clusters_do_not_depend_on_the_order_of_entries():
    entries = {"a": [SEQUENCE], "b": ["WWHHCC" * 10, "MKT"], "c": [SEQUENCE[:-2], "WWHHCC" * 10], "d": []}
    found = clusters(entries)
    assert found["a"] != found["b"]
    assert set(found["c"]) == {*found["a"], *found["b"]}
    assert found["d"] == ()
    assert clusters(dict(reversed(entries.items()))) == found


@pytest.fixture
def folder(tmp_path, helix):
    """Three pairs: a good one, a shifted one, one whose map is damaged."""
    _, density_map = helix
    made = tmp_path / "pairs"
    made.mkdir()
    with mrcfile.new(made / "map.mrc") as file:
        file.set_data(np.array(density_map.density))
        file.voxel_size = 1.1
        file.header.origin = density_map.grid.origin[::-1]
    (made / "broken.mrc").write_bytes((made / "map.mrc").read_bytes()[:5000])
    (made / "good.pdb").write_bytes((tmp_path / "model.pdb").read_bytes())
    import gemmi

    shifted = gemmi.read_pdb(str(made / "good.pdb"))
    shifted[0].transform_pos_and_adp(gemmi.Transform(gemmi.Mat33(), gemmi.Vec3(3, 3, 0)))
    shifted.write_pdb(str(made / "shifted.pdb"))
    head = "id\tsplit\tpdb\tresolution_A\tmasked\tmap\tmodels\tnote\tcontour\tauthors"
    rows = [
        "GOOD\tval\t-\t3.0\tno\tmap.mrc\tgood.pdb\t-\t0.5\tA; B",
        "SHIFTED\tval\t-\t3.0\tno\tmap.mrc\tshifted.pdb\t-\t-\t-",
        "BROKEN\ttest\t-\t3.0\tno\tbroken.mrc\tgood.pdb\t-\t-\t-",
    ]
    (made / "INDEX.tsv").write_text("\n".join([head, *rows]) + "\n")
    return made


def test_a_folder_is_curated_and_killed_runs_go_on(folder, tmp_path):
    out = tmp_path / "out"
    rows = {row["id"]: row for row in curate(folder, out)}
    assert rows["GOOD"]["verdict"] == "keep"
    assert float(rows["GOOD"]["contour_inclusion"]) > 0.9
    assert "fits better 4." in rows["SHIFTED"]["reason"]
    assert "truncated" in rows["BROKEN"]["reason"]
    manifest_bytes = (out / "MANIFEST.tsv").read_bytes()
    assert [row["id"] for row in read_table(out / "MANIFEST.tsv")] == ["BROKEN", "GOOD", "SHIFTED"]
    times = {path.name: path.stat().st_mtime_ns for path in (out / "figures").iterdir()}
    # as a kill leaves it: no manifest, one pair not measured, a file half written
    (out / "MANIFEST.tsv").unlink()
    (out / "figures" / "GOOD.json").unlink()
    (out / "figures" / ".GOOD.json.1.part").write_text("{")
    curate(folder, out)
    assert (out / "MANIFEST.tsv").read_bytes() == manifest_bytes
    assert (out / "figures" / "SHIFTED.json").stat().st_mtime_ns == times["SHIFTED.json"]


def nothing(candidate):
    return {"name": candidate.name}


def test_many_pairs_are_worked_on_by_few_processes(tmp_path):
    candidates = [judged(f"EMD-{number}").candidate for number in range(60)]
    records = recorded(nothing, candidates, tmp_path, 1, Machines(2))
    assert [record["name"] for record in records] == [candidate.name for candidate in candidates]


def killed_on_broken(candidate):
    if candidate.name == "EMD-3":
        os.kill(os.getpid(), signal.SIGKILL)
    return {"name": candidate.name}


def test_a_pair_whose_process_is_killed_has_a_reason_and_another_chance(tmp_path):
    candidates = [judged(f"EMD-{number}").candidate for number in range(5)]
    records = recorded(killed_on_broken, candidates, tmp_path, 1, Machines(2))
    assert [bool(record["fault"]) for record in records] == [False, False, False, True, False]
    assert "killed" in records[3]["fault"]
    assert not (tmp_path / "EMD-3.json").exists()
    again = recorded(nothing, candidates, tmp_path, 1, Machines(2))
    assert again[3] == {"name": "EMD-3", "fault": "", "inputs": again[3]["inputs"]}


def cannot_be_read(candidate):
    raise HaruspexError(f"{candidate.name}.mrc does not exist.")


def has_no_room(candidate):
    raise CannotWriteError(f"{candidate.name}.webp cannot be written: No space left on device.")


def test_a_fault_is_tried_again(tmp_path):
    """The file may have been away for a moment: it has the same size and time when it is back."""
    candidates = [judged("EMD-1").candidate]
    (record,) = recorded(cannot_be_read, candidates, tmp_path, 1)
    assert record["fault"] == "EMD-1.mrc does not exist."
    assert recorded(nothing, candidates, tmp_path, 1)[0]["fault"] == ""


def test_a_full_disk_is_no_fault_of_a_pair(tmp_path):
    candidates = [judged(f"EMD-{number}").candidate for number in range(3)]
    with pytest.raises(CannotWriteError, match="No space left on device"):
        recorded(has_no_room, candidates, tmp_path, 1)
    assert not list(tmp_path.iterdir())


def test_two_runs_do_not_record_into_one_folder(tmp_path):
    with sole_use(tmp_path), pytest.raises(HaruspexError, match="Another run writes to"):
        recorded(nothing, [judged("EMD-1").candidate], tmp_path, 1)
    assert not list(tmp_path.iterdir())


def test_a_cluster_makes_the_same_manifest(folder, tmp_path, monkeypatch):
    curate(folder, tmp_path / "local")
    # names are told from here: workers have folders of their own
    monkeypatch.chdir(tmp_path)
    with cluster(n_workers=1) as there:
        curate(Path("pairs"), Path("cluster"), Machines(scheduler=there.scheduler_address))
    local, there = ((tmp_path / name / "MANIFEST.tsv").read_bytes() for name in ("local", "cluster"))
    assert local == there


def test_a_changed_model_is_measured_again(folder, tmp_path):
    out = tmp_path / "out"
    curate(folder, out)
    (folder / "shifted.pdb").write_bytes((folder / "good.pdb").read_bytes())
    rows = {row["id"]: row for row in curate(folder, out)}
    assert rows["SHIFTED"]["verdict"] == "keep"


def test_the_archives_own_scores_are_in_the_manifest(folder, tmp_path):
    import gzip

    with gzip.open(folder / "validation.xml.gz", "wt") as stream:
        stream.write('<wwPDB><Entry Q_score="0.55" atom_inclusion_backbone="0.91"/></wwPDB>')
    lines = (folder / "INDEX.tsv").read_text().splitlines()
    lines = [lines[0] + "\tvalidation", lines[1] + "\tvalidation.xml.gz"]
    (folder / "INDEX.tsv").write_text("\n".join(lines) + "\n")
    (row,) = curate(folder, tmp_path / "out")
    assert (row["archive_inclusion"], row["archive_q"]) == ("0.910", "0.550")


def test_the_command_curates(folder, tmp_path):
    command = [sys.executable, "-m", "haruspex_train", "curate", str(folder), "-o", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "1 of 3 pairs" in done.stdout
    figures = json.loads((tmp_path / "out" / "figures" / "GOOD.json").read_text())
    assert figures["measures"]["displacement"] == 0
    wrong = subprocess.run(
        [*command[:4], str(tmp_path), "-o", "x"], capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 2
    assert "INDEX.tsv" in wrong.stderr


def test_a_scheduler_that_is_not_there_is_one_sentence(folder, tmp_path):
    pytest.importorskip("distributed", reason="Dask is not installed")
    command = [sys.executable, "-m", "haruspex_train", "curate", str(folder), "-o", str(tmp_path / "out")]
    done = subprocess.run(
        [*command, "--scheduler", "no address"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "No Dask scheduler answers at no address" in done.stderr
    assert "Traceback" not in done.stderr
