"""Maps of another size, beside what torch computes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from lowering import Body, Do, nodes_of
from native_operators import check_native

from openwork.engine import CompiledModel, compile
from openwork.engine.fallback import Fallback
from openwork.runtime.nodes import Resample

Build = Callable[..., CompiledModel]

MODES: list[dict[str, Any]] = [
    {"mode": "nearest"},
    {"mode": "nearest-exact"},
    {"mode": "bilinear"},
    {"mode": "bilinear", "align_corners": True},
]
SIZES: list[dict[str, Any]] = [
    {"scale_factor": 2},
    {"scale_factor": (1.7, 0.6)},
    {"scale_factor": 1.7, "recompute_scale_factor": True},
    {"size": (7, 13)},
    {"size": (6, 19)},
    {"size": (1, 1)},
]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_resizing(size: dict[str, Any], mode: dict[str, Any], build: Build, tmp_path: Path) -> None:
    check_native(lambda x: F.interpolate(x, **size, **mode), build, tmp_path)


@settings(max_examples=25, deadline=None)
@given(
    inside=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    outside=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    mode=st.sampled_from(MODES),
)
def test_any_sizes(inside: tuple[int, int], outside: tuple[int, int], mode: dict[str, Any]) -> None:
    def body(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return F.interpolate(x, outside, **mode), F.adaptive_avg_pool2d(x, outside)

    compiled = compile(Do(body, 2), torch.randn(2, 2, *inside), kernels={"*": "*-taps-*"})
    assert compiled.layers.notes == ()
    # torch finds places in float32: off by at most 40 * 2**-24 of a pixel, where neighbours differ
    # by twice the largest value.
    assert compiled.difference < 40 * 2**-24 * 2 + 2e-6


def test_nan_and_infinity_go_where_torch_puts_them(build: Build) -> None:
    def body(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        means = F.adaptive_avg_pool2d(x, (4, 5))
        return *(F.interpolate(x, (9, 17), **mode) for mode in MODES), means

    model = Do(body, 1).eval()
    torch.nn.init.ones_(model.before.weight)
    compiled = build(model, torch.randn(2, 1, 6, 8), "torch")
    x = torch.randn(2, 1, 6, 8)
    x[0, 0, 2, 3], x[1, 0, 5, 0] = float("nan"), float("inf")
    for found, wanted in zip(compiled(x), model(x), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6, equal_nan=True)


def test_the_nearest_places_have_no_weights() -> None:
    (node,) = nodes_of(lambda x: F.interpolate(x, scale_factor=2))
    assert isinstance(node, Resample)
    assert node.row_weights is node.column_weights is None
    assert node.rows.tolist() == [[0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (lambda x: F.interpolate(x, 3, mode="bicubic"), "not an operator that the engine has"),
        (lambda x: F.adaptive_avg_pool2d(x.transpose(0, 1), 4), "depends on the input"),
    ],
)
def test_why_torch_runs_the_rest(body: Body, reason: str) -> None:
    last = nodes_of(body)[-1]
    assert isinstance(last, Fallback)
    assert last.reason.endswith(reason)
