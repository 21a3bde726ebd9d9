"""Each test has its own cache and random numbers, and kernels that are not measured."""

from compiled_fixtures import build as build
from compiled_fixtures import own_cache as own_cache
