"""Saving and loading of compiled networks, for `openwork.save` and `openwork.load`.

A file holds live weights, the gaps between them and the kernels' names. On load the weights are
packed again: 0.2 s for the 13 sparse layers of a VGG-16 at density 0.15 (Winograd, one Zen 4 core),
less than reading them, and the file serves every CPU and is a quarter of the packed arrays' size.
"""

import copyreg
import dataclasses
from collections.abc import Mapping
from typing import Any, get_type_hints

import torch
from torch.utils import _pytree

from openwork._machine import processor_name
from openwork.capture import BatchSizes
from openwork.engine.compiled import CompiledModel
from openwork.engine.graph import Conv, Graph, Node, Value
from openwork.engine.nodes import decode_node, fits
from openwork.engine.plain import Decoder, Encoder, Unplain
from openwork.engine.program import TorchConv
from openwork.engine.record import Origin, Record
from openwork.engine.segments import runner, segments
from openwork.engine.table import Row, layer_row, layer_table
from openwork.engine.tune.tournament import TORCH
from openwork.engine.tune.tuner import Tuner, choices_path, problem_of
from openwork.engine.valid import check_node, check_order
from openwork.errors import ArgumentError, CheckpointError
from openwork.io import kinds
from openwork.kernels.dispatch import candidates
from openwork.kernels.native import extension as _C


def register() -> None:
    """Let `openwork.save`, `openwork.load` and pickle know compiled networks."""
    kinds.register(kinds.Kind("compiled", CompiledModel, describe, restore))
    copyreg.pickle(CompiledModel, lambda model: (restore, describe(model)))  # type: ignore[arg-type]


def describe(model: CompiledModel) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors and the header that a file of `model` holds.

    Raises:
        ArgumentError: it holds an operator or a result that a file cannot.
    """
    held = model.record
    if held.refusal is not None:
        raise ArgumentError(
            f"`model` cannot be saved: it holds {held.refusal}. Save the network it was compiled "
            "from, and compile that where it runs"
        )
    header = {
        "network": held.network,
        "origin": dataclasses.asdict(held.origin),
        "batch": model.batch,
        "batches": Encoder().encode(dataclasses.astuple(model.batches)),
        "rows": Encoder().encode(model.layers.rows),
        "notes": list(model.layers.notes),
        "difference": model.difference,
    }
    return held.tensors, header


def restore(tensors: dict[str, torch.Tensor], header: Mapping[str, Any]) -> CompiledModel:
    """The network that `describe` described. Everything is checked before a kernel sees it.

    Raises:
        CheckpointError: the header or a tensor does not fit.
    """
    isa: str = _C.chosen_isa()
    try:
        return _Loader(tensors, header, isa).model()
    except Exception as error:
        # An edited file may trip over anything; so may a whole one where memory or a package lacks.
        raise CheckpointError(
            f"the compiled network cannot be loaded: {type(error).__name__}: {error}. If nothing "
            "is missing here, the file is damaged: compile and save it again"
        ) from error


class _Loader:
    """One file on its way to a network."""

    def __init__(
        self, tensors: dict[str, torch.Tensor], header: Mapping[str, Any], isa: str
    ) -> None:
        self._tensors, self._header, self._isa = tensors, header, isa
        self._network = dict(header["network"])
        self._decoder = Decoder(tensors, self._network["values"])
        self._origin = Origin(**header["origin"])
        for name, hint in get_type_hints(Origin).items():
            _require(fits(getattr(self._origin, name), hint), f"`{name}` of its origin")
        self._rows: list[Row] = list(self._decoded(header["rows"], tuple[Row, ...], "rows"))
        self._notes: list[str] = self._decoded(header["notes"], list[str], "notes")
        self._kernels: list[str] = self._decoded(self._network["kernels"], list[str], "kernels")
        self._tuner: Tuner | None = None
        self._runners: dict[int, Any] = {}

    def model(self) -> CompiledModel:
        """The network."""
        inputs = self._decoded(self._network["inputs"], list[Value], "inputs")
        results = self._decoded(self._network["results"], list, "results")
        spec = self._nesting(len(results))
        batches = self._batches()
        difference = self._decoded(self._header["difference"], float, "difference")
        graph = Graph(inputs, results, [self._node(node) for node in self._network["nodes"]])
        _require(len(self._runners) == len(self._rows) == len(self._kernels), "rows")
        check_order(graph)
        parts = segments(graph, self._runners, self._isa)
        table = layer_table(self._rows, dict.fromkeys([*self._notes, *self._moved()]))
        origin = self._origin
        if self._tuner is not None:
            self._tuner.keep()
            origin = Origin.here(self._isa, origin.optimize, origin.images)
        held = Record(origin, self._network | {"kernels": self._kernels}, self._tensors)
        model = CompiledModel(graph, parts, spec, batches, table, held)
        model.difference = difference
        return model.eval()

    def _batches(self) -> BatchSizes:
        only = self._decoded(self._header["batch"], int | None, "batch")
        # Files of before there were others hold `batch` alone.
        known = self._header.get("batches", {"tuple": [only or 1, only, {"tuple": []}]})
        hint = tuple[int, int | None, tuple[str, ...]]
        batches = BatchSizes(*self._decoded(known, hint, "batches"))
        _require(1 <= batches.least <= (batches.most or batches.least), "`batches`")
        return batches

    def _decoded(self, item: Any, hint: Any, name: str) -> Any:
        found = self._decoder.decode(item)
        _require(fits(found, hint), f"`{name}`")
        return found

    def _nesting(self, results: int) -> Any:
        leaves, spec = _pytree.tree_flatten(self._decoder.decode(self._network["nesting"]))
        _require(leaves == list(range(results)), "`nesting`")
        return spec

    def _node(self, data: Any) -> Node:
        """A node that can run; of a convolution, without the weights that were packed."""
        node = decode_node(data, self._decoder)
        check_node(node)
        if not isinstance(node, Conv):
            return node
        runs = self._runner(node, len(self._runners))
        # Copies: a view would keep all of it.
        nothing = node.positions[:0].copy(), node.weight.reshape(-1)[:0].copy()
        node = dataclasses.replace(node, positions=nothing[0], weight=nothing[1])
        self._runners[id(node)] = runs
        return node

    def _runner(self, conv: Conv, index: int) -> Any:
        kernel = self._kernels[index]
        if conv.weight.ndim == 4:
            _require(kernel == TORCH, f"the weight of {conv.layer!r}")
            return TorchConv(conv, torch.from_numpy(conv.weight))
        if kernel == TORCH:
            return TorchConv(conv)
        if not any(c.name == kernel for c in candidates(problem_of(conv), self._isa)):
            kernel = self._kernels[index] = self._chosen_again(conv, index)
        return runner(conv, kernel, self._isa)

    def _chosen_again(self, conv: Conv, index: int) -> str:
        if self._tuner is None:
            origin, threads = self._origin, torch.get_num_threads()
            self._tuner = Tuner(origin.images, threads, origin.optimize, self._isa, choices_path())
        choice = self._tuner.choose(conv)
        self._notes.append(
            f"{conv.layer}: {self._kernels[index]} is not there on {self._isa}; chosen again here"
        )
        self._rows[index] = layer_row(conv, choice)
        return choice.name

    def _moved(self) -> list[str]:
        here = processor_name()
        if self._origin.processor == here:
            return []
        return [f"kernels were chosen on {self._origin.processor}; compile here to choose again"]


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise Unplain(f"{what} is not what it must be")
