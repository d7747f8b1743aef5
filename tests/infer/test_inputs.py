"""What is taken for a mask, and what for a density map given in its place."""

import csv

import numpy as np
import pytest
from scipy import ndimage
from toys import lump

from haruspex_infer.annotator import Annotator
from haruspex_infer.errors import HaruspexError
from haruspex_infer.inputs import as_mask
from haruspex_infer.mapfile import Map, read_map, write_map_like


def soft(inside, width):
    """A mask with a raised-cosine edge of so many voxels, as RELION makes them."""
    away = ndimage.distance_transform_edt(~inside)
    return np.where(away <= width, 0.5 + 0.5 * np.cos(np.pi * np.minimum(away, width) / width), 0)


def masks(inside):
    """Masks as programs write them: of bits, numbers, with soft edges, other levels, ringing, labels."""
    yield inside
    yield inside.astype(np.int8)
    for width in (3, 10, 20):
        yield soft(inside, width)
    yield 255 * soft(inside, 6)
    ringing = ndimage.zoom(inside.astype(np.float32), 0.8, order=3)
    assert ringing.min() < 0 and ringing.max() > 1
    yield ringing
    labels = inside.astype(np.int8)
    labels[tuple(np.argwhere(inside)[0])] = 40
    yield labels


def test_masks_as_programs_write_them_are_taken():
    inside = ndimage.gaussian_filter(lump((40, 36, 44)), 2) > 0.3
    taken = 0
    for mask in masks(inside):
        kept = as_mask(mask, Map.from_array(np.zeros(mask.shape), 1.0))
        assert 0.5 * inside.mean() < kept.mean() < 0.95
        taken += 1
    assert taken == 8


def test_a_density_map_is_no_mask():
    density = 20 * lump()
    for given in (density, np.maximum(density, 0), density - 3):
        with pytest.raises(HaruspexError, match="The mask looks like a density map"):
            as_mask(given, Map.from_array(density, 1.0))


def test_experimental_maps_are_no_masks_and_masks_of_them_are(shared_data):
    with (shared_data / "maps" / "INDEX.tsv").open(newline="") as table:
        rows = [row for row in csv.DictReader(table, delimiter="\t") if row["split"] == "val"]
    tried = 0
    for row in rows:
        path = shared_data / "maps" / row["map"]
        if float(row["resolution_A"]) > 4 or path.stat().st_size > 2**19:
            continue
        given = read_map(path)
        # as some programs scale maps: the unit of many is such that nothing of them reaches 0.5
        with pytest.raises(HaruspexError, match="looks like a density map"):
            as_mask(given.density / given.density.max() * 10, given)
        inside = ndimage.gaussian_filter(given.density, 4) > 0.1 * given.density.std()
        assert as_mask(2 * soft(inside, 20), given).any()
        tried += 1
    assert tried >= 4


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (True, r"The mask has shape \(\) and the map 44 × 36 × 40"),
        (["mask.mrc"], r"The mask has shape \(1,\)"),
        (np.full((40, 36, 44), "1"), "The mask holds <U1, not numbers"),
    ],
)
def test_what_is_no_mask_at_all(mask, message):
    with pytest.raises(HaruspexError, match=message):
        as_mask(mask, Map.from_array(lump(), 1.0))


def test_an_annotator_takes_files_and_masks_as_the_function_does(toy, tmp_path):
    map_ = Map.from_array(lump(), 1.1)
    write_map_like(map_, map_.density, tmp_path / "map.mrc", "x")
    mask = np.zeros(map_.grid.shape)
    mask[:20] = 1
    annotator = Annotator(toy, "cpu")
    found = annotator.annotate(tmp_path / "map.mrc", mask)
    np.testing.assert_array_equal(found.labels, annotator.annotate(map_, mask > 0).labels)
    assert (found.labels[20:] == 0).all()
    with pytest.raises(HaruspexError, match=r"no voxel size of its own: .* Map\.from_array"):
        annotator.annotate(map_.density)
