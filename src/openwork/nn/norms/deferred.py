"""`Deferred`: the output of a batch norm that waits for the sum and the activation behind it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils._pytree import tree_map_only

from openwork.errors import OpenworkError
from openwork.nn.norms.activations import activation
from openwork.ops.batch_norm_act import ACTS, native_takes

_WAY_OUT = "; call unfuse_norms_(model), or read another layer's output"
_T: Any = torch.Tensor
ADD_IN_PLACE = _T.add_
SUMS = frozenset((torch.add, _T.add, ADD_IN_PLACE))


@dataclass(eq=False)
class NormCall:
    """A call of a norm in training mode that has not been computed yet.

    Attributes:
        compute: (residual or None, activation, whether this is the first time) -> the result,
            `(N, C, H, W)`; the first time updates the running statistics.
        input, weight, bias: of the norm; the last two may be None.
        sum_alone: whether a sum is computed at once, since no activation follows it.
        ran: whether it has been computed.
    """

    compute: Callable[[torch.Tensor | None, str, bool], torch.Tensor]
    input: torch.Tensor
    weight: torch.Tensor | None
    bias: torch.Tensor | None
    sum_alone: bool = False
    ran: bool = False


@dataclass(eq=False)
class _Held:
    """What an output is made of.

    Attributes:
        call: the norm's.
        residual: what is added, or None.
        versions: of the tensors that it is computed from, when the norm ran and the sum was asked
            for.
        modes: whether gradients were recorded then, and whether that was in inference mode.
        output: the output itself, once it is asked for.
        taken: whether the activation's result has been given away.
    """

    call: NormCall
    residual: torch.Tensor | None
    versions: tuple[int, ...]
    modes: tuple[bool, bool]
    output: torch.Tensor | None = None
    taken: bool = False


class Deferred(torch.Tensor):
    """The output of a norm, or its sum with another tensor, which is computed when it is read.

    A sum with a tensor of the same shape is deferred as well, and a ReLU or ReLU6 is computed
    together with what it follows. All else reads the output; if something reads it beside the
    activation, such as a hook, it is computed twice. Code that torch does not tell of reads NaN.
    """

    _held: _Held

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        act = activation(func, args, kwargs)
        if act is not None and args and isinstance(args[0], Deferred):
            return args[0]._activated(*act)
        if func in SUMS and len(args) == 2 and kwargs.get("alpha", 1) == 1 and "out" not in kwargs:
            found = _sum(*args, inplace=func == ADD_IN_PLACE)
            if found is not None:
                return found
        args, kwargs = tree_map_only(Deferred, lambda each: each._for(func), (args, kwargs))
        return func(*args, **kwargs)

    def _activated(self, act: str, inplace: bool) -> torch.Tensor:
        """The activation of the output, `(N, C, H, W)`."""
        self._check()
        held = self._held
        if held.output is not None or held.modes != _modes():
            return ACTS[act](self._read(), inplace)
        result = _computed(held, act)
        held.taken = True
        if inplace:
            held.output = result
        return result

    def _plus(self, other: torch.Tensor, inplace: bool) -> torch.Tensor | None:
        """The sum with `other`, deferred too; None where torch must compute it."""
        self._check()
        held = self._held
        call = held.call
        if held.residual is not None or held.output is not None or held.modes != _modes():
            return None
        if isinstance(other, Deferred):
            other = other._read()
        if not native_takes(call.input, call.weight, other):
            return None
        _check_unchanged(held)
        if inplace:
            held.residual, held.versions = other, (*held.versions, *_versions(other))
        found = self if inplace else deferred(call, other)
        return found._read() if call.sum_alone else found

    def _for(self, func: Any) -> Any:
        """What `func` is to see in the place of this."""
        held = self._held
        if func in _ABOUT and held.output is None:
            return held.call.input
        if func == _REQUIRES_GRAD and held.output is None:
            return _NAN if held.modes[0] and _needs_gradient(held) else _NAN.detach()
        if held.taken and func in _GRADIENTS and held.output is None:
            raise OpenworkError(
                "the gradient by the output of a fused batch norm is asked for after its "
                f"activation ran{_WAY_OUT}"
            )
        return self._read()

    def _read(self) -> torch.Tensor:
        self._check()
        held = self._held
        if held.output is None:
            held.output = _computed(held, "none")
        return held.output

    def _check(self) -> None:
        with torch._C.DisableTorchFunctionSubclass():
            node = self.grad_fn
        if node is not None and node.name() != "AliasBackward0":
            raise OpenworkError(
                "the output of a fused batch norm went through a torch.autograd.Function (a "
                "reentrant checkpoint, a full backward hook of the module behind it) before it was "
                f"computed{_WAY_OUT}"
            )


def deferred(call: NormCall, residual: torch.Tensor | None = None) -> Deferred:
    """The output of a norm, plus `residual` `(N, C, H, W)` unless that is None."""
    found = _NAN.expand(call.input.shape).as_subclass(Deferred)
    found._held = _Held(call, residual, _versions(*_tensors(call), residual), _modes())
    return found


def _sum(one: Any, two: Any, inplace: bool) -> torch.Tensor | None:
    """The sum of two values, at least one of which is deferred; None for torch to compute it."""
    for norm, other in ((one, two), (two, one))[: 1 if inplace else 2]:
        if isinstance(norm, Deferred) and isinstance(other, torch.Tensor):
            found = norm._plus(other, inplace)
            if found is not None:
                return found
    return None


def _computed(held: _Held, act: str) -> torch.Tensor:
    _check_unchanged(held)
    call = held.call
    recorded, inference = held.modes
    with (
        torch.inference_mode(inference),
        torch.set_grad_enabled(recorded),
        torch.autocast(call.input.device.type, enabled=False),
    ):
        first, call.ran = not call.ran, True
        return call.compute(held.residual, act, first)


def _check_unchanged(held: _Held) -> None:
    if _versions(*_tensors(held.call), held.residual) != held.versions:
        raise OpenworkError(
            "the output of a fused batch norm is read after its input, residual, weight or bias "
            f"was changed in place{_WAY_OUT}"
        )


def _modes() -> tuple[bool, bool]:
    return torch.is_grad_enabled(), torch.is_inference_mode_enabled()


def _tensors(call: NormCall) -> tuple[torch.Tensor | None, ...]:
    return call.input, call.weight, call.bias


def _needs_gradient(held: _Held) -> bool:
    tensors = (*_tensors(held.call), held.residual)
    return any(tensor is not None and tensor.requires_grad for tensor in tensors)


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
_REQUIRES_GRAD = _T.requires_grad.__get__
# These tell nothing about the numbers, and are those of the norm's input.
_ABOUT = {
    *(getattr(_T, name).__get__ for name in ("shape", "dtype", "device", "layout", "ndim")),
    *(getattr(_T, name).__get__ for name in ("is_sparse", "is_nested", "is_meta")),
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
