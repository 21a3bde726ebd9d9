"""A plain state of a sparse network is loaded into a twin with any patterns, or refused whole."""

import copy
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from parts import part
from torch import nn
from torch.optim.swa_utils import AveragedModel

import openwork as ow
from openwork.errors import ArgumentError, CheckpointError
from openwork.nn import SparseLayer

PLAN = ow.Plan({"*": {"pattern": "random", "density": 0.4}, "4": "dense"}, seed=1)
INPUT = torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(8) % 4


def _dense() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.Sequential(nn.Conv2d(8, 8, 3, groups=2, padding=1), nn.ReLU()),
        nn.Flatten(),
        nn.Linear(128, 4),
    )


def _trained(plan: ow.Plan = PLAN) -> nn.Sequential:
    torch.manual_seed(3)
    return ow.sparsify_(_dense(), plan)


def _taps() -> ow.Plan:
    """Single taps instead of whole kernels."""
    taps = torch.rand(8, 3, 3, 3, generator=torch.Generator().manual_seed(5)) < 0.5
    return ow.Plan({"0": ow.Pattern(taps.numpy()), "4": {"pattern": "random", "density": 0.1}})


def _same(one: nn.Module, two: nn.Module) -> bool:
    with torch.no_grad():
        return torch.equal(one.eval()(INPUT), two.eval()(INPUT))


@pytest.mark.parametrize("twin", [_dense, _trained, lambda: _trained(_taps())])
@pytest.mark.parametrize("of", ["plan", "taps", "grown", "cut", "dense"])
def test_every_twin_computes_what_was_saved(of: str, twin: Any, tmp_path: Path) -> None:
    model = _dense() if of == "dense" else _trained(_taps() if of == "taps" else PLAN)
    if of == "grown":
        ow.grow_(model, 0.8, init="original")
    if of == "cut":
        cut = {"pattern": "random", "density": 0.2}
        ow.prune.apply_(model, ow.Plan({"0": cut, "2.0": cut}, seed=7))
    torch.save(model.state_dict(), tmp_path / "plain.pt")
    state = torch.load(tmp_path / "plain.pt", weights_only=True)
    again = twin()
    assert ow.adopt_(again, state) is again
    assert _same(again, model)
    assert {n: type(m) for n, m in again.named_modules()} == {
        n: type(m) for n, m in model.named_modules()
    }
    again.load_state_dict(state)


def test_training_goes_on_with_the_optimiser_of_the_twin() -> None:
    model = _trained()
    optimizer = torch.optim.Adam(model.parameters())
    _step(model, optimizer)
    ow.grow_(model, 0.9, optimizer)
    _step(model, optimizer)
    twin = _trained()
    other = torch.optim.Adam(twin.parameters())
    ow.adopt_(twin, model.state_dict(), other)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for _ in range(2):
        _step(model, optimizer)
        _step(twin, other)
    assert _same(twin, model)


def _step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    F.cross_entropy(model.train()(INPUT), LABELS).backward()
    optimizer.step()


def test_a_layer_that_has_the_pattern_stays_and_an_origin_too() -> None:
    model, twin = _trained(), _trained()
    layer = part(twin, "0", SparseLayer)
    ow.grow_(model, {"2.0": 0.9})
    ow.adopt_(twin, model.state_dict())
    assert twin[0] is layer
    assert part(twin, "2.0", SparseLayer).origin is not None
    ow.grow_(model, 1.0)
    ow.grow_(twin, 1.0)
    assert _same(twin, model)


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod."])
def test_names_may_begin_with_a_prefix(prefix: str) -> None:
    model = _trained()
    state = {prefix + name: value for name, value in model.state_dict().items()}
    state["criterion.weight"] = torch.ones(3)
    assert _same(ow.adopt_(_dense(), state, prefix=prefix), model)
    with pytest.raises(CheckpointError, match=f"pass `prefix='{prefix}'`"):
        ow.adopt_(_dense(), state)
    with pytest.raises(CheckpointError, match=r"`prefix`='net\.' begins none of the 14 names"):
        ow.adopt_(_dense(), state, prefix="net.")


def test_an_average_and_a_module_around_it_are_adopted() -> None:
    class Lit(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

    model = _trained()
    averaged = AveragedModel(model)
    assert _same(ow.adopt_(_dense(), averaged.state_dict(), prefix="module."), model)
    twin = ow.adopt_(AveragedModel(_dense()), averaged.state_dict())
    assert _same(part(twin, "module", nn.Sequential), model)
    lit = ow.adopt_(Lit(_dense()), Lit(model).state_dict())
    assert _same(part(lit, "model", nn.Sequential), model)


def test_a_shared_layer_and_half_precision() -> None:
    def shared() -> nn.Sequential:
        layer = nn.Linear(6, 6)
        return nn.Sequential(layer, nn.Sequential(layer))

    model = ow.sparsify_(shared(), ow.Plan({"*": {"pattern": "random", "density": 0.5}})).half()
    twin = ow.adopt_(shared().half(), model.state_dict())
    assert twin[0] is twin.get_submodule("1.0")
    assert twin[0].weight.dtype == torch.float16
    layers = [part(each, 0, SparseLayer) for each in (twin, model)]
    assert torch.equal(layers[0].dense_weight(), layers[1].dense_weight())


def test_weights_of_the_twin_may_be_anything() -> None:
    twin = _dense()
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.fill_(float("nan"))
    model = _trained()
    assert _same(ow.adopt_(twin, model.state_dict()), model)


def _changed(name: str, value: Any) -> dict[str, Any]:
    state = dict(_trained().state_dict())
    if value is None:
        del state[name]
    else:
        state[name] = value
    return state


REFUSED = {
    "no weight": (_changed("0.weight", None), "layer '0': `gaps` and `weight` must be dense"),
    "too few weights": (_changed("0.weight", torch.ones(5)), r"layer '0': `weight` has shape \(5,"),
    "an index outside": (
        _changed("2.0.gaps", torch.tensor([0, 900], dtype=torch.int32)),
        r"layer '2\.0': `gaps` reaches position 900",
    ),
    "an index twice": (
        _changed("2.0.gaps", torch.tensor([3, 0], dtype=torch.uint8)),
        r"layer '2\.0': `gaps` must increase",
    ),
    "a negative index": (
        _changed("0.gaps", torch.tensor([-4, 2], dtype=torch.int32)),
        "layer '0': `gaps` must increase",
    ),
    "floats": (_changed("0.gaps", torch.ones(9)), "layer '0': `gaps` must be a vector of uint8"),
    "a list": (_changed("0.gaps", [1, 2]), "layer '0': `gaps` and `weight` must be dense"),
    "sparse gaps": (_changed("0.gaps", torch.ones(9).to_sparse()), "layer '0': `gaps` and"),
    "no bias": (_changed("2.0.bias", None), r"'2\.0\.bias' is not in the state"),
    "another head": (_changed("4.weight", torch.ones(9, 128)), r"'4\.weight' has shape \(9, 128\)"),
    "more": (_changed("6.weight", torch.ones(3)), r"'6\.weight' is not in the model"),
    "a sparse ReLU": (
        _changed("3.gaps", torch.ones(2, dtype=torch.uint8)),
        "layer '3': it is sparse in the state, but a Flatten in the model",
    ),
    "a sparse nothing": (
        _changed("9.gaps", torch.ones(2, dtype=torch.uint8)),
        "layer '9': it is sparse in the state, but nothing in the model",
    ),
}


@pytest.mark.parametrize(("state", "message"), REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("twin", [_dense, lambda: _trained(_taps())], ids=["dense", "sparse"])
def test_what_does_not_fit_is_named_and_nothing_is_changed(
    state: dict[str, Any], message: str, twin: Any
) -> None:
    model = twin()
    modules, before = list(model.modules()), copy.deepcopy(model.state_dict())
    with pytest.raises(CheckpointError, match=message):
        ow.adopt_(model, state)
    assert list(model.modules()) == modules
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_layers_that_cannot_become_sparse_are_named_with_the_reason() -> None:
    half = ow.Plan({"*": {"pattern": "random", "density": 0.5}})
    linear = ow.sparsify_(nn.Sequential(nn.Linear(6, 6)), half)
    with pytest.raises(CheckpointError, match="layer '' cannot change: it is the whole model"):
        ow.adopt_(nn.Linear(6, 6), linear[0].state_dict())
    with pytest.raises(CheckpointError, match="layer '' cannot change: it is the whole model"):
        ow.adopt_(ow.SparseLinear(ow.patterns.random(6, 6, density=0.9)), linear[0].state_dict())

    class Own(nn.Linear):
        pass

    with pytest.raises(CheckpointError, match="layer '0' cannot change: Own is not a plain layer"):
        ow.adopt_(nn.Sequential(Own(6, 6)), linear.state_dict())


def test_what_is_not_a_state_is_refused() -> None:
    state = _trained().state_dict()
    with pytest.raises(ArgumentError, match="`state_dict` is a Sequential"):
        ow.adopt_(_dense(), cast(Any, _trained()))
    with pytest.raises(ArgumentError, match="a whole checkpoint; pass its entry 'state_dict'"):
        ow.adopt_(_dense(), {"epoch": 3, "state_dict": state})
    with pytest.raises(ArgumentError, match="`model` is a dict"):
        ow.adopt_(cast(Any, {}), state)
    with pytest.raises(CheckpointError, match="begins none of the 0 names"):
        ow.adopt_(_dense(), {})


def test_the_error_of_another_pattern_names_the_verb() -> None:
    model, dense = _trained(), _dense()
    with pytest.raises(CheckpointError, match=r"`0\.weight` .* is dense.*openwork\.adopt_"):
        model.load_state_dict(dense.state_dict())
    with pytest.raises(CheckpointError, match=r"another pattern.*openwork\.adopt_"):
        model.load_state_dict(_trained(_taps()).state_dict())


def test_states_of_old_versions_without_a_counter_of_batches_load() -> None:
    model = _trained()
    state = dict(model.state_dict())
    del state["1.num_batches_tracked"]
    assert _same(ow.adopt_(_dense(), state), model)
