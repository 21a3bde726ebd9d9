"""States of masked and re-parametrised layers, in a file or in the model that is to be filled."""

import torch
from torch import nn

from openwork.errors import CheckpointError

# What torch appends to the name of a tensor that it computes from others.
_ENDINGS = {
    "_orig": "a mask of torch.nn.utils.prune or torch.nn.utils.spectral_norm",
    "_g": "torch.nn.utils.weight_norm",
}
_INFIX = "parametrizations."


def fit_reparametrised(model: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Make `tensors` fit `model` where only one of them has masks; changes `tensors`.

    Masks become permanent in a model without them.

    Raises:
        CheckpointError: only one of them has a weight norm, a spectral norm or a parametrisation.
    """
    wanted = model.state_dict().keys()
    for name in [name.removesuffix("_mask") for name in tensors if name.endswith("_mask")]:
        masked = f"{name}_orig" in tensors and f"{name}_orig" not in wanted
        if masked and name in wanted:
            tensors[name] = tensors.pop(f"{name}_orig") * tensors.pop(f"{name}_mask")
    for there, others, which in (
        (tensors.keys(), wanted, "in the file, but not in the model that was built"),
        (wanted, tensors.keys(), "in the model that was built, but not in the file"),
    ):
        for name in there:
            found = _reparametrised(name)
            if found and name not in others:
                raise CheckpointError(
                    f"{found[0]!r} is computed by {found[1]} {which}; `build` must do the same, "
                    "or remove it before saving"
                )


def _reparametrised(name: str) -> tuple[str, str] | None:
    """The tensor that is computed from the one called `name`, and by what."""
    if _INFIX in name:
        owner, _, rest = name.partition(_INFIX)
        return owner + rest.partition(".")[0], "torch.nn.utils.parametrize"
    for ending, what in _ENDINGS.items():
        tensor = name.removesuffix(ending)
        if tensor != name and tensor.rpartition(".")[2] in ("weight", "bias"):
            return tensor, what
    return None
