"""Clusters for tests."""

import contextlib
import json
import subprocess
import time
from pathlib import Path

import pytest

# Dask gives up a worker that is silent for so long; on a busy machine it is only slow to start
_PATIENCE = {
    "distributed.comm.timeouts.connect": "30 minutes",
    "distributed.deploy.lost-worker-timeout": "30 minutes",
}


@contextlib.contextmanager
def cluster(**options):
    """A scheduler with workers in processes of their own, and no port that another may have."""
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    import dask

    # no address would be port 8787
    options = {"threads_per_worker": 1, "dashboard_address": ":0", **options}
    with dask.config.set(_PATIENCE), distributed.LocalCluster(**options) as made:
        yield made


def address_in(path: Path, scheduler: subprocess.Popen) -> str:
    """The address that a scheduler writes to a file, once it has written all of it."""
    while True:
        assert scheduler.poll() is None
        # the file is there before what is in it
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            return json.loads(path.read_text())["address"]
        time.sleep(0.1)
