"""`compile`: capture, lower, fuse, choose kernels by measuring, check the result."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from openwork._arguments import check_choice, check_model, check_tolerance
from openwork._call import call_of
from openwork._copy import copied
from openwork._files import why
from openwork._foreign import ONNX, kind_of_file
from openwork._unchanged import unchanged
from openwork._unwrap import unwrapped
from openwork.capture import Captured, capture
from openwork.engine.arguments import check_kernels, check_layers_named
from openwork.engine.compiled import CompiledModel
from openwork.engine.lower.copy_later import copy_later
from openwork.engine.lower.fuse import fuse
from openwork.engine.lower.lower import lower
from openwork.engine.lower.remove_unread import remove_unread
from openwork.engine.runners import Choice, Runner, make_runner
from openwork.engine.segments import segments
from openwork.engine.snapshot import TunedOn, take_snapshot
from openwork.engine.table import fallback_notes, layer_row, layer_table
from openwork.engine.tune.tuner import Tuner, choices_path, requested
from openwork.engine.verify import OtherBatches, verify
from openwork.errors import ArgumentError
from openwork.interchange import from_onnx
from openwork.interchange.example import example_of
from openwork.kernels.native import extension as _C
from openwork.runtime.nodes import Conv

__all__ = ["OPTIMIZE"]

OPTIMIZE = ("speed", "memory")


def compile(
    model: nn.Module | str | os.PathLike[str],
    example: Any = None,
    *,
    optimize: str = "speed",
    tolerance: float = 1e-3,
    kernels: Mapping[str, str | Sequence[str]] | None = None,
    retune: bool = False,
) -> CompiledModel:
    """A copy of `model` for inference on this CPU, its outputs checked against the original's.

    Sparse layers, and dense layers that hold zeroed kernels, run on kernels that skip what is
    dead. Each layer's kernel is chosen by measuring it here, also against torch's dense
    convolution, and the choice is cached. Operators without a kernel are left to torch.

    Args:
        model: any module that torch.export captures; it is not changed, and one thread at a time
            captures. Of DistributedDataParallel and its kin the network within is compiled. Or
            the path of an ONNX file, which `openwork.from_onnx` reads.
        example: an input batch `(batch, ...)` on the CPU, float32, or whole numbers where the
            network takes indices; a tuple of positional arguments; a list; or a dict of keyword
            arguments, or one dict if `forward` takes that. All tensors have one batch size; the
            other arguments become part of the network. Kernels are chosen for these sizes and for
            the number of threads that torch uses now. None (default) for inputs of the shapes that
            an ONNX file states.
        optimize: "speed" (default), or "memory", which excludes kernels that store transformed
            weights, four times as large.
        tolerance: largest difference allowed, relative to the largest output, default 1e-3.
            Winograd kernels differ by about 1e-5 from direct ones.
        kernels: kernels for layers that must not be measured: globs over layer names -> a glob
            over kernel names ("torch" is one), or several, of which the first that can run the
            layer counts. `{"*": "f32-conv-taps-*"}` measures nothing.
        retune: measure again what is remembered; default False. Times that spread, as on a busy
            machine, are never remembered.

    Returns:
        The compiled network. `.layers` is the table of what was chosen, and `.batches` holds the
        batch sizes for which it equals the original; others are refused.

    Raises:
        CaptureError: torch cannot capture the network.
        VerificationError: the outputs differ by more than `tolerance`.
        ArgumentError: unknown `optimize`, a `tolerance` below 0, `kernels` that cannot run a layer
            or match none, an example that is not a batch on the CPU, or a `model` of another type.
    """
    given: Any = _from_file(model) if isinstance(model, str | os.PathLike) else model
    check_model(given)
    if example is None:
        example = example_of(given)
    check_choice("optimize", optimize, OPTIMIZE)
    check_tolerance(tolerance)
    kernels = {} if kernels is None else kernels
    check_kernels(kernels)
    # Runs of the network change the copy, not what other threads may use.
    network: nn.Module = copied(unwrapped(given))
    inputs = call_of(network, example)
    with torch.autocast("cpu", enabled=False):
        captured = capture(network, inputs)
        isa = _C.chosen_isa()
        tuner = Tuner(inputs.images, torch.get_num_threads(), optimize, isa, choices_path(), retune)

        def choose(conv: Conv) -> Choice:
            return requested(conv, kernels, isa) or tuner.choose(conv)

        compiled = assemble(captured, choose, isa, optimize)
        tuner.keep()
        check_layers_named(kernels, compiled.layers.column("layer"))
        dynamic = captured.batch is None
        try:
            with unchanged(network):
                worst = verify(network, compiled, inputs, dynamic, tolerance)
        except OtherBatches as reason:
            captured = capture(network, inputs, fixed_because=str(reason))
            compiled = assemble(captured, choose, isa, optimize)
            with unchanged(network):
                worst = verify(network, compiled, inputs, False, tolerance)
    compiled.difference = worst
    return compiled.eval()


def _from_file(path: str | os.PathLike[str]) -> nn.Module:
    """The network in an ONNX file; other files are refused with the way out."""
    try:
        kind = kind_of_file(path)
    except OSError as error:
        raise ArgumentError(f"`model`={str(path)!r} cannot be read ({why(error)})") from error
    if kind != ONNX:
        raise ArgumentError(
            f"`model`={str(path)!r} is {kind or 'not an ONNX model'}, but must be a "
            "torch.nn.Module or an ONNX model; openwork.load reads a network that openwork.save "
            "wrote"
        )
    return from_onnx(path)


def assemble(
    captured: Captured, choose: Callable[[Conv], Choice], isa: str, optimize: str = "speed"
) -> CompiledModel:
    """The compiled network, not yet compared with the original.

    Args:
        captured: the network.
        choose: what runs a layer.
        isa: instruction set.
        optimize: what `choose` chose for.
    """
    graph, _ = lower(captured)
    remove_unread(graph)
    copy_later(graph)
    fuse(graph)
    convs = [node for node in graph.nodes if isinstance(node, Conv)]
    choices = {conv: choose(conv) for conv in convs}
    runners = {conv: _runner(conv, choices[conv].name, isa) for conv in convs}
    for number, held in captured.results.constants.items():
        graph.results[number] = held
    nesting, form = captured.results.nesting, captured.form
    tuned_on = TunedOn.here(isa, optimize, captured.images)
    notes = fallback_notes(graph)
    if captured.batches.limits:
        why = f" only: {captured.fixed_because}" if captured.fixed_because else ""
        notes.append(captured.batches.limits + why)
    return CompiledModel(
        graph,
        segments(graph, runners, isa),
        nesting,
        form,
        captured.batches,
        layer_table([layer_row(conv, choices[conv]) for conv in convs], notes),
        take_snapshot(graph, choices, runners, nesting, form, tuned_on),
    )


def _runner(conv: Conv, kernel: str, isa: str) -> Runner:
    runner = make_runner(conv, kernel, isa)
    if runner is None:
        raise ArgumentError(f"{kernel!r} must be a kernel that can run layer {conv.layer!r}")
    return runner
