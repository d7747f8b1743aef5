"""What training and its data cannot be made of, for the table of bad inputs."""

import pickle

import torch

from haruspex_train.configuration import load_configuration
from haruspex_train.export import load_network
from haruspex_train.library import load_training_atoms
from haruspex_train.pairs import read_pairs
from haruspex_train.store import read_segments

HEAD = "id\tsplit\tpdb\tresolution_A\tmasked\tmap\tmodels\tnote\n"
ROW = "EMD-1\tval\t1ABC\t3.5\tno\tmap.mrc\tmodel.pdb\t-\n"


class Harmful:
    """Unpickled, it would run a command."""

    def __reduce__(self):
        return print, ("run",)


def bad_training(folder):
    """Yield the names of inputs of training, and what reads each."""
    contents = {
        "text.pt": b"no weights",
        "harmful.pt": pickle.dumps(Harmful()),
        "text.npz.xz": b"no training file",
        "text.toml": b"steps = many",
        "unknown.toml": b'name = "mine"\nstep = 100\n',
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    torch.save({"network": {}}, folder / "checkpoint.pt")
    for name in ("text.pt", "harmful.pt", "checkpoint.pt", "missing.pt"):
        yield name, load_network
    yield "text.npz.xz", lambda path: load_training_atoms(path, "train")
    for name in ("text.toml", "unknown.toml"):
        yield name, lambda path: load_configuration(str(path))
    tables = {
        "unlisted": None,
        "unnamed": HEAD.replace("resolution_A", "resolution") + ROW,
        "outside": HEAD + ROW.replace("EMD-1", "../EMD-1"),
        "unresolved": HEAD + ROW.replace("3.5", "good"),
        "without_pairs": HEAD,
    }
    for name, table in tables.items():
        (folder / name).mkdir()
        if table is not None:
            (folder / name / "INDEX.tsv").write_text(table)
        yield name, lambda path: read_pairs(path, "val")
    (folder / "segments").mkdir()
    (folder / "segments" / "SEGMENTS.tsv").write_text("entry\trow\nEMD-1\t0\n")
    (folder / "segments" / "EMD-1.h5").write_bytes(b"no HDF5")
    yield "segments", lambda path: read_segments(path)
