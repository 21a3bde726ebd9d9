"""Autocast for our operators: floating point inputs are cast to the dtype of the current block.

`torch.library.register_autocast` fixes that dtype at import, but users choose it per block.
"""

from typing import Any

import torch

_library = torch.library.Library("openwork", "FRAGMENT")


def register_autocast(operator: torch._ops.OpOverload) -> None:
    """Make `operator` follow `torch.autocast` on CPU and CUDA, bfloat16 and float16."""
    for device_type, key in (("cpu", "AutocastCPU"), ("cuda", "AutocastCUDA")):
        kernel = _caster(operator, device_type)
        operator.py_impl(getattr(torch._C.DispatchKey, key))(kernel)
        _library.impl(operator, kernel, key)


def _caster(operator: torch._ops.OpOverload, device_type: str) -> Any:
    def kernel(*args: Any) -> torch.Tensor:
        dtype = torch.get_autocast_dtype(device_type)
        with torch.autocast(device_type, enabled=False):
            return operator(*(_cast(value, device_type, dtype) for value in args))

    return kernel


def _cast(value: Any, device_type: str, dtype: torch.dtype) -> Any:
    # float64 stays, as in torch's own autocast lists.
    castable = (
        isinstance(value, torch.Tensor)
        and value.is_floating_point()
        and value.device.type == device_type
        and value.dtype != torch.float64
    )
    return value.to(dtype) if castable else value
