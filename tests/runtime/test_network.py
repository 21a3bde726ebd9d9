"""A compiled network that runs without torch, when it is called."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import openwork as ow
from openwork import runtime
from openwork.engine import CompiledModel
from openwork.errors import ArgumentError
from openwork.kernels.native import extension as _C
from openwork.runtime.batch_sizes import BatchSizes
from openwork.runtime.graph import Graph
from openwork.runtime.network import Network
from openwork.runtime.nodes import Add
from openwork.runtime.program import Native
from openwork.runtime.values import Alias, Value

Build = Callable[..., CompiledModel]

ANY = BatchSizes()


def _network(batches: BatchSizes = ANY) -> Network:
    """The sum of `x` and `y` as it is and flat, `y`, a constant and a number."""
    x, y, total = (Value((2, 3), name) for name in ("x", "y", "total"))
    constant = np.array([1, 2], np.float32)
    graph = Graph([x, y], [total, Alias(total, (6,)), y, constant, 7], [Add([x, y], total)])
    program = Native(graph.nodes, {}, set(graph.outputs), _C.chosen_isa())
    nesting = {"sum": (0, [1]), "rest": [2, 3, 4]}
    return Network(graph, program, nesting, batches, [("total", "add")], 1)


def _inputs(first: int = 2, second: int = 2) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.random((images, 2, 3), np.float32) for images in (first, second)]


def test_what_it_takes_can_be_read() -> None:
    network = _network(BatchSizes(2, 8))
    assert network.shapes == {"x": (2, 3), "y": (2, 3)}
    assert network.kernels == (("total", "add"),)
    assert (network.batches, network.threads) == (BatchSizes(2, 8), 1)
    assert repr(network) == "Network(x: (2 to 8, 2, 3), y: (2 to 8, 2, 3))"


@pytest.mark.parametrize("images", [1, 5])
def test_results_are_computed_and_nested(images: int) -> None:
    x, y = _inputs(images, images)
    found = _network()(x, y)
    assert list(found) == ["sum", "rest"]
    total, (flat,) = found["sum"]
    np.testing.assert_array_equal(total, x + y)
    np.testing.assert_array_equal(flat, (x + y).reshape(images, 6))
    same, constant, number = found["rest"]
    np.testing.assert_array_equal(same, y)
    assert constant.tolist() == [1, 2]
    assert number == 7


def test_arrays_of_any_strides_are_taken() -> None:
    x, y = (array.swapaxes(0, 2).copy().swapaxes(0, 2) for array in _inputs())
    assert not x.flags.c_contiguous
    np.testing.assert_array_equal(_network()(x, y)["sum"][0], x + y)


def test_what_is_written_to_a_constant_does_not_reach_the_network() -> None:
    network = _network()
    network(*_inputs())["rest"][1][:] = 9
    assert network(*_inputs())["rest"][1].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (_inputs()[:1], "takes 2 arrays, but 1 were given"),
        (_inputs(2, 3), "`y` holds 3 images, but `x` holds 2"),
        ([_inputs()[0], np.zeros((2, 2, 4), np.float32)], r"`y` has shape \(2, 2, 4\)"),
        ([_inputs()[0], np.zeros((2, 2, 3))], "`y` is an array of float64, but must be a numpy"),
        (_inputs(0, 0), "`x` holds no images"),
        (_inputs(10, 10), r"`x` has shape \(10, 2, 3\), .* \(1 to 8, 2, 3\); give such a batch"),
        (_inputs(3, 3), r"\(1 to 8, 2, 3\) where batch % 2 == 0; give such a batch"),
    ],
    ids=["number", "batches", "shape", "dtype", "empty", "too many", "condition"],
)
def test_which_inputs_are_refused(inputs: list[np.ndarray], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        _network(BatchSizes(1, 8, ("batch % 2 == 0",)))(*inputs)


@pytest.mark.parametrize(
    ("input", "message"),
    [
        (
            np.zeros((2, 3, 8, 7), np.float32),
            r"has shape \(2, 3, 8, 7\), .* \(any batch, 3, 6, 6\)",
        ),
        (np.zeros((), np.float32), "has shape"),
        (np.zeros((0, 3, 6, 6), np.float32), "holds no images"),
        (np.zeros((2, 3, 6, 6)), "is an array of float64, but must be a numpy array of float32"),
        (torch.zeros(2, 3, 6, 6), "is Tensor, but must be a numpy array of float32"),
        ([[1.0]], "is list, but must be a numpy array of float32"),
        (np.zeros((1, 3, 6, 6), np.float32), None),
    ],
    ids=["shape", "number", "empty", "dtype", "tensor", "list", "good"],
)
def test_bad_inputs_are_refused(
    input: Any, message: str | None, tmp_path: Path, build: Build
) -> None:
    ow.save(build(nn.Conv2d(3, 4, 3), torch.randn(2, 3, 6, 6)), tmp_path / "file")
    network = runtime.load(tmp_path / "file")
    if message is None:
        assert network(input).shape == (1, 4, 4, 4)
        return
    with pytest.raises(ArgumentError, match=message):
        network(input)


def test_batches_that_the_network_does_not_take_are_refused(tmp_path: Path, build: Build) -> None:
    class Even(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 1 if x.shape[0] % 2 == 0 else x

    ow.save(build(Even(), torch.randn(2, 3)), tmp_path / "file")
    network = runtime.load(tmp_path / "file")
    assert np.array_equal(network(np.zeros((4, 3), np.float32)), np.ones((4, 3), np.float32))
    with pytest.raises(ArgumentError, match="give such a batch"):
        network(np.zeros((3, 3), np.float32))


class TwoInputs(nn.Module):
    """A sum of two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return self.one(left) + 2 * self.two(right)


def test_inputs_go_by_name_too(tmp_path: Path) -> None:
    left, right = torch.randn(2, 2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    ow.save(ow.compile(TwoInputs(), (left, right)), tmp_path / "two.safetensors")
    network = runtime.load(tmp_path / "two.safetensors")
    a, b = left.numpy(), right.numpy()
    expected = network(a, b)
    for found in (network(left=a, right=b), network(right=b, left=a), network(a, right=b)):
        np.testing.assert_array_equal(found, expected)
    for args, named, why in (
        ((a,), {"left": a, "right": b}, "`left` is given twice"),
        ((a,), {}, "takes 2 arrays, but 1"),
        ((), {"left": a}, "`right` is missing; the network takes 'left', 'right'"),
        ((a, b), {"x": a}, "no input 'x'; it takes 'left', 'right'"),
    ):
        with pytest.raises(ArgumentError, match=why):
            network(*args, **named)
