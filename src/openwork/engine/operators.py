"""Which torch operators a file may name: those that only compute, from their arguments alone."""

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch._ops import OpOverload, OpOverloadPacket

from openwork.runtime.file_errors import MalformedFile, NotSerializable

__all__ = ["name_of", "operator_named"]

# Operators that only compute, although no tag of torch says so.
_NAMED = {
    "aten": frozenset(
        name
        for line in (
            "_log_softmax _native_batch_norm_legit _native_batch_norm_legit_no_training _softmax",
            "_to_copy _unsafe_view _adaptive_avg_pool2d _assert_scalar _assert_tensor_metadata",
            "adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d",
            "adaptive_max_pool3d affine_grid_generator",
            "arange baddbmm batch_norm channel_shuffle chunk contiguous conv1d conv2d conv3d",
            "conv_transpose1d conv_transpose2d conv_transpose3d",
            "cosine_similarity detach diag_embed dot dropout",
            "einsum expand_as eye feature_dropout flatten floor_divide glu grid_sampler",
            "group_norm hardswish im2col instance_norm layer_norm lift_fresh_copy linear",
            "log_softmax mT masked_fill matmul max_pool1d max_pool2d max_pool3d meshgrid movedim",
            "mv narrow new_full new_ones new_zeros numpy_T ones ones_like outer pad",
            "pixel_shuffle pixel_unshuffle prelu repeat_interleave reshape rms_norm roll",
            "rot90 scaled_dot_product_attention select softmax split stack squeeze sym_size t",
            "tensor_split tile to transpose tril triu type_as unbind unflatten unfold",
            "upsample_bicubic2d upsample_bilinear2d upsample_linear1d upsample_nearest1d",
            "upsample_nearest2d upsample_nearest3d upsample_trilinear3d",
            "view where zeros zeros_like",
        )
        for name in line.split()
    ),
    "openwork": frozenset({"sparse_conv2d", "sparse_linear"}),
    "quantized_decomposed": frozenset(
        f"{verb}_per_{what}"
        for verb in ("dequantize", "quantize")
        for what in ("channel", "tensor")
    ),
    "torchvision": frozenset({"deform_conv2d"}),
}
_PURE = {torch.Tag.core, torch.Tag.pointwise, torch.Tag.reduction}

# Functions on batch sizes, which torch captures as whole numbers.
_ON_NUMBERS: dict[str, Callable[..., Any]] = {
    f"python.{function.__name__}": function
    for function in (
        *(operator.add, operator.sub, operator.mul, operator.floordiv, operator.truediv),
        *(operator.mod, operator.neg, operator.getitem, math.ceil, math.floor, math.trunc),
        *(operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge),
        *(torch.sym_float, torch.sym_int, torch.sym_max, torch.sym_min, torch.sym_not),
    )
}


def name_of(target: Callable[..., Any]) -> str:
    """The name of an operator as a file holds it.

    Raises:
        NotSerializable: files may not name it.
    """
    for name, function in _ON_NUMBERS.items():
        if target is function:
            return name
    if not isinstance(target, OpOverload):
        raise NotSerializable(f"the function {target}, which is not an operator of torch")
    space, _, name = target._schema.name.partition("::")
    full = f"{space}.{name}.{target._overloadname}"
    refusal = _look_up(full)[1]
    if refusal is not None:
        raise NotSerializable(f"the operator {full}, which {refusal}")
    return full


def operator_named(name: str) -> Callable[..., Any]:
    """The inverse of `name_of`; only libraries that are loaded already are searched.

    Raises:
        MalformedFile: files may not name it, or it is not there.
    """
    if name in _ON_NUMBERS:
        return _ON_NUMBERS[name]
    operator_, refusal = _look_up(name)
    if operator_ is None:
        raise MalformedFile(f"the operator {name} {refusal}")
    return operator_


def _look_up(name: str) -> tuple[OpOverload | None, str | None]:
    """The operator, or why there is none that files may name."""
    space, _, rest = name.partition(".")
    packet_name, _, overload = rest.partition(".")
    if space not in _NAMED or not packet_name.isidentifier() or packet_name.startswith("__"):
        return None, "must be one of torch, torchvision or openwork"
    packet = getattr(getattr(torch.ops, space), packet_name, None)
    found = getattr(packet, overload, None) if isinstance(packet, OpOverloadPacket) else None
    if not isinstance(found, OpOverload):
        return None, f"is not known here; import {space} first"
    if not _only_computes(space, packet_name, found):
        return None, "must do nothing but compute"
    return found, None


def _only_computes(space: str, name: str, found: OpOverload) -> bool:
    if found._schema.is_mutable:
        return False
    if name in _NAMED[space]:
        return True
    random = torch.Tag.nondeterministic_seeded in found.tags
    private = name.startswith("_") or name.endswith("_backward")
    return space == "aten" and not (random or private) and not _PURE.isdisjoint(found.tags)
