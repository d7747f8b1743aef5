"""Trains the tiny network of the tests as a process of its own: ``tiny_run.py ATOMS FOLDER``."""

import sys
from pathlib import Path

from test_train import TINY

from haruspex_infer.ending import run
from haruspex_train.train import Schedule, train
from haruspex_train.validation import HeldOut

HeldOut.__init__.__defaults__ = (8,)
SCHEDULE = Schedule(log_every=3, validate_every=6, checkpoint_minutes=0, snapshot_every=5)

run(lambda: train(TINY, Path(sys.argv[1]), Path(sys.argv[2]), "cpu", None, SCHEDULE), "tiny_run")
