"""From torch's exported graph to the engine's: known operators become nodes, others islands."""

from typing import Any

import torch
from torch._ops import OpOverload
from torch.export.graph_signature import OutputKind
from torch.fx import Node as FxNode
from torch.fx.node import map_arg

from openwork.capture import Captured
from openwork.capture.nodes import leaves
from openwork.engine.graph import Graph, Island, Node, Value
from openwork.engine.lower_layers import LAYERS
from openwork.engine.lower_maps import MAPS
from openwork.engine.lowering import Lowering, Unknown

_HANDLERS = {**LAYERS, **MAPS}


@torch.no_grad()
def lower(captured: Captured) -> tuple[Graph, Lowering]:
    """The engine's graph of a captured network, and what each exported node became."""
    known = Lowering(captured)
    nodes: list[Node] = []
    inputs: list[Value] = []
    results: list[Any] = []
    for fx in captured.program.graph.nodes:
        if fx.op == "placeholder" and fx.name not in known.constants:
            inputs.append(known.add_input(fx))
        elif fx.op == "call_function" and not _fold(known, fx):
            nodes += _call(known, fx)
        elif fx.op == "output":
            specs = captured.program.graph_signature.output_specs
            results = [
                _result(known, leaf)
                for leaf, spec in zip(fx.args[0], specs, strict=True)
                if spec.kind == OutputKind.USER_OUTPUT
            ]
    return Graph(inputs, results, nodes), known


def _call(known: Lowering, fx: FxNode) -> list[Node]:
    handler = _HANDLERS.get(fx.target)
    try:
        if handler is None:
            raise Unknown("not an operator that the engine has")
        made = handler(known, fx)
    except Unknown as reason:
        known.values[fx] = output = known.value(fx)
        inputs = [known.values[a] for a in leaves((fx.args, fx.kwargs)) if a in known.values]
        target: Any = fx.target
        args, kwargs = map_arg((fx.args, fx.kwargs), known.operand)
        return [Island(inputs, output, target, args, kwargs, f"{target}: {reason}")]
    known.native.add(fx)
    if isinstance(made, Value):
        known.values[fx] = made
        return []
    known.values[fx] = made.output
    return [made]


def _fold(known: Lowering, fx: FxNode) -> bool:
    """Compute now what depends on no input, such as standardised weights."""
    sources = leaves((fx.args, fx.kwargs))
    target: Any = fx.target
    if not all(source.name in known.constants for source in sources):
        return False
    if isinstance(target, OpOverload) and torch.Tag.nondeterministic_seeded in target.tags:
        return False
    if any(not isinstance(known.constants[source.name], _FOLDABLE) for source in sources):
        return False
    args, kwargs = map_arg((fx.args, fx.kwargs), lambda source: known.constants[source.name])
    known.constants[fx.name] = target(*args, **kwargs)
    return True


_FOLDABLE = (torch.Tensor, int, float, tuple, list)


def _result(known: Lowering, leaf: Any) -> Any:
    """A value, or the constant that the network returns."""
    if not isinstance(leaf, FxNode):
        return leaf
    if leaf in known.values:
        return known.values[leaf]
    held = known.constants[leaf.name]
    return held.detach().clone() if isinstance(held, torch.Tensor) else held
