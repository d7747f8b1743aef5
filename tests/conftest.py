"""Fixtures for all tests."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The outcome depends on the code alone: every run tries the same examples, unless asked for others with
# --hypothesis-profile=default, and may take its time.
settings.register_profile(
    "steady", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")

_SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of experimental maps and atomic models that lies beside the repository."""
    if not _SHARED.is_dir():
        pytest.skip("the shared data (../shared/data) are not here")
    return _SHARED
