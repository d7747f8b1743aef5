"""The page on robustness says what is so; commands end as it says."""

import runpy
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import held
import pytest
from mapmaking import molecule, network
from test_cli import failure, run
from test_mapfile import write_mrc
from toys import lump

from haruspex_infer.errors import CannotWriteError
from haruspex_infer.files import sole_use, written_whole

ROOT = Path(__file__).parents[2]


def test_the_table_of_bad_inputs_is_up_to_date():
    tool = runpy.run_path(str(ROOT / "docs" / "tools" / "bad_inputs.py"))
    page = (ROOT / "docs" / "robustness.md").read_text(encoding="utf-8")
    table = page.split(tool["BEGIN"])[1].split(tool["END"])[0]
    assert table == tool["table"]()
    assert table.count("\n") > 40


@pytest.mark.parametrize(
    ("number", "code", "said"), [("SIGTERM", 143, "terminated"), ("SIGINT", 130, "interrupted")]
)
def test_a_signal_ends_a_run_without_leavings(tmp_path, toy, number, code, said):
    density, out = write_mrc(tmp_path / "lump.mrc", lump((24, 20, 28)), (1.1, 1.1, 1.1)), tmp_path / "out"
    process = subprocess.Popen(
        **held.command(tmp_path, density, "--network", toy, "--device", "cpu", "-o", out),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "to annotate" in process.stderr.readline()
    process.send_signal(getattr(signal, number))
    _, messages = process.communicate()
    assert process.returncode == code
    assert messages == f"haruspex-infer: {said}\n"
    assert not list(out.iterdir())


ENDS_BY_ITSELF = """
import atexit, os, signal, sys, time
from haruspex_infer.ending import run

def told():
    os.kill(os.getpid(), signal.{})
    for _ in range(1000):
        pass

class Dying:
    def __del__(self):
        told()
        print("not here")

def finalizing():
    Dying()
    time.sleep(3600)

def importing():
    sys.path.insert(0, {!r})
    import told_while_imported
    time.sleep(3600)

def swallowing():
    try:
        told()
    except BaseException:
        pass
    time.sleep(3600)

def twice():
    try:
        told()
    finally:
        told()
        time.sleep(0.2)
        print("removed")

def closing():
    def under_way():
        try:
            yield
        finally:
            told()
            print("removed")
    for _ in under_way():
        told()

def done():
    atexit.register(told)

run({}, "program")
"""


@pytest.mark.parametrize(
    ("number", "code", "said"), [("SIGTERM", 143, "terminated"), ("SIGINT", 130, "interrupted")]
)
@pytest.mark.parametrize(
    ("where", "printed"),
    [
        ("finalizing", ""),
        ("importing", "loaded\n"),
        ("swallowing", ""),
        ("twice", "removed\n"),
        ("closing", "removed\n"),
    ],
)
def test_a_signal_is_neither_lost_nor_harmful_wherever_it_comes(tmp_path, number, code, said, where, printed):
    """What is raised in finalizers is discarded, native code may abort; nothing disturbs clearing up."""
    (tmp_path / "told_while_imported.py").write_text("import __main__\n__main__.told()\nprint('loaded')\n")
    command = [sys.executable, "-c", ENDS_BY_ITSELF.format(number, str(tmp_path), where)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, printed, f"program: {said}\n")


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_what_is_done_is_done_when_a_signal_comes(number):
    command = [sys.executable, "-c", ENDS_BY_ITSELF.format(number, "", "done")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_is_told_in_one_sentence(tmp_path):
    """The first file that does not fit ends the run; nothing half-written stays."""
    resource = pytest.importorskip("resource")

    def fill():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    density, slow = molecule(tmp_path), network(tmp_path)
    arguments = (density, "--network", slow, "--device", "cpu", "-q", "-o", tmp_path / "out")
    done = run(*arguments, preexec_fn=fill)
    assert "cannot be written: File too large" in failure(done)
    assert not (tmp_path / "out").exists()


def test_two_runs_do_not_write_into_one_folder(tmp_path):
    density, slow = molecule(tmp_path), network(tmp_path)
    (tmp_path / "out").mkdir()
    with sole_use(tmp_path / "out"):
        done = run(density, "--network", slow, "--device", "cpu", "-q", "-o", tmp_path / "out")
    assert "Another run writes to" in failure(done)
    assert not list((tmp_path / "out").iterdir())


def test_what_a_killed_run_left_is_cleared_away(tmp_path):
    (tmp_path / ".map_helix.mrc.4711.part").write_bytes(b"half")
    (tmp_path / ".map.map.gz.part").write_bytes(b"a download that goes on")
    with sole_use(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [".map.map.gz.part"]


def test_memory_that_is_used_up_is_told_in_one_sentence():
    code = "from haruspex_infer.ending import run\nimport numpy\nrun(lambda: numpy.ones(10**15), 'program')\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "program: error: memory is used up; take a machine with more.\n"


def test_a_hidden_file_is_removed_unless_a_run_writes_it(tmp_path):
    """The same file written anew clears away what a killed run left of it, not what another run writes."""
    path = tmp_path / "a [1].onnx"
    left = tmp_path / ".a [1].onnx.4711-0a1b2c3d.part"
    left.write_bytes(b"half")
    (tmp_path / ".b.onnx.4711-0a1b2c3d.part").write_bytes(b"of another file")
    with written_whole(path) as first:
        assert not left.exists()
        first.write(b"first")
        first.flush()
        with written_whole(path) as second:
            second.write(b"second")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"
    assert sorted(p.name for p in tmp_path.iterdir()) == [".b.onnx.4711-0a1b2c3d.part", "a [1].onnx"]


def test_a_folder_that_goes_away_is_told_in_one_sentence(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(CannotWriteError, match="cannot be written: No such file"):  # noqa: SIM117
        with written_whole(tmp_path / "out" / "a.mrc") as stream:
            stream.write(b"half")
            shutil.rmtree(tmp_path / "out")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("OSError(28, 'No space left on device', 'log.tsv')", "log.tsv: No space left on device."),
        ("OSError(30, 'Read-only file system')", "Read-only file system."),
        (
            "FileNotFoundError('No usable temporary\\ndirectory found')",
            "No usable temporary directory found.",
        ),
    ],
)
def test_a_disk_that_fails_anywhere_is_told_in_one_sentence(fault, said):
    code = (
        f"from haruspex_infer.ending import run\ndef command():\n    raise {fault}\nrun(command, 'program')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, f"program: error: {said}\n")
