"""Fetching and curating in processes that are killed again and again."""

import gzip
import subprocess
import sys
import time

import numpy as np
import pytest
from loopback import Archive, add_entry
from peptides import HELIX, backbone, chain, document

from haruspex_infer.files import written_whole
from haruspex_infer.grid import Grid
from haruspex_infer.mapfile import Map, write_map_like
from haruspex_infer.structure import read_structure
from haruspex_train.fit import model_density
from haruspex_train.tables import read_table

TROUBLES = [500, "cut", "damaged", "wrong checksum", 503, "truncated gz", "page"]


@pytest.fixture
def server(tmp_path):
    """An archive of six entries, half of them with shifted models, each file with a trouble of its own."""
    root = tmp_path / "archive"
    rng = np.random.default_rng(0)
    for number in range(1, 7):
        coordinates = backbone([HELIX] * (24 + number))
        centred = coordinates - coordinates.mean(axis=(0, 1))
        made = document(chain("A", centred))
        made.write_pdb(str(tmp_path / "model.pdb"))
        structure = read_structure(tmp_path / "model.pdb")
        low = structure.xyz.min(axis=0)[::-1].astype(float) - 12
        shape = np.ceil((structure.xyz.max(axis=0)[::-1] + 12 - low) / 1.1).astype(int)
        grid = Grid(tuple(map(int, shape)), (1.1,) * 3, tuple(low))
        density = model_density(grid, structure, 3.0)
        density += rng.normal(size=density.shape).astype(np.float32) * density.std() / 4
        template = Map.from_array(density, 1.1, grid.origin)
        write_map_like(template, density, tmp_path / "map.mrc", "simulated")
        pdb = f"{number}abc"
        add_entry(root, number, pdb=pdb, density=(tmp_path / "map.mrc").read_bytes())
        deposited = document(chain("A", centred + (4.0 if number % 2 else 0.0)))
        model = root / f"data/structures/divided/mmCIF/{pdb[1:3]}/{pdb}.cif.gz"
        text = deposited.make_mmcif_document().as_string()
        with written_whole(model) as stream:
            stream.write(gzip.compress(text.encode(), mtime=0))
    made = Archive(root)
    for number in range(1, 7):
        made.faults[f"emd_{number}.map.gz"] = [TROUBLES[number % 7], TROUBLES[(number + 3) % 7]]
        made.faults[f"{number}abc.cif.gz"] = [TROUBLES[(number + 5) % 7]]
    yield made
    made.close()


def commands(server, folder):
    start = [sys.executable, "-m", "haruspex_train"]
    hosts = ["--search", f"{server.url}/search", "--maps", server.url, "--models", server.url]
    return (
        [*start, "fetch", str(folder), "--rate", "1000", *hosts],
        [*start, "curate", str(folder), "-o", str(folder / "curated"), "--workers", "1"],
    )


def test_a_run_killed_at_any_moment_ends_with_the_same_manifest(server, tmp_path):
    folder = tmp_path / "fetched"
    fetch, curate = commands(server, folder)
    random = np.random.default_rng(1)
    kills = 0

    def signs():
        """How far the work has come, by requests and files."""
        return len(server.times) + sum(1 for _ in folder.rglob("*"))

    for command in (fetch, curate):
        for _ in range(4):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            last = signs() + random.integers(1, 8)
            while signs() < last and process.poll() is None:
                time.sleep(0.005)
            time.sleep(random.uniform(0, 0.02))  # in the midst of something
            kills += process.poll() is None
            process.kill()
            process.wait()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert kills > 0
    manifest = (folder / "curated" / "MANIFEST.tsv").read_bytes()
    reasons = {row["id"]: row["reason"] for row in read_table(folder / "curated" / "MANIFEST.tsv")}
    assert all("fits better" in reasons[f"EMD-{number}"] for number in (1, 3, 5))
    assert [reasons[f"EMD-{number}"] for number in (2, 4, 6)] == [
        "-",
        "same authors and complex as EMD-2",
        "-",
    ]
    for number in range(1, 7):
        got = folder / f"EMD-{number}" / f"emd_{number}.map.gz"
        assert (
            got.read_bytes()
            == (server.root / f"structures/EMD-{number}/map/emd_{number}.map.gz").read_bytes()
        )
    # a run that nobody disturbs, from nothing
    undisturbed = tmp_path / "undisturbed"
    for command in commands(server, undisturbed):
        subprocess.run(command, capture_output=True, check=True)
    assert (undisturbed / "curated" / "MANIFEST.tsv").read_bytes() == manifest
    assert (undisturbed / "INDEX.tsv").read_bytes() == (folder / "INDEX.tsv").read_bytes()
