"""`compile`: capture, fold, fuse, choose kernels by measuring, check."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from openwork.capture import Captured, capture
from openwork.engine.compiled import CompiledModel
from openwork.engine.fuse import fuse
from openwork.engine.graph import Conv, Graph, Island, Node, root
from openwork.engine.lower import lower
from openwork.engine.lowering import Lowering
from openwork.engine.program import Native, Segment, TorchConv, TorchOperator
from openwork.engine.race import TORCH
from openwork.engine.tune import Choice, Tuner, choices_path, given, problem_of
from openwork.engine.verify import verify
from openwork.kernels.dispatch import candidates
from openwork.kernels.native import extension as _C
from openwork.nn import LayerTable
from openwork.patterns._checks import check_choice


def compile(
    model: nn.Module,
    example: torch.Tensor | Sequence[torch.Tensor],
    *,
    optimize: str = "speed",
    tolerance: float = 1e-3,
    kernels: Mapping[str, str | Sequence[str]] | None = None,
) -> CompiledModel:
    """A copy of `model` for inference on this CPU, its outputs checked against the original's.

    Sparse layers, and dense layers that hold zeroed kernels, run on kernels that skip what is
    dead; each layer's kernel is chosen by measuring it here, against torch's dense convolution
    too, and remembered for the next time. What the engine does not know stays with torch.

    Args:
        model: any module that torch.export captures; it is not changed.
        example: an input batch (or several tensors), float32 on the CPU. Kernels are chosen for
            its sizes and for as many threads as torch uses now.
        optimize: "speed" (default), or "memory", which leaves out kernels that keep transformed
            weights, four times as large.
        tolerance: largest difference allowed, relative to the largest output, default 1e-3.
            Winograd kernels differ by about 1e-5 from direct ones.
        kernels: what runs which layers, for those that shall not be measured: a glob over layer
            names -> a glob over kernel names ("torch" among them), or several, the first that can
            run the layer. `{"*": "f32-conv-taps-*"}` measures nothing.

    Returns:
        The compiled network; `.layers` is the table of what was chosen.

    Raises:
        CaptureError: torch cannot capture the network.
        VerificationError: the outputs differ by more than `tolerance`.
        ArgumentError: unknown `optimize`, `kernels` that cannot run a layer, or an example that is
            no float32 batch on the CPU.
    """
    check_choice("optimize", optimize, ("speed", "memory"))
    inputs = (example,) if isinstance(example, torch.Tensor) else tuple(example)
    captured = capture(model, inputs)
    isa = _C.chosen_isa()
    tuner = Tuner(len(inputs[0]), torch.get_num_threads(), optimize, isa, choices_path())
    compiled = assemble(captured, lambda n: given(n, kernels or {}, isa) or tuner.choose(n), isa)
    tuner.keep()
    compiled.difference = verify(model, compiled, inputs, captured.batch is None, tolerance)
    return compiled.eval()


def assemble(captured: Captured, choose: Callable[[Conv], Choice], isa: str) -> CompiledModel:
    """The compiled network, not yet compared with the original.

    Args:
        captured: the network.
        choose: what runs a layer.
        isa: instruction set.
    """
    graph, known = lower(captured)
    remove_unread(graph)
    fuse(graph)
    choices = {id(node): choose(node) for node in graph.nodes if isinstance(node, Conv)}
    return CompiledModel(
        graph,
        _segments(graph, choices, known, isa),
        captured.program.call_spec.out_spec,
        captured.batch,
        _table(graph, choices),
    )


def remove_unread(graph: Graph) -> None:
    """Take away nodes that the results do not depend on."""
    needed = {id(root(value)) for value in graph.outputs}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if id(root(node.output)) in needed:
            kept.append(node)
            needed |= {id(root(value)) for value in node.inputs}
    graph.nodes = kept[::-1]


def _segments(
    graph: Graph,
    choices: dict[int, Choice],
    known: Lowering,
    isa: str,
) -> list[Segment]:
    groups: list[list[Node]] = []
    for node in graph.nodes:
        if _is_native(node, choices) and groups and _is_native(groups[-1][-1], choices):
            groups[-1].append(node)
        else:
            groups.append([node])
    segments: list[Segment] = []
    wanted = {id(root(value)) for value in graph.outputs}
    for group in reversed(groups):
        first = group[0]
        if isinstance(first, Island):
            segments.append(TorchOperator(first, known))
        elif not _is_native(first, choices) and isinstance(first, Conv):
            segments.append(TorchConv(first))
        else:
            convs = [node for node in group if isinstance(node, Conv)]
            layers = {id(conv): _pack(conv, choices[id(conv)].name, isa) for conv in convs}
            segments.append(Native(group, layers, wanted, isa))
        wanted |= {id(root(value)) for node in group for value in node.inputs}
    return segments[::-1]


def _is_native(node: Node, choices: dict[int, Choice]) -> bool:
    if isinstance(node, Island):
        return False
    return not isinstance(node, Conv) or choices[id(node)].name != TORCH


def _pack(conv: Conv, name: str, isa: str) -> Any:
    problem = problem_of(conv)
    chosen = next(c for c in candidates(problem, isa) if c.name == name)
    return chosen.build(problem)


def _times(choice: Choice) -> tuple[float | None, float | None, float | None]:
    """Milliseconds, torch's milliseconds, and their ratio."""
    if choice.seconds is None or choice.torch_seconds is None:
        return None, None, None
    return 1e3 * choice.seconds, 1e3 * choice.torch_seconds, choice.torch_seconds / choice.seconds


def _table(graph: Graph, choices: dict[int, Choice]) -> LayerTable:
    rows = []
    for node in graph.nodes:
        if isinstance(node, Conv):
            choice = choices[id(node)]
            rows.append(
                (
                    node.layer,
                    "x".join(map(str, node.shape)),
                    "x".join(map(str, node.size)),
                    node.density,
                    choice.name,
                    *_times(choice),
                )
            )
    columns = ("layer", "weight", "map", "density", "kernel", "ms", "torch ms", "ratio")
    islands: dict[str, int] = {}
    for node in graph.nodes:
        if isinstance(node, Island):
            islands[node.reason] = islands.get(node.reason, 0) + 1
    notes = tuple(f"left to torch, {count} times: {why}" for why, count in islands.items())
    return LayerTable(columns, tuple(rows), notes=notes)
