"""Nodes over bytes give the numbers of plain integer arithmetic, and check their sizes."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

pytest.importorskip("openwork.kernels._C", reason="needs the compiled kernels")

from openwork.kernels.native import extension as _C
from openwork.runtime.decode import Decoder
from openwork.runtime.encode import Encoder
from openwork.runtime.file_errors import MalformedFile
from openwork.runtime.node import Node, check_node, decode_node, encode_node
from openwork.runtime.nodes import (
    ByteAdd,
    ByteConv,
    ByteMean,
    BytePool,
    Dequantize,
    OnBytes,
    Quantize,
)
from openwork.runtime.nodes.quantised import bytes_of
from openwork.runtime.program import Native
from openwork.runtime.values import Value

F = np.float32
RNG = np.random.default_rng(0)


def _bytes(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape).astype(np.uint8)


def _packed(numbers: np.ndarray) -> np.ndarray:
    """Images of bytes as a program takes them."""
    flat = numbers.reshape(len(numbers), -1)
    return np.pad(flat, ((0, 0), (0, -flat.shape[1] % 4))).view(F)


def _run(node: Node, inputs: Sequence[np.ndarray], isa: str, threads: int = 1) -> np.ndarray:
    """What the node writes, floats."""
    check_node(node)
    program = Native([node], {}, {node.output}, isa)
    output = np.full((len(inputs[0]), *node.output.shape), np.nan, F)
    program.run(list(inputs), [output], len(inputs[0]), threads)
    return output


def _written(node: Node, inputs: Sequence[np.ndarray], isa: str, count: int) -> np.ndarray:
    """What the node writes, bytes."""
    one, two = (_run(node, inputs, isa, threads) for threads in (1, 3))
    found = one.view(np.uint8)[:, :count]
    assert np.array_equal(found, two.view(np.uint8)[:, :count])
    return found


def _rounded(numbers: np.ndarray, zero: int, least: int, most: int) -> np.ndarray:
    assert numbers.dtype == F
    return np.clip(np.rint(numbers) + zero, least, most).astype(np.uint8)


ISAS = pytest.mark.parametrize("isa", _C.usable_isas())


@ISAS
@pytest.mark.parametrize("count", [1, 64, 5003])
def test_floats_become_the_nearest_bytes(isa: str, count: int) -> None:
    x = RNG.normal(size=(3, count)).astype(F) * F(40)
    x[0, 0], x[1, 0], x[2, 0] = np.inf, -np.inf, 1e30
    x[:, count // 2 :] = np.rint(x[:, count // 2 :]) + F(0.5)
    node = Quantize([Value((count,), "x")], bytes_of(count, "q"), 0.5, 100, 3, 250)
    found = _written(node, [x], isa, count)
    assert np.array_equal(found, _rounded(x * F(2), 100, 3, 250))
    halves = dataclasses.replace(node, scale=1.0)
    assert np.array_equal(_written(halves, [x], isa, count), _rounded(x, 100, 3, 250))


@ISAS
@pytest.mark.parametrize("count", [1, 64, 5003])
def test_bytes_become_floats(isa: str, count: int) -> None:
    q = _bytes(2, count)
    node = Dequantize([bytes_of(count, "q")], Value((count,), "x"), 0.3, 77)
    assert np.array_equal(_run(node, [_packed(q)], isa), (q.astype(F) - F(77)) * F(0.3))


POOLS: dict[str, tuple[tuple[int, int], tuple[int, int], tuple[int, int], tuple[int, int]]] = {
    "3x3 by 2": ((9, 13), (3, 3), (2, 2), (1, 1)),
    "2x2 by 2": ((8, 64), (2, 2), (2, 2), (0, 0)),
    "by 1": ((5, 5), (3, 3), (1, 1), (1, 1)),
    "by 3": ((11, 17), (2, 4), (3, 3), (1, 2)),
    "whole": ((7, 7), (7, 7), (1, 1), (0, 0)),
}


@ISAS
@pytest.mark.parametrize("case", POOLS)
def test_the_largest_byte_of_each_window(case: str, isa: str) -> None:
    size, kernel, stride, padding = POOLS[case]
    q = _bytes(2, 5, *size)
    padded = np.pad(q, ((0, 0), (0, 0), *((each, each) for each in padding)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, (2, 3))
    wanted = windows[:, :, :: stride[0], :: stride[1]].max((4, 5))
    out_size = (wanted.shape[2], wanted.shape[3])
    output = bytes_of(wanted[0].size, "y")
    node = BytePool([bytes_of(q[0].size, "x")], output, 5, size, out_size, kernel, stride, padding)
    found = _written(node, [_packed(q)], isa, wanted[0].size)
    assert np.array_equal(found, wanted.reshape(2, -1))


@ISAS
@pytest.mark.parametrize("numbers", [1, 49, 3136])
def test_means_are_rounded_once(isa: str, numbers: int) -> None:
    q, factor = _bytes(2, 7, numbers), 1.7 / numbers
    node = ByteMean(
        [bytes_of(7 * numbers, "x")], bytes_of(7, "y"), 7, numbers, 20, factor, 5, 5, 200
    )
    centred = q.sum(2, dtype=np.int32) - np.int32(20 * numbers)
    wanted = _rounded(centred.astype(F) * F(factor), 5, 5, 200)
    assert np.array_equal(_written(node, [_packed(q)], isa, 7), wanted)


@ISAS
@pytest.mark.parametrize("count", [3, 64, 4999])
def test_sums_of_bytes(isa: str, count: int) -> None:
    a, b = _bytes(2, count), _bytes(2, count)
    values = [bytes_of(count, "a"), bytes_of(count, "b")]
    node = ByteAdd(values, bytes_of(count, "y"), (9, 0.7), (128, 1.3), 30, 30, 255)
    one = (a.astype(np.int32) - 9).astype(F) * F(0.7)
    other = (b.astype(np.int32) - 128).astype(F) * F(1.3)
    wanted = _rounded(one + other, 30, 30, 255)
    assert np.array_equal(_written(node, [_packed(a), _packed(b)], isa, count), wanted)


def _conv(**changed: Any) -> ByteConv:
    weight = np.arange(-18, 18, dtype=np.int8).reshape(4, 1, 3, 3)
    scale, bias = np.full(4, 0.01, F), np.arange(4, dtype=F)
    node = ByteConv(
        [bytes_of(50, "x")],
        bytes_of(100, "y"),
        "layer",
        (5, 5),
        *((1, 1), (1, 1), (1, 1), 2),
        *(weight, 3, scale, bias, 10.0, 200.0, 10),
    )
    return dataclasses.replace(node, **changed)


@ISAS
def test_a_convolution_is_that_of_its_integer_sums(isa: str) -> None:
    q, added = _bytes(2, 2, 5, 5), _bytes(2, 4, 5, 5)
    node = _conv()
    padded = np.pad(q.astype(np.int32) - 3, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
    sums = np.stack(
        [np.einsum("nhwyx,yx->nhw", windows[:, f // 2], node.weight[f, 0]) for f in range(4)], 1
    )
    y = sums.astype(F) * node.scale[:, None, None] + node.bias[:, None, None]
    found = _written(node, [_packed(q)], isa, 100)
    assert np.array_equal(found, _rounded(y, 10, 10, 200).reshape(2, -1))
    values = [*node.inputs, bytes_of(100, "z")]
    summed = dataclasses.replace(node, inputs=values, residual_zero=7, residual_scale=0.25)
    y = y + (added.astype(np.int32) - 7).astype(F) * F(0.25)
    found = _written(summed, [_packed(q), _packed(added)], isa, 100)
    assert np.array_equal(found, _rounded(y, 10, 10, 200).reshape(2, -1))


NODES = [
    Quantize([Value((5,), "x")], bytes_of(5, "q"), 0.5, 1, 0, 255),
    Dequantize([bytes_of(5, "q")], Value((5,), "x"), 0.5, 1),
    BytePool([bytes_of(16, "x")], bytes_of(4, "y"), 1, (4, 4), (2, 2), (2, 2), (2, 2), (0, 0)),
    ByteMean([bytes_of(8, "x")], bytes_of(2, "y"), 2, 4, 0, 0.25, 0, 0, 255),
    ByteAdd([bytes_of(5, "a"), bytes_of(5, "b")], bytes_of(5, "y"), (0, 1.0), (0, 1.0), 0, 0, 255),
    _conv(),
]


@pytest.mark.parametrize("node", NODES, ids=lambda node: type(node).__name__)
def test_files_hold_them(node: Node) -> None:
    assert isinstance(node, OnBytes)
    encoder = Encoder()
    encoded = encode_node(node, encoder)
    again = decode_node(encoded, Decoder(encoder.tensors, encoder.values))
    assert type(again) is type(node)
    check_node(again)
    for field in dataclasses.fields(node):
        if field.name not in ("inputs", "output"):
            assert np.array_equal(getattr(again, field.name), getattr(node, field.name))


def test_what_may_be_overwritten() -> None:
    first, second = NODES[4].inputs
    assert NODES[4].overwritable() == [first, second]
    node = _conv(inputs=[bytes_of(50, "x"), bytes_of(100, "z")])
    assert node.overwritable() == [node.inputs[1]]
    assert _conv(inputs=node.inputs, out_zero=None, output=Value((100,), "y")).overwritable() == ()


def test_a_convolution_has_a_name_for_tables() -> None:
    node = _conv()
    assert node.step == ("layer", "byteconv")
    assert node.kernel("baseline") == "int8-conv3x3-quads-baseline"
    assert node.density == 35 / 36


WRONG: list[tuple[int, dict[str, Any], str]] = [
    (0, {"scale": 0.0}, "the scale must be above 0"),
    (0, {"zero": 256}, "the zero point must be a byte, not 256"),
    (0, {"least": 9, "most": 8}, "must be rising bytes, not 9 and 8"),
    (0, {"output": bytes_of(9, "q")}, "'q' must have 2 floats, for bytes"),
    (1, {"inputs": [bytes_of(9, "q")]}, "'q' must have 2 floats, for bytes"),
    (2, {"stride": (0, 2)}, "the kernels must be able to run it"),
    (2, {"channels": 2}, "must have 8 floats, for bytes"),
    (3, {"zero": -1}, "the zero point must be a byte"),
    (3, {"maps": 5}, "must have 5 floats, for bytes"),
    (4, {"inputs": [bytes_of(5, "a")]}, "must have 2 inputs, not 1"),
    (4, {"output": bytes_of(9, "y")}, "both must be as large as the output"),
    (5, {"weight": np.zeros((4, 1, 3, 3), F)}, "the weight must be int8"),
    (5, {"groups": 3}, "3 groups must divide 4 filters"),
    (5, {"scale": np.zeros(3, F)}, r"float32 of shape \(4,\)"),
    (5, {"padding": (-1, 0)}, "sizes must be at least 1"),
    (5, {"size": (1, 1), "padding": (0, 0)}, "the kernel must fit"),
    (5, {"output": bytes_of(104, "y")}, "'y' must have 25 floats, for bytes"),
    (5, {"out_zero": None}, "the output must have 100 numbers"),
    (5, {"weight": np.zeros((4, 1, 300, 300), np.int8)}, "at most 65536 weights"),
]


@pytest.mark.parametrize(("number", "changed", "rule"), WRONG)
def test_sizes_must_fit(number: int, changed: dict[str, Any], rule: str) -> None:
    with pytest.raises(MalformedFile, match=rule):
        check_node(dataclasses.replace(NODES[number], **changed))
