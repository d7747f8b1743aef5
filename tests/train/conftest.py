"""Fixtures for the tests of training: a library of models small enough to make on the spot."""

import importlib
from pathlib import Path

import pytest
import torch
from loopback import Archive, add_entry
from packing import pack
from pairing import write_pair
from tiny import SPLITS, models

from haruspex_train.library import load_training_atoms
from haruspex_train.prepare import prepare
from haruspex_train.validation import HeldOut


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Small tensors gain nothing from threads, and tests may run side by side."""
    torch.set_num_threads(1)


@pytest.fixture
def benchmark_called(monkeypatch):
    """Import a benchmark by its name, as they import each other."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return importlib.import_module


@pytest.fixture(scope="module")
def few_held_out_crops():
    """Validation on eight crops: the tests are about what training does with the figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HeldOut.__init__, "__defaults__", (8,))
        yield


@pytest.fixture(scope="session")
def tiny_library(tmp_path_factory):
    """Folder of a packed library of five small models."""
    folder = tmp_path_factory.mktemp("tiny_library")
    pack(folder, models(), SPLITS)
    return folder


@pytest.fixture(scope="session")
def training_file(tiny_library):
    """Training file made from that library."""
    path = tiny_library / "training.npz.xz"
    prepare(tiny_library, path, workers=1)
    return path


@pytest.fixture(scope="session")
def tiny_atoms(training_file):
    """Its atoms of the train split."""
    return load_training_atoms(training_file, "train")


@pytest.fixture
def pairs(tmp_path):
    """Folder with one pair of map and model."""
    return write_pair(tmp_path)


@pytest.fixture
def server(tmp_path):
    """A server on this machine that holds one entry of the archives."""
    add_entry(tmp_path / "archive", 1)
    made = Archive(tmp_path / "archive")
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path):
    """Where fetched files go."""
    made = tmp_path / "fetched"
    made.mkdir()
    return made
