"""Layers are exchanged: optimisers follow, hooks stay, and a failure changes nothing."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from parts import part
from torch import nn

import openwork as ow
from openwork import prune
from openwork.errors import ArgumentError
from openwork.nn import Plan, SparseLayer, densify_, grow_, sparsify_
from openwork.nn.change.exchange import exchange_, inherit_
from openwork.nn.resize import is_resized, mark_resized

PLAN = ow.Plan({"*": {"pattern": "random", "density": 0.5}})
INPUT = torch.randn(8, 4, 6, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(8) % 4


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(4, 8, 3, groups=2), nn.ReLU(), nn.Conv2d(8, 4, 1), nn.Flatten(), nn.Linear(64, 4)
    )


def _step(model: nn.Module, *optimizers: torch.optim.Optimizer) -> None:
    for optimizer in optimizers:
        optimizer.zero_grad()
    F.cross_entropy(model(INPUT), LABELS).backward()
    for optimizer in optimizers:
        optimizer.step()


OPTIMIZERS = {
    "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.05, initial_accumulator_value=0.1),
    "rprop": lambda p: torch.optim.Rprop(p, lr=0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9, centered=True),
}


@pytest.mark.parametrize("kind", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())
def test_training_goes_on_as_a_masked_dense_network_would(kind: Any) -> None:
    """Sparse for three steps, then dense again: new places begin as a new optimiser would."""
    model, twin = _model(), _model()
    ours, theirs = kind(model.parameters()), kind(twin.parameters())
    for network, optimizer in ((model, ours), (twin, theirs)):
        _step(network, optimizer)
    ow.sparsify_(model, PLAN, optimizer=ours, init="keep")
    masks = {n: torch.from_numpy(p.taps) for n, p in PLAN.resolve(_model()).items()}
    with torch.no_grad():
        for name, mask in masks.items():
            twin.get_parameter(f"{name}.weight").mul_(mask)
    for _ in range(3):
        _step(model, ours)
        theirs.zero_grad()
        F.cross_entropy(twin(INPUT), LABELS).backward()
        theirs.step()
        with torch.no_grad():
            for name, mask in masks.items():
                twin.get_parameter(f"{name}.weight").mul_(mask)
    for name, mask in masks.items():
        weight = part(model, name, SparseLayer).dense_weight()
        torch.testing.assert_close(weight[mask], twin.get_parameter(f"{name}.weight")[mask])
    ow.densify_(model, optimizer=ours)
    for name, mask in masks.items():
        state = ours.state[model.get_parameter(f"{name}.weight")]
        kept = theirs.state[twin.get_parameter(f"{name}.weight")]
        for key, value in state.items():
            if value.shape == mask.shape:
                torch.testing.assert_close(value[mask], kept[key][mask])
                start = {"sum": 0.1, "step_size": 0.01}.get(key, 0.0)
                assert torch.equal(value[~mask], torch.full_like(value[~mask], start))
    _step(model, ours)


def test_groups_and_settings_stay_with_several_optimisers() -> None:
    model = _model()
    one = torch.optim.SGD(
        [{"params": [model[0].weight], "lr": 0.3}, {"params": [model[0].bias]}], lr=0.1
    )
    two = torch.optim.Adam([*model[2].parameters(), *model[4].parameters()])
    ow.sparsify_(model, PLAN, optimizer=[one, two])
    assert one.param_groups[0]["params"][0] is model[0].weight
    assert one.param_groups[0]["lr"] == 0.3
    assert one.param_groups[1]["params"][0] is model[0].bias
    held = [id(p) for p in two.param_groups[0]["params"]]
    assert held == [id(p) for p in (*model[2].parameters(), *model[4].parameters())]
    _step(model, one, two)


def test_redrawn_weights_drop_the_state() -> None:
    model = _model()
    optimizer = torch.optim.Adam(model.parameters())
    _step(model, optimizer)
    ow.sparsify_(model, PLAN, optimizer=optimizer, init="reset")
    assert len(optimizer.state) == 0


def test_what_was_frozen_out_of_the_optimiser_stays_out() -> None:
    model = _model()
    model[0].requires_grad_(False)
    optimizer = torch.optim.SGD(model[4].parameters(), lr=0.1)
    ow.sparsify_(model, PLAN, optimizer=optimizer)
    assert optimizer.param_groups[0]["params"] == list(model[4].parameters())


def test_a_refused_optimiser_changes_nothing() -> None:
    model = _model()
    before = list(model.modules())
    foreign = torch.optim.SGD(_model().parameters(), lr=0.1)
    lbfgs = torch.optim.LBFGS(model.parameters())
    for optimizer, message in ((foreign, "does not hold"), (lbfgs, "LBFGS"), ("adam", "must be")):
        for verb in (ow.sparsify_, ow.prune.apply_):
            with pytest.raises(ArgumentError, match=message):
                verb(model, PLAN, optimizer=optimizer)  # type: ignore[arg-type]
    assert list(model.modules()) == before


def test_hooks_stay_where_they_are_and_can_be_removed() -> None:
    model = _model()
    seen: list[str] = []
    handle = model[0].register_forward_hook(lambda *_: seen.append("forward"))
    model[4].register_full_backward_hook(lambda *_: seen.append("backward"))
    for change in (lambda: ow.sparsify_(model, PLAN), lambda: ow.densify_(model)):
        change()
        seen.clear()
        model(INPUT).sum().backward()
        assert seen == ["forward", "backward"]
    handle.remove()
    seen.clear()
    model(INPUT)
    assert seen == []


def test_a_layer_whose_channels_were_cut_stays_marked() -> None:
    old, new = nn.Linear(3, 2), nn.Linear(3, 2)
    inherit_(new, old)
    assert not is_resized(new)
    mark_resized(old)
    inherit_(new, old)
    assert is_resized(new)


def test_a_layer_used_twice_stays_one() -> None:
    layer, new = nn.Linear(4, 4), nn.Linear(4, 4)
    model = nn.Sequential(layer, nn.Sequential(layer))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    exchange_(model, {layer: new}, [optimizer], "verb")
    assert model[0] is new
    assert model.get_submodule("1.0") is new
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(new.weight), id(new.bias)]


_HALF = Plan({"*": {"pattern": "random", "density": 0.5}})
_VERBS: dict[str, Any] = {
    "sparsify_": lambda m, o: sparsify_(m, _HALF, optimizer=o),
    "densify_": lambda m, o: densify_(m, optimizer=o),
    "grow_": lambda m, o: grow_(m, density=0.8, optimizer=o),
    "apply_": lambda m, o: prune.apply_(
        m, prune.by_criterion(m, ratio=0.5, layers="*", progress=False), optimizer=o
    ),
    "adopt_": lambda m, o: ow.adopt_(m, _matrices(sparse=False).state_dict(), optimizer=o),
}
_KINDS: list[Any] = [
    kind
    for kind in vars(torch.optim).values()
    if isinstance(kind, type) and kind not in (torch.optim.Optimizer, torch.optim.SparseAdam)
]


def _matrices(sparse: bool) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(6, 6, bias=False) for _ in range(3)))
    return sparsify_(model, _HALF) if sparse else model


def _train(model: nn.Module, optimizer: Any) -> None:
    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = model(torch.ones(2, 6)).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)


@pytest.mark.parametrize("stepped", [True, False])
@pytest.mark.parametrize("verb", _VERBS)
@pytest.mark.parametrize("kind", _KINDS)
def test_every_optimiser_follows_or_is_refused_before_anything_changes(
    kind: Any, verb: str, stepped: bool
) -> None:
    model = _matrices(sparse=verb not in ("sparsify_", "apply_"))
    if kind.__name__ == "Muon" and any(p.dim() != 2 for p in model.parameters()):
        return
    optimizer = kind(model.parameters(), lr=1e-3)
    if stepped:
        _train(model, optimizer)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    refusals = {"LBFGS"} if not stepped else {"LBFGS", "Adafactor"}
    if kind.__name__ in (refusals | {"Muon"}) and (kind.__name__, verb) != ("Adafactor", "grow_"):
        with pytest.raises(ArgumentError, match="create a new one"):
            _VERBS[verb](model, optimizer)
        assert list(before) == list(model.state_dict())
        assert all(torch.equal(before[k], tensor) for k, tensor in model.state_dict().items())
    else:
        _VERBS[verb](model, optimizer)
        held = [p for group in optimizer.param_groups for p in group["params"]]
        assert [id(p) for p in held] == [id(p) for p in model.parameters()]
        _train(model, optimizer)
