"""`to_sparse`: the sparse layer that replaces a dense one."""

from torch import nn

from openwork.nn.kinds.sparse_conv1d import SparseConv1d
from openwork.nn.sparse_conv2d import SparseConv2d
from openwork.nn.sparse_layer import Dense
from openwork.nn.sparse_linear import SparseLinear
from openwork.patterns import Pattern

__all__ = ["to_sparse"]

SparseForm = SparseConv1d | SparseConv2d | SparseLinear


def to_sparse(dense: Dense, pattern: Pattern, *, init: str = "keep") -> SparseForm:
    """The sparse layer with `pattern` that replaces `dense`; `init` as in `sparsify_`."""
    if isinstance(dense, nn.Conv1d):
        return SparseConv1d.from_dense(dense, pattern, init=init)
    if isinstance(dense, nn.Conv2d):
        return SparseConv2d.from_dense(dense, pattern, init=init)
    return SparseLinear.from_dense(dense, pattern, init=init)
