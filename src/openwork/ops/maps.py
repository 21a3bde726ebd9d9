"""Which maps the native kernels of training's norms and pools take."""

import torch

from openwork.kernels.native import reason_missing
from openwork.ops.choices import REFERENCE, mode


def are_native(*maps: torch.Tensor) -> bool:
    """Whether the kernels are there, wanted, and take all of these maps.

    `OPENWORK_TRAIN_KERNELS=reference` turns them off.
    """
    if mode() == REFERENCE or reason_missing is not None:
        return False
    # Transforms of torch.func need what torch's operators have, batching rules for instance.
    if torch._C._are_functorch_transforms_active():  # type: ignore[attr-defined]
        return False
    return all(map(_is_native, maps))


def _is_native(maps: torch.Tensor) -> bool:
    """Whether a tensor is `(N, C, H, W)`, float32, contiguous and on the CPU."""
    return (
        maps.dtype == torch.float32
        and maps.device.type == "cpu"
        and maps.dim() == 4
        and maps.numel() > 0
        and maps.is_contiguous()
    )
