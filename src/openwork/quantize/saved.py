"""Saving and loading of quantised networks, for `openwork.save` and `openwork.load`."""

import copyreg
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch

from openwork.capture import BatchSizes
from openwork.capture.call_form import CallForm
from openwork.capture.steps import Result, Step, Steps, results_in
from openwork.engine.operators import name_of, operator_named
from openwork.engine.torch_data import TorchDecoder, TorchEncoder
from openwork.errors import ArgumentError, CheckpointError
from openwork.io import kinds
from openwork.quantize.interface import Interface
from openwork.quantize.network import QuantizedNetwork
from openwork.runtime.decode import check_type
from openwork.runtime.file_errors import NotSerializable, require


def register() -> None:
    """Let `openwork.save`, `openwork.load` and pickle know quantised networks."""
    kinds.register(kinds.Kind("quantized", QuantizedNetwork, describe, restore))
    copyreg.pickle(QuantizedNetwork, lambda model: (restore, describe(model)))  # type: ignore[arg-type]


class _StepEncoder(TorchEncoder):
    def encode_leaf(self, item: Any) -> Any:
        """As in any file, and results of steps."""
        return {"result": item.name} if isinstance(item, Result) else super().encode_leaf(item)


class _StepDecoder(TorchDecoder):
    def forms(self) -> dict[str, Callable[[Any], Any]]:
        """As in any file, and results of steps."""
        return {**super().forms(), "result": lambda name: Result(check_type(name, str))}


def describe(model: QuantizedNetwork) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors and the header that a file of `model` holds.

    Raises:
        ArgumentError: it holds an operator or a result that a file cannot.
    """
    encoder = _StepEncoder()
    steps, interface = model.steps, model.interface
    try:
        network = {
            "buffers": dict(model.named_buffers()),
            "inputs": steps.inputs,
            "steps": [_described(step) for step in steps.steps],
            "results": steps.results,
            "call": interface.form.to_data(),
            "nesting": interface.nesting,
            "constants": dict(interface.constants),
            "batches": dataclasses.astuple(interface.batches),
            "shapes": interface.shapes,
            "any_size": interface.any_size,
        }
        header = {name: encoder.encode(entry) for name, entry in network.items()}
    except NotSerializable as reason:
        raise ArgumentError(
            f"`model` cannot be saved: it holds {reason}. Save the original, and quantise that "
            "where it runs"
        ) from reason
    return encoder.tensors, {"network": header}


def _described(step: Step) -> tuple[Any, ...]:
    function = "" if step.function is None else name_of(step.function)
    return step.name, function, step.target, step.args, dict(step.kwargs), step.last


def restore(tensors: dict[str, torch.Tensor], header: Mapping[str, Any]) -> QuantizedNetwork:
    """The network that `describe` described. Its steps are checked before any runs.

    Raises:
        CheckpointError: the header or a tensor does not fit.
    """
    try:
        return _restored(_StepDecoder(tensors, []), header["network"])
    except Exception as error:
        # An edited file may cause any error.
        raise CheckpointError(
            f"the quantised network cannot be loaded: {type(error).__name__}: {error}. The file "
            "is damaged: quantise and save the network again"
        ) from error


def _restored(decoder: _StepDecoder, network: Mapping[str, Any]) -> QuantizedNetwork:
    def entry(hint: Any, name: str) -> Any:
        return decoder.decode_as(hint, name, network[name])

    buffers = entry(dict[str, torch.Tensor], "buffers")
    described = entry(
        list[tuple[str, str, str, tuple[Any, ...], dict[str, Any], tuple[str, ...]]], "steps"
    )
    made = [
        Step(name, operator_named(function) if function else None, target, args, kwargs, last)
        for name, function, target, args, kwargs, last in described
    ]
    steps = Steps(entry(tuple[str, ...], "inputs"), tuple(made), decoder.decode(network["results"]))
    _check(steps, buffers)
    form = CallForm.from_data(entry(dict, "call"))
    shapes = entry(tuple[tuple[int, ...], ...], "shapes")
    require(
        len(steps.inputs) == len(form.dtypes) == len(shapes), "`inputs` must be those of `call`"
    )
    least, most, conditions = decoder.decode(network["batches"])
    interface = Interface(
        form,
        decoder.decode(network["nesting"]),
        entry(dict[int, Any], "constants"),
        BatchSizes(least, most, conditions),
        shapes,
        entry(bool, "any_size"),
    )
    return QuantizedNetwork(steps, buffers, interface).eval()


def _check(steps: Steps, buffers: Mapping[str, torch.Tensor]) -> None:
    """Each step reads what is there, and drops what nothing reads afterwards."""
    known = set(steps.inputs)
    for step in steps.steps:
        used = results_in((step.args, step.kwargs))
        require(used <= known, f"{step.name!r} must read results of steps before it")
        fits = step.function is not None or step.target in buffers
        require(fits, f"{step.name!r} must be a tensor of the file")
        known = (known | {step.name}) - set(step.last)
    require(results_in(steps.results) <= known, "results must be those of steps")
