"""Memory of large tensors: which of it is asked to come in large pages."""

import mmap
from pathlib import Path

import pytest
import torch

from openwork.ops.large_pages import in_large_pages

_MILLION = 1 << 20


def _is_advised(address: int) -> bool:
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        bounds = line.split()[0].split("-")
        if len(bounds) == 2:
            inside = int(bounds[0], 16) <= address < int(bounds[1], 16)
        elif inside and line.startswith("VmFlags:"):
            return "hg" in line.split()
    raise AssertionError(f"{address:x} is not mapped")


@pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="advice that Linux alone takes")
@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").is_dir(), reason="built without large pages"
)
def test_large_tensors_are_advised_and_small_ones_are_not() -> None:
    # Memory that nobody had before: an earlier tensor's may be advised already.
    memory = mmap.mmap(-1, 128 * _MILLION, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    fresh = torch.frombuffer(memory, dtype=torch.float32)
    large, small = fresh[: 9 * _MILLION], fresh[16 * _MILLION : 23 * _MILLION]
    assert in_large_pages(large) is large
    assert in_large_pages(small) is small
    for tensor, advised in ((large, True), (small, False)):
        assert _is_advised(tensor.data_ptr() + 20 * _MILLION) is advised


def test_values_of_a_written_tensor_stay() -> None:
    tensor = torch.arange(9.0 * _MILLION)
    assert torch.equal(in_large_pages(tensor), torch.arange(9.0 * _MILLION))


def test_a_part_of_a_page_is_not_advised_beyond_its_end() -> None:
    # Starts and ends within pages.
    part = torch.zeros(9 * _MILLION)[1:-1]
    assert in_large_pages(part).sum() == 0
