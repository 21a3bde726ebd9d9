"""What the handlers of operators share: layouts and weights so far, and how to decline."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, final

import numpy as np
import torch
from torch import nn
from torch.fx import Node
from torch.fx.node import map_arg

from openwork.capture import Captured
from openwork.capture.operators import NotUnderstood, leaves
from openwork.flow.atoms import Atoms, Layout
from openwork.flow.op import Apply, Layouts, Movement, Op, Source
from openwork.flow.weighted_sum import Weight

__all__ = ["Opaque"]


@final
class Opaque(Op):
    """An operator that is not understood, or the network's output.

    It reads all its inputs, and none of their channels can be removed.
    """

    def __init__(
        self, atoms: Atoms, node: Node, sources: Sequence[Source], inputs: Layouts, outputs: Layouts
    ) -> None:
        self.node, self.sources, self.inputs, self.outputs = node, sources, inputs, outputs
        for layout in inputs:
            atoms.freeze(layout.ids)

    def propagate_liveness(self, atoms: Atoms, live: np.ndarray) -> None:
        for layout in self.inputs:
            live[layout.ids] = True

    def reinfer(self, inputs: Layouts, gone: np.ndarray) -> Layouts:
        return self.outputs


class AnalysisContext:
    """What is known so far of a captured network.

    Attributes:
        atoms: of all its tensors.
        ops: its operators, in order.
        weights: qualified name of a parameter -> the weight of a convolution or linear layer.
        vectors: qualified name of a parameter or buffer with one axis -> its layout.
        constant_layouts: the layouts of parameters, buffers and constants.
        layouts: the same, and the layouts of all results so far.
        names: placeholder -> qualified name.
        constants: placeholder or attribute -> the tensor behind it.
        model: the network that was captured.
        uses: name of a node -> how many nodes read it.
    """

    def __init__(self, captured: Captured, model: nn.Module) -> None:
        self.atoms = Atoms()
        self.ops: list[Op] = []
        self.weights: dict[str, Weight] = {}
        self.vectors: dict[str, Layout] = {}
        self.constants = captured.constants
        self.names = captured.names
        self.constant_layouts: dict[Source, Layout] = {}
        self.layouts: dict[Source, Layout] = {}
        self.model = model
        self.uses = Counter(
            source.name for node in captured.program.graph.nodes for source in node.all_input_nodes
        )
        self._aliases: dict[Node, Source] = {}
        self._own = {name for name, _ in [*model.named_parameters(), *model.named_buffers()]}
        self._read_whole: set[str] = set()
        self._profiles: dict[tuple[str, int], int] = {}

    def source(self, node: Node) -> Source:
        """The tensor that `node` stands for."""
        return self._aliases.get(node, (node, 0))

    def alias(self, node: Node, of: Source) -> None:
        """Record that `node` stands for a tensor that exists already."""
        self._aliases[node] = of

    def input(self, argument: Any) -> Layout:
        """The layout of the tensor `argument`."""
        if not isinstance(argument, Node):
            raise NotUnderstood(f"{argument!r} is not a tensor of the graph")
        source = self.source(argument)
        if source not in self.layouts:
            if argument.name not in self.constants:
                raise NotUnderstood(f"{argument} has no layout")
            self.layouts[source] = self.constant_layouts[source] = self._constant(argument)
        return self.layouts[source]

    def _constant(self, node: Node) -> Layout:
        """The layout of a parameter, buffer or constant; its atoms have known values."""
        name, tensor = self.names.get(node.name), self.constants[node.name]
        if not isinstance(tensor, torch.Tensor):
            raise NotUnderstood(f"{node} is not a tensor")
        if tensor.numel() != max([1, *tensor.shape]) or not tensor.is_floating_point():
            if name is not None:
                self._read_whole.add(name)
            return Layout.unknown(tuple(tensor.shape))
        values = tensor.detach().double().reshape(-1).numpy()
        layout = Layout(tuple(tensor.shape), self.atoms.new(values).reshape(tensor.shape))
        if name is None or name not in self._own:
            self.atoms.freeze(layout.ids)
        else:
            self.vectors[name] = layout
        return layout

    def require_uniform(self, argument: Any) -> None:
        """Keep the channels of `argument` whose constant differs from place to place.

        Once numbers move within a feature map, the constants of two such channels are no longer
        multiples of each other, so that neither could absorb the other.
        """
        ids = np.unique(self.input(argument).ids)
        self.atoms.freeze(ids[self.atoms.profile[ids] != 0])

    def new_profiles(self, node: Node, profiles: np.ndarray) -> np.ndarray:
        """The profiles (n,) of the results of `node` for inputs with these profiles (n,)."""
        numbers = [
            self._profiles.setdefault((node.name, n), len(self._profiles) + 1)
            for n in profiles.tolist()
        ]
        return np.array(numbers, dtype=np.int64)

    def tensor(self, argument: Any) -> torch.Tensor | None:
        """The parameter or buffer behind `argument`; None for None.

        Raises:
            NotUnderstood: it is computed.
        """
        if argument is None:
            return None
        tensor = self.constants.get(argument.name) if isinstance(argument, Node) else None
        if not isinstance(tensor, torch.Tensor):
            raise NotUnderstood(f"{argument} is computed")
        return tensor.detach()

    def parameter_name(self, argument: Node) -> str:
        """The qualified name of the model's own parameter or buffer behind `argument`."""
        name = self.names.get(argument.name)
        if name is None or name not in self._own:
            raise NotUnderstood(f"{argument} is not a parameter or buffer of the model")
        return name

    def used_once(self, *arguments: Any) -> bool:
        """Whether each parameter among `arguments` is used once."""
        return all(self.uses[a.name] == 1 for a in arguments if isinstance(a, Node))

    def add(self, op: Op) -> None:
        """Record `op` and the layouts of its results."""
        self.ops.append(op)
        for index, layout in enumerate(op.outputs):
            self.layouts[(op.node, index)] = layout

    def movement(
        self,
        node: Node,
        arguments: Sequence[Any],
        apply: Apply,
        rows: np.ndarray | None = None,
    ) -> Movement:
        """The op that passes on the atoms of the tensors `arguments`; see `Movement`."""
        inputs = [self.input(argument) for argument in arguments]
        try:
            return Movement(node, self.sources(arguments), inputs, apply, rows)
        except (RuntimeError, ValueError, IndexError):
            raise NotUnderstood(f"{node} does not work on layouts") from None

    def sources(self, arguments: Sequence[Any]) -> list[Source]:
        """The tensors behind `arguments`."""
        return [self.source(argument) for argument in arguments]

    def opaque(self, node: Node) -> Opaque:
        """The op for an operator that is not understood."""
        arguments = [a for a in leaves((node.args, node.kwargs)) if self._is_tensor(a)]
        inputs = [self.input(a) for a in arguments]
        outputs = [Layout.unknown(shape) for shape in shapes(node)]
        return Opaque(self.atoms, node, self.sources(arguments), inputs, outputs)

    def _is_tensor(self, node: Node) -> bool:
        if isinstance(self.constants.get(node.name), torch.Tensor):
            return True
        return self.source(node) in self.layouts

    def finish(self) -> None:
        """Keep the channels of weights that are also read by other operators than layers."""
        for name in (self._read_whole | self.vectors.keys()) & self.weights.keys():
            self.atoms.freeze(self.weights[name].out)
            self.atoms.freeze(self.weights[name].inside)
            if name in self.vectors:
                self.atoms.freeze(self.vectors[name].ids)


def shapes(node: Node) -> list[tuple[int, ...]]:
    """The shapes of the results of `node`, with the example's batch size."""
    results = node.meta.get("val")
    several = results if isinstance(results, list | tuple) else [results]
    return [
        tuple(number(n) for n in tensor.shape) if isinstance(tensor, torch.Tensor) else ()
        for tensor in several
    ]


def number(value: Any) -> Any:
    """A size; a symbolic one as it is for the example."""
    return value.node.hint if isinstance(value, torch.SymInt) else value


def concrete(arguments: Any) -> Any:
    """Nested `arguments` with sizes in place of the nodes that compute them."""

    def size(node: Node) -> Any:
        value = number(node.meta.get("val"))
        if not isinstance(value, int | float | bool):
            raise NotUnderstood(f"{node} is not a number")
        return value

    return map_arg(arguments, size)
