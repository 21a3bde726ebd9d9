"""From a module to an exported program, through torch's own capture."""

import functools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram, ShapesCollection

from openwork._call import Call, as_call
from openwork._copy import copied
from openwork._unchanged import unchanged
from openwork._unwrap import inner
from openwork.capture.batch_sizes import BatchSizes, batch_sizes_of
from openwork.capture.call_form import CallForm
from openwork.capture.flat import Results, flattened
from openwork.capture.mutation import mutations_are_harmless
from openwork.capture.quiet import quiet, reason_of
from openwork.errors import ArgumentError, CaptureError, OpenworkError, first_line

__all__ = ["several"]

# torch.fx is not a fallback: where it cannot trace a test of types or values, symbolic tracing
# silently takes the wrong branch.
_WAY_OUT = (
    "Rewrite the place that torch names without branching on the values of tensors (torch.where, "
    "torch.cond), or pass the part of the network that has no such branch; openwork captures "
    "networks through torch.export only."
)
_TAKEN = "Give an example of what it is trained on: `model.eval()(example)` has to run."


@dataclass(frozen=True, eq=False)
class Captured:
    """A captured network.

    Attributes:
        program: what torch exported, in evaluation mode. Its inputs are the example's tensors,
            `(batch, ...)`, with a free batch size unless `batches` allows one only; its results
            are in a flat tuple.
        batches: the batch sizes that it accepts. torch does not say whether it accepts one image:
            if `batches` contains 1 and the example has more images, that must be tried.
        constants: name of an exported node -> the parameter, buffer or constant that it stands
            for: a tensor of the model, in the model's own shape, or a Python object.
        names: name of an exported node -> qualified name of the parameter or buffer that it
            stands for; the first one, where a tensor has several.
        images: the batch size of the example.
        form: how the network is called.
        results: how its results are nested.
        fixed_because: why there is only one batch size, or empty.
    """

    program: ExportedProgram
    batches: BatchSizes
    constants: dict[str, Any]
    names: dict[str, str]
    images: int
    form: CallForm
    results: Results
    fixed_because: str = ""

    @property
    def parameters(self) -> dict[str, str]:
        """Name of an exported node -> qualified name of the parameter that it stands for."""
        parameters = self.program.graph_signature.inputs_to_parameters
        return {node: self.names[node] for node in parameters}

    @property
    def batch(self) -> int | None:
        """The only batch size that it accepts; None if it accepts several."""
        return self.batches.only


def capture(
    model: nn.Module, example: Call | Sequence[torch.Tensor], fixed_because: str = ""
) -> Captured:
    """Export `model` in evaluation mode, with a free batch size if the network allows it.

    A copy of the network runs once on the example, so that what it makes on first use exists, and
    is then traced. What its code shares with the original, such as attributes of classes, is put
    back afterwards. One thread captures at a time.

    Args:
        model: any module; it is not changed, whether this succeeds or fails.
        example: one call. Its tensors are `(batch, ...)`, float32, whole numbers or booleans on the
            CPU, all with the same batch size.
        fixed_because: why the batch size must stay that of `example`; empty (default) if it may
            vary.

    Returns:
        The graph, and the batch sizes for which it computes what `model` does.

    Raises:
        CaptureError: the network does not run on `example`, torch cannot capture it (the reason
            is in the message), it changes its own buffers, or an operator of it takes an object
            such as a torch.Generator.
        ArgumentError: `example` is not made of batches of one size on the CPU, or `model` cannot be
            copied.
    """
    call = as_call(example)
    _check(call)
    images, why = call.images, fixed_because
    form = CallForm.of(model, call)
    # `unchanged` keeps other threads waiting, also until the warnings are on again.
    with unchanged(model), torch.no_grad(), quiet():
        free = None
        if not why:
            try:
                free = _free(model, call)
                if images not in free[2]:
                    why = f"batches of {images} take a different code path than larger ones"
            except OpenworkError as reason:
                # Two images were tried in the place of one, which the network need not take.
                if images > 1:
                    raise
                cause = reason.__cause__ or reason
                why = f"{type(cause).__name__}: {first_line(cause)}"
            except Exception as reason:
                # torch raises many kinds of errors; all mean that the batch size cannot be free.
                why = f"{type(reason).__name__}: {reason_of(reason)}"
        if free is None or why:
            program, results, batches = *_fixed(model, call), BatchSizes.of(images)
        else:
            program, results, batches = free
    _refuse_changing_buffers(model, program)
    _refuse_objects(model, program)
    names = _names(model, program)
    constants = _constants(model, program, names)
    return Captured(program, batches, constants, names, images, form, results, why)


def _free(model: nn.Module, example: Call) -> tuple[ExportedProgram, Results, BatchSizes]:
    """The program with a free batch size, and the sizes for which it computes the same."""
    # torch treats a batch size of one as a constant.
    copies = several(example)
    shapes = ShapesCollection()
    for tensor in copies:
        shapes[tensor] = {0: Dim.DYNAMIC}
    program, results = _exported(model, copies, shapes)
    inputs = set(program.graph_signature.user_inputs)
    tensors = [node.meta["val"] for node in program.graph.nodes if node.name in inputs]
    return program, results, batch_sizes_of(program, [tensor.shape[0] for tensor in tensors])


def _fixed(model: nn.Module, example: Call) -> tuple[ExportedProgram, Results]:
    """The program for the batch size of `example` alone."""
    try:
        # torch attaches attributes to the tensors that it is given.
        return _exported(model, example.map(torch.clone), None)
    except OpenworkError:
        raise
    except Exception as error:
        raise CaptureError(
            f"torch.export cannot capture {type(model).__name__}: {reason_of(error)}\n"
            f"{_way_out(model)}"
        ) from error


def _way_out(model: nn.Module, otherwise: str = _WAY_OUT) -> str:
    floats = {p.dtype for p in model.parameters() if p.is_floating_point()}
    others = ", ".join(sorted(str(dtype) for dtype in floats - {torch.float32}))
    if others:
        return f"Its parameters are {others}; float32 is captured: convert it with .float()."
    return otherwise


def several(example: Call | Sequence[torch.Tensor]) -> Call:
    """A copy of `example` with at least two images: a single one is doubled."""
    return as_call(example).map(lambda t: t.clone() if len(t) > 1 else torch.cat([t, t]))


def _check(example: Call) -> None:
    for index, tensor in enumerate(example):
        inexact = tensor.is_floating_point() or tensor.is_complex()
        if (inexact and tensor.dtype != torch.float32) or tensor.device.type != "cpu":
            raise ArgumentError(
                f"`example` is {tensor.dtype} on {tensor.device} at place {index}, but must be "
                "float32 on the CPU; convert it and the model with .float().cpu()"
            )
    batches = {tuple(tensor.shape[:1]) for tensor in example}
    if len(batches) != 1 or batches == {()} or batches == {(0,)}:
        shapes = [tuple(tensor.shape) for tensor in example]
        raise ArgumentError(
            f"`example` has shapes {shapes}, but must hold tensors with one batch size, at least "
            "1; pass a single number as a Python number, which becomes part of the network"
        )


def _exported(model: nn.Module, example: Call, shapes: Any) -> tuple[ExportedProgram, Results]:
    twin = _passing_on(copied(model).eval())
    try:
        example.map(torch.clone).run(twin)
    except Exception as error:
        raise CaptureError(
            f"cannot capture {type(model).__name__}: it does not run on `example` "
            f"({type(error).__name__}: {first_line(error)})\n{_way_out(model, _TAKEN)}"
        ) from error
    flat, results = flattened(twin, example)
    with unchanged(twin):
        program = torch.export.export(flat, example.tensors, dynamic_shapes=shapes, strict=False)
    # What is computed for hooks and attributes alone.
    program.graph.eliminate_dead_code()
    program.graph_module.recompile()
    if mutations_are_harmless(program.graph):
        return program, results
    return program.run_decompositions({}), results


def _passing_on(twin: nn.Module) -> nn.Module:
    """`twin`, in which modules that wrap others call them directly, in place."""
    for module in twin.modules():
        within = inner(module)
        if within is not None:
            # Not by assignment, which would register a method's module.
            vars(module)["forward"] = _calling(within)
    return twin


def _calling(module: nn.Module) -> Callable[..., Any]:
    @functools.wraps(module.forward)
    def forward(*args: Any, **kwargs: Any) -> Any:
        return module(*args, **kwargs)

    return forward


def _refuse_changing_buffers(model: nn.Module, program: ExportedProgram) -> None:
    changed = sorted(program.graph_signature.buffers_to_mutate.values())
    if changed:
        raise CaptureError(
            f"{type(model).__name__} changes its buffers {changed} when it runs in evaluation "
            "mode, but a captured network keeps no state between calls; leave that part out"
        )


def _refuse_objects(model: nn.Module, program: ExportedProgram) -> None:
    names = program.graph_signature.inputs_to_lifted_custom_objs.values()
    kinds = sorted({type(program.constants[name]).__qualname__ for name in names})
    if kinds:
        raise CaptureError(
            f"{type(model).__name__} gives an operator a {', '.join(kinds)}, but a captured "
            "network holds tensors only; leave that part out"
        )


def _tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers, by all their names."""
    return {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }


def _names(model: nn.Module, program: ExportedProgram) -> dict[str, str]:
    """torch takes any of the names of a tensor; layers go by the first one."""
    tensors = _tensors(model)
    first = {id(tensor): name for name, tensor in reversed(tensors.items())}
    signature = program.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    return {
        node: first[id(tensors[name])] if name in tensors else name for node, name in names.items()
    }


def _constants(model: nn.Module, program: ExportedProgram, names: dict[str, str]) -> dict[str, Any]:
    signature = program.graph_signature
    by_name = {**program.state_dict, **program.constants}
    exported = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    constants = {node: by_name[name] for node, name in exported.items()}
    tensors = _tensors(model)
    for node, name in names.items():
        # The model's own, so that its copy can be freed, unless running changed the copy.
        own = tensors.get(name)
        if own is not None and own.dtype == constants[node].dtype:
            constants[node] = own if torch.equal(own, constants[node]) else constants[node]
    for node in program.graph.nodes:
        if node.op == "get_attr":
            constants[node.name] = operator.attrgetter(str(node.target))(program.graph_module)
    return constants
