"""What a plan does to a network: the weights that it keeps do not change, sparse or dense."""

from collections.abc import Callable

import pytest
import torch
from parts import part
from torch import nn

import openwork as ow
from openwork import prune

Build = Callable[[str], nn.Module]


def _plan(model: nn.Module, layers: str) -> ow.Plan:
    return prune.by_criterion(model, ratio=0.5, layers=layers, progress=False)


def test_weights_that_live_are_kept_bit_for_bit(network: Build) -> None:
    model = network("plain")
    dense = model.get_parameter("a.weight").clone()
    pattern = _plan(model, "a").resolve(model)["a"]
    prune.apply_(model, _plan(model, "a"))
    assert torch.equal(model.get_parameter("a.weight"), dense[torch.from_numpy(pattern.taps)])


def test_layers_that_the_plan_does_not_name_keep_their_patterns(network: Build) -> None:
    model = network("plain")
    prune.apply_(model, _plan(model, "a"))
    before = model.get_parameter("a.weight").clone()
    only_b = ow.Plan({"b": ow.patterns.random(8, 8, 3, 0.5)})
    assert prune.apply_(model, only_b) is model
    assert torch.equal(model.get_parameter("a.weight"), before)
    assert isinstance(model.get_submodule("b"), ow.SparseConv2d)


def test_a_plan_that_does_not_fit_changes_nothing(network: Build) -> None:
    model = network("plain")
    prune.apply_(model, _plan(model, "a"))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ow.PlanError, match="pattern of"):
        prune.apply_(model, ow.Plan({"b": ow.patterns.random(4, 8, 3, 0.5)}))
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_the_last_rule_applies_to_sparse_layers_too(network: Build) -> None:
    model = network("plain")
    half = {"pattern": "random", "density": 0.5}
    ow.sparsify_(model, ow.Plan({"a": half}, seed=1), init="keep")
    before = part(model, "a", ow.SparseConv2d).pattern
    plan = ow.Plan({"conv:*": half, "a": {"pattern": "random", "density": 0.9}}, seed=2)
    wanted = plan.resolve(network("plain"))
    prune.apply_(model, plan)
    # Dead weights stay dead.
    assert (
        part(model, "a", ow.SparseConv2d).pattern.taps == (before.taps & wanted["a"].taps)
    ).all()
    assert model.get_submodule("b").pattern == wanted["b"]


def test_layers_that_lose_nothing_remain_the_same_modules(network: Build) -> None:
    model = network("plain")
    half = {"pattern": "random", "density": 0.5}
    ow.sparsify_(model, ow.Plan({"a": half, "b": half}), init="keep")
    before = dict(model.named_modules())
    origin = model.get_submodule("a").origin
    assert origin is not None
    with torch.no_grad():
        model.get_parameter("a.weight")[0] = float("nan")
    prune.apply_(model, ow.Plan({"a": "dense", "last": half}))
    after = dict(model.named_modules())
    assert [name for name in before if before[name] is not after[name]] == ["last"]
    assert model.get_submodule("a").origin is origin


@pytest.mark.parametrize(
    ("layers", "error"), [(["wide", "nosuch"], ow.PlanError), (["wide", "a"], ow.ArgumentError)]
)
def test_a_failure_leaves_every_module_in_its_place(
    layers: list[str], error: type[Exception], network: Build
) -> None:
    model = network("plain")
    half = {"pattern": "random", "density": 0.5}
    ow.sparsify_(model, ow.Plan({"a": half, "b": half}), init="keep")
    with torch.no_grad():
        model.get_parameter("a.weight")[0] = float("nan")
    before = list(model.modules())
    with pytest.raises(error):
        prune.apply_(model, ow.Plan(dict.fromkeys(layers, half), seed=1))
    assert list(model.modules()) == before


def test_a_mapping_is_not_a_plan(network: Build) -> None:
    with pytest.raises(ow.ArgumentError, match="must be a Plan"):
        prune.apply_(network("plain"), {"a": "dense"})  # type: ignore[arg-type]


def test_the_optimiser_follows_a_cut_of_dense_and_sparse_layers(network: Build) -> None:
    """With the state of what is kept; layers that lose nothing keep theirs as it is."""
    model = network("plain")
    half = {"pattern": "random", "density": 0.5}
    ow.sparsify_(model, ow.Plan({"a": half, "b": half}), init="keep")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    images = torch.randn(2, 3, 8, 8)
    model(images).square().sum().backward()
    optimizer.step()
    names = ("a", "b", "last")
    shapes = {"a": (8, 8, 3, 3), "b": (8, 8, 3, 3), "last": (10, 12, 3, 3)}
    dense = {}
    for name in names:
        weight = model.get_parameter(f"{name}.weight")
        held = optimizer.state[weight]["momentum_buffer"]
        layer = model.get_submodule(name)
        full = torch.zeros(shapes[name])
        taps = layer.pattern.taps if isinstance(layer, ow.SparseConv2d) else full.numpy() == 0
        full[torch.from_numpy(taps)] = held.reshape(-1)
        dense[name] = full
    kept = model.get_submodule("b")
    prune.apply_(model, ow.Plan({"a": half, "last": half}, seed=5), optimizer=optimizer)
    assert model.get_submodule("b") is kept
    for name in names:
        layer = part(model, name, ow.SparseConv2d)
        held = optimizer.state[layer.weight]["momentum_buffer"]
        assert torch.equal(held, dense[name][torch.from_numpy(layer.pattern.taps)])
    own = [id(parameter) for parameter in model.parameters()]
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == own
    model(images).square().sum().backward()
    optimizer.step()
