import bz2
import gzip
import itertools
import warnings
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haruspex_infer.errors import HaruspexError
from haruspex_infer.grid import Grid
from haruspex_infer.mapfile import Map, read_map, stem_of, write_map_like
from haruspex_infer.volumefile import VolumeFile

ORDERS = list(itertools.permutations((1, 2, 3)))


def write_mrc(
    path, volume, voxel=(1.3, 1.2, 1.1), order=(1, 2, 3), start=(0, 0, 0), origin=(0, 0, 0), **fields
):
    """Write a volume (z, y, x) with an axis order; voxel in (z, y, x), start and origin in (x, y, z)."""
    column, row, section = order
    data = np.ascontiguousarray(volume.transpose(3 - section, 3 - row, 3 - column))
    with mrcfile.new(path, overwrite=True) as mrc:
        mrc.set_data(data)
        mrc.set_volume()
        header = mrc.header
        header.mapc, header.mapr, header.maps = order
        header.mx, header.my, header.mz = volume.shape[::-1]
        for axis, n, edge in zip("zyx", volume.shape, voxel, strict=True):
            header.cella[axis] = n * edge
        header.nxstart, header.nystart, header.nzstart = (start[axis - 1] for axis in order)
        for axis, value in zip("xyz", origin, strict=True):
            header.origin[axis] = value
        for name, value in fields.items():
            header[name] = value
    return path


def numbered(shape=(4, 5, 6)) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def header_of(path) -> np.recarray:
    with (
        warnings.catch_warnings(action="ignore"),
        mrcfile.open(path, header_only=True, permissive=True) as mrc,
    ):
        return mrc.header.copy()


@pytest.mark.parametrize("order", ORDERS)
def test_every_axis_order_reads_as_zyx_and_is_written_back(tmp_path, order):
    volume = numbered()
    path = write_mrc(tmp_path / "a.mrc", volume, order=order, start=(10, -20, 30))
    given = read_map(path)
    np.testing.assert_array_equal(given.density, volume)
    assert given.grid.shape == (4, 5, 6)
    np.testing.assert_allclose(given.grid.voxel_size, (1.3, 1.2, 1.1), rtol=1e-6)
    np.testing.assert_allclose(given.grid.origin, (39, -24, 11), rtol=1e-6)
    copy = tmp_path / "b.mrc"
    write_map_like(given, given.density, copy, "a copy")
    with mrcfile.open(path) as before, mrcfile.open(copy) as after:
        np.testing.assert_array_equal(before.data, after.data)
    assert mrcfile.validate(copy)


@settings(max_examples=60)
@given(
    order=st.sampled_from(ORDERS),
    shape=st.tuples(*[st.integers(2, 7)] * 3),
    start=st.tuples(*[st.integers(-400, 400)] * 3),
    origin=st.one_of(st.just((0, 0, 0)), st.tuples(*[st.floats(-400, 400, width=32)] * 3)),
    ispg=st.sampled_from([0, 1]),
    labels=st.integers(0, 10),
    seed=st.integers(0, 9),
)
def test_a_written_header_equals_the_input_byte_by_byte(
    tmp_path_factory, order, shape, start, origin, ispg, labels, seed
):
    folder = tmp_path_factory.mktemp("header")
    volume = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    path = write_mrc(folder / "in.mrc", volume, order=order, start=start, origin=origin, ispg=ispg)
    with mrcfile.open(path, mode="r+") as mrc:
        mrc.header.nlabl = labels
        for i in range(labels):
            mrc.header.label[i] = f"label {i}".ljust(80)
    write_map_like(read_map(path), np.zeros(shape, np.float32), folder / "out.mrc", "ours")
    before, after = header_of(path), header_of(folder / "out.mrc")
    kept = "nx ny nz nxstart nystart nzstart mx my mz cella cellb mapc mapr maps ispg origin extra1 extra2"
    for name in kept.split():
        assert before[name].tobytes() == after[name].tobytes(), name
    np.testing.assert_array_equal(before.label[:labels], after.label[:labels])
    assert after.nlabl == min(labels + 1, 10)
    assert after.nsymbt == 0


@pytest.mark.parametrize(("dtype", "mode"), [("i1", 0), ("i2", 1), ("f4", 2), ("u2", 6), ("f2", 12)])
@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_every_mode_and_byte_order(tmp_path, dtype, mode, byte_order):
    volume = numbered((2, 3, 4)).astype(byte_order + dtype)
    with mrcfile.new(tmp_path / "a.mrc") as mrc:
        mrc.set_data(volume)
        mrc.voxel_size = 1.0
        assert mrc.header.mode == mode
    given = read_map(tmp_path / "a.mrc")
    assert given.density.dtype == np.float32
    np.testing.assert_array_equal(given.density, volume.astype(np.float32))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
@pytest.mark.parametrize("name", ["a.map", "a.mrc.gz", "a.ccp4.bz2"])
def test_compression_is_told_by_content_not_by_name(tmp_path, pack, name):
    path = write_mrc(tmp_path / "plain.mrc", numbered())
    packed = tmp_path / name
    packed.write_bytes(pack(path.read_bytes()))
    np.testing.assert_array_equal(read_map(packed).density, numbered())


@pytest.mark.parametrize(
    ("name", "pack", "misread"),
    [
        ("a.mrc", bytes, False),
        ("a.CCP4", bytes, False),
        ("a.map.gz", gzip.compress, False),
        ("a.map.bz2", bz2.compress, False),
        ("a", bytes, True),
        ("a.mrc", gzip.compress, True),
        ("a.mrc.gz", bytes, True),
        ("a.gz", gzip.compress, True),
    ],
)
def test_a_name_that_does_not_tell_the_content_is_known(tmp_path, name, pack, misread):
    plain = write_mrc(tmp_path / "plain.mrc", numbered())
    (tmp_path / name).write_bytes(pack(plain.read_bytes()))
    assert read_map(tmp_path / name).misread == misread


def test_a_plain_file_is_mapped_not_loaded(tmp_path):
    given = read_map(write_mrc(tmp_path / "a.mrc", numbered()))
    root = given.density
    while isinstance(root.base, np.ndarray):
        root = root.base
    assert isinstance(root, np.memmap)


def test_what_was_read_of_a_mapped_file_can_be_forgotten_and_read_again(tmp_path):
    volume = np.random.default_rng(0).random((20, 30, 40)).astype(np.float32)
    write_mrc(tmp_path / "m.mrc", volume)
    map_ = read_map(tmp_path / "m.mrc")
    assert map_.mapped
    map_.forget()
    np.testing.assert_array_equal(map_.density, volume)
    held = Map.from_array(volume, 1.1)
    held.forget()
    assert not held.mapped
    np.testing.assert_array_equal(held.density, volume)


def test_a_single_number_is_written_as_all_its_voxels(tmp_path):
    grid = Grid((6, 5, 4), (1.1, 1.1, 1.1))
    mixed = np.random.default_rng(0).random((2, 5, 4)).astype(np.float32)
    pieces = [np.broadcast_to(np.float32(value), (2, 5, 4)) for value in (1, 0)]
    for name, parts in (("last", [mixed, *pieces]), ("first", [*pieces[::-1], mixed])):
        path = tmp_path / f"{name}.mrc"
        with VolumeFile(Map.from_array(np.zeros(grid.shape), 1.1).header, grid.shape, path, "test") as out:
            for part in parts:
                out.write(part)
        whole = np.concatenate(parts)
        with mrcfile.open(path) as mrc:
            np.testing.assert_array_equal(mrc.data, whole)
            found = [float(mrc.header[key]) for key in ("dmin", "dmax", "dmean", "rms")]
        np.testing.assert_allclose(found, [whole.min(), whole.max(), whole.mean(), whole.std()], rtol=1e-5)
        assert mrcfile.validate(path)


def test_origin_wins_over_nstart_and_says_so(tmp_path):
    path = write_mrc(tmp_path / "a.mrc", numbered(), start=(10, 10, 10), origin=(1, 2, 3))
    given = read_map(path)
    assert given.grid.origin == (3, 2, 1)
    assert len(given.warnings) == 1
    assert "origin was used" in given.warnings[0]


def test_origin_and_nstart_that_agree_need_no_note(tmp_path):
    path = write_mrc(tmp_path / "a.mrc", numbered(), start=(10, 20, 30), origin=(11, 24, 39))
    assert read_map(path).warnings == ()


def test_a_cell_larger_than_the_box_gives_the_voxel_size(tmp_path):
    path = write_mrc(tmp_path / "a.mrc", numbered(), mx=60, my=50, mz=40)
    np.testing.assert_allclose(read_map(path).grid.voxel_size, (0.13, 0.12, 0.11), rtol=1e-6)


def test_a_given_voxel_size_is_used_and_written(tmp_path):
    path = write_mrc(tmp_path / "a.mrc", numbered(), start=(1, 1, 1))
    given = read_map(path, 2.0)
    assert given.grid.voxel_size == (2, 2, 2)
    assert given.grid.origin == (2, 2, 2)
    write_map_like(given, given.density, tmp_path / "b.mrc", "x")
    np.testing.assert_allclose(read_map(tmp_path / "b.mrc").grid.voxel_size, 2)
    assert read_map(path).grid.voxel_size != (2, 2, 2)


def test_an_extended_header_is_skipped_and_not_promised(tmp_path):
    path = write_mrc(tmp_path / "a.mrc", numbered())
    with mrcfile.open(path, mode="r+") as mrc:
        mrc.set_extended_header(np.frombuffer(b"X, Y, Z".ljust(80), dtype="V80"))
    (tmp_path / "a.gz").write_bytes(gzip.compress(path.read_bytes()))
    for source in (path, tmp_path / "a.gz"):
        np.testing.assert_array_equal(read_map(source).density, numbered())


def test_labels_are_written_as_small_integers(tmp_path):
    given = read_map(write_mrc(tmp_path / "a.mrc", numbered()))
    labels = (numbered() % 4).astype(np.uint8)
    write_map_like(given, labels, tmp_path / "b.mrc", "labels")
    with mrcfile.open(tmp_path / "b.mrc") as mrc:
        assert mrc.header.mode == 0
        np.testing.assert_array_equal(mrc.data, labels)


def test_a_failed_write_leaves_nothing(tmp_path):
    given = Map.from_array(numbered(), 1.0)
    (tmp_path / "b.mrc").mkdir()
    with pytest.raises(HaruspexError, match="cannot be written"):
        write_map_like(given, given.density, tmp_path / "b.mrc", "x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["b.mrc"]


def test_an_array_becomes_a_map_that_others_can_read(tmp_path):
    given = Map.from_array(numbered(), (1.0, 2.0, 3.0), origin=(7.0, 8.0, 9.0))
    write_map_like(given, given.density, tmp_path / "a.mrc", "x")
    assert mrcfile.validate(tmp_path / "a.mrc")
    again = read_map(tmp_path / "a.mrc")
    assert again.grid == Grid((4, 5, 6), (1.0, 2.0, 3.0), (7.0, 8.0, 9.0))
    np.testing.assert_array_equal(again.density, given.density)


@pytest.mark.parametrize(
    ("array", "voxel_size", "message"),
    [
        (np.zeros((4, 4)), 1.0, "three axes"),
        (np.zeros((1, 4, 4)), 1.0, "three axes"),
        (np.full((4, 4, 4), np.nan), 1.0, "64 voxels that are not numbers"),
        (np.zeros((4, 4, 4), complex), 1.0, "not real numbers"),
        (None, 1.0, "NoneType is no map: give a file, a Map or an array"),
        ([[1, 2], [3]], 1.0, "Rows of different lengths make no map"),
        (np.zeros((4, 4, 4)), 0.0, "must be between 0.1 and 50 Å, and is given as 0.0"),
        (np.zeros((4, 4, 4)), (1.0, -1.0, 1.0), "must be between"),
        (np.zeros((4, 4, 4)), 0.01, "must be between"),
        (np.zeros((4, 4, 4)), float("nan"), "must be between"),
        (np.zeros((4, 4, 4)), (1.0, 1.0), "one number or three"),
        (np.zeros((4, 4, 4)), [1, [2, 3], 4], "one number or three"),
        (np.zeros((4, 4, 4)), None, "no voxel size of its own"),
    ],
)
def test_arrays_that_are_no_maps(array, voxel_size, message):
    with pytest.raises(HaruspexError, match=message):
        Map.from_array(array, voxel_size)


@pytest.mark.parametrize("origin", [(0, 0), 0.0, None])
def test_a_place_is_three_numbers(origin):
    with pytest.raises(HaruspexError, match="The origin of a grid is three numbers"):
        Map.from_array(np.zeros((4, 4, 4)), 1.0, origin)


def test_a_voxel_size_as_mrcfile_gives_it(tmp_path):
    path = write_mrc(tmp_path / "a.mrc", numbered(), (1.5, 2.0, 2.5))
    with mrcfile.open(path) as file:
        assert Map.from_array(file.data, file.voxel_size).grid == read_map(path).grid


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        (np.zeros((6, 5, 4)), r"The volume has shape \(6, 5, 4\) and the map \(4, 5, 6\)"),
        (np.full((4, 5, 6), 128), "whole numbers from 128 to 128, and -128 to 127 can be written"),
    ],
)
def test_volumes_that_do_not_belong_to_a_map(tmp_path, volume, message):
    with pytest.raises(HaruspexError, match=message):
        write_map_like(Map.from_array(numbered(), 1.0), volume, str(tmp_path / "a.mrc"), "x")
    assert not list(tmp_path.iterdir())


def bad_files(folder):
    """Yield files that are no usable map, and what must be said of them."""
    good = write_mrc(folder / "good.mrc", numbered()).read_bytes()
    (folder / "empty.mrc").write_bytes(b"")
    yield "empty.mrc", "is empty"
    (folder / "short.mrc").write_bytes(good[:500])
    yield "short.mrc", "less than a header"
    (folder / "truncated.mrc").write_bytes(good[:-40])
    yield "truncated.mrc", r"promises 1,504 bytes and the file has 1,464"
    (folder / "truncated.map.gz").write_bytes(gzip.compress(good)[:-60])
    yield "truncated.map.gz", "compressed data end too early"
    (folder / "inside.map.gz").write_bytes(gzip.compress(good[:-40]))
    yield "inside.map.gz", "promises 480 bytes of density and it holds 440"
    (folder / "corrupt.map.gz").write_bytes(gzip.compress(good)[:40] + b"\0" * 300)
    yield "corrupt.map.gz", "compressed data"
    (folder / "truncated.bz2").write_bytes(bz2.compress(good)[:-20])
    yield "truncated.bz2", "compressed data end too early"
    (folder / "page.mrc").write_bytes(b"<!DOCTYPE html><html>" + b"not found " * 200)
    yield "page.mrc", "web page"
    (folder / "short_page.mrc").write_bytes(b"<html>not found</html>")
    yield "short_page.mrc", "web page"
    (folder / "model.pdb").write_bytes(b"ATOM      1  N   MET A   1      27.340  24.430   2.614\n" * 40)
    yield "model.pdb", "not an MRC/CCP4 map"
    (folder / "folder.mrc").mkdir()
    yield "folder.mrc", "is a folder"
    yield "missing.mrc", "does not exist"
    holes = numbered()
    holes[0, 0, :3] = np.nan, np.inf, -np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_mrc(folder / "nan.mrc", holes)
    yield "nan.mrc", "3 voxels that are not numbers"
    with mrcfile.new(folder / "image.mrc") as mrc:
        mrc.set_data(np.ones((8, 9), np.float32))
    yield "image.mrc", "2D image of 9 × 8 pixels"
    with mrcfile.new(folder / "images.mrc") as mrc:
        mrc.set_data(np.ones((5, 8, 9), np.float32))
        mrc.set_image_stack()
    yield "images.mrc", "stack of 5 2D images"
    with mrcfile.new(folder / "volumes.mrc") as mrc:
        mrc.set_data(np.ones((2, 4, 5, 6), np.float32))
    yield "volumes.mrc", "stack of volumes"
    with mrcfile.new(folder / "complex.mrc") as mrc:
        mrc.set_data(np.ones((4, 5, 6), np.complex64))
    yield "complex.mrc", "complex numbers"
    write_mrc(folder / "skew.mrc", numbered(), cellb=(90, 90, 120))
    yield "skew.mrc", "right angles"
    write_mrc(folder / "unsized.mrc", numbered(), cella=(0, 0, 0))
    yield "unsized.mrc", "--voxel-size"
    write_mrc(folder / "nan_cell.mrc", numbered(), cella=(np.nan, 5, 5))
    yield "nan_cell.mrc", "--voxel-size"
    write_mrc(folder / "unsampled.mrc", numbered(), mx=0, my=0, mz=0)
    yield "unsampled.mrc", "--voxel-size"
    write_mrc(folder / "axes.mrc", numbered(), mapc=1, mapr=1, maps=3)
    yield "axes.mrc", "impossible axis order"
    write_mrc(folder / "huge.mrc", numbered(), nx=60000, ny=60000, nz=60000)
    yield "huge.mrc", "truncated"
    (folder / "huge.map.gz").write_bytes(gzip.compress((folder / "huge.mrc").read_bytes()))
    yield "huge.map.gz", "60000 × 60000 × 60000 voxels, which take 864,000 GB of memory"
    write_mrc(folder / "tiny_voxels.mrc", numbered(), (0.004, 0.004, 0.004))
    yield "tiny_voxels.mrc", "states voxels of 0.004 × 0.004 × 0.004 Å, .* with --voxel-size"
    write_mrc(folder / "wide_voxels.mrc", numbered(), (1.1, 1.1, 400))
    yield "wide_voxels.mrc", "voxels of 400 × 1.1 × 1.1 Å, which cannot be right"
    write_mrc(folder / "negative_voxels.mrc", numbered(), (1.1, 1.1, -1.1))
    yield "negative_voxels.mrc", "states no voxel size"
    write_mrc(folder / "tilts.mrc", numbered(), ispg=0, nx=1200, ny=1000, nz=200)
    yield "tilts.mrc", "stack of 200 2D images of 1200 × 1000 pixels"
    write_mrc(folder / "thick.mrc", numbered(), ispg=0, nx=1200, ny=1000, nz=201)
    yield "thick.mrc", "truncated"
    write_mrc(folder / "four_bits.mrc", numbered(), mode=101)
    yield "four_bits.mrc", "4-bit integers"
    write_mrc(folder / "negative_extended.mrc", numbered(), nsymbt=-4)
    yield "negative_extended.mrc", "extended header of -4 bytes"


def test_what_cannot_be_read_is_said_in_one_sentence(tmp_path):
    for name, message in bad_files(tmp_path):
        with pytest.raises(HaruspexError, match=message) as error:
            read_map(tmp_path / name)
        assert name in str(error.value)
        assert "\n" not in str(error.value)


def test_a_missing_voxel_size_can_be_given(tmp_path):
    for fields in ({"cella": (0, 0, 0)}, {"mx": 0, "my": 0, "mz": 0}):
        path = write_mrc(tmp_path / "a.mrc", numbered(), **fields)
        given = read_map(path, (1.0, 2.0, 3.0))
        assert given.grid.voxel_size == (1.0, 2.0, 3.0)
        write_map_like(given, given.density, tmp_path / "b.mrc", "x")
        assert read_map(tmp_path / "b.mrc").grid.voxel_size == (1.0, 2.0, 3.0)


@pytest.mark.parametrize("stamp", [(0, 0, 0, 0), (0x11, 0x11, 0, 0), (0x44, 0x41, 0, 0)])
def test_unusual_machine_stamps(tmp_path, stamp):
    path = write_mrc(tmp_path / "a.mrc", numbered(), machst=stamp)
    given = read_map(path)
    np.testing.assert_array_equal(given.density, numbered())
    write_map_like(given, given.density, tmp_path / "b.mrc", "x")
    assert mrcfile.validate(tmp_path / "b.mrc")


def test_old_files_without_identifier_or_axis_order(tmp_path):
    path = write_mrc(tmp_path / "a.mrc", numbered(), map=b"\0\0\0\0", mapc=0, mapr=0, maps=0)
    given = read_map(path)
    np.testing.assert_array_equal(given.density, numbered())
    assert len(given.warnings) == 2


def test_stems():
    names = {
        "emd_11007.map.gz": "emd_11007",
        "a.b.MRC.BZ2": "a.b",
        "x.ccp4": "x",
        "plain": "plain",
        ".mrc": ".mrc",
    }
    for name, stem in names.items():
        assert stem_of(Path(name)) == stem


def test_deposited_maps_with_odd_headers(shared_data, tmp_path):
    tmv = read_map(shared_data / "maps/EMD-6374/6374.mrc.gz")
    assert "machine stamp" in tmv.warnings[0]
    assert tmv.grid.shape == (51, 73, 64)
    np.testing.assert_allclose(tmv.grid.origin, (220 * 1.104, -73 * 1.104, -108 * 1.104), rtol=1e-5)
    write_map_like(tmv, tmv.density, tmp_path / "b.mrc", "x")
    before, after = header_of(shared_data / "maps/EMD-6374/6374.mrc.gz"), header_of(tmp_path / "b.mrc")
    for name in ["nxstart", "nystart", "nzstart", "origin", "cella", "ispg", "mapc", "mapr", "maps"]:
        assert before[name].tobytes() == after[name].tobytes()


def test_a_deposited_map_with_columns_along_z(shared_data):
    path = shared_data / "maps/EMD-11007/emd_11007.map.gz"
    given = read_map(path)
    with mrcfile.open(path) as mrc:
        assert (mrc.header.mapc, mrc.header.mapr, mrc.header.maps) == (3, 2, 1)
        np.testing.assert_array_equal(given.density[10, 20], mrc.data[:, 20, 10])
