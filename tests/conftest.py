"""What the tests of several rooms share: places that cannot be written to."""

import contextlib
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch

from openwork.kernels.native import reason_missing

# Decoded data sets are shared by all test processes, and kept from one run to the next.
_CACHE = Path(__file__).parent.parent / ".pytest_cache" / "openwork"
os.environ.setdefault("OPENWORK_CACHE", str(_CACHE))
# Test processes share the cores, and threads that wait for each other spin.
torch.set_num_threads(1)


def pytest_report_header() -> str:
    if reason_missing is None:
        return "compiled kernels: there"
    return f"compiled kernels: NOT THERE, their tests are left out: {reason_missing}"


@pytest.fixture
def unwritable_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in which no file can be made."""
    if os.geteuid() == 0:
        # Permission bits do not bind root, but nobody makes files in sysfs.
        if not Path("/sys/kernel").is_dir():
            pytest.skip("root can write everywhere here")
        yield Path("/sys")
        return
    folder = tmp_path / "unwritable"
    folder.mkdir(mode=0o555)
    yield folder
    folder.chmod(0o755)


@pytest.fixture
def full_disk() -> Callable[[int], AbstractContextManager[None]]:
    """`with full_disk(n)`: a file of this process that grows above n bytes fails to be written."""

    @contextlib.contextmanager
    def limited(size: int) -> Iterator[None]:
        before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))

    return limited
