"""`compile`: capture, lower, fuse, choose kernels by measuring, check the result."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from openwork._arguments import check_callable, check_choice, check_model, check_tolerance
from openwork._call import Call, call_of
from openwork._copy import copied
from openwork._files import why
from openwork._foreign import ONNX, kind_of_file
from openwork._unchanged import unchanged
from openwork._unwrap import unwrapped
from openwork.capture import Captured, capture
from openwork.engine.arguments import check_kernels, check_layers_named, check_sizes
from openwork.engine.compiled import CompiledModel, widened
from openwork.engine.lower.lower import lower
from openwork.engine.narrow.by_steps import BySteps
from openwork.engine.narrow.join import join_bytes
from openwork.engine.passes.copy_later import copy_later
from openwork.engine.passes.fuse import fuse
from openwork.engine.passes.join_gelus import join_gelus
from openwork.engine.passes.remove_unread import remove_unread
from openwork.engine.progress import Progress
from openwork.engine.runners import Choice, Runner, make_runner
from openwork.engine.segments import segments
from openwork.engine.sizes import (
    Size,
    SizeCache,
    check_takes_other_sizes,
    maps_of,
    nearest,
    refused_size,
    resized,
)
from openwork.engine.snapshot import TunedOn, take_snapshot
from openwork.engine.table import (
    byte_row,
    fallback_notes,
    kernels_of,
    layer_row,
    layer_table,
    numbered,
)
from openwork.engine.tune.tuner import Tuner, choices_path, requested
from openwork.engine.verify import OtherBatches, verify
from openwork.errors import ArgumentError, CaptureError
from openwork.interchange import from_onnx
from openwork.interchange.example import example_of
from openwork.kernels.native import extension as _C
from openwork.runtime.layers import Packs, SharedWeights
from openwork.runtime.nodes import ByteConv, Conv, OnBytes

__all__ = ["OPTIMIZE", "PRECISIONS"]

OPTIMIZE = ("speed", "memory")
PRECISIONS = ("float32", "bfloat16")
# The largest difference allowed where none is given. To round a layer's input and its weights to
# eight bits changes each by at most 2^-8, and each product by 0.2 % (root mean square). The errors
# of 50 layers that are independent of each other make 1.6 %.
_TOLERANCES = {"float32": 1e-3, "bfloat16": 2e-2}


def compile(
    model: nn.Module | str | os.PathLike[str],
    example: Any = None,
    *,
    optimize: str = "speed",
    precision: str = "float32",
    tolerance: float | None = None,
    kernels: Mapping[str, str | Sequence[str]] | None = None,
    retune: bool = False,
    sizes: str | Sequence[tuple[int, int]] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> CompiledModel:
    """A copy of `model` for inference on this CPU, its outputs checked against the original's.

    Sparse layers, and dense layers that hold zeroed kernels, run on kernels that skip what is
    dead. Each layer's kernel is chosen by measuring it here, also against torch's dense
    convolution, and the choice is cached. Operators without a kernel are left to torch.

    Args:
        model: any module that torch.export captures; it is not changed, and one thread at a time
            captures. Of DistributedDataParallel and its kin the network within is compiled. Or
            the path of an ONNX file, which `openwork.from_onnx` reads.
        example: an input batch `(batch, ...)` on the CPU, float32 (float16 and bfloat16 are widened
            to it), or whole numbers where the network takes indices; a tuple of positional
            arguments; a list; or a dict of keyword arguments, or one dict if `forward` takes that.
            All tensors have one batch size; the other arguments become part of the network. Kernels
            are chosen for these sizes and for the number of threads that torch uses now. None
            (default) for inputs of the shapes that an ONNX file states.
        optimize: "speed" (default), or "memory", which excludes kernels that store transformed
            weights, four times as large.
        precision: "float32" (default), or "bfloat16": kernels that round inputs and weights to
            bfloat16 and sum in float32 are measured too, and run the layers where they are fastest.
            Maps stay float32. Processors without AVX-512 BF16 keep float32, and the table says so.
        tolerance: largest difference allowed, relative to the largest output. None (default) for
            1e-3, or 2e-2 in bfloat16. Winograd kernels differ by about 1e-5 from direct ones.
        kernels: kernels for layers that must not be measured: globs over layer names -> a glob
            over kernel names ("torch" is one), or several, of which the first that can run the
            layer counts. `{"*": "f32-conv-taps-*"}` measures nothing.
        retune: measure again what is remembered; default False. Times that spread, as on a busy
            machine, are never remembered.
        sizes: sizes of images that the network takes besides the example's: a list of (height,
            width), each compiled and measured now, or "any". A size that "any" meets for the first
            time is compiled in that call, which then takes as long as capturing the network does;
            up to 16 such sizes are kept, and the one that was not used for longest goes. Its
            layers run on what was measured for that size before, else on the kernels of the nearest
            size that was measured, the one with the most similar number of pixels. Each size is
            compared with the original, and weights are packed once for all sizes where the kernel
            allows. Inputs `(batch, C, H, W)` may change in height and width. Default None: the
            example's size alone.
        progress: called with what is being done, how many steps of it are done and how many there
            are. Default None: a line on standard error if it is a terminal and compiling takes
            longer than 2 s.

    Returns:
        The compiled network. `.layers` is the table of what was chosen, and `.batches` holds the
        batch sizes for which it equals the original; others are refused.

    Raises:
        CaptureError: torch cannot capture the network.
        VerificationError: the outputs differ by more than `tolerance`.
        ArgumentError: unknown `optimize` or `precision`, "bfloat16" for a network in int8, a
            `tolerance` below 0, `kernels` that cannot run a layer or match none, an example that is
            not a batch on the CPU, a `model` of another type, or `sizes` that the network does not
            take, naming the layer that fails.
    """
    given: Any = _from_file(model) if isinstance(model, str | os.PathLike) else model
    check_model(given)
    if example is None:
        example = example_of(given)
    check_choice("optimize", optimize, OPTIMIZE)
    check_choice("precision", precision, PRECISIONS)
    tolerance = _TOLERANCES[precision] if tolerance is None else tolerance
    check_tolerance(tolerance)
    kernels = {} if kernels is None else kernels
    check_kernels(kernels)
    listed = None if sizes is None else check_sizes(sizes)
    # Runs of the network change the copy, not what other threads may use.
    network: nn.Module = copied(unwrapped(given))
    inputs = call_of(network, example).map(widened)
    isa = _C.chosen_isa()
    if progress is not None:
        check_callable("progress", progress, "(what, done, total)")
    shown = Progress(progress)
    threads, narrow = torch.get_num_threads(), precision == "bfloat16"
    tuner = Tuner(inputs.images, threads, optimize, isa, choices_path(), retune, narrow)
    work = _Compilation(network, kernels, tolerance, tuner, shown, SharedWeights())
    with shown:
        compiled = work.at(inputs)
        check_layers_named(kernels, compiled.layers.column("layer"))
        if sizes is not None:
            _serve_sizes(work, compiled, inputs, listed)
    return compiled


def _serve_sizes(
    work: "_Compilation", compiled: CompiledModel, inputs: Call, listed: Sequence[Size] | None
) -> None:
    """Let `compiled` take images of the listed sizes, or of any size if None are listed."""
    if not maps_of(inputs):
        raise ArgumentError(
            "`sizes` is given, but none of the inputs is a batch of maps, (batch, C, H, W); leave "
            "it out"
        )
    known = [compiled]
    if listed is None:
        check_takes_other_sizes(work.network, inputs)
        template = inputs.map(lambda tensor: tensor[:0])

        def make(tensors: Sequence[torch.Tensor]) -> CompiledModel:
            # What a user's inference mode makes cannot be captured.
            with torch.inference_mode(False), torch.no_grad():
                call = template.with_tensors([tensor.detach().clone() for tensor in tensors])
                return work.at_other_size(call, nearest(known, tensors))

        compiled.serve(SizeCache(known, make))
        return
    for size in dict.fromkeys(listed):
        other = resized(inputs, size)
        if [tensor.shape for tensor in other] != [tensor.shape for tensor in inputs]:
            known.append(work.at_other_size(other))
    compiled.serve(SizeCache(known))


@dataclass
class _Compilation:
    """What is the same for each size of the images that a network is compiled for."""

    network: nn.Module
    kernels: Mapping[str, str | Sequence[str]]
    tolerance: float
    tuner: Tuner
    progress: Progress
    shared: SharedWeights

    def at(self, inputs: Call, like: CompiledModel | None = None) -> CompiledModel:
        """The network compiled for calls like `inputs`, its outputs compared with the original's.

        Args:
            inputs: one call.
            like: the network at another size, whose kernels run what was not measured at this one.
                None (default) measures.
        """
        with torch.autocast("cpu", enabled=False):
            captured = self._captured(inputs)
            compiled, steps = self._assembled(captured, like)
            dynamic = captured.batch is None
            self.progress.stage("comparing the outputs")
            try:
                with unchanged(self.network):
                    worst = verify(self.network, compiled, inputs, dynamic, self.tolerance, steps)
            except OtherBatches as reason:
                captured = self._captured(inputs, fixed_because=str(reason))
                compiled, steps = self._assembled(captured, like)
                with unchanged(self.network):
                    worst = verify(self.network, compiled, inputs, False, self.tolerance, steps)
        compiled.difference = worst
        return compiled.eval()

    def at_other_size(self, inputs: Call, like: CompiledModel | None = None) -> CompiledModel:
        """`at`, for maps of another size than the example's, which the network may not take."""
        try:
            return self.at(inputs, like)
        except CaptureError as error:
            raise refused_size(self.network, inputs, error) from error

    def _captured(self, inputs: Call, fixed_because: str = "") -> Captured:
        self.progress.stage("capturing the network")
        return capture(self.network, inputs, *([fixed_because] if fixed_because else []))

    def _assembled(
        self, captured: Captured, like: CompiledModel | None
    ) -> tuple[CompiledModel, BySteps | None]:
        tuner = self.tuner
        kernels = {} if like is None else kernels_of(like.layers)

        def choose(convs: Sequence[Conv]) -> list[Choice]:
            named = numbered(convs)
            return [
                requested(conv, self.kernels, tuner.isa) or tuner.choose(conv, kernels.get(name))
                for conv, name in zip(
                    convs, self.progress.of(named, "choosing kernels"), strict=True
                )
            ]

        compiled, steps = assemble(captured, choose, tuner, self.shared)
        tuner.keep()
        if tuner.bfloat16 and steps is not None:
            raise ArgumentError(
                "`precision`='bfloat16' is not for a network in int8, whose layers in float32 stay "
                "so; leave it out"
            )
        return compiled, steps


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
    captured: Captured,
    choose: Callable[[Sequence[Conv]], Sequence[Choice]],
    tuner: Tuner,
    shared: SharedWeights,
) -> tuple[CompiledModel, BySteps | None]:
    """The compiled network, and what compares it with the original if it computes in bytes.

    Args:
        captured: the network.
        choose: what runs each of its layers.
        tuner: what `choose` chose for.
        shared: the weights of the network at other sizes.
    """
    isa = tuner.isa
    graph, known = lower(captured)
    remove_unread(graph)
    stayed = join_bytes(graph, known.narrow)
    copy_later(graph)
    fuse(graph)
    join_gelus(graph)
    convs = [node for node in graph.nodes if isinstance(node, Conv)]
    packs = [shared.packs(conv) for conv in convs]
    choices = dict(zip(convs, choose(convs), strict=True))
    runners = {
        conv: _runner(conv, choices[conv].name, isa, own)
        for conv, own in zip(convs, packs, strict=True)
    }
    for number, held in captured.results.constants.items():
        graph.results[number] = held
    nesting, form = captured.results.nesting, captured.form
    tuned_on = TunedOn.here(isa, tuner.optimize, captured.images)
    notes = [*fallback_notes(graph), *stayed, *tuner.notes()]
    if captured.batches.limits:
        why = f" only: {captured.fixed_because}" if captured.fixed_because else ""
        notes.append(captured.batches.limits + why)
    rows = [
        layer_row(node, choices[node]) if isinstance(node, Conv) else byte_row(node, isa)
        for node in graph.nodes
        if isinstance(node, Conv | ByteConv)
    ]
    compiled = CompiledModel(
        graph,
        segments(graph, runners, isa),
        nesting,
        form,
        captured.batches,
        layer_table(rows, notes),
        take_snapshot(graph, choices, runners, nesting, form, tuned_on),
    )
    in_bytes = any(isinstance(node, OnBytes) for node in graph.nodes)
    return compiled, BySteps(captured, known, graph, runners, isa) if in_bytes else None


def _runner(conv: Conv, kernel: str, isa: str, packs: Packs) -> Runner:
    runner = make_runner(conv, kernel, isa, packs)
    if runner is None:
        raise ArgumentError(f"{kernel!r} must be a kernel that can run layer {conv.layer!r}")
    return runner
