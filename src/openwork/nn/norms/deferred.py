"""`Deferred`: a batch norm's output, where the ReLU behind the norm has been computed with it."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils._pytree import tree_map_only

from openwork.errors import OpenworkError

_WAY_OUT = "; call unfuse_norms_(model), or read another layer's output"


@dataclass(eq=False)
class _Held:
    """What an output is made of.

    Attributes:
        result: the output's ReLU, `(N, C, H, W)`.
        input, residual, weight, bias, eps: of the norm; the residual, weight or bias may be None.
        versions: of those tensors, when the norm ran.
        modes: whether gradients were recorded, and whether that was in inference mode.
        output: the output itself, once it is asked for.
        taken: whether the ReLU's result has been given away.
    """

    result: torch.Tensor
    input: torch.Tensor
    residual: torch.Tensor | None
    weight: torch.Tensor | None
    bias: torch.Tensor | None
    eps: float
    versions: tuple[int, ...]
    modes: tuple[bool, bool]
    output: torch.Tensor | None = None
    taken: bool = False


class Deferred(torch.Tensor):
    """The output of a norm for all who read it, and its ReLU for the module that computes that.

    The output is computed a second time if anything reads it, such as a hook. That is rare, and
    then all is as if the norm had not been fused. Code that torch does not tell of reads NaN.
    """

    _held: _Held

    def relu(self, inplace: bool = False) -> torch.Tensor:
        """The ReLU of the output, `(N, C, H, W)`."""
        held = self._held
        if held.output is not None:
            return F.relu(held.output, inplace)
        with torch._C.DisableTorchFunctionSubclass():
            node = self.grad_fn
        if node is not None and node.name() != "AliasBackward0":
            raise OpenworkError(
                "the output of a fused batch norm went through a torch.autograd.Function (a "
                "reentrant checkpoint, a full backward hook of the module behind it) before its "
                f"ReLU{_WAY_OUT}"
            )
        held.taken = True
        if inplace:
            held.output = held.result
        return held.result

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = tree_map_only(Deferred, lambda each: each._for(func), (args, kwargs or {}))
        return func(*args, **kwargs)

    def _for(self, func: Any) -> torch.Tensor:
        """What `func` is to see in the place of this."""
        held = self._held
        if func in _ABOUT:
            return held.result if held.output is None else held.output
        if held.taken and func in _GRADIENTS and held.output is not held.result:
            raise OpenworkError(
                "the gradient by the output of a fused batch norm is asked for after its ReLU "
                f"ran{_WAY_OUT}"
            )
        if held.output is None:
            held.output = _computed(held)
        return held.output


def deferred(
    result: torch.Tensor,
    input: torch.Tensor,
    residual: torch.Tensor | None,
    weight: torch.Tensor | None,
    bias: torch.Tensor | None,
    eps: float,
) -> Deferred:
    """The output of a norm that ran in training mode; all tensors `(N, C, H, W)` or `(C,)`.

    Args:
        result: ReLU of the output.
        input, residual, weight, bias, eps: as of `torch.nn.functional.batch_norm`; the residual is
            added.
    """
    found = _NAN.expand(result.shape).as_subclass(Deferred)
    modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    versions = _versions(input, residual, weight, bias)
    found._held = _Held(result, input, residual, weight, bias, eps, versions, modes)
    return found


def _computed(held: _Held) -> torch.Tensor:
    if _versions(held.input, held.residual, held.weight, held.bias) != held.versions:
        raise OpenworkError(
            "the output of a fused batch norm is read after its input, residual, weight or bias "
            f"was changed in place{_WAY_OUT}"
        )
    recorded, inference = held.modes
    with (
        torch.inference_mode(inference),
        torch.set_grad_enabled(recorded),
        torch.autocast(held.input.device.type, enabled=False),
    ):
        output = F.batch_norm(
            held.input, None, None, held.weight, held.bias, training=True, eps=held.eps
        )
        return output if held.residual is None else output + held.residual


def _versions(*tensors: torch.Tensor | None) -> tuple[int, ...]:
    return tuple(t._version for t in tensors if t is not None and not t.is_inference())


def _refuse_gradient(gradient: torch.Tensor) -> None:
    raise OpenworkError(
        "the output of a fused batch norm went through a torch.autograd.Function or a module with "
        f"a full backward hook, which would lose its gradient{_WAY_OUT}"
    )


# All stand-ins are views of it, so that one hook does for all.
_NAN = torch.full((), float("nan"), requires_grad=True)
_NAN.register_hook(_refuse_gradient)
_T: Any = torch.Tensor
# These tell nothing about the numbers.
_ABOUT = {
    *(getattr(_T, name).__get__ for name in ("shape", "dtype", "device", "layout", "ndim")),
    *(getattr(_T, name).__get__ for name in ("requires_grad", "is_sparse", "is_nested", "is_meta")),
    *(getattr(_T, name) for name in ("size", "dim", "numel", "stride", "is_contiguous")),
    *(getattr(_T, name) for name in ("is_floating_point", "is_complex", "__len__", "element_size")),
}
_GRADIENTS = {
    _T.grad.__get__,
    _T.register_hook,
    _T.register_post_accumulate_grad_hook,
    _T.retain_grad,
    torch.autograd.grad,
    torch.autograd.backward,
}
