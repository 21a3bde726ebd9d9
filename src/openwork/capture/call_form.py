"""`CallForm`: how a captured network is called, and which of its arguments are part of it."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import torch
from torch import nn

from openwork._call import Call, signature_of
from openwork._nested import Misfit, flatten, match, paths_of
from openwork.errors import ArgumentError

__all__ = ["CallForm"]

_REQUIRED = inspect.Parameter.empty
_KINDS = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.KEYWORD_ONLY,
    inspect.Parameter.VAR_KEYWORD,
)


@dataclass(frozen=True, eq=False)
class CallForm:
    """What a call must look like to have the tensors of the captured one in their places.

    Attributes:
        signature: the network's parameters, with their defaults.
        nesting: of the arguments by parameter, with the number of each leaf.
        constants: number of a leaf -> what it must be, since it is part of the graph. The other
            leaves are tensors.
        dtypes: of the tensors, in order.
    """

    signature: inspect.Signature
    nesting: Mapping[str, Any]
    constants: Mapping[int, Any]
    dtypes: tuple[torch.dtype, ...]

    @classmethod
    def of(cls, model: nn.Module, call: Call) -> Self:
        """The form of `call`, which binds to the parameters of `model`."""
        signature = signature_of(model)
        try:
            bound = signature.bind(*call.args, **call.kwargs)
        except TypeError as error:
            raise ArgumentError(
                f"`example` does not fit {type(model).__name__}.forward{signature}: {error}"
            ) from error
        bound.apply_defaults()
        leaves, nesting = flatten(dict(bound.arguments))
        tensors = list(call)
        constants: dict[int, Any] = {}
        for number, leaf in enumerate(leaves):
            # A default may be a tensor too.
            if tensors and leaf is tensors[0]:
                tensors.pop(0)
            else:
                constants[number] = leaf
        return cls(signature, nesting, constants, tuple(tensor.dtype for tensor in call))

    @classmethod
    def of_tensors(cls, count: int) -> Self:
        """The form of calls with `count` float32 tensors and nothing else."""
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter(f"input_{index}", kind) for index in range(count)]
        nesting = {each.name: index for index, each in enumerate(parameters)}
        return cls(inspect.Signature(parameters), nesting, {}, (torch.float32,) * count)

    @cached_property
    def _leading(self) -> int:
        """How many tensors a call may hold in order and nothing else; -1 if it must hold more."""
        given = {k: n for k, n in self.nesting.items() if n not in self._defaulted}
        parameters = [self.signature.parameters[name] for name in given]
        if len(parameters) == 1 and parameters[0].kind == _KINDS[2]:
            numbers = list(given[parameters[0].name])
        elif all(each.kind in _KINDS[:2] for each in parameters):
            numbers = list(given.values())
        else:
            return -1
        tensors = [n for n in range(len(numbers)) if n not in self.constants]
        first = list(self.nesting)[: len(parameters)] == list(given)
        return len(numbers) if first and numbers == tensors else -1

    @cached_property
    def _defaulted(self) -> list[Any]:
        """Numbers of the constants that a parameter has by default, and empty arguments."""
        empty: list[Any] = [(), {}]
        for name, number in self.nesting.items():
            default = self.signature.parameters[name].default
            constant = isinstance(number, int) and number in self.constants
            if constant and _same(default, self.constants[number]):
                empty.append(number)
        return empty

    @cached_property
    def paths(self) -> dict[int, str]:
        """Number of a leaf -> where it lies, in words."""
        return paths_of(self.nesting)

    def tensors(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Sequence[Any]:
        """The tensors of a call, in the order of the captured one.

        Raises:
            ArgumentError: the arguments are others than those of the captured call.
        """
        only_tensors = self._leading >= 0 and not self.constants
        if not kwargs and (only_tensors or len(args) == self._leading):
            # The usual call, and any wrong number of tensors, which the network itself counts.
            return args
        try:
            bound = self.signature.bind(*args, **kwargs)
            bound.apply_defaults()
            leaves = match(self.nesting, dict(bound.arguments))
        except TypeError as error:
            raise ArgumentError(f"the network takes {self.signature}: {error}") from error
        except Misfit as error:
            raise ArgumentError(
                f"{error}, as in the example that the network was compiled with"
            ) from error
        for number, held in self.constants.items():
            if not _same(held, leaves[number]):
                raise ArgumentError(
                    f"`{self.paths[number]}` is {_short(leaves[number])}, but the network was "
                    f"compiled for {_short(held)}; compile it with this value"
                )
        return [leaf for number, leaf in enumerate(leaves) if number not in self.constants]

    def to_data(self) -> dict[str, Any]:
        """As plain data, but for what the example held."""
        parameters = [
            [each.name, _KINDS.index(each.kind), _plain_default(each.default)]
            for each in self.signature.parameters.values()
        ]
        return {
            "parameters": parameters,
            "nesting": dict(self.nesting),
            "constants": dict(self.constants),
            "dtypes": list(self.dtypes),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_data`.

        Raises:
            ValueError, TypeError, KeyError, IndexError: it is not what `to_data` gives.
        """
        parameters = [
            inspect.Parameter(name, _KINDS[kind], default=default[0] if default else _REQUIRED)
            for name, kind, default in data["parameters"]
        ]
        nesting, constants = dict(data["nesting"]), dict(data["constants"])
        signature = inspect.Signature(parameters)
        if list(nesting) != list(signature.parameters):
            raise ValueError(f"arguments {list(nesting)} must be those of {signature}")
        dtypes = tuple(data["dtypes"])
        numbers = sorted(number for each in nesting.values() for number in paths_of(each))
        tensors = [number for number in numbers if number not in constants]
        if numbers != list(range(len(numbers))) or len(tensors) != len(dtypes):
            raise ValueError("arguments must hold each number once, and one dtype for each tensor")
        return cls(signature, nesting, constants, dtypes)


def _plain_default(default: Any) -> list[Any]:
    """The default in a list; empty if there is none, or one that a file cannot hold."""
    return [default] if default is None or isinstance(default, bool | int | float | str) else []


def _same(held: Any, given: Any) -> bool:
    if isinstance(held, torch.Tensor) or isinstance(given, torch.Tensor):
        return held is given
    try:
        return held is given or bool(held == given)
    except Exception:
        # Classes of the user's may compare as they like.
        return False


def _short(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor {tuple(value.shape)}"
    return f"{value!r:.60}"
