"""An optimiser that a verb left behind says so at its next step, and no other ever does."""

import copy
import gc
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import openwork as ow
from openwork.errors import ArgumentError
from openwork.nn.change import left_behind

HALF = ow.Plan({"*": {"pattern": "random", "density": 0.5}})
INPUT = torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(8) % 4


def _model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 4))


def _step(model: nn.Module, *optimizers: torch.optim.Optimizer) -> None:
    for optimizer in optimizers:
        optimizer.zero_grad()
    F.cross_entropy(model(INPUT), LABELS).backward()
    for optimizer in optimizers:
        optimizer.step()


def _said(model: nn.Module, *optimizers: torch.optim.Optimizer) -> list[str]:
    """What a step of `model` warns of."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        _step(model, *optimizers)
    return [str(warning.message) for warning in found]


@pytest.fixture
def old() -> tuple[nn.Sequential, torch.optim.Optimizer]:
    """A network in training, and its optimiser."""
    model = _model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    _step(model, optimizer)
    return model, optimizer


Old = tuple[nn.Sequential, torch.optim.Optimizer]


def test_the_next_step_warns_once_and_names_layers_and_the_way_out(old: Old) -> None:
    model, optimizer = old
    ow.sparsify_(model, HALF)
    with pytest.warns(UserWarning, match=r"\(SGD\).*does not train '0', '3'.*`optimizer=`") as told:
        _step(model, optimizer)
    assert len(told) == 1
    assert told[0].filename == __file__
    _step(model, optimizer)


def test_a_closure_computes_the_gradients_within_the_step(old: Old) -> None:
    model, optimizer = old
    ow.sparsify_(model, HALF)

    def closure() -> float:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(INPUT), LABELS)
        loss.backward()
        return loss.item()

    with pytest.warns(UserWarning, match="does not train '0', '3'"):
        optimizer.step(closure)


@pytest.mark.parametrize("verb", ["densify_", r"prune\.apply_"])
def test_every_verb_that_replaces_is_named(verb: str, old: Old) -> None:
    model, optimizer = old
    if verb == "densify_":
        ow.sparsify_(model, HALF, optimizer=optimizer)
        ow.densify_(model)
    else:
        ow.prune.apply_(model, HALF)
    with pytest.warns(UserWarning, match=rf"`{verb}` replaced\. Pass `optimizer=` to `{verb}`"):
        _step(model, optimizer)


def test_what_was_replaced_twice_is_found(old: Old) -> None:
    model, optimizer = old
    ow.sparsify_(model, HALF)
    ow.densify_(model)
    gc.collect()
    with pytest.warns(UserWarning, match="does not train '0', '3'"):
        _step(model, optimizer)


def test_a_compacted_copy_warns_only_when_it_is_trained(old: Old) -> None:
    model, optimizer = old
    small, _ = ow.compact(model, INPUT)
    # Its gradients may be wanted for something else while the original trains.
    F.cross_entropy(small(INPUT), LABELS).backward()
    assert _said(model, optimizer) == []
    with pytest.warns(UserWarning, match="`compact` replaced"):
        _step(small, optimizer)


def test_an_optimiser_that_follows_or_comes_later_is_silent(old: Old) -> None:
    model, optimizer = old
    ow.sparsify_(model, HALF, optimizer=optimizer)
    assert _said(model, optimizer) == []
    fresh = ow.sparsify_(_model(), HALF)
    assert _said(fresh, torch.optim.Adam(fresh.parameters())) == []


def test_another_optimiser_may_have_taken_over(old: Old) -> None:
    """The old one may continue with the rest, and may step first."""
    model, optimizer = old
    rest = nn.Linear(4, 4)
    optimizer.add_param_group({"params": rest.parameters()})
    ow.sparsify_(model, HALF)
    new = torch.optim.Adam(model.parameters())
    assert _said(nn.Sequential(model, rest), optimizer, new) == []


def test_a_network_at_rest_is_silent(old: Old) -> None:
    model, optimizer = old
    ow.sparsify_(model, HALF)
    other = _model()
    assert _said(other, optimizer) == []
    model.requires_grad_(False)
    assert _said(nn.Sequential(model, nn.Linear(4, 4)), optimizer) == []


def test_a_dense_network_beside_its_sparse_copy_is_silent(old: Old) -> None:
    model, optimizer = old
    sparse = ow.sparsify_(copy.deepcopy(model), HALF)
    assert _said(sparse, torch.optim.SGD(sparse.parameters(), lr=0.1)) == []
    assert _said(model, optimizer) == []


def test_nothing_is_remembered_of_what_is_gone(old: Old) -> None:
    del old
    model = _model()
    kept = list(model.parameters())
    ow.sparsify_(model, HALF)
    gc.collect()
    assert {id(parameter) for parameter in kept} <= set(left_behind._replaced)
    gone = {id(parameter) for parameter in kept}
    del kept
    gc.collect()
    assert not gone & set(left_behind._replaced)


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.Adagrad, torch.optim.RMSprop])
def test_state_of_the_old_size_is_refused_before_anything_is_changed(kind: type) -> None:
    model = ow.sparsify_(_model(), HALF)
    optimizer = kind(model.parameters())
    _step(model, optimizer)
    ow.grow_(model, 0.7)
    ow.grow_(model, 0.9)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ArgumentError, match=r"'0\.weight', which has .* `optimizer=` to `grow_`"):
        _step(model, optimizer)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    _step(model, kind(model.parameters()))


def test_without_a_state_growing_needs_no_optimiser() -> None:
    model = ow.sparsify_(_model(), HALF)
    plain = torch.optim.SGD(model.parameters(), lr=0.1)
    _step(model, plain)
    ow.grow_(model, 0.8)
    before = model.get_parameter("0.weight").clone()
    _step(model, plain)
    assert not torch.equal(model.get_parameter("0.weight"), before)


def test_warnings_point_nowhere_into_torch() -> None:
    """As errors they end the step in the user's own line."""
    model = _model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ow.sparsify_(model, HALF)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="does not train"):
            _step(model, optimizer)
