"""Operators that the engine leaves to torch."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from openwork.engine.graph import Alias, Island, Value, root
from openwork.engine.program import Environment, step_of


class TorchOperator:
    """One operator, run by torch."""

    def __init__(self, island: Island) -> None:
        self._target: Any = island.target
        self._arguments = plain((island.args, island.kwargs))
        self._output = root(island.output)
        self.reads = [root(value) for value in island.inputs]
        self.steps = [step_of(island)]

    def run(
        self, held: Environment, batch: int, threads: int, seconds: np.ndarray | None = None
    ) -> None:
        """Compute the output from what is held."""
        began = time.perf_counter()

        def fetch(leaf: Any) -> Any:
            if isinstance(leaf, Alias):
                return held[leaf.of].contiguous().view(batch, *leaf.shape)
            return held[leaf] if isinstance(leaf, Value) else leaf

        args, kwargs = plain(self._arguments, fetch)
        held[self._output] = self._target(*args, **kwargs)
        if seconds is not None:
            seconds[0] = time.perf_counter() - began


def plain(tree: Any, leaf: Callable[[Any], Any] = lambda leaf: leaf) -> Any:
    """`tree` as plain tuples, lists and dicts, with `leaf` of each leaf."""
    if isinstance(tree, tuple):
        return tuple(plain(item, leaf) for item in tree)
    if isinstance(tree, list):
        return [plain(item, leaf) for item in tree]
    if isinstance(tree, dict):
        return {key: plain(item, leaf) for key, item in tree.items()}
    return leaf(tree)
