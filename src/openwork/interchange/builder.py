"""`Builder`: the graph and the modules of a network that is read from an ONNX file."""

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch.fx.node import map_arg

from openwork.interchange.limited import Limited
from openwork.interchange.names import identifier, module_name
from openwork.interchange.onnx_node import OnnxNode
from openwork.interchange.values import Constant, ShapeNumbers, Value, as_constant

_ATTRIBUTES = frozenset(dir(nn.Module())) | {"inputs"}


class Builder:
    """Adds to a graph what handlers ask for; what depends on constants only is computed at once.

    Attributes:
        graph: what the network runs.
        root: holds the modules, parameters and buffers.
    """

    def __init__(self) -> None:
        self.graph = fx.Graph()
        self.root = nn.Module()
        self._tensors: dict[Any, fx.Node] = {}
        self._parameters: dict[Any, nn.Parameter] = {}
        self._kept: list[Constant] = []

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What `function` gives: a node, or, where no argument is one, a constant or number.

        Args:
            function: of this package or torch, which tracing passes through.
            args, kwargs: values, numbers, and lists of them; sizes as tensors.
        """
        given: list[fx.Node] = []
        plain = [self._resolved(each) for each in args]
        named = {name: self._resolved(each) for name, each in kwargs.items()}
        map_arg((tuple(plain), named), given.append)
        if not given:
            return self._computed(function, _constants(plain), _constants(named))
        nodes = [self._as_nodes(each) for each in plain]
        more = {name: self._as_nodes(each) for name, each in named.items()}
        return self.graph.call_function(function, tuple(nodes), more)

    def number(self, function: Callable[..., Any], *args: Any) -> Any:
        """What `function` gives for numbers, and nodes that give a number."""
        if any(isinstance(each, fx.Node) for each in args):
            return self.graph.call_function(function, args)
        return function(*args)

    def size(self, value: Value, axis: int) -> Any:
        """The size of an axis: a number, or a node that gives it."""
        if isinstance(value, Constant):
            return value.tensor.shape[axis]
        return self.number(torch.Tensor.size, self.tensor(value), axis)

    def tensor(self, value: Value) -> fx.Node:
        """`value` as a node that gives a tensor."""
        if isinstance(value, fx.Node):
            return value
        constant = as_constant(value)
        if constant is None and isinstance(value, ShapeNumbers):
            node = self.call(tensor_of_sizes, list(value.items), value.scalar, value.dtype)
            return with_rank(node, 0 if value.scalar else 1)
        held = value if isinstance(value, Constant) else Constant(constant)  # type: ignore[arg-type]
        # By its contents' place: nodes that share an initialiser share the parameter.
        key = held.tensor.data_ptr(), tuple(held.tensor.shape), held.tensor.dtype
        if key not in self._tensors:
            self._kept.append(held)
            name = self._free(self.root, identifier(held.name or "constant"))
            if _trains(held.tensor):
                self.root.register_parameter(name, self.parameter(held))
            else:
                self.root.register_buffer(name, held.tensor)
            node = self.graph.get_attr(name)
            self._tensors[key] = with_rank(node, held.tensor.dim())
        return self._tensors[key]

    def buffer(self, constant: Constant) -> fx.Node:
        """A node for a tensor that does not train, of any type."""
        name = self._free(self.root, identifier(constant.name or "constant"))
        self.root.register_buffer(name, constant.tensor)
        return with_rank(self.graph.get_attr(name), constant.tensor.dim())

    def parameter(self, constant: Constant, change: str = "") -> nn.Parameter:
        """The parameter of a constant: the same one for the same constant and `change`.

        Args:
            constant: as the file holds it.
            change: what was done to it, such as "transposed".
        """
        key = (constant.name, change) if constant.name else (id(constant), change)
        if key not in self._parameters:
            self._kept.append(constant)
            self._parameters[key] = nn.Parameter(constant.tensor)
        found = self._parameters[key]
        if found.shape != constant.tensor.shape:
            # Read in two shapes, as a bias of (n,) and of (1, n).
            return nn.Parameter(constant.tensor)
        return found

    def module(
        self, module: nn.Module, node: OnnxNode, value: Value, weight: str = "", *, rank: int = -1
    ) -> Any:
        """What `module` gives for `value`.

        Args:
            module: becomes part of the network.
            node: gives it its name.
            value: its input.
            weight: the name of its weight, which may say what it was called.
            rank: of the result; -1 (default) for that of the input.
        """
        if not any(True for _ in module.parameters()):
            constant = as_constant(value)
            if constant is not None:
                return self._computed(module.eval(), (constant,), {})
        path = module_name(node.operator, node.name, weight)
        owner = self.root
        *scopes, last = path.split(".")
        for scope in scopes:
            owner = self._container(owner, scope)
        name = self._free(owner, last)
        owner.add_module(name, module.eval())
        target = ".".join([*self._path(owner), name])
        source = self.tensor(value)
        found = self.graph.call_module(target, (source,))
        return with_rank(found, rank if rank >= 0 else rank_of(source))

    def _container(self, owner: nn.Module, scope: str) -> nn.Module:
        """The module `scope` within `owner` that holds others, made if needed."""
        found = owner._modules.get(scope)
        if type(found) is nn.Module:
            return found
        name = self._free(owner, scope)
        owner.add_module(name, nn.Module())
        return owner.get_submodule(name)

    def _path(self, owner: nn.Module) -> list[str]:
        path = next(name for name, module in self.root.named_modules() if module is owner)
        return path.split(".") if path else []

    @staticmethod
    def _free(owner: nn.Module, name: str) -> str:
        """`name`, or with a number behind it if `owner` has something of that name."""
        free, count = name, 1
        while free in _ATTRIBUTES or hasattr(owner, free):
            count += 1
            free = f"{name}_{count}"
        return free

    def _resolved(self, argument: Any) -> Any:
        """Sizes that are tensors for ONNX, as tensors."""
        if isinstance(argument, ShapeNumbers):
            constant = as_constant(argument)
            return self.tensor(argument) if constant is None else Constant(constant)
        if isinstance(argument, list | tuple):
            return [self._resolved(each) for each in argument]
        return argument

    def _as_nodes(self, argument: Any) -> Any:
        if isinstance(argument, Constant):
            return self.tensor(argument)
        if isinstance(argument, list):
            return [self._as_nodes(each) for each in argument]
        return argument

    def _computed(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        with torch.no_grad(), Limited():
            return _wrapped(function(*args, **kwargs))


def with_rank(node: Any, rank: int) -> Any:
    """`node`, of which it is known that its tensor has at least `rank` axes."""
    if isinstance(node, fx.Node):
        node.meta["rank"] = rank
    return node


def rank_of(value: Any) -> int:
    """How many axes the tensor has at least."""
    if isinstance(value, Constant):
        return value.tensor.dim()
    if isinstance(value, ShapeNumbers):
        return 0 if value.scalar else 1
    return value.meta.get("rank", 0)


def tensor_of_sizes(items: list[Any], scalar: bool, dtype: torch.dtype) -> torch.Tensor:
    """Numbers that are known when the network runs, as a tensor."""
    if not items:
        return torch.zeros(0, dtype=dtype)
    each = [torch.full((), item, dtype=dtype) for item in items]
    return each[0] if scalar else torch.stack(each)


def item(values: Any, index: int) -> Any:
    """One of the results of a call of several."""
    return operator.getitem(values, index)


def _trains(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() and tensor.numel() > 1


def _constants(argument: Any) -> Any:
    if isinstance(argument, Constant):
        return argument.tensor
    if isinstance(argument, list):
        return [_constants(each) for each in argument]
    if isinstance(argument, dict):
        return {name: _constants(each) for name, each in argument.items()}
    return argument


def _wrapped(found: Any) -> Any:
    if isinstance(found, torch.Tensor):
        return Constant(found.detach().clone().contiguous())
    if isinstance(found, list | tuple):
        return tuple(_wrapped(each) for each in found)
    return found
