"""From a module to an exported program, through torch's own capture."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram, ShapesCollection

from openwork._arguments import tensors_of
from openwork._mode import evaluation
from openwork.capture.batch_sizes import BatchSizes, batch_sizes_of
from openwork.capture.mutation import mutations_are_harmless
from openwork.capture.quiet import quiet, reason_of
from openwork.errors import ArgumentError, CaptureError

__all__ = ["several"]

# torch.fx is not a fallback: where it cannot trace a test of types or values, symbolic tracing
# silently takes the wrong branch.
_WAY_OUT = (
    "Rewrite the place that torch names without branching on the values of tensors (torch.where, "
    "torch.cond), or pass the part of the network that has no such branch; openwork captures "
    "networks through torch.export only."
)


@dataclass(frozen=True, eq=False)
class Captured:
    """A captured network.

    Attributes:
        program: what torch exported, in evaluation mode. Its inputs are the example's tensors,
            `(batch, ...)` float32, with a free batch size unless `batches` allows one only.
        batches: the batch sizes that it accepts. torch does not say whether it accepts one image:
            if `batches` contains 1 and the example has more images, that must be tried.
        constants: name of an exported node -> the parameter, buffer or constant that it stands
            for: a tensor of the model, in the model's own shape, or a Python object.
        images: the batch size of the example.
        fixed_because: why there is only one batch size, or empty.
    """

    program: ExportedProgram
    batches: BatchSizes
    constants: dict[str, Any]
    images: int
    fixed_because: str = ""

    @property
    def batch(self) -> int | None:
        """The only batch size that it accepts; None if it accepts several."""
        return self.batches.only


def capture(model: nn.Module, example: Sequence[torch.Tensor], fixed_because: str = "") -> Captured:
    """Export `model` in evaluation mode, with a free batch size if the network allows it.

    Args:
        model: any module; it is not changed.
        example: the inputs of one call: tensors `(batch, ...)`, float32 on the CPU, all with
            the same batch size.
        fixed_because: why the batch size must stay that of `example`; empty (default) if it may
            vary.

    Returns:
        The graph, and the batch sizes for which it computes what `model` does.

    Raises:
        CaptureError: torch cannot capture the network (its reason is in the message), or the
            network changes its own buffers.
        ArgumentError: `example` is not made of float32 batches of one size on the CPU.
    """
    _check(example)
    images, why = len(example[0]), fixed_because
    with evaluation(model), torch.no_grad(), quiet():
        free = None
        if not why:
            try:
                free = _free(model, example)
                if images not in free[1]:
                    why = f"batches of {images} take a different code path than larger ones"
            except Exception as reason:
                # torch raises many kinds of errors; all mean that the batch size cannot be free.
                why = f"{type(reason).__name__}: {reason_of(reason)}"
        if free is None or why:
            program, batches = _fixed(model, example), BatchSizes.of(images)
        else:
            program, batches = free
    _refuse_changing_buffers(model, program)
    return Captured(program, batches, _constants(program), images, why)


def _free(model: nn.Module, example: Sequence[torch.Tensor]) -> tuple[ExportedProgram, BatchSizes]:
    """The program with a free batch size, and the sizes for which it computes the same."""
    # torch treats a batch size of one as a constant.
    copies = several(example)
    # By tensor, so that it does not matter how the network's arguments are named and nested.
    shapes = ShapesCollection()
    for tensor in copies:
        shapes[tensor] = {0: Dim.DYNAMIC}
    program = _exported(model, copies, shapes)
    inputs = set(program.graph_signature.user_inputs)
    tensors = [node.meta["val"] for node in program.graph.nodes if node.name in inputs]
    return program, batch_sizes_of(program, [tensor.shape[0] for tensor in tensors])


def _fixed(model: nn.Module, example: Sequence[torch.Tensor]) -> ExportedProgram:
    """The program for the batch size of `example` alone."""
    try:
        # torch attaches attributes to the tensors that it is given.
        return _exported(model, tuple(t.clone() for t in example), None)
    except Exception as error:
        raise CaptureError(
            f"torch.export cannot capture {type(model).__name__}: {reason_of(error)}\n"
            f"{_way_out(model)}"
        ) from error


def _way_out(model: nn.Module) -> str:
    floats = {p.dtype for p in model.parameters() if p.is_floating_point()}
    others = ", ".join(sorted(str(dtype) for dtype in floats - {torch.float32}))
    if others:
        return f"Its parameters are {others}, the example float32: convert it with .float()."
    return _WAY_OUT


def several(example: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """A copy of `example` with at least two images: a single one is doubled."""
    return tuple(t.clone() if len(t) > 1 else torch.cat([t, t]) for t in example)


def _check(example: Sequence[torch.Tensor]) -> None:
    for index, tensor in enumerate(tensors_of(example)):
        if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
            raise ArgumentError(
                f"`example` is {tensor.dtype} on {tensor.device} at place {index}, but must be "
                "float32 on the CPU; convert it and the model with .float().cpu()"
            )
    batches = {tuple(tensor.shape[:1]) for tensor in example}
    if len(batches) != 1 or batches == {()} or batches == {(0,)}:
        shapes = [tuple(tensor.shape) for tensor in example]
        raise ArgumentError(
            f"`example` has shapes {shapes}, but must hold tensors with one batch size, at least 1"
        )


def _exported(model: nn.Module, example: tuple[torch.Tensor, ...], shapes: Any) -> ExportedProgram:
    program = torch.export.export(model, example, dynamic_shapes=shapes, strict=False)
    if mutations_are_harmless(program.graph):
        return program
    return program.run_decompositions({})


def _refuse_changing_buffers(model: nn.Module, program: ExportedProgram) -> None:
    changed = sorted(program.graph_signature.buffers_to_mutate.values())
    if changed:
        raise CaptureError(
            f"{type(model).__name__} changes its buffers {changed} when it runs in evaluation "
            "mode, but a captured network keeps no state between calls; leave that part out"
        )


def _constants(program: ExportedProgram) -> dict[str, Any]:
    signature = program.graph_signature
    by_name = {**program.state_dict, **program.constants}
    names = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    constants = {placeholder: by_name[name] for placeholder, name in names.items()}
    for node in program.graph.nodes:
        if node.op == "get_attr":
            constants[node.name] = operator.attrgetter(str(node.target))(program.graph_module)
    return constants
