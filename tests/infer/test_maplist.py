"""Which maps are meant, and where their results go."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haruspex_infer.errors import HaruspexError
from haruspex_infer.maplist import folders_of, wanted


def test_a_list_stands_for_its_maps_each_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("list").write_text("# of today\n\n a.mrc \njob/å b.mrc\n./c.mrc\n", encoding="utf-8")
    found = wanted([Path("c.mrc"), Path("@list"), Path("job/../d.mrc"), Path("d.mrc")])
    assert found == [Path(name) for name in ("c.mrc", "a.mrc", "job/å b.mrc", "job/../d.mrc")]


def test_a_list_may_come_from_windows(tmp_path):
    (tmp_path / "list").write_bytes("\ufeffå b.mrc\r\n\r\nc.mrc\r\n".encode())
    assert wanted([Path(f"@{tmp_path / 'list'}")]) == [Path("å b.mrc"), Path("c.mrc")]


def test_a_map_may_be_called_like_a_list(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("@map.mrc").touch()
    assert wanted([Path("@map.mrc")]) == [Path("@map.mrc")]


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read: No such"), (b"\xff\xfe", "is no text"), (b"# a\n", "names none")],
)
def test_a_list_that_is_none_is_told(tmp_path, content, said):
    if content is not None:
        (tmp_path / "list").write_bytes(content)
    with pytest.raises(HaruspexError, match=f"The list of maps .*list {said}"):
        wanted([Path(f"@{tmp_path / 'list'}")])


def test_folders_are_told_apart_by_where_maps_come_from():
    maps = [Path(name) for name in ("/p/j1/run/post.mrc", "/p/j2/run/post.mrc", "/p/j2/other.map.gz")]
    assert list(folders_of(maps, Path("out")).values()) == [
        Path("out/j1_run_post_haruspex"),
        Path("out/j2_run_post_haruspex"),
        Path("out/other_haruspex"),
    ]


@pytest.mark.parametrize("pair", [("a/m.mrc", "a/m.map"), ("a/m.mrc", "a/m.mrc.gz"), ("a/m.mrc", "a/M.mrc")])
def test_maps_that_nothing_tells_apart_are_refused(pair):
    with pytest.raises(HaruspexError, match=r"Two maps would write to out.[mM]_haruspex: annotate"):
        folders_of([Path(name) for name in pair], Path("out"))


names = st.sampled_from(["a", "b", "a_b", "b_a", "A"])
paths = st.builds(lambda parts, stem: Path("/", *parts, f"{stem}.mrc"), st.lists(names, max_size=4), names)


@given(st.lists(paths, min_size=1, max_size=8, unique=True))
def test_no_two_maps_ever_share_a_folder(maps):
    try:
        folders = folders_of(maps, Path("out"))
    except HaruspexError:
        return
    assert list(folders) == maps
    assert len({str(folder).casefold() for folder in folders.values()}) == len(maps)
    for path, folder in folders.items():
        assert folder.parent == Path("out")
        assert folder.name.endswith(f"{path.stem}_haruspex")
