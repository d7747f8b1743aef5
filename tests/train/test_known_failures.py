"""What the benchmark of known failures is made of: maps of whole models, what it counts, and its pictures."""

import numpy as np
import pytest
from peptides import HELIX as HELICAL
from peptides import STRAND as EXTENDED
from peptides import backbone, chain, document
from PIL import Image

from haruspex_infer.classes import HELIX, OTHER, STRAND
from haruspex_infer.sampling import sample
from haruspex_infer.structure import from_gemmi

POLYPROLINE = (-75.0, 145.0)


@pytest.fixture
def modules(benchmark_called):
    """The benchmark and the modules that it imports."""
    return [benchmark_called(name) for name in ("simulating", "annotated", "known_failures", "sections")]


def peptide(torsions):
    return from_gemmi(document(chain("A", backbone(torsions))))


def seen(annotated, structure, truth, annotation=None):
    level = np.full(structure.n_residues, 5, np.float32)
    truth = np.asarray(truth, np.uint8)
    return annotated.Seen("made", annotation, structure, truth, truth.copy(), level)


def test_a_simulated_map_has_its_model_in_it(modules):
    simulating = modules[0]
    helix = peptide([HELICAL] * 20)
    map_ = simulating.simulate(helix, 3.0)
    inside = sample(map_.density, map_.grid, helix.xyz)
    assert inside.min() > 3 * map_.density.std()
    assert (simulating.simulate(helix, 3.0).density == map_.density).all()


def test_a_micelle_lies_around_an_upright_protein(modules):
    simulating = modules[0]
    helix = simulating.upright(peptide([HELICAL] * 24), np.ones(24, bool))
    extent = np.ptp(helix.xyz, axis=0)
    assert extent[2] > 2.5 * extent[:2].max()
    belt = simulating.micelle(helix)
    gaps = np.linalg.norm(belt.xyz[:, None] - helix.xyz, axis=2).min(axis=1)
    assert gaps.min() > 2.9
    assert np.abs(belt.xyz[:, 2]).max() < 22.1
    clad, bare = simulating.simulate(helix, 3.0, belt), simulating.simulate(helix, 3.0)
    middle = belt.xyz[np.abs(belt.xyz[:, 2]) < 5]
    assert np.nanmean(sample(clad.density, clad.grid, middle)) > np.nanmean(
        sample(bare.density, bare.grid, middle)
    )


@pytest.mark.parametrize(("length", "found"), [(3, 0), (4, 4), (7, 7)])
def test_polyproline_begins_with_four_residues(modules, length, found):
    _, annotated, known, _ = modules
    structure = peptide([HELICAL] * 5 + [POLYPROLINE] * length + [HELICAL] * 5)
    truth = [HELIX.number] * 5 + [OTHER.number] * length + [HELIX.number] * 5
    chosen = known.straight(seen(annotated, structure, truth))
    assert chosen.sum() == found
    assert not chosen[:5].any()


def test_only_the_turn_of_a_hairpin_counts(modules):
    _, annotated, known, _ = modules
    turn = [(60.0, 30.0), (90.0, 0.0)]
    structure = peptide([EXTENDED] * 6 + turn + [EXTENDED] * 6)
    truth = [STRAND.number] * 6 + [OTHER.number] * 2 + [STRAND.number] * 6
    assert np.flatnonzero(known.turns(seen(annotated, structure, truth))).tolist() == [6, 7]
    straight = peptide([EXTENDED] * 14)
    assert not known.turns(seen(annotated, straight, truth)).any()


def test_mirror_images_keep_model_and_density_together(modules):
    simulating, annotated, *_ = modules
    structure = peptide([HELICAL] * 12)
    map_ = simulating.simulate(structure, 3.0)
    one = seen(annotated, structure, [HELIX.number] * 12, annotated_map(map_))
    mirrored, turned = annotated.reflected(one)
    np.testing.assert_allclose(
        sample(mirrored.density, mirrored.grid, turned.xyz),
        sample(map_.density, map_.grid, structure.xyz),
        rtol=1e-3,
    )


def annotated_map(map_):
    from haruspex_infer.annotation import Annotation

    probabilities = np.zeros((4, *map_.grid.shape), np.float32)
    probabilities[HELIX.number] = 1
    return Annotation(map_, probabilities, 0.0, float(map_.density.max()))


def test_sections_are_small_pictures(modules, tmp_path):
    simulating, annotated, _, sections = modules
    structure = peptide([HELICAL] * 12)
    one = seen(annotated, structure, [HELIX.number] * 12, annotated_map(simulating.simulate(structure, 3.0)))
    panel = annotated.section("a helix", one, structure.xyz.mean(axis=0))
    sections.draw([panel, panel], tmp_path / "two.png")
    with Image.open(tmp_path / "two.png") as picture:
        assert picture.width > 1.5 * picture.height
        red, _, blue = (np.asarray(picture.convert("RGB"), float)[..., k] for k in (0, 1, 2))
    assert (blue > red + 50).sum() > 100  # helix is blue
    assert (tmp_path / "two.png").stat().st_size < 60_000
