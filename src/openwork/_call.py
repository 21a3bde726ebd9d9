"""`Call`: what a network is given in one call, made in one place from whatever the user passes.

The rule, for every argument `example` and every batch: a tensor is the only argument. A tuple holds
the positional arguments. A list does too, unless the network takes fewer arguments or does not run
with them: then it is one argument. A dict holds keyword arguments if `forward` has parameters of
those names and runs with them; otherwise it is one argument. A tuple with which `forward` cannot be
called is one argument as well. Numbers, texts, None and the like are part of the network.
"""

import contextlib
import inspect
import keyword
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast, final, overload

import torch
from torch import nn

from openwork._mode import evaluation
from openwork._nested import flatten, nest, paths_of
from openwork._unchanged import unchanged
from openwork.errors import ArgumentError, OpenworkError, first_line

__all__ = [
    "Call",
    "as_call",
    "call_of",
    "call_of_batch",
    "check_batches",
    "check_dense",
    "signature_of",
    "taken",
]

_WAY_OUT = (
    "must be a tensor, a tuple of positional arguments, a list, or a dict, such as "
    "torch.randn(1, 3, 224, 224)"
)


@final
class Call(Sequence[torch.Tensor]):
    """The arguments of one call; as a sequence, the tensors among them, from left to right.

    Args:
        args, kwargs: of the network. Containers may be nested, and dataclasses be among them.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._leaves, self._nesting = flatten((args, kwargs))
        self._places = [i for i, x in enumerate(self._leaves) if isinstance(x, torch.Tensor)]

    @overload
    def __getitem__(self, index: int) -> torch.Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[torch.Tensor]: ...
    def __getitem__(self, index: int | slice) -> torch.Tensor | Sequence[torch.Tensor]:
        return self.tensors[index]

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[torch.Tensor]:
        return iter(self.tensors)

    def __repr__(self) -> str:
        return f"Call({', '.join(f'{tuple(t.shape)} {t.dtype}' for t in self)})"

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """`(N, ...)` each."""
        return tuple(self._leaves[place] for place in self._places)

    @property
    def args(self) -> tuple[Any, ...]:
        """The positional arguments."""
        return nest(self._nesting[0], self._leaves.__getitem__)

    @property
    def kwargs(self) -> dict[str, Any]:
        """The keyword arguments."""
        return nest(self._nesting[1], self._leaves.__getitem__)

    @property
    def images(self) -> int:
        """The batch size, that of the first tensor; 0 if it has no axis."""
        return len(self[0]) if self[0].dim() else 0

    def with_tensors(self, tensors: Sequence[torch.Tensor]) -> "Call":
        """The same call with other tensors, as many and in the same order."""
        twin = object.__new__(Call)
        twin._nesting, twin._places, twin._leaves = self._nesting, self._places, [*self._leaves]
        for place, tensor in zip(self._places, tensors, strict=True):
            twin._leaves[place] = tensor
        return twin

    def map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Call":
        """The same call with `change` of each tensor."""
        return self.with_tensors([change(tensor) for tensor in self])

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Call":
        """The same call on `device`, its floating-point tensors of `dtype`; None changes none."""
        return self.map(lambda t: t.to(device, dtype if t.is_floating_point() else None))

    def names(self, model: nn.Module) -> list[str]:
        """A name for each tensor, an identifier: its parameter's and its place within it."""
        parameters = [p for p in signature_of(model).parameters.values() if p.kind != p.VAR_KEYWORD]
        paths: dict[int, str] = {}
        for index, nesting in enumerate(self._nesting[0]):
            own = parameters[min(index, len(parameters) - 1)] if parameters else None
            name = "input" if own is None else own.name
            several = own is not None and own.kind == own.VAR_POSITIONAL
            paths |= paths_of(nesting, f"{name}_{index}" if several else name)
        for name, nesting in self._nesting[1].items():
            paths |= paths_of(nesting, name)
        names: list[str] = []
        for place in self._places:
            name = re.sub(r"\W+", "_", paths[place]).strip("_") or "input"
            while name in names or keyword.iskeyword(name) or not name.isidentifier():
                name = f"input_{name}"
            names.append(name)
        return names

    def run(self, model: Callable[..., Any]) -> Any:
        """What `model` gives."""
        return model(*self.args, **self.kwargs)


def as_call(given: Call | Sequence[torch.Tensor]) -> Call:
    """`given` as a call: a sequence of tensors holds positional arguments.

    Raises:
        ArgumentError: it holds something else.
    """
    if not isinstance(given, Sequence):
        kind = type(given).__name__
        raise ArgumentError(f"`example` is a {kind}, but must be a sequence of tensors: (tensor,)")
    for index, tensor in enumerate(given):
        if not isinstance(tensor, torch.Tensor):
            raise ArgumentError(
                f"`example` holds a {type(tensor).__name__} at place {index}, but must hold "
                "tensors alone"
            )
    return given if isinstance(given, Call) else Call(*given)


def call_of(model: nn.Module, example: Any, argument: str = "example") -> Call:
    """The call of `model` that `example` stands for; see the rule above.

    Args:
        model: run only if a list or a dict can be meant in two ways, in evaluation mode.
        example: what the user passed.
        argument: its name, for messages.

    Raises:
        ArgumentError: it holds no tensor, or one that is sparse, nested, quantised or without data.
    """
    if isinstance(example, Call):
        return example
    ways = [_in_order(model, call) for call in _readings(example) if _binds(model, call)]
    call = next(iter(ways), None) or next(_readings(example))
    _check(call, example, argument)
    if len(ways) > 1 and not isinstance(example, tuple):
        call = next((way for way in ways if _runs(model, way)), call)
    return call


def call_of_batch(model: nn.Module, batch: Any, argument: str = "batches") -> Call:
    """The call of `model` that a batch stands for, whatever follows its inputs.

    A tuple or list, as data loaders give it, begins with the inputs: the shortest beginning with
    which `model` can be called. Entries of a dict that `forward` does not know are left out.

    Raises:
        ArgumentError: as `call_of`.
    """
    if isinstance(batch, Mapping):
        pairs = dict(cast(Mapping[Any, Any], batch))
        known = {key: pairs[key] for key in signature_of(model).parameters if key in pairs}
        whole = any(_binds(model, call) for call in _readings(batch) if call.kwargs)
        return call_of(model, known if not whole and _binds(model, Call(**known)) else batch)
    if not isinstance(batch, tuple | list) or not batch:
        return call_of(model, batch, argument)
    items = cast(Sequence[Any], batch)
    if any(_binds(model, call) for call in _readings(items[0])):
        return call_of(model, items[0], argument)
    for size in range(2, len(items) + 1):
        if _binds(model, Call(*items[:size])):
            return call_of(model, tuple(items[:size]), argument)
    return call_of(model, batch, argument)


@contextlib.contextmanager
def taken(call: Call, argument: str) -> Iterator[None]:
    """Turn what a network raises within the block into an error about its inputs.

    Raises:
        ArgumentError: for any error but openwork's own; it names `argument`, and shapes and dtypes.
    """
    try:
        yield
    except OpenworkError:
        raise
    except Exception as error:
        # Any kind: it is the model's own code that raises.
        given = ", ".join(f"{tuple(t.shape)} {t.dtype}".replace("torch.", "") for t in call)
        raise ArgumentError(
            f"`{argument}` holds {given}, which the network does not take "
            f"({type(error).__name__}: {first_line(error)}); give what it is trained on"
        ) from error


def check_batches(batches: Any, argument: str = "batches") -> None:
    """It is something that gives batches one by one.

    Raises:
        ArgumentError: it is a single tensor, a text, a mapping or nothing to go through.
    """
    if isinstance(batches, torch.Tensor):
        raise ArgumentError(
            f"`{argument}` is one tensor {tuple(batches.shape)}, but must hold batches; put it "
            "into a list: [images]"
        )
    if not isinstance(batches, Iterable) or isinstance(batches, str | bytes | Mapping):
        raise ArgumentError(
            f"`{argument}` is a {type(batches).__name__}, but must hold batches, as a list or a "
            "DataLoader does"
        )


def check_dense(tensor: torch.Tensor, argument: str) -> None:
    """Refuse a tensor that holds no plain numbers.

    Raises:
        ArgumentError: it is nested, sparse, of mkldnn, quantised or on the meta device.
    """
    kind, way_out = "", ""
    if tensor.is_nested:
        kind, way_out = "nested", "pad it: torch.nested.to_padded_tensor(tensor, 0)"
    elif tensor.layout != torch.strided:
        kind = str(tensor.layout).removeprefix("torch.").removeprefix("_")
        way_out = "pass tensor.to_dense()"
    elif tensor.is_quantized:
        kind, way_out = "quantised", "pass tensor.dequantize()"
    elif tensor.is_meta:
        kind = "on the meta device, which holds no numbers"
        way_out = "pass torch.zeros_like(tensor, device='cpu')"
    if kind:
        raise ArgumentError(f"`{argument}` holds a tensor that is {kind}; {way_out}")


def signature_of(model: nn.Module) -> inspect.Signature:
    """The parameters of `model.forward`; any arguments if they cannot be told."""
    declared = getattr(model, "__signature__", None)
    if isinstance(declared, inspect.Signature):
        return declared
    try:
        return inspect.signature(model.forward)
    except (TypeError, ValueError):
        return inspect.signature(lambda *args, **kwargs: None)


def _readings(example: Any) -> Iterator[Call]:
    """The calls that `example` may stand for, the likeliest first."""
    if isinstance(example, tuple | list):
        yield Call(*cast(Sequence[Any], example))
    elif isinstance(example, Mapping):
        pairs = dict(cast(Mapping[Any, Any], example))
        if pairs and all(isinstance(key, str) for key in pairs):
            yield Call(**pairs)
    yield Call(example)


def _binds(model: nn.Module, call: Call) -> bool:
    try:
        signature_of(model).bind(*call.args, **call.kwargs)
    except TypeError:
        return False
    return True


def _in_order(model: nn.Module, call: Call) -> Call:
    """`call` with its keyword arguments in the order of the parameters."""
    names = list(signature_of(model).parameters)
    given = call.kwargs
    order = sorted(given, key=lambda name: names.index(name) if name in names else len(names))
    return Call(*call.args, **{name: given[name] for name in order})


@torch.no_grad()
def _runs(model: nn.Module, call: Call) -> bool:
    with contextlib.suppress(Exception), unchanged(model), evaluation(model):
        call.map(torch.Tensor.clone).run(model)
        return True
    return False


def _check(call: Call, example: Any, argument: str) -> None:
    if not len(call):
        what = type(example).__name__
        if isinstance(example, str | int | float):
            what = f"{what}, {example!r:.60}"
        elif isinstance(example, tuple | list | Mapping):
            what += " without a tensor"
        raise ArgumentError(f"`{argument}` is a {what}, but {_WAY_OUT}")
    for tensor in call:
        check_dense(tensor, argument)
