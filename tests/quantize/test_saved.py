"""Quantised networks are saved with their steps, and damaged or hostile files are refused."""

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from residual import residual
from torch import nn

from openwork.errors import ArgumentError, CheckpointError
from openwork.io import info, load, save
from openwork.quantize import quantize
from openwork.quantize.network import QuantizedNetwork
from openwork.quantize.saved import describe, restore


@pytest.fixture(scope="module")
def given() -> tuple[QuantizedNetwork, torch.Tensor]:
    model, images = residual()
    found, _ = quantize(model, [images], tolerance=0.2)
    assert isinstance(found, QuantizedNetwork)
    return found, images


def test_a_loaded_network_gives_the_same_bits(
    given: tuple[QuantizedNetwork, torch.Tensor], tmp_path: Path
) -> None:
    model, images = given
    save(model, tmp_path / "q", metrics={"test_accuracy": 0.5})
    assert info(tmp_path / "q").kind == "quantized"
    assert info(tmp_path / "q").metrics == {"test_accuracy": 0.5}
    back = load(tmp_path / "q")
    for each in (back, pickle.loads(pickle.dumps(back))):
        assert torch.equal(each(images), model(images))
        assert each(torch.randn(1, 3, 20, 12)).shape == (1, 10)
        with pytest.raises(ArgumentError, match=r"must have \(batch, 3, 8, 8\)"):
            each(torch.randn(1, 4, 8, 8))
    before, after = dict(model.named_buffers()), dict(back.named_buffers())
    assert before.keys() == after.keys()
    assert all(torch.equal(each, after[name]) for name, each in before.items())
    with pytest.raises(ArgumentError, match=r"`build`=.* is not needed for a quantized model"):
        load(tmp_path / "q", lambda: nn.Linear(1, 1))


class _Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 1)

    def forward(self, x: dict[str, torch.Tensor], scale: float = 2.0) -> dict[str, Any]:
        y = self.conv(x["a"])
        return {"y": y * scale, "kind": torch.float32, "rest": (y.flatten(1), [x["b"].sum(1)])}


def test_nested_calls_and_results_come_back(tmp_path: Path) -> None:
    x = {"a": torch.randn(4, 2, 5, 5), "b": torch.randn(4, 3)}
    model, _ = quantize(_Nested().eval(), [({**x},)], tolerance=1)
    save(model, tmp_path / "q")
    expected, found = model(x), load(tmp_path / "q")(x)
    assert list(found) == ["y", "kind", "rest"]
    assert found["kind"] is torch.float32
    assert torch.equal(found["rest"][0], expected["rest"][0])
    assert torch.equal(found["rest"][1][0], x["b"].sum(1))


def _rename(network: dict[str, Any]) -> None:
    network["steps"][0]["tuple"][1] = "aten.from_file."


def _reads_later(network: dict[str, Any]) -> None:
    network["steps"].reverse()


def _reads_outside(network: dict[str, Any]) -> None:
    step = next(each["tuple"] for each in network["steps"] if not each["tuple"][1])
    step[2] = "__class__"


def _more_inputs(network: dict[str, Any]) -> None:
    network["inputs"]["tuple"].append("y")


def _other_types(network: dict[str, Any]) -> None:
    network["shapes"] = 3


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_rename, r"aten\.from_file\. is not known here|must do nothing but compute"),
        (_reads_later, "must read results of steps before it"),
        (_reads_outside, "must be a tensor of the file"),
        (_more_inputs, "`inputs` must be those of `call`"),
        (_other_types, "`shapes` must be"),
        (dict.clear, "KeyError"),
    ],
)
def test_damaged_files_are_refused(
    given: tuple[QuantizedNetwork, torch.Tensor],
    damage: Callable[[dict[str, Any]], None],
    message: str,
) -> None:
    tensors, header = describe(given[0])
    header = copy.deepcopy(json.loads(json.dumps(header)))
    damage(header["network"])
    with pytest.raises(CheckpointError, match=message):
        restore(tensors, header)


def test_what_a_file_cannot_hold_is_named(given: tuple[QuantizedNetwork, torch.Tensor]) -> None:
    model = copy.deepcopy(given[0])
    object.__setattr__(model.steps.steps[-1], "function", torch.relu)
    with pytest.raises(ArgumentError, match="not an operator of torch"):
        describe(model)
