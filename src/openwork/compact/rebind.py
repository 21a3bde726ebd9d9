"""`rebind`: a captured network as if some of its parameters had other values."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from openwork.capture import Captured


def rebind(captured: Captured, tensors: Mapping[str, torch.Tensor]) -> Captured:
    """`captured`, its graph shared, with `tensors` in place of the parameters of these names.

    Args:
        captured: not changed.
        tensors: qualified name of a parameter -> a tensor of its shape.
    """
    constants = {
        place: tensors.get(captured.names.get(place, ""), held)
        for place, held in captured.constants.items()
    }
    return replace(captured, constants=constants)
