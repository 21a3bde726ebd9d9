"""A compiled network cannot be traced: its kernels read numbers, which a tracer does not see.

Without these checks torch.jit.trace would record memory that nothing writes to.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import torch
from torch.fx import Proxy

from openwork._unchanged import alone
from openwork.errors import CaptureError

_PLAIN = (torch.Tensor, torch.nn.Parameter)


def refuse_tracing(args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Refuse to run while torch records or transforms what runs.

    Args:
        args, kwargs: of a call; torch.fx puts a proxy in the place of each.

    Raises:
        CaptureError: with the transform, and the way out.
    """
    if torch._C._get_tracing_state() is not None:
        refuse("torch.jit.trace, or by the ONNX export that uses it")
    if torch.compiler.is_exporting():
        # The flag is one for all threads: another one may capture for `openwork.compile`.
        with alone():
            if torch.compiler.is_exporting():
                refuse("torch.export")
    functorch: Any = vars(torch._C)["_functorch"]
    if functorch.peek_interpreter_stack() is not None:
        refuse("torch.vmap or another transform of torch.func; a compiled network takes batches")
    if torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.PROXY) is not None:
        refuse("make_fx")
    proxies = isinstance(args, Proxy) or isinstance(kwargs, Proxy)
    inputs = () if proxies else (*args, *kwargs.values())
    if proxies or any(isinstance(each, Proxy) for each in inputs):
        refuse("torch.fx.symbolic_trace, unless the tracer's is_leaf_module takes it as a leaf")
    for each in inputs:
        known = not isinstance(each, torch.Tensor) or type(each) in _PLAIN or each.is_nested
        if not known and _has_own_dispatch(each):
            refuse(f"what makes a {type(each).__name__} of its inputs")


def refuse(by: str) -> NoReturn:
    """Raise the error for being traced `by` something."""
    raise CaptureError(
        f"a compiled network cannot be traced by {by}; trace the network that it was compiled "
        "from, or save this one with openwork.save and load it where it runs"
    )


def _has_own_dispatch(tensor: Any) -> bool:
    return type(tensor).__torch_dispatch__ is not torch._C._disabled_torch_dispatch_impl
