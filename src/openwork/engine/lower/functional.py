"""Operators as torch runs them for the engine."""

from collections.abc import Callable
from typing import Any

import torch

from openwork.capture.out_of_place import out_of_place

_VIEW, _RESHAPE = torch.ops.aten.view.default, torch.ops.aten.reshape.default


def functional(target: Callable[..., Any]) -> Callable[..., Any]:
    """The operator that gives what `target` leaves in its argument; `target` if there is none.

    The graph has in-place operators only where no output would show the difference
    (capture/mutation.py).
    """
    if target is _VIEW:
        # The engine leaves out copies that only make a tensor contiguous, as views need it.
        return _RESHAPE
    return out_of_place(target) or target
