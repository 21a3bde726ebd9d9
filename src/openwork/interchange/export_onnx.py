"""`export_onnx`: a file that ONNX Runtime was seen to run with the results of the network."""

import os
from typing import Any

import torch
from torch import nn

from openwork._arguments import check_count, check_model, check_tolerance
from openwork._call import Call, call_of
from openwork._copy import copied
from openwork._files import atomic_path, check_path, writing
from openwork._unchanged import alone, unchanged
from openwork._unwrap import unwrapped
from openwork.capture import Captured, capture
from openwork.capture.qdq import QUANTIZE
from openwork.capture.quiet import quiet, reason_of
from openwork.errors import ArgumentError, CaptureError
from openwork.interchange.onnx_runtime import OnnxRuntime
from openwork.interchange.packages import package
from openwork.nn import SparseLayer, densify_
from openwork.verify import compare, refusal, with_batch_size

# The oldest that torch's exporter writes without converting, which it cannot for all operators.
_OLDEST = 18
# How far sums in another order move outputs of networks in 8 bits, where a number lies between two
# steps: by 0.013 of the largest in ResNet-20, over 300 images. 4 steps of 128 are allowed.
_STEPS = 4 / 128


class _OneBatchSize(Exception):
    """The file is right for the example's batch size only; the text says why."""


def export_onnx(
    model: nn.Module,
    example: Any,
    path: str | os.PathLike[str],
    *,
    opset: int = _OLDEST,
    tolerance: float = 1e-4,
) -> None:
    """Write `model` as an ONNX file that computes the same in ONNX Runtime.

    The file holds standard operators; sparse layers are written dense, with their zeros, and
    networks of `openwork.quantize` with QuantizeLinear, DequantizeLinear and int8 weights. The
    batch size is free where the network allows it. The file is checked by the onnx package and run
    in ONNX Runtime, over the example and other batch sizes, before it is kept; if this fails, an
    earlier file at `path` is unharmed.

    Args:
        model: any module that torch.export captures, dense, sparse, pruned or compacted, exported
            in evaluation mode; it is not changed.
        example: one call, as for `openwork.compile`; its tensors are `(batch, ...)`.
        path: the file, such as "model.onnx"; an earlier one is replaced.
        opset: version of the operators, 18 (default) or newer.
        tolerance: largest difference allowed, relative to the largest output, default 1e-4. A
            network in 8 bits may differ by 4 steps of 128 in any case.

    Raises:
        CaptureError: torch cannot capture the network, or cannot write one of its operators.
        VerificationError: ONNX Runtime gives other outputs.
        ArgumentError: a compiled `model`, an unknown `opset`, or an example that is not a batch.
        MissingPackageError: the packages of `openwork[onnx]` are not installed.
    """
    check_model(model)
    check_tolerance(tolerance)
    check_path(path)
    model = unwrapped(model)
    _refuse_compiled(model)
    onnx: Any = package("onnx")
    for each in ("onnxscript", "onnxruntime"):
        package(each)
    check_count("opset", opset, _OLDEST)
    if opset > onnx.defs.onnx_opset_version():
        raise ArgumentError(
            f"`opset`={opset} must be at most {onnx.defs.onnx_opset_version()}, the newest that "
            "the installed onnx package knows"
        )
    model = copied(model)
    call = call_of(model, example)
    dense = _dense(model)
    try:
        written = _written(model, dense, call, opset, tolerance, "")
    except _OneBatchSize as reason:
        written = _written(model, dense, call, opset, tolerance, str(reason))
    with writing(path), atomic_path(path) as temporary:
        temporary.write_bytes(written)


def _refuse_compiled(model: nn.Module) -> None:
    for name, module in model.named_modules():
        kind = type(module)
        if kind.__name__ == "CompiledModel" and kind.__module__.startswith("openwork."):
            raise ArgumentError(
                f"`model`{f' holds, at {name!r},' if name else ' is'} a compiled network, whose "
                "kernels ONNX cannot name; export the network that it was compiled from"
            )


def _dense(model: nn.Module) -> nn.Module:
    """A copy of `model` with plain layers in the place of sparse ones."""
    if isinstance(model, SparseLayer):
        return model.to_dense()
    return densify_(copied(model))


def _written(
    model: nn.Module, dense: nn.Module, call: Call, opset: int, tolerance: float, fixed: str
) -> bytes:
    """The bytes of the file, compared with `model`.

    Raises:
        _OneBatchSize: other batch sizes differ, and the batch size was free.
    """
    captured = capture(dense, call, fixed_because=fixed)
    in_int8 = any(node.target is QUANTIZE for node in captured.program.graph.nodes)
    if in_int8:
        tolerance = max(tolerance, _STEPS)
    proto = _proto(captured, call.names(model), opset)
    try:
        package("onnx").checker.check_model(proto, full_check=True)
        written = proto.SerializeToString()
        exported = OnnxRuntime(written, as_written=in_int8)
    except Exception as error:
        # Each raises its own kinds of errors.
        if captured.batch is None:
            raise _OneBatchSize(f"with others, {reason_of(error)}") from error
        raise CaptureError(f"torch.onnx writes a malformed file: {reason_of(error)}") from error
    with unchanged(model):
        _verify(model, exported, captured, call, tolerance)
    return written


def _proto(captured: Captured, names: list[str], opset: int) -> Any:
    """The ONNX model of a captured network.

    Raises:
        CaptureError: torch cannot write it.
    """
    program = captured.program
    outputs = [
        spec.arg.name
        for spec in program.graph_signature.output_specs
        if type(spec.arg).__name__ == "TensorArgument"
    ]
    if len(outputs) != len(program.graph_signature.output_specs) or captured.results.constants:
        raise CaptureError(
            "the network returns numbers, texts or None beside its tensors, which an ONNX file "
            "cannot hold; export a module that returns tensors only"
        )
    named = ["output"] if len(outputs) == 1 else [f"output_{i}" for i in range(len(outputs))]
    try:
        with alone(), torch.no_grad(), quiet():
            exported: Any = torch.onnx.export(
                program,
                input_names=names,
                output_names=named,
                opset_version=opset,
                external_data=False,
                verbose=False,
            )
        proto = exported.model_proto
    except Exception as error:
        # torch and onnxscript raise many kinds of errors.
        raise CaptureError(
            f"torch.onnx cannot write this network: {reason_of(error.__cause__ or error)}"
        ) from error
    _check_domains(proto, opset)
    _rename_batch(proto)
    return proto


def _check_domains(proto: Any, opset: int) -> None:
    foreign = sorted({f"{node.domain}.{node.op_type}" for node in proto.graph.node if node.domain})
    found = next((each.version for each in proto.opset_import if not each.domain), None)
    if foreign or proto.functions or found != opset:
        what = ", ".join(foreign) or f"opset {found} in the place of {opset}"
        raise CaptureError(
            f"torch.onnx writes this network with {what}, which other programs need not know; "
            "try a newer `opset`"
        )
    # torch imports domains of which nothing is used.
    kept = [each for each in proto.opset_import if not each.domain]
    del proto.opset_import[:]
    proto.opset_import.extend(kept)


def _rename_batch(proto: Any) -> None:
    """Call the free axis "batch", not "s77" as torch does."""
    free = [
        value.type.tensor_type.shape.dim[0].dim_param
        for value in proto.graph.input
        if value.type.tensor_type.shape.dim
    ]
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param and axis.dim_param in free:
                axis.dim_param = "batch"


def _verify(
    model: nn.Module, exported: OnnxRuntime, captured: Captured, call: Call, tolerance: float
) -> None:
    images = captured.images
    candidates = [images + 1, 2 * images + 7, 1]
    others = [size for size in candidates if size != images and size in captured.batches]
    for size in [images, *others]:
        inputs = call if size == images else with_batch_size(call, size)
        try:
            found = compare(model, exported, inputs, tolerance)
        except Exception as error:
            if size == images:
                raise
            raise _OneBatchSize(f"{size} images give {type(error).__name__}: {error}") from error
        if found.holds(tolerance):
            continue
        if captured.batch is None:
            raise _OneBatchSize(f"{size} images take a different path through the network")
        if found.error is not None:
            raise CaptureError(
                f"ONNX Runtime does not run what torch.onnx wrote: {reason_of(found.error)}"
            ) from found.error
        raise refusal("the exported network", found, model, tolerance)
