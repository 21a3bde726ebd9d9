"""From torch's exported graph to the engine's: each operator becomes a node, or a fallback."""

from collections import Counter
from typing import Any

import torch
from torch._ops import OpOverload
from torch.export.graph_signature import OutputKind
from torch.fx import Node as FxNode
from torch.fx.node import map_arg

from openwork.capture import Captured
from openwork.capture.mutation import written
from openwork.capture.operators import NotUnderstood, leaves
from openwork.capture.out_of_place import writes
from openwork.engine.fallback import Fallback
from openwork.engine.lower.context import Lowering
from openwork.engine.lower.functional import functional
from openwork.engine.lower.functions import FUNCTIONS
from openwork.engine.lower.norms import NORMS, REDUCTIONS
from openwork.engine.lower.pointwise import POINTWISE
from openwork.engine.lower.quantised import QUANTISED, narrow_weight
from openwork.engine.lower.rearrange import REARRANGED
from openwork.engine.lower.resample import RESAMPLED
from openwork.engine.lower.spatial import MAPS
from openwork.engine.lower.transposed import TRANSPOSED
from openwork.engine.lower.weights import LAYERS
from openwork.runtime.graph import Graph
from openwork.runtime.node import Node
from openwork.runtime.values import Value, root

_HANDLERS = {
    **LAYERS,
    **NORMS,
    **REDUCTIONS,
    **TRANSPOSED,
    **MAPS,
    **POINTWISE,
    **FUNCTIONS,
    **REARRANGED,
    **RESAMPLED,
}


@torch.no_grad()
def lower(captured: Captured) -> tuple[Graph, Lowering]:
    """The engine's graph of a captured network, and what each exported node became."""
    known = Lowering(captured)
    nodes: dict[Node, None] = {}
    inputs: list[Value] = []
    results: list[Any] = []
    for fx in captured.program.graph.nodes:
        if fx.op == "placeholder" and fx.name not in known.constants:
            inputs.append(known.add_input(fx))
        elif fx.op == "call_function" and not _fold(known, fx):
            # What several operators read in memory's order is made once.
            nodes |= dict.fromkeys(_call(known, fx))
        elif fx.op == "output":
            specs = captured.program.graph_signature.output_specs
            returned = [
                leaf
                for leaf, spec in zip(fx.args[0], specs, strict=True)
                if spec.kind == OutputKind.USER_OUTPUT
            ]
            nodes |= dict.fromkeys(_returned_copies(known, returned, inputs))
            results = [_result(known, leaf) for leaf in returned]
    return Graph(inputs, results, list(nodes)), known


def _call(known: Lowering, fx: FxNode) -> list[Node]:
    handler = _HANDLERS.get(fx.target) or QUANTISED.get(str(fx.target))
    try:
        if handler is None:
            raise NotUnderstood("not an operator that the engine has")
        made = handler(known, fx)
    except NotUnderstood as reason:
        return _fallbacks(known, fx, f"{fx.target}: {reason}")
    known.native.add(fx)
    if isinstance(made, Value):
        if fx.target in _COPIES or not known.copies.isdisjoint(fx.all_input_nodes):
            known.copies.add(fx)
        known.values[fx] = made
        return []
    if isinstance(made, tuple):
        nodes, known.values[fx] = made
        return nodes
    nodes = [made] if isinstance(made, Node) else made
    if fx in known.bytes:
        return nodes
    known.values[fx] = nodes[-1].output
    return nodes


# Operators that copy in torch, although the engine may use what they read as their result.
_COPIES = {torch.ops.aten.clone.default, torch.ops.aten.adaptive_avg_pool2d.default}


def _returned_copies(known: Lowering, returned: list[Any], inputs: list[Value]) -> list[Node]:
    """Add copies that were left out, where the caller could see that memory is shared."""
    leaves = [each for each in dict.fromkeys(returned) if known.values.get(each) is not None]
    held = Counter(root(value) for value in [*inputs, *(known.values[each] for each in leaves)])
    copies: list[Node] = []
    for leaf in leaves:
        if leaf in known.copies and held[root(known.values[leaf])] > 1:
            copies.append(_copy(known.values[leaf], f"{leaf.name}_copy", "returned"))
            known.values[leaf] = copies[-1].output
    return copies


def _fallbacks(known: Lowering, fx: FxNode, reason: str) -> list[Node]:
    """The operator as torch runs it, after copies of what it writes to."""
    target = functional(fx.target)  # type: ignore[arg-type]
    operands = {source: known.operand(source) for source in leaves((fx.args, fx.kwargs))}
    copies: list[Node] = []
    for source in dict.fromkeys(written(fx)) if writes(target) else ():
        copies.append(_copy(operands[source], f"{fx.name}_before", "written to"))
        operands[source] = copies[-1].output
    args, kwargs = map_arg((fx.args, fx.kwargs), lambda source: operands[source])
    found = [operands[source] for source in leaves((fx.args, fx.kwargs))]
    inputs = [operand for operand in found if isinstance(operand, Value)]
    known.values[fx] = output = known.value(fx)
    return [*copies, Fallback(inputs, output, target, args, kwargs, reason)]


def _copy(held: Any, name: str, why: str) -> Fallback:
    clone = torch.ops.aten.clone.default
    output = Value(held.shape if isinstance(held, Value) else tuple(held.shape[1:]), name)
    inputs = [held] if isinstance(held, Value) else []
    return Fallback(inputs, output, clone, (held,), {}, f"{clone}: {why}")


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
    held = narrow_weight(fx, known.constants)
    if held is not None:
        known.keep_narrow(fx, sources[0], held)
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
