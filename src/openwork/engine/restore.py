"""Saving and loading of compiled networks, for `openwork.save` and `openwork.load`.

A file holds live weights, the gaps between them and the kernels' names. On load the weights are
packed again: 0.2 s for the 13 sparse layers of a VGG-16 at density 0.15 (Winograd, one Zen 4 core),
less than reading them, and the file serves every CPU and is a quarter of the packed arrays' size.
"""

import copyreg
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, get_type_hints

import torch

from openwork._machine import processor_name
from openwork.capture.call_form import CallForm
from openwork.engine.compiled import CompiledModel
from openwork.engine.runners import Runner, make_runner
from openwork.engine.segments import segments
from openwork.engine.sizes import SizeCache
from openwork.engine.snapshot import Snapshot, TunedOn
from openwork.engine.table import Row, byte_row, layer_row, layer_table
from openwork.engine.torch_data import TorchDecoder, TorchEncoder
from openwork.engine.tune.tuner import Tuner, choices_path
from openwork.errors import ArgumentError, CheckpointError
from openwork.io import kinds
from openwork.kernels.native import extension as _C
from openwork.runtime.file_errors import MalformedFile, require
from openwork.runtime.fits import fits
from openwork.runtime.layers import DENSE, TORCH, SharedWeights
from openwork.runtime.nodes import ByteConv, Conv
from openwork.runtime.read_network import read_batches, read_graph, read_nesting, sizes_of


def register() -> None:
    """Let `openwork.save`, `openwork.load` and pickle know compiled networks."""
    kinds.register(kinds.Kind("compiled", CompiledModel, describe, restore))
    copyreg.pickle(CompiledModel, lambda model: (restore, describe(model)))  # type: ignore[arg-type]


def describe(model: CompiledModel) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors and the header that a file of `model` holds.

    Raises:
        ArgumentError: it holds an operator or a result that a file cannot.
    """
    first, *others = model.models
    tensors, header = dict(first.snapshot.tensors), _describe(first)
    if others:
        # One tensor of a kind: the sizes differ in their maps, not in their weights.
        names = {_digest(tensor): name for name, tensor in tensors.items()}
        header["sizes"] = [_describe(other) for other in others]
        for other, described in zip(others, header["sizes"], strict=True):
            described["tensors"] = own = {}
            for name, tensor in other.snapshot.tensors.items():
                own[name] = names.setdefault(_digest(tensor), f"t{len(tensors)}")
                tensors.setdefault(own[name], tensor)
    return tensors, header


def _describe(model: CompiledModel) -> dict[str, Any]:
    """The header of a network of one size."""
    snapshot = model.snapshot
    if snapshot.refusal is not None:
        raise ArgumentError(
            f"`model` cannot be saved: it holds {snapshot.refusal}. Save the network it was "
            "compiled from, and compile that where it runs"
        )
    return {
        "network": snapshot.network,
        # The first format's word for it.
        "origin": dataclasses.asdict(snapshot.tuned_on),
        "batch": model.batch,
        "batches": TorchEncoder().encode(dataclasses.astuple(model.batches)),
        "rows": TorchEncoder().encode(model.layers.rows),
        "notes": list(model.layers.notes),
        "difference": model.difference,
    }


def _digest(tensor: torch.Tensor) -> tuple[Any, ...]:
    """Equal for tensors that a file can hold once."""
    content: Any = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
    return tensor.dtype, tuple(tensor.shape), hashlib.sha256(content).digest()


def restore(tensors: dict[str, torch.Tensor], header: Mapping[str, Any]) -> CompiledModel:
    """The network that `describe` described. Everything is checked before a kernel sees it.

    Raises:
        CheckpointError: the header or a tensor does not fit.
    """
    isa: str = _C.chosen_isa()
    try:
        sizes = sizes_of(header, tensors)
        # At one size, shared weights would only keep the list of live taps in memory.
        shared = SharedWeights() if len(sizes) > 1 else None
        models = [_Loader(own, size, isa, shared).model() for size, own in sizes]
        if len(models) > 1:
            models[0].serve(SizeCache(models))
        return models[0]
    except Exception as error:
        # An edited file may cause any error; so may an intact one, if memory is short or a package
        # is missing.
        raise CheckpointError(
            f"the compiled network cannot be loaded: {type(error).__name__}: {error}. If nothing "
            "is missing here, the file is damaged: compile and save it again"
        ) from error


class _Loader:
    """One file on its way to a network."""

    def __init__(
        self,
        tensors: dict[str, torch.Tensor],
        header: Mapping[str, Any],
        isa: str,
        shared: SharedWeights | None,
    ) -> None:
        self._tensors, self._header, self._isa = tensors, header, isa
        self._shared = shared
        self._network = dict(header["network"])
        self._decoder = TorchDecoder(tensors, self._network["values"])
        self._tuned_on = TunedOn(**header["origin"])
        for name, hint in get_type_hints(TunedOn).items():
            entry = getattr(self._tuned_on, name)
            require(fits(entry, hint), f"`{name}` of `origin` must be {hint}")
        decode_as = self._decoder.decode_as
        self._rows: list[Row] = list(decode_as(tuple[Row, ...], "rows", header["rows"]))
        self._notes: list[str] = decode_as(list[str], "notes", header["notes"])
        self._kernels: list[str] = []
        self._rechosen: dict[int, Row] = {}
        self._tuner: Tuner | None = None

    def model(self) -> CompiledModel:
        """The network."""
        difference = self._decoder.decode_as(float, "difference", self._header["difference"])
        batches = read_batches(self._header, self._decoder)
        graph, runners = read_graph(self._network, self._decoder, self._runner)
        layers = [node for node in graph.nodes if isinstance(node, Conv | ByteConv)]
        rows = len(self._rows)
        require(rows == len(layers), f"`rows` must have {len(layers)} rows, not {rows}")
        self._update_rows(layers)
        nesting = read_nesting(self._network, self._decoder, len(graph.results))
        form = self._form(len(graph.inputs))
        parts = segments(graph, runners, self._isa)
        notes = [*self._notes, *self._moved(), *self._missing()]
        table = layer_table(self._rows, dict.fromkeys(notes))
        tuned_on = self._tuned_on
        if self._tuner is not None:
            self._tuner.keep()
            tuned_on = TunedOn.here(self._isa, tuned_on.optimize, tuned_on.images)
        network = self._network | {"kernels": self._kernels}
        snapshot = Snapshot(tuned_on, network, self._tensors)
        model = CompiledModel(graph, parts, nesting, form, batches, table, snapshot)
        model.difference = difference
        return model.eval()

    def _form(self, inputs: int) -> CallForm:
        """How the network is called; files written before say nothing of it."""
        if "call" not in self._network:
            return CallForm.of_tensors(inputs)
        form = CallForm.from_data(self._decoder.decode_as(dict, "call", self._network["call"]))
        require(len(form.dtypes) == inputs, f"`call` must hold {inputs} tensors")
        return form

    def _missing(self) -> list[str]:
        return [
            f"{name} is not imported here: a plain tuple or dict comes in its place"
            for name in self._decoder.missing
        ]

    def _runner(self, conv: Conv, kernel: str) -> Runner:
        if conv.is_dense and kernel != TORCH:
            if not kernel.startswith(DENSE):
                raise MalformedFile(f"the weight of {conv.layer!r} must not be dense for {kernel}")
            conv = conv.with_live_weights()
        packs = None if self._shared is None else self._shared.packs(conv)
        runner = make_runner(conv, kernel, self._isa, packs)
        if runner is None:
            kernel = self._choose_again(conv, kernel)
            runner = make_runner(conv, kernel, self._isa, packs)
        if runner is None:
            raise MalformedFile(f"{kernel} must be able to run {conv.layer!r}")
        self._kernels.append(kernel)
        return runner

    def _choose_again(self, conv: Conv, missing: str) -> str:
        if self._tuner is None:
            tuned_on, threads = self._tuned_on, torch.get_num_threads()
            self._tuner = Tuner(
                tuned_on.images, threads, tuned_on.optimize, self._isa, choices_path()
            )
        choice = self._tuner.choose(conv)
        self._notes.append(
            f"{conv.layer}: {missing} is not there on {self._isa}; chosen again here"
        )
        self._rechosen[len(self._kernels)] = layer_row(conv, choice)
        return choice.name

    def _update_rows(self, layers: Sequence[Conv | ByteConv]) -> None:
        """The table's rows, of what runs here."""
        rechosen = iter(range(len(self._kernels)))
        for place, layer in enumerate(layers):
            if isinstance(layer, ByteConv):
                self._rows[place] = byte_row(layer, self._isa)
            else:
                self._rows[place] = self._rechosen.get(next(rechosen), self._rows[place])

    def _moved(self) -> list[str]:
        here = processor_name()
        if self._tuned_on.processor == here:
            return []
        return [f"kernels were chosen on {self._tuned_on.processor}; compile here to choose again"]
