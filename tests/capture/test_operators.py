"""Arguments of exported operators by name, and the records made of them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.fx import Graph, Node

import openwork.ops  # noqa: F401 - registers openwork's own operators
from openwork.capture.operators import (
    BatchNorm,
    Binary,
    Convolution,
    Joined,
    Linear,
    NotUnderstood,
    Padding,
    Pooling,
    Reduction,
    Slicing,
    arguments,
    batch_norm,
    binary,
    convolution,
    joined,
    leaves,
    linear,
    operand,
    padding,
    pool,
    reduction,
    slice_,
)

aten = torch.ops.aten
Export = Callable[[], Node]
IMAGES = torch.rand(2, 4, 9, 9)


class Calls(nn.Module):
    """One call, with a weight and a bias."""

    def __init__(self, body: Callable[..., Any], shape: tuple[int, ...] = (4, 4, 3, 3)) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.rand(shape)), nn.Parameter(torch.rand(4))
        self.body = body

    def forward(self, x: torch.Tensor) -> Any:
        return self.body(x, self.weight, self.bias)


def _exported(
    body: Callable[..., Any], shape: tuple[int, ...] = (4, 4, 3, 3), example: torch.Tensor = IMAGES
) -> Export:
    """Exports a network that calls `body`, and gives its first operator."""

    def export() -> Node:
        program = torch.export.export(Calls(body, shape).eval(), (example,), strict=False)
        return next(node for node in program.graph.nodes if node.op == "call_function")

    return export


def _node(source: Node | Export) -> Node:
    return source if isinstance(source, Node) else source()


def _call(target: Any, *args: Any, **kwargs: Any) -> Node:
    """A call of `target`, as an export could spell it; strings are placeholders."""
    graph = Graph()
    nodes: dict[str, Node] = {}

    def placed(value: Any) -> Any:
        return nodes.setdefault(value[1:], graph.placeholder(value[1:])) if _named(value) else value

    return graph.call_function(
        target,
        tuple(placed(value) for value in args),
        {name: placed(value) for name, value in kwargs.items()},
    )


def _named(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("%")


def _text(record: Any) -> Any:
    """`record` with the names of its nodes."""
    held = {
        name: value.name
        if isinstance(value, Node)
        else tuple(each.name if isinstance(each, Node) else each for each in value)
        if isinstance(value, tuple)
        else value
        for name, value in vars(record).items()
    }
    return type(record)(**held)


def test_arguments_are_named_and_defaults_filled_in() -> None:
    names = ["input", "weight", "bias", "stride", "padding", "dilation", "groups"]
    for node in (
        _call(aten.conv2d.default, "%x", "%w", None, [1, 1], [2, 2]),
        _call(aten.conv2d.default, "%x", padding=[2, 2], weight="%w"),
    ):
        given = arguments(node)
        assert list(given) == names
        assert (given["input"].name, given["weight"].name) == ("x", "w")
        assert [given[name] for name in names[2:]] == [None, [1, 1], [2, 2], [1, 1], 1]
        assert operand(node).name == "x"


def test_leaves_are_the_nodes_in_nested_arguments() -> None:
    graph = Graph()
    x, y = graph.placeholder("x"), graph.placeholder("y")
    assert leaves(([x, 1], {"other": (y, None)}, x)) == [x, y, x]


CONVOLUTIONS: dict[str, tuple[Node | Export, Convolution]] = {
    "defaults": (
        _exported(lambda x, w, b: F.conv2d(x, w)),
        Convolution("x", "p_weight", None, (1, 1), (0, 0), (1, 1), 1),
    ),
    "positional": (
        _exported(lambda x, w, b: F.conv2d(x, w, b, 2, (1, 0), 2, 2), (4, 2, 3, 3)),
        Convolution("x", "p_weight", "p_bias", (2, 2), (1, 0), (2, 2), 2),
    ),
    "keywords": (
        _exported(lambda x, w, b: F.conv2d(x, w, padding=1, bias=b, stride=(1, 2))),
        Convolution("x", "p_weight", "p_bias", (1, 2), (1, 1), (1, 1), 1),
    ),
    "one number": (
        _call(aten.conv2d.default, "%x", "%w", None, [2], [1]),
        Convolution("x", "w", None, (2, 2), (1, 1), (1, 1), 1),
    ),
    "same": (
        _exported(lambda x, w, b: F.conv2d(x, w, padding="same", dilation=2)),
        Convolution("x", "p_weight", None, (1, 1), "same", (2, 2), 1),
    ),
    "valid": (
        _exported(lambda x, w, b: F.conv2d(x, w, padding="valid")),
        Convolution("x", "p_weight", None, (1, 1), (0, 0), (1, 1), 1),
    ),
    "valid by default": (
        _call(aten.conv2d.padding, "%x", "%w"),
        Convolution("x", "w", None, (1, 1), (0, 0), (1, 1), 1),
    ),
    "one axis": (
        _exported(lambda x, w, b: F.conv1d(x, w, padding=2), (4, 4, 3), torch.rand(2, 4, 9)),
        Convolution("x", "p_weight", None, (1,), (2,), (1,), 1, False, (0,)),
    ),
    "transposed": (
        _exported(lambda x, w, b: F.conv_transpose2d(x, w, b, 2, 1, 1), (4, 4, 3, 3)),
        Convolution("x", "p_weight", "p_bias", (2, 2), (1, 1), (1, 1), 1, True, (1, 1)),
    ),
    "general": (
        _call(aten.convolution.default, "%x", "%w", None, [2, 1], [0, 1], [1, 1], True, [1, 0], 2),
        Convolution("x", "w", None, (2, 1), (0, 1), (1, 1), 2, True, (1, 0)),
    ),
    "general, older": (
        _call(
            *(aten._convolution.default, "%x", "%w", "%b", [1], [2], [1], False, [0], 1),
            *(False, False, True, True),
        ),
        Convolution("x", "w", "b", (1,), (2,), (1,), 1, False, (0,)),
    ),
    "sparse": (
        _call(
            torch.ops.openwork.sparse_conv2d.default,
            *("%x", "%w", "%gaps", None, [8, 2, 3, 3], [1, 2], [1, 1], [1, 1], 2),
        ),
        Convolution(
            *("x", "w", None, (1, 2), (1, 1), (1, 1), 2, False, (0, 0), "gaps", (8, 2, 3, 3))
        ),
    ),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name: str) -> None:
    node, expected = CONVOLUTIONS[name]
    assert _text(convolution(_node(node))) == expected


def test_the_padding_that_keeps_the_size() -> None:
    same = convolution(_call(aten.conv2d.padding, "%x", "%w", None, [1, 1], "same", [1, 2]))
    assert same.padding_of((3, 5)) == (1, 4)
    assert convolution(_call(aten.conv2d.default, "%x", "%w")).padding_of((3, 3)) == (0, 0)
    with pytest.raises(NotUnderstood, match="more padding on one side"):
        same.padding_of((2, 3))


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (_exported(lambda x, w, b: F.linear(x, w), (4, 9)), Linear("x", "p_weight", None)),
        (_exported(lambda x, w, b: F.linear(x, w, bias=w[0]), (1, 9)), None),
        (_call(aten.linear.default, "%x", bias="%b", weight="%w"), Linear("x", "w", "b")),
        (
            _call(torch.ops.openwork.sparse_linear.default, "%x", "%w", "%gaps", "%b", [8, 4]),
            Linear("x", "w", "b", "gaps", (8, 4)),
        ),
    ],
)
def test_linear_layers(node: Node | Export, expected: Linear | None) -> None:
    found = _node(node)
    if expected is None:
        # A bias that is computed comes first in the graph.
        found = next(each for each in found.graph.nodes if each.target is aten.linear.default)
        expected = Linear("x", "p_weight", "select")
    assert _text(linear(found)) == expected


STATISTICS = ("%x", "%w", "%b", "%m", "%v")
NORM = BatchNorm("x", "w", "b", "m", "v", False, 1e-3)


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (_call(aten.batch_norm.default, *STATISTICS, False, 0.1, 1e-3, True), NORM),
        (
            _call(aten.batch_norm.default, "%x", None, None, None, None, True, 0.1, 1e-3, False),
            BatchNorm("x", None, None, None, None, True, 1e-3),
        ),
        (
            _call(
                aten.batch_norm.default,
                *("%x", "%w", "%b"),
                running_mean="%m",
                running_var="%v",
                training=False,
                momentum=0.1,
                eps=1e-3,
                cudnn_enabled=True,
            ),
            NORM,
        ),
        (_call(aten._native_batch_norm_legit_no_training.default, *STATISTICS, 0.1, 1e-3), NORM),
        (_call(aten._batch_norm_no_update.default, *STATISTICS, 0.1, 1e-3), NORM),
        (_call(aten.native_batch_norm.default, *STATISTICS, False, 0.1, 1e-3), NORM),
        (_call(aten._native_batch_norm_legit.default, *STATISTICS, False, 0.1, 1e-3), NORM),
        (_call(aten.cudnn_batch_norm.default, *STATISTICS, False, 0.1, 1e-3), NORM),
        (
            _call(aten._native_batch_norm_legit.no_stats, "%x", "%w", "%b", True, 0.1, 1e-3),
            BatchNorm("x", "w", "b", None, None, True, 1e-3),
        ),
    ],
    ids=lambda value: str(value.target) if isinstance(value, Node) else "",
)
def test_batch_norms(node: Node, expected: BatchNorm) -> None:
    assert _text(batch_norm(node)) == expected


def test_an_exported_batch_norm() -> None:
    program = torch.export.export(nn.BatchNorm2d(4, eps=0.25).eval(), (IMAGES,), strict=False)
    node = next(each for each in program.graph.nodes if each.op == "call_function")
    assert _text(batch_norm(node)) == BatchNorm(
        "input", "p_weight", "p_bias", "b_running_mean", "b_running_var", False, 0.25
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            lambda x, *_: F.max_pool2d(x, 2),
            Pooling("x", (2, 2), (2, 2), (0, 0), (1, 1), False, False, False, None),
        ),
        (
            lambda x, *_: F.max_pool2d(x, (3, 2), 1, (1, 0), 2, True),
            Pooling("x", (3, 2), (1, 1), (1, 0), (2, 2), False, True, False, None),
        ),
        (
            lambda x, *_: F.max_pool2d(x, 3, padding=1, stride=(2, 1)),
            Pooling("x", (3, 3), (2, 1), (1, 1), (1, 1), False, False, False, None),
        ),
        (
            lambda x, *_: F.avg_pool2d(x, (2, 3)),
            Pooling("x", (2, 3), (2, 3), (0, 0), (1, 1), True, False, True, None),
        ),
        (
            lambda x, *_: F.avg_pool2d(x, 3, 2, 1, True, False, 5),
            Pooling("x", (3, 3), (2, 2), (1, 1), (1, 1), True, True, False, 5),
        ),
        (
            lambda x, *_: F.avg_pool2d(x, 3, count_include_pad=False, padding=1),
            Pooling("x", (3, 3), (3, 3), (1, 1), (1, 1), True, False, False, None),
        ),
    ],
)
def test_pools(body: Callable[..., Any], expected: Pooling) -> None:
    assert _text(pool(_exported(body)())) == expected


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (_exported(lambda x, *_: F.pad(x, (1, 2))), Padding("x", (1, 2), "constant", 0)),
        (
            _exported(lambda x, *_: F.pad(x, (1, 2, 0, 1), value=0.5)),
            Padding("x", (1, 2, 0, 1), "constant", 0.5),
        ),
        (
            _exported(lambda x, *_: F.pad(x, (1, 2, 1, 1), "reflect")),
            Padding("x", (1, 2, 1, 1), "reflect", 0),
        ),
        (_call(aten.constant_pad_nd.default, "%x", [1, 2]), Padding("x", (1, 2), "constant", 0)),
        (
            _call(aten.constant_pad_nd.default, "%x", [1, 2], value=3),
            Padding("x", (1, 2), "constant", 3),
        ),
    ],
)
def test_padding(node: Node | Export, expected: Padding) -> None:
    assert _text(padding(_node(node))) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (lambda x, w, b: torch.cat([x, x]), Joined(("x", "x"), 0)),
        (lambda x, w, b: torch.cat([x, w], 1), Joined(("x", "p_weight"), 1)),
        (lambda x, w, b: torch.cat([w, x], dim=-3), Joined(("p_weight", "x"), -3)),
        (lambda x, w, b: torch.stack([x, x], dim=2), Joined(("x", "x"), 2)),
    ],
)
def test_joined_tensors(body: Callable[..., Any], expected: Joined) -> None:
    assert _text(joined(_exported(body, (2, 4, 9, 9))())) == expected


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (_call(aten.slice.Tensor, "%x"), Slicing("x", 0, 0, None, 1)),
        (_call(aten.slice.Tensor, "%x", 1, -3, 4, 2), Slicing("x", 1, -3, 4, 2)),
        (_call(aten.slice.Tensor, "%x", -1, end=2), Slicing("x", -1, 0, 2, 1)),
    ],
)
def test_slices(node: Node, expected: Slicing) -> None:
    assert _text(slice_(node)) == expected


def test_an_exported_slice() -> None:
    node = _exported(lambda x, *_: x[:, 1:3])()
    nodes = [each for each in node.graph.nodes if each.target is aten.slice.Tensor]
    last = slice_(nodes[-1])
    assert (last.axis, last.start, last.stop, last.step) == (1, 1, 3, 1)


@pytest.mark.parametrize(
    ("body", "expected", "axes"),
    [
        (lambda x, *_: x.mean((2, 3)), Reduction("x", (2, 3), False), (2, 3)),
        (lambda x, *_: x.mean((-1, -2), True), Reduction("x", (-1, -2), True), (2, 3)),
        (lambda x, *_: x.sum(1, keepdim=True), Reduction("x", (1,), True), (1,)),
        (lambda x, *_: x.amax(dim=(0, -1)), Reduction("x", (0, -1), False), (0, 3)),
        (lambda x, *_: x.amin(), Reduction("x", (), False), (0, 1, 2, 3)),
    ],
)
def test_reductions(body: Callable[..., Any], expected: Reduction, axes: tuple[int, ...]) -> None:
    record = reduction(_exported(body)())
    assert _text(record) == expected
    assert record.axes_of(4) == axes


def test_a_mean_over_all_axes_by_none() -> None:
    assert reduction(_call(aten.mean.dim, "%x", None)).axes_of(3) == (0, 1, 2)


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (_exported(lambda x, *_: x + x), Binary("x", "x", 1)),
        (_exported(lambda x, *_: torch.sub(x, x, alpha=2)), Binary("x", "x", 2)),
        (_exported(lambda x, *_: torch.rsub(x, 3.0)), Binary("x", 3.0, 1)),
        (_exported(lambda x, *_: x * 0.5), Binary("x", 0.5, 1)),
        (_call(aten.rsub.Scalar, "%x", 3, 2), Binary("x", 3, 2)),
        (_call(aten.div.Tensor, other="%y", self="%x"), Binary("x", "y", 1)),
    ],
)
def test_binary_operators(node: Node | Export, expected: Binary) -> None:
    assert _text(binary(_node(node))) == expected
