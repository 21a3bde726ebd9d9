"""Each test has its own cache and random numbers, and kernels that are not measured."""

import pytest
from compiled_fixtures import build as build
from compiled_fixtures import own_cache as own_cache


@pytest.fixture(autouse=True)
def _remembered(steady: None) -> None:
    """What one compile measured, the next one of the same test takes from the cache."""
