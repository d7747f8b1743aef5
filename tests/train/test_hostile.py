"""An archive that means harm: it leads away, sends without end, and names files that lie elsewhere."""

import gzip
import io
import lzma
from pathlib import Path

import numpy as np
import pytest
import torch
from test_archive import MAP, QUICK, hosts, same

from haruspex_infer.errors import HaruspexError
from haruspex_infer.files import quoted, refuse_unsafe_name
from haruspex_train import client, intact, measure
from haruspex_train.archive import candidates, fetch_entries
from haruspex_train.emdb import Wanted, read_header
from haruspex_train.library import load_training_atoms
from haruspex_train.measure import archive_scores
from haruspex_train.pairs import Pair, read_pairs
from haruspex_train.progress import read_weights
from haruspex_train.transfer import Transfer


def test_redirects_within_the_host_are_followed(server, folder):
    server.faults[MAP] = [(302, f"/{MAP}"), (301, f"{server.url}/{MAP}"), "cut", (308, f"/{MAP}")]
    got = Transfer(folder, QUICK).obtain(server.url, MAP, folder)
    assert same(got, server)


@pytest.mark.parametrize(
    "elsewhere", ["http://127.0.0.1:9/", "//example.org/", "https://127.0.0.1/", "file:///"]
)
def test_redirects_to_another_host_are_not(server, folder, elsewhere):
    server.faults[MAP] = [(302, f"{elsewhere}{MAP}")]
    with pytest.raises(HaruspexError, match=r"leads away to .*, which is not followed"):
        Transfer(folder, QUICK).obtain(server.url, MAP, folder)
    assert not list(folder.iterdir())


def test_redirects_in_a_circle_end(server, folder):
    server.faults[MAP] = [(302, f"/{MAP}")] * 100
    with pytest.raises(HaruspexError, match="leads from address to address"):
        Transfer(folder, QUICK).obtain(server.url, MAP, folder)


def test_a_file_without_end_is_cut_off(server, folder, monkeypatch):
    monkeypatch.setattr(intact, "LARGEST", 3 * 2**20)
    server.faults[MAP] = ["endless"]
    with pytest.raises(HaruspexError, match="has more than 3,145,728 bytes"):
        Transfer(folder, QUICK).obtain(server.url, MAP, folder)
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 3 * 2**20


def test_a_header_without_end_is_cut_off(server, folder, monkeypatch):
    monkeypatch.setattr(intact, "LARGEST_HEADER", 2**20)
    header = "structures/EMD-1/header/emd-1.xml"
    server.faults[header] = ["endless"]
    with pytest.raises(HaruspexError, match="has more than 1,048,576 bytes"):
        Transfer(folder, QUICK).obtain(server.url, header, folder)


def test_an_answer_without_end_is_cut_off(server, folder, monkeypatch):
    monkeypatch.setattr(client, "_LONGEST_ANSWER", 2**20)
    server.faults[MAP] = ["endless"]
    with pytest.raises(HaruspexError, match="answers with over 1,048,576 bytes"):
        Transfer(folder, QUICK).client.text(f"{server.url}/{MAP}", "text/csv")


def test_a_packed_file_that_unpacks_without_end(server, folder, monkeypatch):
    monkeypatch.setattr(intact, "LARGEST", 2**20)
    (server.root / MAP).write_bytes(gzip.compress(bytes(2**24)))
    with pytest.raises(HaruspexError, match="has more than 1,048,576 bytes"):
        Transfer(folder, QUICK).obtain(server.url, MAP, folder)
    monkeypatch.setattr(measure, "_LONGEST", 2**20)
    with pytest.raises(HaruspexError, match="unpacks to more than 1,048,576 bytes"):
        archive_scores(server.root / MAP)


BOMB = """<?xml version="1.0"?>
<!DOCTYPE emd [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<emd emdb_id="EMD-1"><admin><title>&b;</title></admin></emd>"""
OUTSIDE = """<?xml version="1.0"?>
<!DOCTYPE emd [<!ENTITY a SYSTEM "file:///etc/passwd">]>
<emd emdb_id="EMD-1"><admin><title>&a;</title></admin></emd>"""


@pytest.mark.parametrize("text", [BOMB, OUTSIDE])
def test_xml_with_entities_is_refused(tmp_path, text):
    (tmp_path / "header.xml").write_text(text)
    with pytest.raises(HaruspexError, match="cannot be read as an EMDB header"):
        read_header(tmp_path / "header.xml")
    (tmp_path / "validation.xml.gz").write_bytes(gzip.compress(text.encode()))
    with pytest.raises(HaruspexError, match="cannot be read as validation data"):
        archive_scores(tmp_path / "validation.xml.gz")


def test_names_from_the_network_stay_in_the_folder(server, folder):
    header = server.root / "structures/EMD-1/header/emd-1.xml"
    right = header.read_text()
    header.write_text(right.replace("EMD-1", "../../outside"))
    with pytest.raises(HaruspexError, match="is not an EMDB header"):
        read_header(header)
    # a header of one entry in the place of another
    header.write_text(right.replace("EMD-1", "EMD-7"))
    fetched = fetch_entries(folder, Wanted(), hosts(server), QUICK)
    assert "is the header of EMD-7, not of EMD-1" in fetched.failed["EMD-1"]
    assert not (folder / "EMD-7").exists()


def test_a_search_that_answers_with_paths(server, folder, monkeypatch):
    monkeypatch.setattr(client.Client, "text", lambda *_: "emdb_id\nEMD-1\n../../etc\n")
    with pytest.raises(HaruspexError, match="answers with what is no EMDB id"):
        candidates(Wanted(), hosts(server), Transfer(folder, QUICK))


def test_models_whose_names_are_paths_are_left_out(server):
    header = server.root / "structures/EMD-1/header/emd-1.xml"
    header.write_text(header.read_text().replace("1abc", "../x"))
    assert read_header(header).pdb_ids == ()


MORE = ["NUL", "con", "Com1.map", "LPT9 .x", "a\0b", "é" * 90]


@pytest.mark.parametrize(
    "name", ["../up", "/etc/x", "a/b", "a\\b", "..", ".", "", "C:x", "a\nb", "\x1b[2J", *MORE]
)
def test_names_of_pairs_stay_in_the_folder(tmp_path, name):
    with pytest.raises(HaruspexError, match="cannot be part of the names of results"):
        refuse_unsafe_name(name)
    if "\n" not in name:
        columns = "id\tsplit\tpdb\tresolution_A\tmasked\tmap\tmodels\n"
        (tmp_path / "INDEX.tsv").write_text(f"{columns}{name}\tval\t1abc\t3\t-\ta.map\ta.pdb\n")
        with pytest.raises(HaruspexError, match="cannot be part"):
            read_pairs(tmp_path, "val")


def test_plain_names_are_accepted():
    names = ("EMD-11007", "T20S", "my map (1)", "3.2 Å", ".hidden", "console", "COM10", "x" * 150)
    assert [Pair(name, "-", "val", 3.0, "", Path(), ()).name for name in names] == list(names)


def test_scripts_hold_no_commands_of_a_path():
    assert quoted("a b") == '"a b"'
    assert quoted('a"b') == "'a\"b'"
    for path in ("a\nrm -rf", "a\"b'c", "\x1b]0;x"):
        with pytest.raises(HaruspexError, match="rename it"):
            quoted(path)


class Trap:
    """Leaves a trace where a pickle of it is read."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def test_weights_and_libraries_that_hold_code_are_refused_and_it_does_not_run(tmp_path):
    trace = tmp_path / "ran"
    weights, library = tmp_path / "weights.pt", tmp_path / "training.npz.xz"
    torch.save({"weights": Trap(trace)}, weights)
    with pytest.raises(HaruspexError, match="cannot be read as weights of a training run"):
        read_weights(weights, torch.device("cpu"))
    plain = io.BytesIO()
    np.savez(plain, xyz=np.array([Trap(trace)], dtype=object))
    library.write_bytes(lzma.compress(plain.getvalue()))
    with pytest.raises(HaruspexError, match="is neither a training file nor a packed library"):
        load_training_atoms(library, "train")
    assert not trace.exists()
