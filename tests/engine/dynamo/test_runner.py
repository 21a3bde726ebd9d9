"""Which graphs are refused, and what happens where one changes later."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from dynamo_graphs import graphs
from torch import nn

from openwork.capture import BatchSizes
from openwork.engine.dynamo.runner import Runner, compiled_or_reason

QUICK: Mapping[str, Any] = {"kernels": {"*": ("*-spmm-*", "*-direct-*", "*")}}


def _conv() -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU()).eval()


def _runner(model: nn.Module, *shapes: tuple[int, ...]) -> tuple[Any, Sequence[Any]]:
    *_, (graph, given) = graphs(model, *((torch.randn(shape),) for shape in shapes))
    with torch.no_grad():
        return compiled_or_reason(graph, given, QUICK), given


@pytest.mark.parametrize(
    ("network", "calls", "reason"),
    [
        (lambda x: x + 1, [(torch.ones(2, 3),)], "it has no weights"),
        (
            nn.Linear(3, 4).double(),
            [(torch.ones(2, 3).double(),)],
            "a tensor is torch.float64, not float32",
        ),
        (
            nn.Conv1d(2, 3, 3),
            [(torch.ones(2, 2, 9),), (torch.ones(2, 2, 11),)],
            "the length of an axis varies that is not the batch, height or width",
        ),
        (nn.Dropout().train(), [(torch.ones(2, 3),)], "it has no weights"),
    ],
)
def test_what_does_not_run_on_the_engine_has_a_reason(
    network: Callable[..., Any], calls: list[Any], reason: str
) -> None:
    *_, (graph, given) = graphs(network, *calls)
    with torch.no_grad():
        assert compiled_or_reason(graph, given, QUICK) == reason


def test_autocast_and_weights_made_in_inference_mode_are_refused() -> None:
    ((graph, given),) = graphs(_conv(), (torch.randn(1, 2, 6, 6),))
    with torch.no_grad(), torch.autocast("cpu"):
        assert "autocast" in str(compiled_or_reason(graph, given, QUICK))
    with torch.inference_mode():
        made = [torch.ones_like(value) for value in given]
        weights = [nn.Parameter(each, requires_grad=False) for each in made]
        reason = compiled_or_reason(graph, weights, QUICK)
    assert "made in inference mode" in str(reason)


def test_random_numbers_are_not_compiled_in() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout()).train()
    ((graph, given),) = graphs(model, (torch.ones(8, 3),))
    with torch.no_grad():
        assert isinstance(compiled_or_reason(graph, given, QUICK), str)


def test_after_eight_changes_of_its_weights_a_graph_stays_eager(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "openwork.torch_compile")
    monkeypatch.setattr("openwork.engine.dynamo.runner._MOST_COMPILED", 2)
    model = _conv()
    runner, given = _runner(model, (1, 2, 6, 6))
    assert isinstance(runner, Runner)
    for _ in range(4):
        with torch.no_grad():
            next(model.parameters()).add_(0.5)
            (output,) = runner(*given)
            torch.testing.assert_close(output, model(given[-1]))
    assert caplog.messages == ["a graph runs in eager mode: its weights changed 2 times"]


def test_a_batch_that_the_network_treats_otherwise_runs_in_eager_mode(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "openwork.torch_compile")
    model = _conv()
    runner, given = _runner(model, (2, 2, 6, 6))
    runner._compiled.limit(BatchSizes.of(2), "for this test")
    x = torch.randn(3, 2, 6, 6)
    with torch.no_grad():
        (output,) = runner(*given[:-1], x)
        torch.testing.assert_close(output, model(x))
    assert caplog.messages == [
        "a graph runs in eager mode: a batch of 3 takes another path through the network"
    ]
