"""Which calls count as activations of batch norms."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from openwork.nn.norms.activations import activation

X = torch.zeros(1)
_T: Any = torch.Tensor


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "expected"),
    [
        (F.relu, (X,), {}, ("relu", False)),
        (F.relu, (X, True), {}, ("relu", True)),
        (F.relu, (X,), {"inplace": True}, ("relu", True)),
        (torch.relu, (X,), {}, ("relu", False)),
        (_T.relu, (X,), {}, ("relu", False)),
        (torch.relu_, (X,), {}, ("relu", True)),
        (_T.relu_, (X,), {}, ("relu", True)),
        (F.relu6, (X,), {}, ("relu6", False)),
        (F.relu6, (X, True), {}, ("relu6", True)),
        (F.hardtanh, (X, 0.0, 6.0), {}, ("relu6", False)),
        (F.hardtanh, (X,), {"min_val": 0, "max_val": 6, "inplace": True}, ("relu6", True)),
        (F.hardtanh, (X, 0.0, 6.0, True), {}, ("relu6", True)),
        (F.hardtanh, (X,), {}, None),
        (F.hardtanh, (X, 0.0), {}, None),
        (F.hardtanh, (X,), {"max_val": 6.0}, None),
        (F.gelu, (X,), {}, None),
    ],
)
def test_calls(
    function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], expected: tuple[str, bool] | None
) -> None:
    assert activation(function, args, kwargs) == expected
