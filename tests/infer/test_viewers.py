"""Annotations in napari and in ChimeraX' Segger, read by the programs' own libraries."""

import builtins
from dataclasses import replace

import numpy as np
import pytest
from toys import lump, pointwise_probabilities

from haruspex_infer import Annotation
from haruspex_infer.classes import CLASSES
from haruspex_infer.errors import HaruspexError
from haruspex_infer.mapfile import Map
from haruspex_infer.segger import write_segger

# of the libraries of others
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def annotation():
    density = lump((24, 20, 28))
    given = Map.from_array(density, (1.3, 1.2, 1.1), origin=(5.0, -6.0, 7.0))
    return Annotation(given, pointwise_probabilities(density).astype(np.float32), 0.1, 2.0)


# napari's own parts, as they are loaded
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_napari_makes_layers_of_it(annotation):
    layers = pytest.importorskip("napari.layers", reason="napari is not installed")
    made = [layers.Layer.create(*data) for data in annotation.to_napari()]
    assert [type(layer).__name__ for layer in made] == ["Image"] * 4 + ["Labels"]
    density, helix, *_, classes = made
    np.testing.assert_array_equal(density.data, annotation.map.density)
    np.testing.assert_array_equal(helix.data, annotation.probabilities[1])
    np.testing.assert_array_equal(classes.data, annotation.labels)
    assert density.iso_threshold == pytest.approx(annotation.level(0.5))
    assert [layer.visible for layer in made] == [True, False, False, False, True]
    for layer in made:
        # a voxel lies where the map has it, in z, y, x
        world = layer.data_to_world((3, 4, 5))
        np.testing.assert_allclose(world[::-1], annotation.grid.positions([3, 4, 5]))
        assert {str(unit) for unit in layer.units} == {"angstrom"}
    drawn = classes.colormap.map(np.arange(4))
    assert drawn[0, 3] == 0
    for c in CLASSES[1:]:
        expected = [int(c.colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        np.testing.assert_allclose(drawn[c.number], [*expected, 1], atol=1e-6)


def test_segger_reads_it(annotation, tmp_path):
    tables = pytest.importorskip("tables", reason="PyTables, with which Segger reads, is not installed")
    on_disk = replace(annotation, map=replace(annotation.map, path=tmp_path / "m.mrc"))
    write_segger(on_disk, tmp_path / "m.seg")
    with tables.open_file(tmp_path / "m.seg") as file:
        root, attributes = file.root, file.root._v_attrs
        assert attributes.format == "segger"
        assert attributes.format_version == 2
        assert attributes.name == "m.seg"
        assert attributes.map_path == str(tmp_path / "m.mrc")
        assert attributes.map_size.tolist() == [28, 20, 24]
        mask, ids = root.mask.read(), root.region_ids.read()
        inside = annotation.map.density >= annotation.level(0.2)
        np.testing.assert_array_equal(mask, np.where(inside, annotation.labels, 0))
        assert ids.tolist() == sorted(set(np.unique(mask).tolist()) - {0})
        assert root.region_colors.read().shape == (len(ids), 4)
        assert root.parent_ids.read().tolist() == [0] * len(ids)
        transform = attributes.ijk_to_xyz_transform
        for number, (i, j, k) in zip(ids, root.ref_points.read().astype(int), strict=True):
            assert mask[k, j, i] == number
            np.testing.assert_allclose(
                transform @ [i, j, k, 1], annotation.grid.positions([k, j, i]), rtol=1e-6
            )


def test_segger_without_h5py(annotation, tmp_path, monkeypatch):
    real = builtins.__import__

    def fail(name, *arguments, **options):
        if name == "h5py":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", fail)
    with pytest.raises(HaruspexError, match="pip install h5py"):
        write_segger(annotation, tmp_path / "m.seg")
    assert not list(tmp_path.iterdir())
