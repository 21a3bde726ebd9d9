"""Layers with weights: convolutions, plain and transposed, and products with matrices."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from openwork.interchange.builder import Builder, rank_of, with_rank
from openwork.interchange.handle.quantised import is_weight, linear
from openwork.interchange.handle.windows import WindowForm, padded, window
from openwork.interchange.onnx_node import OnnxNode
from openwork.interchange.values import Constant, NotReadable, Value, as_constant

_CONVS: list[Any] = [nn.Conv1d, nn.Conv2d, nn.Conv3d]
_TRANSPOSED: list[Any] = [nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d]


def conv(net: Builder, node: OnnxNode) -> Value:
    """`Conv`."""
    weight = node.input(1)
    kernel = _kernel(node, weight)
    form, groups = window(node, kernel), _groups(node)
    x = node.input(0)
    padding: Any = form.before
    if not form.symmetric:
        x, padding = padded(net, x, form, 0.0), (0,) * len(kernel)
    bias = node.optional(2)
    if not isinstance(weight, Constant) or not (bias is None or isinstance(bias, Constant)):
        given = [weight, bias] if bias is not None else [weight]
        return with_rank(
            net.call(
                convolve, x, given, list(form.stride), list(padding), list(form.dilation), groups
            ),
            2 + len(kernel),
        )
    shape = weight.tensor.shape
    layer = _without_data(
        _CONVS[len(kernel) - 1], shape[1] * groups, shape[0], kernel, form, padding,
        groups=groups, bias=bias is not None,
    )  # fmt: skip
    return _filled(net, node, layer, x, weight, bias)


def convolve(
    x: torch.Tensor,
    weights: list[torch.Tensor],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
) -> torch.Tensor:
    """A convolution with computed weights: the kernel, and perhaps a bias."""
    run: Any = [F.conv1d, F.conv2d, F.conv3d][len(stride) - 1]
    bias = weights[1] if len(weights) > 1 else None
    return run(x, weights[0], bias, stride, padding, dilation, groups)


def conv_transpose(net: Builder, node: OnnxNode) -> Value:
    """`ConvTranspose`."""
    weight = node.constant(1)
    kernel = _kernel(node, weight)
    form, groups = window(node, kernel), _groups(node)
    more = tuple(node.attribute("output_padding") or (0,) * len(kernel))
    bias = node.optional(2)
    if bias is not None:
        bias = node.constant(2)
    given, automatic = node.attribute("output_shape"), node.attribute("auto_pad", "NOTSET")
    shape = weight.tensor.shape
    spans = [
        d * (k - 1) + 1 - s for k, s, d in zip(kernel, form.stride, form.dilation, strict=True)
    ]
    cut: Any = None
    if given:
        cut = net.call, list(given)[-len(kernel) :]
    symmetric = not given and not automatic.startswith("SAME") and form.symmetric
    layer = _without_data(
        _TRANSPOSED[len(kernel) - 1], shape[0], shape[1] * groups, kernel, form,
        form.before if symmetric else (0,) * len(kernel),
        groups=groups, bias=bias is not None,
        output_padding=more if symmetric else (0,) * len(kernel),
    )  # fmt: skip
    found = _filled(net, node, layer, node.input(0), weight, bias)
    if symmetric:
        return found
    x = node.input(0)
    if given:
        sizes: list[Any] = cut[1]
    elif automatic.startswith("SAME"):
        sizes = [
            net.number(times, net.size(x, 2 + axis), step) for axis, step in enumerate(form.stride)
        ]
    else:
        ends = [b + a for b, a in zip(form.before, form.after, strict=True)]
        totals = [e - m for e, m in zip(ends, more, strict=True)]
        return with_rank(net.call(crop, found, list(form.before), totals), 2 + len(kernel))
    strides = list(form.stride)
    lower = automatic != "SAME_UPPER"
    return with_rank(
        net.call(crop_to, found, x, sizes, strides, spans, list(more), lower), 2 + len(kernel)
    )


def times(size: Any, step: int) -> Any:
    """A size that a stride multiplies."""
    return size * step


def crop(x: torch.Tensor, before: list[int], total: list[int]) -> torch.Tensor:
    """`x` without `before` places at the front of each spatial axis, and `total` in all.

    A negative total is more zeros at the end.
    """
    for axis, (first, most) in enumerate(zip(before, total, strict=True), 2):
        size = x.shape[axis] - most
        if first + size > x.shape[axis]:
            widths = [0, 0] * (x.dim() - axis - 1) + [0, first + size - x.shape[axis]]
            x = F.pad(x, widths)
        x = x.narrow(axis, first, size)
    return x


def crop_to(
    found: torch.Tensor,
    x: torch.Tensor,
    sizes: list[Any],
    stride: list[int],
    spans: list[int],
    more: list[int],
    lower: bool,
) -> torch.Tensor:
    """The part of a transposed convolution's result that has the given sizes."""
    before: list[int] = []
    total: list[int] = []
    for axis, size in enumerate(sizes):
        padding = x.shape[2 + axis] * stride[axis] + spans[axis] + more[axis] - size
        # What is too little is put at the end as zeros.
        half = max(padding, 0) // 2
        before.append(max(padding, 0) - half if lower else half)
        total.append(padding - more[axis])
    return crop(found, before, total)


def gemm(net: Builder, node: OnnxNode) -> Value:
    """`Gemm`: a linear layer where its matrix is known."""
    a, b, c = node.input(0), node.input(1), node.optional(2)
    alpha, beta = node.attribute("alpha", 1.0), node.attribute("beta", 1.0)
    trans_a, trans_b = bool(node.attribute("transA", 0)), bool(node.attribute("transB", 0))
    bias = as_constant(c) if c is not None else None
    plain = alpha == 1 and beta == 1 and not trans_a and isinstance(b, Constant)
    if plain and isinstance(b, Constant) and not isinstance(a, Constant) and b.tensor.dim() == 2:
        weight = b if trans_b else _transposed(net, b)
        features = weight.tensor.shape[0]
        fits = c is None or (bias is not None and bias.shape in ((features,), (1, features)))
        if fits and weight.tensor.is_floating_point():
            given = None
            if bias is not None:
                name = c.name if isinstance(c, Constant) else ""
                given = Constant(bias.reshape(features), name)
            return with_rank(_linear(net, node, a, b, weight, given), 2)
    if (
        is_weight(b)
        and not trans_a
        and alpha == 1
        and (c is None or (bias is not None and beta == 1))
    ):
        return with_rank(net.call(linear, a, b, [] if c is None else [c], trans_b), 2)
    return with_rank(
        net.call(general_product, a, b, [] if c is None else [c], alpha, beta, trans_a, trans_b), 2
    )


def general_product(
    a: torch.Tensor,
    b: torch.Tensor,
    c: list[torch.Tensor],
    alpha: float,
    beta: float,
    trans_a: bool,
    trans_b: bool,
) -> torch.Tensor:
    """`alpha * a @ b + beta * c`, the matrices transposed where it says so."""
    found = (a.t() if trans_a else a) @ (b.t() if trans_b else b)
    if alpha != 1:
        found = found * alpha
    return found + (c[0] if beta == 1 else c[0] * beta) if c else found


def matmul(net: Builder, node: OnnxNode) -> Value:
    """`MatMul`: a linear layer where its second matrix is known."""
    a, b = node.input(0), node.input(1)
    matrix = isinstance(b, Constant) and b.tensor.dim() == 2 and b.tensor.is_floating_point()
    if isinstance(b, Constant) and matrix and not isinstance(a, Constant):
        return _linear(net, node, a, b, _transposed(net, b), None)
    if is_weight(b) and rank_of(b) == 2:
        return with_rank(net.call(linear, a, b, [], False), rank_of(a))
    return net.call(torch.matmul, a, b)


def _transposed(net: Builder, matrix: Constant) -> Constant:
    return Constant(matrix.tensor.t().contiguous(), matrix.name)


def _linear(
    net: Builder, node: OnnxNode, x: Value, held: Constant, weight: Constant, bias: Constant | None
) -> Value:
    """A linear layer; `held` is its matrix as the file has it."""
    rows, columns = weight.tensor.shape
    layer = nn.Linear(columns, rows, bias=bias is not None, device="meta")
    layer.weight = net.parameter(weight, "" if weight is held else "transposed")
    if bias is not None:
        layer.bias = net.parameter(bias)
    return net.module(layer, node, x, held.name)


def _kernel(node: OnnxNode, weight: Value) -> tuple[int, ...]:
    """The sizes of the kernel, which the attribute must repeat."""
    given = node.attribute("kernel_shape")
    if isinstance(weight, fx.Node) and is_weight(weight):
        return weight.meta["shape"][2:]
    if not isinstance(weight, Constant):
        if given is None:
            raise NotReadable("its weight is computed and `kernel_shape` is not given")
        return tuple(given)
    shape = tuple(weight.tensor.shape)
    if len(shape) < 3 or (given is not None and tuple(given) != shape[2:]):
        raise NotReadable(f"its weight has the shape {shape}, and `kernel_shape` is {given}")
    return shape[2:]


def _groups(node: OnnxNode) -> int:
    groups = node.attribute("group", 1)
    if groups < 1:
        raise NotReadable(f"`group` is {groups}")
    return groups


def _without_data(
    kind: Any,
    inputs: int,
    outputs: int,
    kernel: tuple[int, ...],
    form: WindowForm,
    padding: tuple[int, ...],
    **settings: Any,
) -> nn.Module:
    return kind(
        inputs, outputs, kernel, stride=form.stride, padding=padding, dilation=form.dilation,
        device="meta", **settings,
    )  # fmt: skip


def _filled(
    net: Builder, node: OnnxNode, layer: nn.Module, x: Value, weight: Constant, bias: Any
) -> Value:
    if tuple(layer.weight.shape) != tuple(weight.tensor.shape):  # type: ignore[arg-type]
        raise NotReadable(f"its weight has the shape {tuple(weight.tensor.shape)}")
    layer.weight = net.parameter(weight)
    if bias is not None:
        if tuple(bias.tensor.shape) != tuple(layer.bias.shape):  # type: ignore[arg-type]
            raise NotReadable(f"its bias has the shape {tuple(bias.tensor.shape)}")
        layer.bias = net.parameter(bias)
    return net.module(layer, node, x, weight.name, rank=weight.tensor.dim())


LAYERS = {"Conv": conv, "ConvTranspose": conv_transpose, "Gemm": gemm, "MatMul": matmul}
