"""Packing for the dense kernel (csrc/simd/dense.cpp): a full matrix, filters taken G at a time.

1. channel  int32   [inputs]                  input channel that a column reads
2. tap      uint16  [inputs]                  ky * kernel_x + kx
3. weight   float32 [ceil(rows / G)][inputs][G]  the last group is filled with zeros

Columns are all pairs of channel and tap, in order.
"""

import numpy as np

from openwork.kernels.problem import Problem


def pack_dense(problem: Problem, group: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arrays 1 to 3, flat, of a problem without dead taps."""
    filters = problem.geometry.out_channels
    channel, tap = np.divmod(np.arange(problem.group_inputs * problem.taps), problem.taps)
    groups = -(-filters // group)
    weight = np.zeros((groups * group, len(channel)), dtype=np.float32)
    weight[:filters] = problem.weight.reshape(filters, -1)
    by_group = weight.reshape(groups, group, -1).transpose(0, 2, 1)
    return channel.astype(np.int32), tap.astype(np.uint16), np.ascontiguousarray(by_group).ravel()
