"""What a call must look like to be the captured one with other tensors."""

from typing import Any

import pytest
import torch
from torch import nn

from openwork._call import Call
from openwork.capture.call_form import CallForm
from openwork.errors import ArgumentError

X, Y = torch.ones(2), torch.zeros(2)


class Body(nn.Module):
    def forward(
        self, x: Any, meta: Any = None, *rest: Any, scale: float = 2.0, **named: Any
    ) -> None: ...


def _form(*args: Any, **kwargs: Any) -> CallForm:
    form = CallForm.of(Body(), Call(*args, **kwargs))
    again = CallForm.from_data(form.to_data())
    assert again.to_data() == form.to_data()
    return again


def test_tensors_come_in_the_order_of_the_example() -> None:
    form = _form({"a": X, "b": Y}, k=3, z=X)
    found = form.tensors((), {"z": 3, "x": {"b": 2, "a": 1}, "k": 3})
    assert list(found) == [1, 2, 3]
    assert form.dtypes == (torch.float32,) * 3


def test_defaults_may_be_given_or_left_out() -> None:
    form = _form(X)
    assert list(form.tensors((Y,), {})) == [Y]
    assert list(form.tensors((Y, None), {})) == [Y]
    assert list(form.tensors((), {"x": Y, "scale": 2.0})) == [Y]
    assert list(_form(X, None, X).tensors((1, None, 2), {})) == [1, 2]


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "missing a required argument: 'x'"),
        (((X, {"k": 3}),), {}, r"`x\[1\]\['k'\]` is 3, but the network was compiled for 2"),
        (((X, {"k": X}),), {}, r"is a tensor \(2,\), but the network was compiled for 2"),
        (((X, {"j": 2}),), {}, r"^x\[1\] is the keys \['j'\].* as in the example"),
        (((X, {"k": 2}),), {"scale": 1.0}, r"`scale` is 1.0, but .* for 2.0; compile it"),
        (((X, {"k": 2}), "m"), {}, "`meta` is 'm', but the network was compiled for None"),
        (((X, {"k": 2}),), {"other": X}, r"^named is the keys \['other'\], not a dict of \[\]"),
    ],
)
def test_other_calls_are_refused(
    args: tuple[Any, ...], kwargs: dict[str, Any], message: str
) -> None:
    form = _form((X, {"k": 2}))
    with pytest.raises(ArgumentError, match=message):
        form.tensors(args, kwargs)


def test_an_example_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"does not fit Linear.forward\(input.*too many"):
        CallForm.of(nn.Linear(2, 2), Call(X, Y))


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": [["y", 1, []]]},
        {"constants": {0: 3}},
        {"nesting": {"input_0": 1}},
        {"dtypes": []},
    ],
)
def test_edited_data_is_refused(change: dict[str, Any]) -> None:
    data = CallForm.of_tensors(1).to_data()
    with pytest.raises(ValueError, match=r"arguments .*must"):
        CallForm.from_data(data | change)
