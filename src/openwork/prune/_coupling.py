"""Which layers make a map and which read it, found by following labels through the network.

Each map that a layer makes gets a label. Shape operators are run on the labels themselves, sums
and products give both operands one label, and a layer that reads a label names the columns with
which it does. What mixes maps in another way fixes their labels: those maps cannot go.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.fx import Node
from torch.fx.node import map_arg

from openwork.errors import CaptureError
from openwork.nn._mode import evaluation

# What belongs to no map: constants, and zeros that pad.
NONE = -1


@dataclass
class Coupling:
    """How the maps of a network hang together.

    Attributes:
        made: layer -> label (out_channels,) of each map that it makes.
        read: layer -> label (groups, in_channels / groups) that each column reads.
        carriers: depthwise layers, whose maps have the label of the map that they read.
        norms: (scale of a batch normalisation, label of each of its channels) pairs.
        fixed: label -> why that map cannot go.
    """

    made: dict[str, np.ndarray] = field(default_factory=dict)
    read: dict[str, np.ndarray] = field(default_factory=dict)
    carriers: set[str] = field(default_factory=set)
    norms: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    fixed: dict[int, str] = field(default_factory=dict)


def coupling_of(model: nn.Module, example: torch.Tensor) -> Coupling:
    """Follow every map of `model` from its maker to its readers.

    Raises:
        CaptureError: torch.export cannot capture the network.
    """
    walk = _Walk(model, example)
    for node in walk.program.graph.nodes:
        walk.visit(node)
    return walk.coupling()


class _Walk:
    """The labels of each value, as far as the graph has been walked."""

    def __init__(self, model: nn.Module, example: torch.Tensor) -> None:
        self.program = _exported(model, example)
        self._names = self.program.graph_signature.inputs_to_parameters
        self._held = {**self.program.state_dict, **self.program.constants}
        self._labels: dict[Node, Any] = {}
        self._parents: list[int] = []
        self._reasons: dict[int, str] = {}
        self._found = Coupling()

    def coupling(self) -> Coupling:
        """All that was found, with one label for what is tied."""
        root = np.array([self._root(label) for label in range(len(self._parents))] + [NONE])
        found = self._found
        found.made = {name: root[labels] for name, labels in found.made.items()}
        found.read = {name: root[labels] for name, labels in found.read.items()}
        found.norms = [(scale, root[labels]) for scale, labels in found.norms]
        found.fixed = {int(root[label]): reason for label, reason in self._reasons.items()}
        return found

    def visit(self, node: Node) -> None:
        """Label what `node` gives."""
        if node.op == "output":
            map_arg(node.args, lambda n: self._fix(n, "is what the network returns"))
        elif node.op == "placeholder":
            inputs = self.program.graph_signature.user_inputs
            self._labels[node] = self._one(node, "is the network's input", node.name in inputs)
        elif node.op == "call_function":
            self._call(node)

    def _call(self, node: Node) -> None:
        schema = getattr(node.target, "_schema", None)
        name = schema.name.removeprefix("aten::") if schema is not None else "getitem"
        handler = _HANDLERS.get(name.rstrip("_"))
        if handler is not None:
            labels = handler(self, node)
            if labels is not None:
                self._labels[node] = labels
                return
        map_arg((node.args, node.kwargs), lambda n: self._fix(n, f"goes through {name}"))
        self._labels[node] = self._one(node, f"comes out of {name}", True)

    def labels(self, argument: Any) -> Any:
        """The labels of a value, `NONE` throughout for constants."""
        return self._labels[argument]

    def of_maps(self, argument: Any) -> torch.Tensor | None:
        """One label (channels,) for each map of a value, if it has maps along its second axis."""
        labels = self._labels[argument]
        if not isinstance(labels, torch.Tensor) or labels.dim() < 2:
            return None
        first = labels[(slice(0, 1), slice(None), *[slice(0, 1)] * (labels.dim() - 2))]
        return first.flatten() if bool((labels == first).all()) else None

    def new(self, count: int) -> torch.Tensor:
        """Labels (count,) that nothing has yet."""
        first = len(self._parents)
        self._parents += range(first, first + count)
        return torch.arange(first, first + count)

    def tie(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Give `a` and `b`, of shapes that broadcast, one label where they meet."""
        a, b = torch.broadcast_tensors(a, b)
        base = len(self._parents) + 1
        both = (a != b) & (a != NONE) & (b != NONE)
        for pair in torch.unique(a[both] * base + b[both]).tolist():
            x, y = self._root(pair // base), self._root(pair % base)
            self._parents[max(x, y)] = min(x, y)
        return torch.where(a == NONE, b, a)

    def fix(self, labels: torch.Tensor, reason: str) -> None:
        """Maps with these labels cannot go."""
        for label in torch.unique(labels).tolist():
            if label != NONE:
                self._reasons.setdefault(label, reason)

    def parameter(self, argument: Any) -> tuple[str, torch.Tensor] | None:
        """Name and value of the parameter behind `argument`."""
        name = self._names.get(argument.name) if isinstance(argument, Node) else None
        return (name, self._held[name]) if name is not None else None

    def layer(
        self, weight: Any, read: torch.Tensor, groups: int, filters: int
    ) -> torch.Tensor | None:
        """Note down that the layer of parameter `weight` reads `read`; the labels that it makes."""
        held = self.parameter(weight)
        if held is None:
            return None
        name = held[0].rpartition(".")[0]
        found = self._found
        columns = read.reshape(groups, -1).numpy()
        carries = groups == filters == read.numel()
        made = read if carries else self.new(filters)
        if name in found.made:
            # Called before: its one weight makes and reads all of these.
            columns = self.tie(
                torch.from_numpy(found.read[name]), torch.from_numpy(columns)
            ).numpy()
            made = self.tie(torch.from_numpy(found.made[name]), made)
        found.read[name], found.made[name] = columns, made.numpy()
        if carries:
            found.carriers.add(name)
        return made

    def norm(self, scale: Any, labels: torch.Tensor) -> None:
        """Note down that channels with `labels` are scaled by the parameter `scale`."""
        held = self.parameter(scale)
        if held is not None:
            self._found.norms.append((held[1].detach().cpu().double().numpy(), labels.numpy()))

    def _one(self, node: Node, reason: str, fixed: bool) -> Any:
        """The same label everywhere in what `node` gives: a fixed one, or `NONE`."""
        label = torch.tensor(NONE)
        if fixed:
            label = self.new(1)[0]
            self.fix(label, reason)
        held = node.meta.get("val")
        if isinstance(held, list | tuple):
            return [label.expand(_shape(part)) for part in held]
        return label.expand(_shape(held))

    def _fix(self, node: Node, reason: str) -> None:
        labels = self._labels.get(node)
        for part in labels if isinstance(labels, list | tuple) else [labels]:
            if part is not None:
                self.fix(part, reason)

    def _root(self, label: int) -> int:
        while self._parents[label] != label:
            self._parents[label] = self._parents[self._parents[label]]
            label = self._parents[label]
        return label


def _exported(model: nn.Module, example: torch.Tensor) -> torch.export.ExportedProgram:
    with evaluation(model), torch.no_grad(), warnings.catch_warnings():
        # torch.export warns of its own deprecated helpers.
        warnings.simplefilter("ignore")
        try:
            return torch.export.export(model, (example,), strict=False)
        except Exception as error:
            # torch raises many kinds here; all mean that maps cannot be followed.
            raise CaptureError(
                f"torch.export cannot capture {type(model).__name__}, so its maps cannot be "
                f"followed: {error}. Cut kernels, which need no graph: `granularity`='kernel'"
            ) from error


def _shape(held: Any) -> tuple[int, ...]:
    return tuple(held.shape) if isinstance(held, torch.Tensor) else ()


def _arguments(node: Node) -> Mapping[str, Any]:
    """Arguments by the names in the operator's schema, defaults included."""
    schema = node.target._schema.arguments  # type: ignore[union-attr]
    given = dict(zip((argument.name for argument in schema), node.args, strict=False))
    return {a.name: a.default_value for a in schema if a.has_default_value()} | given | node.kwargs


def _convolution(walk: _Walk, node: Node) -> torch.Tensor | None:
    given, maps = _arguments(node), walk.of_maps(node.args[0])
    if maps is None or node.meta["val"].dim() != 4:
        return None
    filters = node.meta["val"].shape[1]
    return _spread(walk.layer(given["weight"], maps, given["groups"], filters), node)


def _linear(walk: _Walk, node: Node) -> torch.Tensor | None:
    features = walk.labels(node.args[0])
    if features.dim() < 2:
        return None
    read = features.reshape(-1, features.shape[-1])[0]
    if not bool((features == read).all()):
        return None
    made = walk.layer(_arguments(node)["weight"], read, 1, node.meta["val"].shape[-1])
    return None if made is None else made.expand(node.meta["val"].shape)


def _batch_norm(walk: _Walk, node: Node) -> torch.Tensor | None:
    maps = walk.of_maps(node.args[0])
    if maps is not None:
        walk.norm(_arguments(node)["weight"], maps)
    return _spread(maps, node)


def _each_map(walk: _Walk, node: Node) -> torch.Tensor | None:
    """Operators that treat each map by itself: pools, resampling, reductions over positions."""
    if node.meta["val"].dim() != walk.labels(node.args[0]).dim():
        return None
    return _spread(walk.of_maps(node.args[0]), node)


def _reduction(walk: _Walk, node: Node) -> torch.Tensor | None:
    """Means and maxima over axes that are not that of the maps."""
    given, maps = _arguments(node), walk.of_maps(node.args[0])
    rank = walk.labels(node.args[0]).dim()
    axes = {axis % rank for axis in given["dim"] or range(rank)}
    return None if axes & {0, 1} else _spread(maps, node)


def _elementwise(walk: _Walk, node: Node) -> torch.Tensor | None:
    operands: list[torch.Tensor] = []
    map_arg((node.args, node.kwargs), lambda n: operands.append(walk.labels(n)))
    shape = node.meta["val"].shape
    tied = torch.tensor(NONE).expand(shape)
    for operand in operands:
        if len(shape) > 1 and operand.dim() == len(shape) and operand.shape[1] < shape[1]:
            # One map for all others, as spatial attention has it: it stays, they are free.
            walk.fix(operand, "is shared by several maps")
        else:
            tied = walk.tie(tied, operand)
    return tied


def _rearranged(walk: _Walk, node: Node) -> Any:
    """Operators that only move numbers are run on the labels."""
    args, kwargs = map_arg((node.args, node.kwargs), walk.labels)
    moved: Any = node.target
    return moved(*args, **kwargs)


def _padded(walk: _Walk, node: Node) -> torch.Tensor:
    moved: Any = torch.nn.functional.pad
    return moved(walk.labels(node.args[0]), list(_arguments(node)["pad"]), value=NONE)


def _spread(maps: torch.Tensor | None, node: Node) -> torch.Tensor | None:
    """One label a map (channels,) over all of what `node` gives."""
    shape = node.meta["val"].shape
    if maps is None or len(maps) != shape[1]:
        return None
    return maps.reshape(1, -1, *[1] * (len(shape) - 2)).expand(shape)


def _by_name(handler: Callable[[_Walk, Node], Any], names: str) -> dict[str, Any]:
    return dict.fromkeys(names.split(), handler)


_HANDLERS: dict[str, Callable[[_Walk, Node], Any]] = {
    **_by_name(_convolution, "conv2d openwork::sparse_conv2d"),
    **_by_name(_linear, "linear openwork::sparse_linear"),
    **_by_name(_batch_norm, "batch_norm"),
    **_by_name(
        _each_map,
        "max_pool2d avg_pool2d adaptive_avg_pool2d adaptive_max_pool2d upsample_nearest2d "
        "upsample_bilinear2d upsample_bicubic2d reflection_pad2d replication_pad2d",
    ),
    **_by_name(_reduction, "mean amax"),
    **_by_name(
        _elementwise,
        "relu relu6 leaky_relu prelu elu selu celu gelu silu mish tanh sigmoid hardtanh "
        "hardsigmoid hardswish softplus dropout feature_dropout clamp clamp_min clamp_max "
        "add sub rsub mul div pow sqrt exp neg abs maximum minimum clone contiguous to "
        "_to_copy detach alias lift_fresh_copy",
    ),
    **_by_name(
        _rearranged,
        "view reshape _unsafe_view flatten unflatten permute transpose squeeze unsqueeze expand "
        "expand_as slice select narrow split split_with_sizes chunk unbind cat stack "
        "channel_shuffle getitem",
    ),
    **_by_name(_padded, "pad constant_pad_nd"),
}
