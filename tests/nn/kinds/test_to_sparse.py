"""`to_sparse`: each kind of dense layer has its sparse form."""

import pytest
import torch
from torch import nn

from openwork.nn import SparseConv1d, SparseConv2d, SparseLinear
from openwork.nn.kinds.to_sparse import to_sparse
from openwork.nn.sparse_layer import Dense, groups_of, pattern_shape
from openwork.patterns import PatternSpec


@pytest.mark.parametrize(
    ("dense", "form", "example"),
    [
        (nn.Conv1d(4, 6, 3, groups=2), SparseConv1d, torch.randn(2, 4, 9)),
        (nn.Conv2d(4, 6, 3, groups=2), SparseConv2d, torch.randn(2, 4, 9, 9)),
        (nn.Linear(4, 6), SparseLinear, torch.randn(2, 4)),
    ],
)
def test_a_layer_with_every_weight_computes_the_same(
    dense: Dense, form: type, example: torch.Tensor
) -> None:
    pattern = PatternSpec.of("dense").build(pattern_shape(dense), groups_of(dense), 0)
    sparse = to_sparse(dense, pattern)
    assert type(sparse) is form
    torch.testing.assert_close(sparse(example), dense(example))
