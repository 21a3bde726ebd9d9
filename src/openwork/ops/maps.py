"""Which maps the native kernels of training's norms and pools take."""

import torch

from openwork.kernels.native import reason_missing
from openwork.ops.choices import REFERENCE, mode

# What the kernels take; under autocast maps are bfloat16.
_DTYPES = (torch.float32, torch.bfloat16)


def are_native(*maps: torch.Tensor) -> bool:
    """Whether the kernels are there, wanted, and take all of these maps, which are of one type.

    `OPENWORK_TRAIN_KERNELS=reference` turns them off.
    """
    if mode() == REFERENCE or reason_missing is not None:
        return False
    # Transforms of torch.func need what torch's operators have, batching rules for instance.
    if torch._C._are_functorch_transforms_active():  # type: ignore[attr-defined]
        return False
    dtype = maps[0].dtype
    return dtype in _DTYPES and all(each.dtype == dtype and _is_native(each) for each in maps)


def _is_native(maps: torch.Tensor) -> bool:
    """Whether a tensor is `(N, C, H, W)`, contiguous and on the CPU."""
    return (
        maps.device.type == "cpu" and maps.dim() == 4 and maps.numel() > 0 and maps.is_contiguous()
    )
