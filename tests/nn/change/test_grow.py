"""`grow_`: connections are only added, and whatever holds a parameter keeps working."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import known, part
from torch import nn
from torch.optim.swa_utils import AveragedModel

from openwork import io
from openwork.errors import ArgumentError
from openwork.nn import Plan, SparseLayer, grow_, sparsify_
from openwork.nn.change.grow import widen_
from openwork.nn.layers import sparse_layers
from openwork.patterns import Pattern, block, random

OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {"lr": 0.05}),
    "momentum": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "adam": (torch.optim.Adam, {"lr": 0.01, "amsgrad": True}),
    "adamw": (torch.optim.AdamW, {"lr": 0.01}),
    "adagrad": (torch.optim.Adagrad, {"lr": 0.05}),
    "adadelta": (torch.optim.Adadelta, {}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 0.01, "momentum": 0.9, "centered": True}),
}
# Whose memory begins with something else than zeros.
FULL: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "adagrad from 0.1": (torch.optim.Adagrad, {"lr": 0.05, "initial_accumulator_value": 0.1}),
    "rprop": (torch.optim.Rprop, {"lr": 0.01}),
}
INPUT = torch.randn(16, 6, 5, 5, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(16) % 4


def _dense() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(6, 12, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(12, 12, 3, groups=2),
        nn.Flatten(),
        nn.Linear(108, 4),
    )


def _plan(density: float, kind: str = "random", **parameters: Any) -> Plan:
    return Plan({"*": {"pattern": kind, "density": density, **parameters}}, seed=4)


def _model(plan: Plan | None = None) -> nn.Sequential:
    torch.manual_seed(7)
    return sparsify_(_dense(), plan or _plan(0.2))


def _pattern(model: nn.Module) -> Pattern:
    return part(model, 0, SparseLayer).pattern


def _patterns(model: nn.Module) -> dict:
    return {name: layer.pattern for name, layer in sparse_layers(model).items()}


def _step(model: nn.Module, optimizer: torch.optim.Optimizer) -> torch.Tensor:
    loss = F.cross_entropy(model(INPUT), LABELS)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


def _dense_values(layer: SparseLayer, values: torch.Tensor) -> torch.Tensor:
    """`values` (live,) at their places in the dense weight."""
    dense = torch.zeros(layer.shape)
    dense.view(-1)[torch.from_numpy(layer.pattern.positions)] = values.detach()
    return dense


@settings(max_examples=25, deadline=None)
@given(
    st.floats(0.01, 0.8),
    st.floats(0.01, 1),
    st.sampled_from(
        [("random", {"fan": "fixed"}), ("random", {"fan": "uniform"}), ("block", {"b_out": 2})]
    ),
)
def test_growing_gives_what_the_plan_gives_at_the_new_density(
    one: float, two: float, kind: tuple[str, dict]
) -> None:
    plan = {"0": {"pattern": kind[0], **kind[1]}, "2": {"pattern": kind[0], **kind[1]}}
    low, high = min(one, two), max(one, two)
    sparser, denser = (
        Plan({name: {**rule, "density": d} for name, rule in plan.items()}, seed=3).resolve(
            _dense()
        )
        for d in (low, high)
    )
    model = _dense()
    sparsify_(model, Plan({n: {**r, "density": low} for n, r in plan.items()}, seed=3))
    layers = sparse_layers(model)
    grow_(model, high)
    for name in layers:
        assert layers[name].pattern == denser[name]
        assert np.isin(sparser[name].positions, denser[name].positions).all()


@pytest.mark.parametrize(("kind", "settings"), OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_outputs_and_what_the_optimizer_remembers_survive_bit_for_bit(
    kind: type[torch.optim.Optimizer], settings: dict[str, Any]
) -> None:
    model = _model()
    optimizer = kind(model.parameters(), **settings)
    for _ in range(3):
        _step(model, optimizer)
    layers = sparse_layers(model)
    before = {
        name: (
            layer.pattern,
            layer.weight,
            _dense_values(layer, layer.weight),
            {
                key: _dense_values(layer, value) if value.shape == layer.weight.shape else value
                for key, value in optimizer.state[layer.weight].items()
                if isinstance(value, torch.Tensor)
            },
        )
        for name, layer in layers.items()
    }
    groups = [
        {key: value for key, value in group.items() if key != "params"}
        for group in optimizer.param_groups
    ]
    order = [id(p) for group in optimizer.param_groups for p in group["params"]]
    output = model(INPUT)
    assert grow_(model, 0.5, optimizer) is model
    assert torch.equal(model(INPUT), output)
    for name, layer in layers.items():
        pattern, weight, values, memory = before[name]
        assert layer.weight is weight
        assert layer.weight.numel() == layer.pattern.live > pattern.live
        assert torch.equal(_dense_values(layer, layer.weight), values)
        for key, value in memory.items():
            kept = optimizer.state[layer.weight][key]
            kept = _dense_values(layer, kept) if kept.shape == layer.weight.shape else kept
            assert torch.equal(kept, value), key
    assert [id(p) for group in optimizer.param_groups for p in group["params"]] == order
    for group, settings_before in zip(optimizer.param_groups, groups, strict=True):
        assert {key: value for key, value in group.items() if key != "params"} == settings_before


@pytest.mark.parametrize(("kind", "settings"), (OPTIMIZERS | FULL).values(), ids=OPTIMIZERS | FULL)
def test_training_goes_on_as_a_dense_network_with_a_mask_would(
    kind: type[torch.optim.Optimizer], settings: dict[str, Any]
) -> None:
    """The dense twin has the same weights, and its gradients are masked; the mask then grows."""
    model = _model()
    twin = copy.deepcopy(model)
    dense = nn.Sequential(*(m.to_dense() if isinstance(m, SparseLayer) else m for m in twin))
    ours = kind(model.parameters(), **settings)
    theirs = kind(dense.parameters(), **settings)
    layers = sparse_layers(model)
    for step in range(8):
        if step == 4:
            grow_(model, 0.5, ours)
        expected = F.cross_entropy(dense(INPUT), LABELS)
        theirs.zero_grad()
        expected.backward()
        for name, layer in layers.items():
            known(dense.get_parameter(f"{name}.weight").grad).mul_(
                torch.from_numpy(layer.pattern.taps)
            )
        theirs.step()
        assert _step(model, ours).item() == pytest.approx(expected.item(), rel=1e-4)
    for name, layer in layers.items():
        torch.testing.assert_close(layer.dense_weight(), dense[int(name)].weight)


def test_lbfgs_is_refused() -> None:
    model = _model()
    with pytest.raises(ArgumentError, match="`optimizer` is LBFGS"):
        grow_(model, 0.5, torch.optim.LBFGS(model.parameters()))


def test_the_last_loss_may_still_be_held() -> None:
    """A loop's `loss` lives until it is assigned again, and with it its graph."""
    model = _model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = [_step(model, optimizer)]
    grow_(model, 0.6, optimizer)
    losses.append(_step(model, optimizer))
    grow_(model, 1.0, optimizer)
    losses.append(_step(model, optimizer))
    assert losses[2] < losses[0]
    assert all(
        known(layer.weight.grad).shape == layer.weight.shape
        for layer in sparse_layers(model).values()
    )


def test_gradients_that_wait_for_a_step_are_kept() -> None:
    model = _model()
    F.cross_entropy(model(INPUT), LABELS).backward()
    layers = sparse_layers(model)
    before = {
        name: _dense_values(layer, known(layer.weight.grad)) for name, layer in layers.items()
    }
    grow_(model, 0.5)
    for name, layer in layers.items():
        assert torch.equal(_dense_values(layer, known(layer.weight.grad)), before[name])


@pytest.mark.parametrize("densities", [(0.9,), (0.4, 0.9), (0.3, 0.5, 0.9)])
def test_an_original_value_does_not_depend_on_when_it_comes_alive(
    densities: tuple[float, ...],
) -> None:
    model, expected = _model(), _model()
    grow_(expected, 0.9, init="original")
    for density in densities:
        grow_(model, density, init="original")
    for name, layer in sparse_layers(model).items():
        assert torch.equal(layer.weight, sparse_layers(expected)[name].weight)


def test_original_values_have_the_deviation_of_the_dense_layer() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(200, 300))
    deviation = model.get_parameter("0.weight").std().item()
    sparsify_(model, _plan(0.01))
    lived = torch.from_numpy(_pattern(model).taps)
    grow_(model, 1.0, init="original")
    new = part(model, 0, SparseLayer).dense_weight()[~lived]
    assert new.std().item() == pytest.approx(deviation, rel=0.05)
    assert abs(new.mean().item()) < 0.02 * deviation


def test_a_saved_model_grows_on_as_the_one_in_memory(tmp_path: Path) -> None:
    model = _model()
    grow_(model, 0.3)
    io.save(model, tmp_path / "m")
    back = io.load(tmp_path / "m", _dense)
    assert _patterns(back) == _patterns(model)
    for network in (model, back):
        grow_(network, 0.7, init="original")
    assert _patterns(back) == _patterns(model) == _plan(0.7).resolve(_dense())
    assert torch.equal(back(INPUT), model(INPUT))


def test_an_average_of_the_weights_grows_alike() -> None:
    model = _model()
    average = AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.5))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    average.update_parameters(model)
    grow_(model, 0.5, optimizer)
    grow_(average.module, 0.5)
    _step(model, optimizer)
    average.update_parameters(model)
    assert _patterns(average.module) == _patterns(model)
    assert average.module(INPUT).isfinite().all()


def test_a_layer_that_no_plan_drew_grows_by_the_given_seed() -> None:
    own = block(12, 6, 3, 0.5, b_out=4)
    model = _model(Plan({"0": own}))
    grow_(model, 0.8, seed=1)
    other = _model(Plan({"0": own}))
    grow_(other, 0.8, seed=2)
    assert np.isin(own.positions, _pattern(model).positions).all()
    assert set(_pattern(model).fan_in.tolist()) == {5}
    assert _pattern(model) != _pattern(other)


def test_a_structured_layer_grows_with_equal_fan_in() -> None:
    rule = {"pattern": "structured", "fan_out": 4}
    model = _model(Plan({"0": rule}))
    before = _pattern(model)
    grow_(model, 0.8)
    assert np.isin(before.positions, _pattern(model).positions).all()
    assert set(_pattern(model).fan_in.tolist()) == {5}


def test_another_seed_than_the_plans_still_keeps_what_lives() -> None:
    model = _model()
    before = _patterns(model)
    grow_(model, 0.5, seed=99)
    for name, pattern in _patterns(model).items():
        assert np.isin(before[name].positions, pattern.positions).all()
        assert pattern != _plan(0.5).resolve(_dense())[name]


def test_each_layer_may_have_a_density_of_its_own_and_denser_ones_stay() -> None:
    model = _model()
    before = _patterns(model)
    grow_(model, {"2": 0.9, "4": 0.01})
    after = _patterns(model)
    assert after["2"].density == pytest.approx(0.9, abs=0.1)
    assert (after["0"], after["4"]) == (before["0"], before["4"])


def test_frozen_and_half_precision_layers_grow() -> None:
    model = _model().to(torch.float16)
    model.get_parameter("0.weight").requires_grad_(False)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    grow_(model, 0.5, optimizer)
    assert {p.dtype for p in model.parameters()} == {torch.float16}
    assert not model.get_parameter("0.weight").requires_grad
    assert model.get_parameter("0.weight").numel() == _pattern(model).live


def test_what_cannot_grow_is_refused_and_nothing_is_changed() -> None:
    model = _model()
    before = _patterns(model)
    foreign = torch.optim.SGD(_dense().parameters(), lr=0.1)
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (_dense(), {"density": 0.5}, "`model` has no sparse layer to grow"),
        (model, {"density": 0.0}, r"`density`=0.0 must lie in \(0, 1\]"),
        (model, {"density": {"9": 0.5}}, "`density` names '9', which is not a sparse layer"),
        (model, {"density": {"0": 0.5, "2": 2}}, r"`density\['2'\]`=2 must lie"),
        (model, {"density": 0.5, "init": "random"}, "`init`='random'"),
        (model, {"density": 0.5, "seed": -1}, "`seed`=-1"),
        (model, {"density": 0.5, "optimizer": foreign}, "`optimizer` does not hold the weights"),
    ]
    for network, arguments, message in cases:
        with pytest.raises(ArgumentError, match=message):
            grow_(network, **arguments)
    assert _patterns(model) == before


def test_single_taps_are_named_with_their_layer() -> None:
    taps = random(12, 6, 3, 0.5).taps.copy()
    taps[:, :, 0, 0] = False
    model = _model(Plan({"0": type(random(1, 1))(taps)}))
    with pytest.raises(ArgumentError, match=r"layer '0': `pattern`.*single dead taps"):
        grow_(model, 0.9)


def test_a_layer_only_widens() -> None:
    model = _model()
    with pytest.raises(ArgumentError, match="lacks connections of the layer's own"):
        widen_(part(model, 0, SparseLayer), random(12, 6, 3, 0.2, seed=1))
