"""An optimiser continues with new parameters: same groups, same settings, its state carried."""

from typing import Any, cast

import pytest
import torch
from torch import nn

from openwork.errors import ArgumentError
from openwork.nn.change.optimizers import Heir, check_optimizers, follow_, optimizers_of


def _parameter(*values: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(values, dtype=torch.float32))


def _last_two(held: torch.Tensor) -> torch.Tensor:
    return held[-2:].clone()


def _step(optimizer: torch.optim.Optimizer, *parameters: nn.Parameter) -> None:
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()


def test_an_heir_takes_the_place_and_the_state() -> None:
    one, two, three = _parameter(1, 2, 3), _parameter(4), _parameter(5)
    optimizer = torch.optim.SGD(
        [{"params": [two]}, {"params": [one, three], "lr": 0.5}], lr=0.1, momentum=0.9
    )
    _step(optimizer, one, two, three)
    optimizer.state[one]["momentum_buffer"] = torch.tensor([7.0, 8.0, 9.0])
    new, held = _parameter(2, 3), optimizer.param_groups[1]["params"]
    follow_([optimizer], {one: Heir(new, _last_two)})
    assert optimizer.param_groups[1]["params"] is held
    assert [p is q for p, q in zip(held, (new, three), strict=True)] == [True, True]
    assert optimizer.param_groups[1]["lr"] == 0.5
    assert one not in optimizer.state
    assert optimizer.state[new]["momentum_buffer"].tolist() == [8, 9]
    _step(optimizer, new)
    # 0.9 * 8 + 1 and 0.9 * 9 + 1, times the learning rate 0.5.
    assert new.tolist() == pytest.approx([2 - 4.1, 3 - 4.55])


def test_counters_are_copied_and_not_shared() -> None:
    old, new = _parameter(1, 2, 3), _parameter(2, 3)
    optimizer = torch.optim.Adam([old])
    _step(optimizer, old)
    step = optimizer.state[old]["step"]
    follow_([optimizer], {old: Heir(new, _last_two)})
    assert optimizer.state[new]["step"].item() == 1
    assert optimizer.state[new]["step"] is not step


def test_without_carry_the_state_starts_again() -> None:
    old, new = _parameter(1, 2), _parameter(1, 2)
    optimizer = torch.optim.Adam([old])
    _step(optimizer, old)
    follow_([optimizer], {old: Heir(new, None)})
    assert len(optimizer.state) == 0
    _step(optimizer, new)
    assert optimizer.state[new]["step"].item() == 1


def test_a_parameter_without_an_heir_leaves() -> None:
    old, other = _parameter(1), _parameter(2)
    optimizer = torch.optim.Adam([old, other])
    _step(optimizer, old, other)
    follow_([optimizer], {old: Heir(None)})
    assert optimizer.param_groups[0]["params"] == [other]
    assert list(optimizer.state) == [other]


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [(torch.optim.Adagrad, "sum", 0.5), (torch.optim.Rprop, "step_size", 0.25)],
)
def test_new_places_begin_where_the_optimiser_begins(kind: Any, key: str, value: float) -> None:
    old, new = _parameter(1, 2), _parameter(0, 1, 2)
    name = "initial_accumulator_value" if kind is torch.optim.Adagrad else "lr"
    options: Any = {name: value}
    optimizer = kind([old], **options)
    _step(optimizer, old)
    before = optimizer.state[old][key].clone()
    follow_([optimizer], {old: Heir(new, lambda held: torch.cat([held.new_zeros(1), held]))})
    assert optimizer.state[new][key].tolist() == [value, *before.tolist()]
    _step(optimizer, new)


def test_what_joins_a_group_can_be_trained_by_adagrad_too() -> None:
    weight, bias = _parameter(1, 2), _parameter(0)
    optimizer = torch.optim.Adagrad([weight], lr=0.5, initial_accumulator_value=3.0)
    follow_([optimizer], {weight: Heir(weight, joined=(bias,))})
    assert [
        p is q for p, q in zip(optimizer.param_groups[0]["params"], (weight, bias), strict=True)
    ]
    _step(optimizer, weight, bias)
    # 0.5 * 1 / sqrt(3 + 1)
    assert bias.item() == pytest.approx(-0.25)


def test_one_or_several_optimisers_may_be_given() -> None:
    one, two = (torch.optim.SGD([_parameter(1)], lr=0.1) for _ in range(2))
    assert optimizers_of(None) == ()
    assert optimizers_of(one) == (one,)
    assert optimizers_of([one, two]) == optimizers_of((one, two)) == (one, two)
    for wrong in (nn.Linear(1, 1), "adam", [one, None]):
        with pytest.raises(ArgumentError, match=r"must be a torch\.optim\.Optimizer"):
            optimizers_of(cast(Any, wrong))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (torch.optim.LBFGS, "LBFGS, which holds the parameters a second time, in `_params`"),
        (torch.optim.Adafactor, "Adafactor, whose 'row_var' has another shape"),
    ],
)
def test_what_cannot_follow_is_refused(kind: Any, message: str) -> None:
    model = nn.Linear(3, 2)
    optimizer = kind(model.parameters(), lr=0.1)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step(lambda: torch.tensor(0.0))
    with pytest.raises(ArgumentError, match=message):
        check_optimizers([optimizer], model, [*model.parameters()])


def test_an_optimiser_of_another_model_is_refused() -> None:
    model, other = nn.Linear(3, 2), nn.Linear(3, 2)
    shared = torch.optim.SGD([*other.parameters(), model.bias], lr=0.1)
    check_optimizers([shared], model, [*model.parameters()])
    foreign = torch.optim.SGD(other.parameters(), lr=0.1)
    with pytest.raises(ArgumentError, match=r"SGD.* does not hold a single parameter of `model`"):
        check_optimizers([foreign], model, [*model.parameters()])
