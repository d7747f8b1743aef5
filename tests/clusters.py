"""Clusters for tests."""

from contextlib import contextmanager

import pytest


@contextmanager
def cluster(**options):
    """A scheduler with workers in processes of their own, and no port that another may have."""
    distributed = pytest.importorskip("distributed", reason="Dask is not installed")
    # no address would be port 8787
    with distributed.LocalCluster(threads_per_worker=1, dashboard_address=":0", **options) as made:
        yield made
