"""How long a cache line takes from one core to another.

Cores with one L3 cache need about 25 ns, cores of different complexes or sockets 150 ns and more. A
hypervisor may move virtual cores apart while a benchmark runs: with two threads and a cache line on
its way for 160 ns instead of 28, a step of a fused VGG-16 at density 0.1 took 1.6 times as long.
"""

import ctypes
import functools
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

# Between cores that share a cache it takes less, between others more.
NEAR_NS = 60.0
_ROUNDS, _TURNS = 5000, 3
# A token goes around all threads.
_SOURCE = """
#include <omp.h>
double seconds_around(int rounds, int threads) {
  int turn = 0, team = 1;
  const double began = omp_get_wtime();
  #pragma omp parallel num_threads(threads)
  {
    const int me = omp_get_thread_num(), next = (me + 1) % omp_get_num_threads();
    if (me == 0) __atomic_store_n(&team, omp_get_num_threads(), __ATOMIC_RELAXED);
    for (int i = 0; i < rounds; ++i) {
      while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != me) {}
      __atomic_store_n(&turn, next, __ATOMIC_RELEASE);
    }
  }
  return (omp_get_wtime() - began) / rounds / team;
}
"""


def handover_ns(threads: int) -> float:
    """Nanoseconds for a cache line from one of `threads` OpenMP threads to the next; 0 for one."""
    if threads == 1:
        return 0.0
    # Other load only adds to it.
    return 1e9 * min(_library()(_ROUNDS, threads) for _ in range(_TURNS))


@functools.cache
def _library() -> Callable[[int, int], float]:
    # Loaded after torch, it takes torch's threads: those that the kernels run on.
    import torch  # noqa: F401

    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "around.c"), Path(folder, "around.so")
        source.write_text(_SOURCE, encoding="utf-8")
        build = ["cc", "-O2", "-fopenmp", "-shared", "-fPIC", str(source), "-o", str(library)]
        subprocess.run(build, check=True)
        around = ctypes.CDLL(str(library)).seconds_around
    around.argtypes = (ctypes.c_int, ctypes.c_int)
    around.restype = ctypes.c_double
    return around
