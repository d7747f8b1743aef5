"""A run that was stopped goes on to what it would have become."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from test_train import TINY, rows, stop_at

from haruspex_infer.errors import DeviceLostError, HaruspexError
from haruspex_infer.files import sole_use
from haruspex_train.chance import seed_of
from haruspex_train.progress import Log, Progress
from haruspex_train.train import Schedule, loss_of, train

pytestmark = pytest.mark.usefixtures("few_held_out_crops")

RENEWED = replace(TINY, fresh=3, pool=8, segment=18, steps=14)
SCHEDULE = Schedule(log_every=3, validate_every=6, checkpoint_minutes=0, snapshot_every=5)

# trains as a process of its own: sys.argv holds the training file, the folder and the paths of the tests
SCRIPT = """
import sys, pathlib
sys.path[:0] = sys.argv[3:]
from haruspex_train.validation import HeldOut
HeldOut.__init__.__defaults__ = (8,)
from test_resume import RENEWED, SCHEDULE
from haruspex_train.train import train
train(RENEWED, pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), "cpu", None, SCHEDULE)
"""


def state(folder):
    """Everything that a run leaves but the time it took."""
    checkpoint = torch.load(folder / "checkpoint.pt", weights_only=True)
    del checkpoint["seconds"]
    log = [{k: v for k, v in row.items() if k != "seconds"} for row in rows(folder)]
    weights = {
        path.name: torch.load(path, weights_only=True)["weights"] for path in folder.glob("weights*.pt")
    }
    return checkpoint, weights, log


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.fixture(scope="module")
def never_stopped(training_file, tmp_path_factory, few_held_out_crops):
    folder = tmp_path_factory.mktemp("never_stopped")
    train(RENEWED, training_file, folder, "cpu", schedule=SCHEDULE)
    return state(folder)


def test_stopped_twice_a_run_ends_bit_by_bit_the_same(training_file, tmp_path, monkeypatch, never_stopped):
    for step in (3, 9):
        write = stop_at(step, monkeypatch)
        with pytest.raises(KeyboardInterrupt):
            train(RENEWED, training_file, tmp_path, "cpu", schedule=SCHEDULE)
        monkeypatch.setattr(Log, "write", write)
    train(RENEWED, training_file, tmp_path, "cpu", schedule=SCHEDULE)
    assert same(state(tmp_path), never_stopped)
    assert len(never_stopped[1]) == 3  # two snapshots and the last
    assert [row["step"] for row in never_stopped[2]] == ["3", "6", "9", "12", "14"]


def test_killed_at_any_moment_a_run_ends_bit_by_bit_the_same(training_file, tmp_path, never_stopped):
    run = tmp_path / "run"
    command = [sys.executable, "-c", SCRIPT, str(training_file), str(run), *sys.path]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    steps = (line for line in process.stdout if line.startswith("step "))
    next(steps), next(steps)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    # it was under way, and checkpoints are written after every step
    assert 5 <= torch.load(run / "checkpoint.pt", weights_only=True)["step"] < RENEWED.steps
    train(RENEWED, training_file, run, "cpu", schedule=SCHEDULE)
    assert same(state(run), never_stopped)


def test_seeds_of_places_differ():
    places = [(0, "batch", 1), (0, "batch", 2), (1, "batch", 1), (0, "segments", 1, 2), (0, "segments", 12)]
    seeds = {seed_of(*place) for place in places}
    assert len(seeds) == len(places)
    assert all(0 <= seed < 2**63 for seed in seeds)
    # on every machine and in every version: a run goes on elsewhere
    assert seed_of(0, "batch", 1) == 5857644833703645836


def test_two_runs_do_not_share_a_folder(training_file, tmp_path):
    with sole_use(tmp_path), pytest.raises(HaruspexError, match="Another run writes to"):
        train(TINY, training_file, tmp_path, "cpu", schedule=SCHEDULE)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_last_checkpoint(training_file, tmp_path, monkeypatch):
    resource = pytest.importorskip("resource")
    train(replace(TINY, steps=4), training_file, tmp_path, "cpu", schedule=SCHEDULE)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    save = Progress.save

    def save_without_room(self, snapshot=False):
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
        save(self, snapshot)

    monkeypatch.setattr(Progress, "save", save_without_room)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "checkpoint.pt").write_bytes(before)
    try:
        with pytest.raises(HaruspexError, match="cannot be written: File too large"):
            train(TINY, training_file, tmp_path / "new", "cpu", schedule=SCHEDULE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["log.tsv"]


def test_a_checkpoint_of_another_version_is_refused(tmp_path, training_file):
    torch.save({"step": 3}, tmp_path / "checkpoint.pt")
    with pytest.raises(HaruspexError, match="is of another version of this program"):
        train(TINY, training_file, tmp_path, "cpu")


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total …"),
            HaruspexError,
            r"Memory is used up on cpu \(CUDA out of memory. Tried to allocate 2.00 GiB\): free it",
        ),
        (
            torch.AcceleratorError("CUDA error: unspecified launch failure\nCUDA kernel errors might be …"),
            DeviceLostError,
            r"The GPU failed \(cpu, CUDA error: unspecified launch failure\): .* from the last checkpoint",
        ),
        (RuntimeError("shapes cannot be multiplied"), RuntimeError, "shapes cannot be multiplied"),
    ],
)
def test_a_device_that_fails_is_told_and_the_run_goes_on_later(
    training_file, tmp_path, few_held_out_crops, monkeypatch, fault, kind, said
):
    real, calls = loss_of, []

    def failing(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise fault
        return real(*arguments)

    every_step = Schedule(log_every=1, validate_every=100, checkpoint_minutes=0)
    monkeypatch.setattr("haruspex_train.train.loss_of", failing)
    with pytest.raises(kind, match=said):
        train(TINY, training_file, tmp_path / "run", "cpu", None, every_step)
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["step"] == 2
    train(TINY, training_file, tmp_path / "run", "cpu", None, every_step)
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["step"] == TINY.steps
