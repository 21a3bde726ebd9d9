"""Autocast for our operators: floating point inputs are cast to the dtype of the current block.

`torch.library.register_autocast` fixes that dtype at import, but users choose it per block.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from openwork.ops import native
from openwork.ops.choices import REFERENCE
from openwork.ops.native import NativeLayer

_library = torch.library.Library("openwork", "FRAGMENT")
_HALF = (torch.bfloat16, torch.float16)

# The layer's kernels for these arguments of the operator, and the images.
Find = Callable[..., tuple[NativeLayer | None, int]]


def register_autocast(operator: torch._ops.OpOverload, function: Any, find: Find) -> None:
    """Make `operator` follow `torch.autocast` on CPU and CUDA, bfloat16 and float16.

    On the CPU, layers whose float32 kernels are faster than torch in the other type run on them;
    results have the type that autocast asks for all the same.

    Args:
        operator: its overload.
        function: calls it, and chooses kernels in training.
        find: the layer and its images for arguments of float32 or of the other types.
    """
    for device_type, key in (("cpu", "AutocastCPU"), ("cuda", "AutocastCUDA")):
        kernel = _caster(operator, function, find, device_type)
        operator.py_impl(getattr(torch._C.DispatchKey, key))(kernel)
        _library.impl(operator, kernel, key)


def _caster(
    operator: torch._ops.OpOverload, function: Any, find: Find, device_type: str
) -> Callable[..., torch.Tensor]:
    def cast(args: Sequence[Any], dtype: torch.dtype) -> list[Any]:
        return [_cast(value, device_type, dtype) for value in args]

    def kernel(*args: Any) -> torch.Tensor:
        dtype = torch.get_autocast_dtype(device_type)
        with torch.autocast(device_type, enabled=False):

            def in_float32(*args: Any) -> torch.Tensor:
                return function(*cast(args, torch.float32)).to(dtype)

            def in_half(*args: Any) -> torch.Tensor:
                return operator(*cast(args, dtype))

            if dtype in _HALF and device_type == "cpu" and native.are_plain(*args[:3]):
                layer, batch = find(*args)
                if layer is not None and _is_wide(layer, batch, dtype, args, in_float32, in_half):
                    return in_float32(*args)
            return in_half(*args)

    return kernel


def _is_wide(
    layer: NativeLayer,
    batch: int,
    dtype: torch.dtype,
    args: Sequence[Any],
    in_float32: Callable[..., torch.Tensor],
    in_half: Callable[..., torch.Tensor],
) -> bool:
    """Whether the call runs in float32, which is measured in training: forward and backward."""
    ways = None
    if native.may_measure(*args[:3]):
        # The kernels for float32 are chosen in the first call.
        ways = (
            ("float32", lambda: _warm(lambda: _step(in_float32, args))),
            (REFERENCE, lambda: lambda: _step(in_half, args)),
        )
    return layer.is_wide(dtype, batch, torch.get_num_threads(), ways)


def _warm(call: Callable[[], None]) -> Callable[[], None]:
    call()
    return call


def _step(call: Callable[..., torch.Tensor], args: Sequence[Any]) -> None:
    leaves = [
        value.detach().requires_grad_(value.requires_grad)
        if isinstance(value, torch.Tensor)
        else value
        for value in args
    ]
    wanted = [each for each in leaves if isinstance(each, torch.Tensor) and each.requires_grad]
    output = call(*leaves)
    torch.autograd.grad(output, wanted, torch.ones_like(output))


def _cast(value: Any, device_type: str, dtype: torch.dtype) -> Any:
    # float64 stays, as in torch's own autocast lists.
    castable = (
        isinstance(value, torch.Tensor)
        and value.is_floating_point()
        and value.device.type == device_type
        and value.dtype != torch.float64
    )
    return value.to(dtype) if castable else value
