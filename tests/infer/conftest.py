"""Fixtures for the tests of the engine."""

from pathlib import Path

import pytest
from toys import pointwise_network


@pytest.fixture(scope="session")
def toy(tmp_path_factory) -> Path:
    """File of a network whose answer at a voxel depends on that voxel alone."""
    return pointwise_network(tmp_path_factory.mktemp("network") / "toy.onnx")
