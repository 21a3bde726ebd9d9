"""Large pages for large tensors.

The C library maps blocks beyond 32 MB from the system each time they are made and returns them
when they are freed. Filling one page by page of 4 KB takes longer than a batch norm on it.
"""

import ctypes
import functools
import mmap
from collections.abc import Callable

import torch

# glibc takes no smaller blocks from the system once such have been freed.
_LEAST_BYTES = 32 << 20


def in_large_pages(tensor: torch.Tensor) -> torch.Tensor:
    """`tensor` itself, of any shape; if it is large, its memory is asked to come in large pages.

    Made for fresh tensors on the CPU that nothing has written to. Linux gives such pages where
    `/sys/kernel/mm/transparent_hugepage/enabled` says `madvise`; elsewhere nothing changes.
    """
    size = tensor.numel() * tensor.element_size()
    if size >= _LEAST_BYTES:
        first = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
        last = (tensor.data_ptr() + size) // mmap.PAGESIZE * mmap.PAGESIZE
        _advise()(first, last - first)
    return tensor


@functools.cache
def _advise() -> Callable[[int, int], object]:
    advice = getattr(mmap, "MADV_HUGEPAGE", None)
    if advice is None:
        return lambda start, length: None
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    # Its refusal means pages of the usual size.
    return lambda start, length: madvise(start, length, advice)
