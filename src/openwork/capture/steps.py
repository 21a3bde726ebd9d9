"""`Steps`: a graph of torch as plain data that runs, one call after another."""

# Not fx.GraphModule: that prints a traceback wherever a call fails, also where that is expected,
# and torch.export ignores the forward that `capture` gives a twin.

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Self

from torch import fx, nn

__all__ = ["Result", "Step", "Steps", "results_in"]


@dataclass(frozen=True)
class Step:
    """One call of a function, of a module, or of nothing, for a parameter or buffer.

    Attributes:
        name: of the result.
        function: None where `target` is run.
        target: path of a module, parameter or buffer.
        args, kwargs: with a `Result` in the place of each earlier result.
        last: results that nothing reads afterwards.
    """

    name: str
    function: Any
    target: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    last: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """What an earlier step gave.

    Attributes:
        name: of it.
    """

    name: str


@dataclass(frozen=True)
class Steps:
    """What a network runs.

    Attributes:
        inputs: names of the inputs, in order.
        steps: one after another.
        results: nested, with a `Result` for each computed one.
    """

    inputs: tuple[str, ...]
    steps: tuple[Step, ...]
    results: Any

    @classmethod
    def of(cls, graph: fx.Graph) -> Self:
        """Those of `graph`, from which nodes that nothing reads are erased."""
        nodes = _read(graph)
        given = [node.name for node in nodes if node.op == "placeholder"]
        run = [node for node in nodes if node.op not in ("placeholder", "output")]
        return cls(tuple(given), _steps(run), _with_results(nodes[-1].args[0]))

    def run(self, network: nn.Module, given: Sequence[Any]) -> Any:
        """What they give for `given` inputs; modules, parameters and buffers are `network`'s."""
        known: dict[str, Any] = dict(zip(self.inputs, given, strict=True))
        for step in self.steps:
            run = step.function
            if run is None:
                run = attrgetter(step.target)(network)
            if isinstance(run, nn.Module) or step.function is not None:
                known[step.name] = run(
                    *_filled(step.args, known),
                    **{name: _filled(each, known) for name, each in step.kwargs.items()},
                )
            else:
                known[step.name] = run
            for name in step.last:
                del known[name]
        return _filled(self.results, known)


def results_in(argument: Any) -> set[str]:
    """Names of the results in a nested argument."""
    if isinstance(argument, Result):
        return {argument.name}
    if isinstance(argument, Mapping):
        argument = list(argument.values())
    if isinstance(argument, list | tuple):
        return set().union(*map(results_in, argument))
    return set()


def _filled(argument: Any, known: Mapping[str, Any]) -> Any:
    if isinstance(argument, Result):
        return known[argument.name]
    if isinstance(argument, list):
        return [_filled(each, known) for each in argument]
    if isinstance(argument, tuple):
        return tuple(_filled(each, known) for each in argument)
    return argument


def _read(graph: fx.Graph) -> list[fx.Node]:
    """The nodes whose results are read."""
    for node in reversed(list(graph.nodes)):
        if not node.users and node.op not in ("placeholder", "output"):
            graph.erase_node(node)
    return list(graph.nodes)


def _steps(nodes: Sequence[fx.Node]) -> tuple[Step, ...]:
    order = {node: index for index, node in enumerate(nodes)}
    # What the network gives is kept to the end.
    last: dict[int, list[str]] = {index: [] for index in order.values()}
    for node in nodes:
        if all(user in order for user in node.users):
            last[max(order[user] for user in node.users)].append(node.name)
    return tuple(
        Step(
            node.name,
            node.target if node.op == "call_function" else None,
            "" if node.op == "call_function" else str(node.target),
            tuple(_with_results(each) for each in node.args),
            {name: _with_results(each) for name, each in node.kwargs.items()},
            tuple(last[index]),
        )
        for index, node in enumerate(nodes)
    )


def _with_results(argument: Any) -> Any:
    if isinstance(argument, fx.Node):
        return Result(argument.name)
    if isinstance(argument, list | tuple):
        changed = [_with_results(each) for each in argument]
        return changed if isinstance(argument, list) else tuple(changed)
    return argument
