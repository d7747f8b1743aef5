"""Several processes under torchrun do what one does."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from test_pool import Counted
from test_train import TINY, rows

from haruspex_infer.errors import HaruspexError
from haruspex_train.networks import NETWORKS, ResidualUNet
from haruspex_train.parallel import Processes, device_name
from haruspex_train.pool import SegmentPool
from haruspex_train.train import Schedule, train

pytestmark = pytest.mark.usefixtures("few_held_out_crops")


class Exact(ResidualUNet):
    """Computes in double precision: what differs then is no rounding that training has magnified."""

    def __init__(self, **options):
        super().__init__(**options)
        self.double()

    def forward(self, density):
        return super().forward(density.double())


NETWORKS["exact"] = Exact
# with so large an ε Adam follows the gradient itself, not its sign
GENTLE = replace(
    TINY,
    network="exact",
    steps=6,
    batch=8,
    pool=16,
    fresh=8,
    segment=18,
    learning_rate=0.1,
    epsilon=1.0,
    clip=1.0,
    weights=(0.5, 1.0, 1.0, 1.0, 0.0),  # what weighs nothing lies unevenly in the shares
)
SCHEDULE = Schedule(log_every=1, validate_every=6)
BOUND = 1e-8

SCRIPT = """
import sys, pathlib
sys.path[:0] = sys.argv[3:]
import torch
torch.set_num_threads(1)
from haruspex_train.validation import HeldOut
HeldOut.__init__.__defaults__ = (8,)
from test_parallel import GENTLE, SCHEDULE
from haruspex_train.train import train
train(GENTLE, pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), "cpu", None, SCHEDULE)
"""


def weights(folder):
    """The weights that train, not those in float16."""
    state = torch.load(folder / "checkpoint.pt", weights_only=True)["network"]
    return torch.cat([t.flatten() for name, t in state.items() if t.is_floating_point()])


def test_two_processes_do_what_one_does(training_file, tmp_path):
    train(GENTLE, training_file, tmp_path / "one", "cpu", schedule=SCHEDULE)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    # as torchrun: it keeps the store, whose port nobody else can take, and sets these
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    meeting = {
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "TORCHELASTIC_RESTART_COUNT": "0",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, str(script), str(training_file), str(tmp_path / "two"), *sys.path]
    workers = [
        subprocess.Popen(
            command, env=os.environ | meeting | {"RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in "01"
    ]  # fmt: skip
    (said, fault), (nothing, other_fault) = (worker.communicate() for worker in workers)
    assert [worker.returncode for worker in workers] == [0, 0], fault + other_fault
    assert "parameters" in said
    assert not nothing  # one of them talks
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    start = torch.load(tmp_path / "one" / "checkpoint.pt", weights_only=True)
    assert start["step"] == 6
    assert (one - two).abs().max() < BOUND
    for a, b in zip(rows(tmp_path / "one"), rows(tmp_path / "two"), strict=True):
        assert {**a, "seconds": 0} == {**b, "seconds": 0}
    # they moved far more than they differ
    assert (one - weights_at_the_start(training_file, tmp_path / "start")).abs().max() > 10**6 * BOUND


def weights_at_the_start(training_file, folder):
    still = replace(GENTLE, steps=1, learning_rate=0.0)
    train(still, training_file, folder, "cpu", schedule=SCHEDULE)
    return weights(folder)


@pytest.mark.parametrize("count", [2, 4])
def test_lanes_hold_the_segments_that_one_process_would_hold(count):
    """Joined in the order of the processes, the shares of a batch are the batch of one process."""

    def pools(processes):
        simulators = [Seeded() for _ in range(processes)]
        return [
            SegmentPool(s, 24, 8, 2, 7, *Processes(rank, processes).lanes(8))
            for rank, s in enumerate(simulators)
        ]

    (alone,), shared = pools(1), pools(count)
    for _ in range(9):
        density, labels = alone.batch(8, 4)
        shares = [pool.batch(8, 4) for pool in shared]
        assert torch.equal(torch.cat([d for d, _ in shares]), density)
        assert torch.equal(torch.cat([t for _, t in shares]), labels)


class Seeded(Counted):
    """Crops that follow from the seed, as a simulator's do."""

    def restart(self, seed):
        self.made = seed % 1000


def test_batches_that_cannot_be_shared_are_refused():
    assert Processes(1, 2).lanes(16) == (8, range(4, 8))
    assert Processes(1, 2).lanes(100) == (4, range(2, 4))
    assert Processes().lanes(7) == (1, range(1))
    with pytest.raises(HaruspexError, match="A batch of 100 cannot be shared by 8 processes; start 1, 2, 4"):
        Processes(0, 8).lanes(100)


def test_every_process_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert device_name("cuda") == "cuda"
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert device_name("cuda") == "cuda:3"
    assert device_name("cpu") == "cpu"
    with pytest.raises(HaruspexError, match="give cuda, not cuda:1"):
        device_name("cuda:1")
