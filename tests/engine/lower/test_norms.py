"""Norms, reductions and weighted sums, beside what torch computes."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from lowering import Body, graph_nodes, nodes_of
from native_operators import check_native
from torch import nn

import openwork as ow
from openwork.engine import CompiledModel
from openwork.engine.fallback import Fallback
from openwork.runtime.nodes import Conv, Dot, Mean, Normalize, Reduce

Build = Callable[..., CompiledModel]


def _last(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 2, 3, 1)


def _first(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 3, 1, 2)


class Randomised(nn.Sequential):
    """Layers with other scales and shifts than ones and zeros."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(*layers)
        for parameter in self.parameters():
            nn.init.normal_(parameter)


class ChannelsLast(Randomised):
    """Layers that work along the last axis, between two permutations."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return _first(super().forward(_last(input)))


def _ramp(x: torch.Tensor, count: int = 4) -> torch.Tensor:
    return torch.linspace(-1, 2, count).to(x.dtype)


BODIES: dict[str, Body] = {
    "group norm": Randomised(nn.GroupNorm(2, 4)),
    "one group": Randomised(nn.GroupNorm(1, 4, eps=0.1)),
    "a group for each channel": Randomised(nn.GroupNorm(4, 4)),
    "group norm without weights": nn.GroupNorm(2, 4, affine=False),
    "group norm with weights alone": lambda x: F.group_norm(x, 2, _ramp(x)),
    "group norm of vectors": lambda x: F.group_norm(x.mean((2, 3)), 2, _ramp(x), -_ramp(x)),
    "group norm of rows": lambda x: F.group_norm(x.flatten(2), 2, _ramp(x), -_ramp(x)),
    "group norm and an activation": Randomised(nn.GroupNorm(2, 4), nn.SiLU()),
    "group norm, channels last": lambda x: F.group_norm(_last(x), 3, _ramp(x, 6)),
    "instance norm": Randomised(nn.InstanceNorm2d(4, affine=True)),
    "layer norm of channels": ChannelsLast(nn.LayerNorm(4)),
    "layer norm of channels, and what follows": ChannelsLast(
        nn.LayerNorm(4, eps=1e-3), nn.Linear(4, 10), nn.GELU(), nn.Linear(10, 4)
    ),
    "layer norm without weights": lambda x: F.layer_norm(x, (8,)),
    "layer norm of rows": lambda x: F.layer_norm(x, (8,), _ramp(x, 8), _ramp(x, 8)),
    "layer norm of maps": lambda x: F.layer_norm(x, (6, 8)),
    "layer norm of images": Randomised(nn.LayerNorm([4, 6, 8])),
    "layer norm of turned images": lambda x: F.layer_norm(_last(x), (6, 8, 4)),
    "layer norm of two turned axes": lambda x: F.layer_norm(_last(x), (8, 4)),
    "layer norm of two axes in order": lambda x: F.layer_norm(x.transpose(1, 2), (4, 8)),
    "layer norm of columns": lambda x: F.layer_norm(x.transpose(2, 3), (6,), _ramp(x, 6)),
    "layer norm of a pixel": lambda x: F.layer_norm(
        _last(x.mean((2, 3), keepdim=True)), (4,), _ramp(x), -_ramp(x)
    ),
    "layer norm of vectors": lambda x: F.layer_norm(x.mean((2, 3)), (4,), _ramp(x), -_ramp(x)),
    "mean of channels": lambda x: x.mean(1),
    "mean of channels kept": lambda x: x.mean(1, keepdim=True),
    "mean of channels and rows": lambda x: x.mean((1, 2)),
    "mean of all": lambda x: x.mean((1, 2, 3), keepdim=True),
    "mean of rows": lambda x: x.mean(2),
    "mean of turned maps": lambda x: _last(x).mean((1, 2)),
    "mean of turned rows": lambda x: _last(x).mean(1),
    "mean of turned channels": lambda x: _last(x).mean(3, keepdim=True),
    "variance of maps": lambda x: x.var((2, 3)),
    "variance of channels": lambda x: x.var(1, unbiased=False, keepdim=True),
    "variance of groups": lambda x: x.view(-1, 2, 2, 6, 8).var((2, 3, 4), correction=3),
    "variance of turned channels": lambda x: _last(x).var(3, unbiased=False),
    "norm of maps": lambda x: torch.linalg.vector_norm(x, dim=(2, 3)),
    "norm of turned maps": lambda x: torch.linalg.vector_norm(_last(x), dim=(1, 2), keepdim=True),
    "norm of channels": lambda x: x.norm(dim=1, keepdim=True),
    "response": lambda x: x / (x.norm(dim=(2, 3), keepdim=True).mean(1, keepdim=True) + 1e-6),
    "weighted sum": lambda x: (x.flatten(2) @ x.mean(1).flatten(1).softmax(1).unsqueeze(2)).view(
        -1, 4, 1, 1
    ),
    "weighted sum of a batch": lambda x: torch.bmm(
        x.flatten(2), x.mean(1).flatten(1).softmax(1).unsqueeze(2)
    ),
    "weighted sum, one group": lambda x: (
        x.flatten(2).unsqueeze(1) @ x[:, :1].flatten(2).softmax(2).unsqueeze(3)
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_operators(name: str, build: Build, tmp_path: Path) -> None:
    check_native(BODIES[name], build, tmp_path)


@pytest.mark.parametrize("name", ["group norm", "layer norm of channels", "one group"])
def test_nan_and_infinity_are_torchs(name: str, build: Build) -> None:
    body = BODIES[name]
    assert isinstance(body, nn.Module)
    x = torch.randn(3, 4, 6, 8)
    x[0, 1, 2, 3], x[1, 3, 5, 7], x[2, 0, 0, 0] = float("nan"), float("inf"), -float("inf")
    compiled = build(body.eval(), torch.randn(2, 4, 6, 8))
    assert compiled.layers.notes == ()
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), body(x), rtol=1e-5, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("size", [(7, 7), (13, 5)])
def test_other_batches_and_sizes(batch: int, size: tuple[int, int]) -> None:
    block = ChannelsLast(nn.LayerNorm(4), nn.Linear(4, 16), nn.GELU(), nn.Linear(16, 4))
    model = nn.Sequential(nn.Conv2d(4, 4, 3), block, nn.GroupNorm(2, 4)).eval()
    compiled = ow.compile(model, torch.randn(2, 4, 6, 8), sizes=[size], kernels={"*": "*-spmm-*"})
    assert not [note for note in compiled.layers.notes if "left to torch" in note]
    x = torch.randn(batch, 4, *size)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-5)


def test_channels_last_needs_no_copies() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.depthwise = nn.Conv2d(4, 4, 3, padding=1, groups=4)
            self.rest = ChannelsLast(nn.LayerNorm(4), nn.Linear(4, 9), nn.GELU(), nn.Linear(9, 4))
            self.scale = nn.Parameter(torch.randn(4, 1, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.scale * self.rest(self.depthwise(x))

    nodes = graph_nodes(Block(), torch.zeros(2, 4, 6, 8))
    kinds = [type(node).__name__ for node in nodes]
    assert kinds == ["Conv", "Normalize", "Conv", "PointFunction", "Conv", "Affine", "Add"]
    norm = nodes[1]
    assert isinstance(norm, Normalize)
    assert (norm.size, norm.inner, norm.repeat) == (4, 48, 1)


def test_sparse_linear_layers_of_maps_keep_their_live_weights() -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 1), ChannelsLast(nn.Linear(4, 32), nn.Linear(32, 4)))
    sparse: dict[str, object] = {"pattern": "random", "density": 0.25}
    ow.sparsify_(model.eval(), ow.Plan({"linear:*": sparse, "conv:*": "dense"}))
    x = torch.randn(2, 4, 6, 8)
    assert _densities(model, x) == [1, 0.25, 0.25]
    compiled = ow.compile(model, x, kernels={"*": "*-spmm-*"})
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-5)
    # Zeroed rows of a dense layer cost nothing either.
    dense = nn.Sequential(nn.Conv2d(4, 4, 1), ChannelsLast(nn.Linear(4, 32)))
    with torch.no_grad():
        dense.get_submodule("1.0").get_parameter("weight")[:24] = 0
    assert _densities(dense, x) == [1, 0.25]


def _densities(model: nn.Module, x: torch.Tensor) -> list[float]:
    return [node.density for node in graph_nodes(model, x) if isinstance(node, Conv)]


def test_groups_are_rows_of_maps() -> None:
    (node,) = nodes_of(lambda x: F.group_norm(x, 2, _ramp(x), -_ramp(x), 0.25))
    assert isinstance(node, Normalize)
    assert (node.size, node.inner, node.repeat, node.eps) == (96, 1, 48, 0.25)
    (plain,) = nodes_of(lambda x: F.group_norm(x, 2))
    assert isinstance(plain, Normalize)
    assert plain.repeat == 1


def test_which_node_reduces() -> None:
    for body, kind in (
        (lambda x: x.mean((2, 3)), Mean),
        (lambda x: x.mean(1), Reduce),
        (lambda x: x.flatten(2) @ x[:, 0].flatten(1).unsqueeze(2), Dot),
    ):
        assert type(nodes_of(body)[-1]) is kind


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (lambda x: x.mean((1, 3)), "over axes that are apart"),
        (lambda x: x.norm(p=1, dim=1), "of another order than 2"),
        (lambda x: x[..., :1].var(3), "of too few numbers"),
        (lambda x: x @ x.transpose(2, 3), "not of rows and one vector"),
        (lambda x: x @ torch.ones(8, 1), "with a constant"),
        (lambda x: torch.bmm(x[:, 0], x[:, 1].transpose(1, 2)), "not of rows and one vector"),
        (
            lambda x: F.instance_norm(x, torch.zeros(4), torch.ones(4), use_input_stats=False),
            "with running statistics",
        ),
    ],
)
def test_why_torch_runs_the_rest(body: Body, reason: str) -> None:
    reasons = [node.reason for node in nodes_of(body) if isinstance(node, Fallback)]
    assert reasons
    assert reasons[-1].endswith(reason)
