"""The command ``haruspex``, run as users run it."""

import os
import subprocess
import sys

import pytest
import torch
from pairing import network
from test_export import save_weights

from haruspex_infer.network import parse_contract
from haruspex_infer.session import Session
from haruspex_train.progress import read_weights

TOML = """
name = "tiny"
network = "residual"
steps = 3
batch = 8
crop = 16
segment = 16
pool = 8
fresh = 1
[network_options]
channels = [4, 6, 6]
blocks = [1, 1, 1]
"""


def run(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "haruspex_train", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "COLUMNS": "200", "OMP_NUM_THREADS": "1"},
    )


def failure(done):
    """The sentence of an error, after checking that there is nothing but that sentence."""
    assert done.returncode == 2, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("haruspex: error: ")
    assert done.stdout == ""
    return lines[0]


def test_help_names_the_commands(tmp_path):
    done = run("--help", cwd=tmp_path)
    assert done.returncode == 0
    for command in ("prepare", "train", "export", "evaluate"):
        assert command in done.stdout
    assert "completion" not in done.stdout


def test_what_the_extra_would_have_brought_is_told(tmp_path):
    program = "import sys; sys.modules['torch'] = None; from haruspex_train.__main__ import main; main()"
    asked = ("train", "residual", "--atoms", "a", "-o", "run")
    path = f"import sys; sys.path[:0] = {sys.path!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", path + program, *asked], cwd=tmp_path, capture_output=True, text=True
    )
    assert "This needs torch, which is not installed; " in failure(done)


def test_from_a_library_to_a_network(tiny_library, tmp_path):
    """Prepare, train and export, each by its command."""
    done = run("prepare", tiny_library, "atoms.npz.xz", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("atoms.npz.xz: 5 entries, ")
    assert " residues nucleotide" in done.stdout

    (tmp_path / "tiny.toml").write_text(TOML)
    asked = ("train", "tiny.toml", "--atoms", "atoms.npz.xz", "-o", "run", "--device", "cpu", "--seed", "7")
    done = run(*asked, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "3 models, step 0" in done.stdout
    assert "Weights: run/weights.pt" in done.stdout
    weights = read_weights(tmp_path / "run" / "weights.pt", torch.device("cpu"))
    assert weights["configuration"]["seed"] == 7
    done = run("export", "run/weights.pt", "small.onnx", "--atoms", "atoms.npz.xz", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("small.onnx: probabilities differ from PyTorch's by at most ")
    contract = parse_contract(Session(tmp_path / "small.onnx", "cpu").metadata, "small")
    assert (contract.name, contract.multiple) == ("small", 4)

    (tmp_path / "tiny.toml").write_text(TOML.replace("steps = 3", "steps = 4"))
    assert "belongs to another configuration" in failure_but_stdout(run(*asked, cwd=tmp_path))


def failure_but_stdout(done):
    """As `failure`, for a command that says what it does before it fails."""
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    return done.stderr


def test_evaluate_prints_a_table(pairs, tmp_path):
    network(tmp_path / "n.onnx")
    done = run("evaluate", "n.onnx", pairs, "-o", "figures", "--device", "cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("| map | Å |")
    assert "| EMD-1 | 3.5 |" in done.stdout
    written = (tmp_path / "figures" / "threshold_val.md").read_text()
    assert written.startswith(done.stdout)
    assert done.stderr.startswith("EMD-1: recall 1.000, precision 0.")
    done = run("evaluate", "n.onnx", pairs, "--against", "n.onnx", "--device", "cpu", cwd=tmp_path)
    assert done.stdout.startswith(written.split("\n\n")[0])
    assert "| threshold − threshold | recall |" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("prepare", "absent", "out.npz.xz"), "There are no PDB or mmCIF files in absent/train"),
        (
            ("train", "residual", "--atoms", "absent", "-o", "run", "--device", "cpu"),
            "no packed library absent",
        ),
        (("train", "nothing", "--atoms", "absent", "-o", "run"), "There is no configuration nothing"),
        (("train", "residual", "--atoms", "absent", "-o", "run", "--device", "gpu"), "no device 'gpu'"),
        (("export", "absent.pt", "out.onnx"), "absent.pt cannot be read as weights"),
        (("evaluate", "absent.onnx", "."), "INDEX.tsv cannot be read"),
        (("evaluate", "absent.onnx", "pairs", "--split", "test"), "has no pair of the split 'test'"),
        (("evaluate", "absent.onnx", "pairs"), "The network file absent.onnx does not exist"),
    ],
)
def test_errors_are_one_sentence(tmp_path, arguments, message):
    (tmp_path / "pairs").mkdir()
    head = "id\tsplit\tpdb\tresolution_A\tmasked\tmap\tmodels\tnote"
    (tmp_path / "pairs" / "INDEX.tsv").write_text(f"{head}\nA\tval\t-\t3\tno\ta.mrc\ta.pdb\t-\n")
    assert message in failure(run(*arguments, cwd=tmp_path))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_training_without_a_gpu_says_so(tmp_path):
    done = run("train", "residual", "--atoms", "absent", "-o", "run", cwd=tmp_path)
    assert "finds no working GPU; use --device cpu" in failure(done)


def test_a_file_where_the_folder_should_be(training_file, tmp_path):
    (tmp_path / "run").write_text("")
    done = run("train", "residual", "--atoms", training_file, "-o", "run", "--device", "cpu", cwd=tmp_path)
    assert "The output folder run cannot be written to" in failure(done)


def test_an_unwritable_network(tmp_path, tiny_atoms):
    weights = save_weights(tmp_path, "residual", tiny_atoms)
    assert "end in .onnx" in failure(run("export", weights, "network.pt", cwd=tmp_path))
