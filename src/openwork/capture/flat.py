"""`flattened`: a network whose arguments are tensors and whose results are a flat tuple.

torch.export then meets no container that it does not know, neither in arguments nor in results.
"""

import enum
import inspect
import types
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from openwork._call import Call
from openwork._nested import flatten
from openwork.errors import CaptureError

_SYMBOLS = (torch.SymInt, torch.SymFloat, torch.SymBool)
_IN_GRAPHS = (torch.Tensor, *_SYMBOLS, int, float, str, type(None))
_OF_TORCH = (torch.dtype, torch.device, torch.layout, torch.memory_format)
_CONSTANTS = (*_OF_TORCH, complex, bytes, enum.Enum, range, slice, type, types.FunctionType)


@dataclass(eq=False)
class Results:
    """How the results of the last call were nested.

    Attributes:
        nesting: with the number of each result.
        constants: number -> what no graph of torch can hold, such as a dtype.
    """

    nesting: Any
    constants: dict[int, Any]


def flattened(model: nn.Module, call: Call) -> tuple[nn.Module, Results]:
    """A twin of `model` with the same modules and parameters, and what its last call returned.

    Args:
        model: the network; it is not changed.
        call: whose tensors the twin takes, in order.

    Returns:
        The twin gives a tuple of tensors, numbers, texts and None.

    Raises:
        CaptureError: `model` is a TorchScript module.
    """
    _check_module(model)
    twin: nn.Module = object.__new__(type(model))
    twin.__dict__.update(vars(model))
    forward = vars(model).get("forward") or types.MethodType(type(model).forward, twin)
    results = Results((), {})

    def run(*tensors: torch.Tensor) -> tuple[Any, ...]:
        leaves, results.nesting = flatten(call.with_tensors(tensors).run(forward))
        results.constants = {
            number: leaf for number, leaf in enumerate(leaves) if not isinstance(leaf, _IN_GRAPHS)
        }
        for leaf in results.constants.values():
            _check_constant(model, leaf)
        return tuple(leaf if isinstance(leaf, _IN_GRAPHS) else None for leaf in leaves)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind) for name in call.names(model)]
    vars(run)["__signature__"] = inspect.Signature(parameters)
    twin.__dict__["forward"] = run
    return twin, results


def _check_module(model: nn.Module) -> None:
    kind = type(model).__name__
    if isinstance(model, torch.jit.ScriptModule):
        raise CaptureError(
            f"{kind} is what torch.jit.script or torch.jit.trace gives, which torch.export does "
            "not capture; pass the Python module that it was made from"
        )


def _check_constant(model: nn.Module, leaf: Any) -> None:
    if not isinstance(leaf, _CONSTANTS):
        kind = type(leaf)
        raise CaptureError(
            f"{type(model).__name__} returns a {kind.__module__}.{kind.__qualname__}, which may "
            "hold tensors out of sight; return tensors in tuples, lists, dicts or dataclasses, or "
            "register the class with torch.utils._pytree.register_pytree_node"
        )
