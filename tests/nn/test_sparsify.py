"""`sparsify_` and `densify_`: whole models, in place and back."""

import copy
from typing import Any, cast

import pytest
import torch
from parts import known, part
from torch import nn
from torch.nn.utils import parametrizations, prune

from openwork.errors import ArgumentError, PlanError
from openwork.models import build
from openwork.nn import Plan, SparseConv2d, SparseLayer, SparseLinear, densify_, sparsify_
from openwork.patterns import random

HALF = Plan({"*": {"pattern": "random", "density": 0.5}})


def _small() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 16, 5),
    )


def test_kept_weights_are_those_of_the_dense_model() -> None:
    model = _small()
    dense = copy.deepcopy(model)
    assert sparsify_(model, HALF, init="keep") is model
    assert isinstance(model[0], SparseConv2d)
    assert isinstance(model[4], SparseLinear)
    for name in (0, 4):
        layer = part(model, name, SparseLayer)
        taps = torch.from_numpy(layer.pattern.taps)
        assert torch.equal(layer.weight, dense.get_parameter(f"{name}.weight")[taps])
        assert torch.equal(known(layer.bias), dense.get_parameter(f"{name}.bias"))


@pytest.mark.parametrize("name", ["resnet32", "cnn_small", "vgg16-cifar"])
def test_densify_gives_plain_layers_and_identical_outputs(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENWORK_TRAIN_KERNELS", "reference")
    model = build(name).eval()
    sparsify_(model, Plan({"conv:*": {"pattern": "random", "density": 0.2}}))
    input = torch.randn(2, 3, 32, 32)
    expected = model(input)
    weights = {n: m.dense_weight() for n, m in model.named_modules() if isinstance(m, SparseConv2d)}
    assert densify_(model) is model
    modules = dict(model.named_modules())
    for layer, weight in weights.items():
        assert type(modules[layer]) is nn.Conv2d
        assert torch.equal(part(model, layer, nn.Conv2d).weight, weight)
    assert torch.equal(model(input), expected)


def test_a_dense_pattern_leaves_the_plain_layer() -> None:
    model = _small()
    first = model[0]
    sparsify_(model, Plan({"*": {"pattern": "random", "density": 0.5}, "0": "dense"}))
    assert model[0] is first


@pytest.mark.parametrize("init", ["rescale", "reset"])
def test_the_scale_of_the_activations_stays(init: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(256, 256, 3, bias=False))
    input = torch.randn(2, 256, 8, 8)
    before = model(input).std()
    sparsify_(model, Plan({"0": {"pattern": "random", "density": 0.1}}), init=init)
    assert 0.9 < model(input).std() / before < 1.1


def test_a_shared_module_stays_shared() -> None:
    layer = nn.Linear(6, 6)
    model = nn.Sequential(layer, nn.Sequential(layer))
    sparsify_(model, HALF)
    assert model[0] is model.get_submodule("1.0")
    assert isinstance(model[0], SparseLinear)
    densify_(model)
    assert model[0] is model.get_submodule("1.0")
    assert type(model[0]) is nn.Linear


def _tied() -> nn.Module:
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    model[1].weight = model[0].weight
    return model


def _tied_biases() -> nn.Module:
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    model[1].bias = model[0].bias
    return model


def _pruned() -> nn.Module:
    model = nn.Sequential(nn.Linear(6, 6))
    prune.random_unstructured(model[0], "weight", 0.5)
    return model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (_tied(), "its weight is shared with another layer"),
        (_tied_biases(), "its bias is shared with another layer"),
        (_pruned(), r"masked by RandomUnstructured .*prune.remove\(layer, 'weight'\)"),
        (nn.Sequential(parametrizations.weight_norm(nn.Linear(6, 6))), "remove_parametrizations"),
        (nn.MultiheadAttention(6, 2), "NonDynamicallyQuantizableLinear is not a plain layer"),
        (nn.Linear(6, 6), "wrap it in nn.Sequential"),
        (sparsify_(nn.Sequential(nn.Linear(6, 6)), HALF), "sparse already"),
    ],
    ids=["tied", "biases", "pruned", "weight_norm", "attention", "root", "sparse"],
)
def test_what_cannot_be_replaced_is_refused_with_the_reason(model: nn.Module, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        sparsify_(model, HALF)


def test_an_error_in_one_layer_leaves_all_of_them() -> None:
    model = _small()
    model.get_parameter("4.weight").data[0, 0] = float("nan")
    layers = list(model)
    with pytest.raises(ArgumentError, match=r"layer '4': `module.weight` .* holds NaN"):
        sparsify_(model, HALF, init="keep")
    assert list(model) == layers


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ArgumentError, match="must be a Plan"):
        sparsify_(_small(), cast(Any, {"*": "dense"}))
    with pytest.raises(ArgumentError, match="`init`='zeros'"):
        sparsify_(_small(), HALF, init="zeros")
    with pytest.raises(ArgumentError, match="use its to_dense"):
        densify_(SparseLinear(random(4, 4)))


def test_a_sparse_model_trains_in_a_loop_of_ones_own() -> None:
    torch.manual_seed(0)
    model = sparsify_(_small(), HALF)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    input, target = torch.randn(32, 3, 4, 4), torch.randint(0, 5, (32,))
    losses = []
    for _ in range(30):
        loss = nn.functional.cross_entropy(model(input), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 4


def test_a_sparse_model_compiles_and_exports_in_one_graph() -> None:
    model = sparsify_(_small(), HALF).eval()
    input = torch.randn(2, 3, 4, 4)
    expected = model(input)
    compiled = torch.compile(model, fullgraph=True)
    torch.testing.assert_close(compiled(input), expected, rtol=0, atol=1e-5)
    batch = {0: torch.export.Dim.DYNAMIC}
    program = torch.export.export(model, (input,), dynamic_shapes=(batch,), strict=False)
    called = {node.target for node in program.graph.nodes if node.op == "call_function"}
    operators = torch.ops.openwork
    assert {operators.sparse_conv2d.default, operators.sparse_linear.default} <= called
    doubled = program.module()(torch.cat([input, input]))
    torch.testing.assert_close(doubled, torch.cat([expected, expected]), rtol=0, atol=1e-6)


def test_what_is_not_a_module_is_refused() -> None:
    plan = Plan({"*": "dense"})
    with pytest.raises(
        ArgumentError, match=r"`model` is a str, 'x', but must be a torch.nn.Module"
    ):
        sparsify_("x", plan)  # type: ignore[type-var]
    with pytest.raises(ArgumentError, match="`model` is the class Linear"):
        densify_(nn.Linear)  # type: ignore[type-var]
