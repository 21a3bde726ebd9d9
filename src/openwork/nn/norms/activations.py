"""Which calls are activations that batch norms compute."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

_T: Any = torch.Tensor
_FUNCTIONS = {
    "relu": frozenset((F.relu, torch.relu, torch.relu_, _T.relu, _T.relu_)),
    "relu6": frozenset((F.relu6,)),
}
# The activation that a module of this very type is.
MODULES = {nn.ReLU: "relu", nn.ReLU6: "relu6"}
_IN_PLACE = frozenset((torch.relu_, _T.relu_))


def activation(
    function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[str, bool] | None:
    """The activation that a call computes, and whether it does so in place; None for others.

    Args:
        function, args, kwargs: as of `__torch_function__`.
    """

    def given(position: int, name: str, default: Any) -> Any:
        return args[position] if len(args) > position else kwargs.get(name, default)

    # As nn.ReLU6 calls it.
    if function is F.hardtanh:
        if (given(1, "min_val", -1.0), given(2, "max_val", 1.0)) != (0, 6):
            return None
        return "relu6", given(3, "inplace", False)
    for act, functions in _FUNCTIONS.items():
        if function in functions:
            return act, given(1, "inplace", function in _IN_PLACE)
    return None
